// What a network puts out, beside the patch it was given: named tensors of one channel, in the order of the bundle.
//
// Valid C++17, so that the backend module can share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vialsight {

enum class OutputRole : std::uint8_t {
  kReconstruction = 0,  // the patch as the network sees it, of the patch's size; at most one
  kMap = 1,             // an anomaly map of any size; 1×1 is a number per patch
};

struct OutputSpec {
  std::string name;
  OutputRole role = OutputRole::kReconstruction;
  int height = 0;
  int width = 0;

  // Per patch.
  [[nodiscard]] std::size_t pixels() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

}  // namespace vialsight
