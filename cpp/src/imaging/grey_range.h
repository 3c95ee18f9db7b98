// Grey values of patches: [0, 1], and a little beyond.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace vialsight {

// Of cubic resampling (Keys, a = -0.5), by which patches are cut where products are located: its weights along one axis
// sum to 1.25 in magnitude, so that two axes exceed [0, 1] by 0.29 at most.
inline constexpr float kOvershoot = 0.3F;

// The first finite value that no patch holds, such as a pixel that was not divided by 255; nullptr: there is none. What
// is not finite makes scores that nobody takes for one.
[[nodiscard]] inline const float* beyond_grey_values(std::span<const float> values) {
  const auto found = std::find_if(values.begin(), values.end(), [](float value) {
    return std::isfinite(value) && (value < -kOvershoot || value > 1.0F + kOvershoot);
  });
  return found == values.end() ? nullptr : &*found;
}

}  // namespace vialsight
