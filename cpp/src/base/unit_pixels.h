// Pixels as float32 in [0, 1]: one conversion for those of frames and those that bundles store.
#pragma once

#include <cstddef>
#include <span>

namespace vialsight {

// pixel / largest. Divides, as training does: multiplying by the reciprocal would round differently. `out` has room for
// as many values.
template <typename Pixel>
void to_unit(std::span<const Pixel> pixels, float largest, float* out) noexcept {
  for (std::size_t i = 0; i < pixels.size(); ++i) out[i] = static_cast<float>(pixels[i]) / largest;
}

}  // namespace vialsight
