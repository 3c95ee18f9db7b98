#include "backend/allowed_ops.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vialsight {
namespace {

static_assert(std::is_sorted(kAllowedOps.begin(), kAllowedOps.end()), "searched by halving");

TEST(AllowedOpsTest, HasWhatAFrozenNetworkConsistsOf) {
  for (const char* op : {"AddV2",
                         "ArgMax",
                         "AvgPool",
                         "BiasAdd",
                         "Cast",
                         "ConcatV2",
                         "Const",
                         "Conv2D",
                         "Conv2DBackpropInput",
                         "FakeQuantWithMinMaxVars",
                         "FakeQuantWithMinMaxVarsPerChannel",
                         "FusedBatchNormV3",
                         "Identity",
                         "LeakyRelu",
                         "MatMul",
                         "OneHot",
                         "Pack",
                         "Placeholder",
                         "Relu",
                         "Reshape",
                         "Shape",
                         "Sigmoid",
                         "Squeeze",
                         "StridedSlice"}) {
    EXPECT_TRUE(is_allowed_op(op)) << op;
  }
}

TEST(AllowedOpsTest, HasNothingThatReachesOutside) {
  for (const char* op :
       {"ReadFile", "WriteFile", "PyFunc",        "EagerPyFunc", "SaveV2",          "RestoreV2",
        "Print",    "PrintV2",   "Assert",        "VarHandleOp", "PartitionedCall", "StatefulPartitionedCall",
        "If",       "While",     "MatchingFiles", "LoadLibrary", "RandomUniform",   "HashTableV2",
        "",         "relu",      "Relu "}) {
    EXPECT_FALSE(is_allowed_op(op)) << op;
  }
}

}  // namespace
}  // namespace vialsight
