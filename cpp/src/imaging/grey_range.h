// Grey values of patches: [0, 1], and a little beyond.
#pragma once

#include <algorithm>
#include <span>

namespace vialsight {

// Of cubic resampling (Keys, a = -0.5), by which patches are cut where products are located: its weights along one axis
// sum to 1.25 in magnitude, so that two axes exceed [0, 1] by 0.29 at most.
inline constexpr float kOvershoot = 0.3F;

// The first value that no patch holds, such as a pixel that was not divided by 255, or a NaN; nullptr: there is none.
[[nodiscard]] inline const float* beyond_grey_values(std::span<const float> values) {
  // By negation, so that a NaN is found as well.
  const auto found = std::find_if(values.begin(), values.end(),
                                  [](float value) { return !(value >= -kOvershoot && value <= 1.0F + kOvershoot); });
  return found == values.end() ? nullptr : &*found;
}

}  // namespace vialsight
