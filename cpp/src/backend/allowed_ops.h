// The graph operations a bundle may use: arithmetic on tensors, and nothing else.
//
// A bundle is data, and a TensorFlow graph is a program: operations that reach files, the network, Python, other graphs
// or any state would make loading a bundle as dangerous as running its author's code. The list is what a frozen network
// of ours consists of, plus plain arithmetic of the same kind. Valid C++17: shared with the backend module.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace vialsight {

// Sorted, for binary search.
inline constexpr std::array<std::string_view, 36> kAllowedOps = {
    "Add",
    "AddV2",
    "ArgMax",  // with OneHot: pca takes the region whose mean is nearest
    "AvgPool",
    "BiasAdd",
    "Cast",
    "ConcatV2",
    "Const",
    "Conv2D",
    "Conv2DBackpropInput",
    "ExpandDims",
    "FakeQuantWithMinMaxVars",  // these two: rounding to integers of 8 bits
    "FakeQuantWithMinMaxVarsPerChannel",
    "FusedBatchNormV3",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "Maximum",
    "Mean",
    "Minimum",
    "Mul",
    "Neg",
    "OneHot",
    "Pack",
    "Placeholder",
    "Relu",
    "Reshape",
    "ResizeNearestNeighbor",
    "Rsqrt",
    "Shape",
    "Sigmoid",
    "Squeeze",
    "StridedSlice",
    "Sub",
    "Tanh",
    "Transpose",
};

[[nodiscard]] inline bool is_allowed_op(std::string_view op) noexcept {
  return std::binary_search(kAllowedOps.begin(), kAllowedOps.end(), op);
}

}  // namespace vialsight
