#include "imaging/resampling.h"

#include <algorithm>
#include <cmath>

namespace vialsight {

// The arithmetic of TensorFlow's ScaleAndTranslate kernel, in its precision: float32 positions of samples far from the
// origin are off by up to 6e-5 of a pixel, which a more exact computation would show as a difference.
Resampling::Resampling(int input_size, int output_size) {
  const float scale = static_cast<float>(output_size) / static_cast<float>(input_size);
  const auto inverse_scale = static_cast<float>(1.0 / static_cast<double>(scale));
  const float radius = std::max(inverse_scale, 1.0F);  // of the triangle, in input samples
  const float inverse_radius = 1.0F / radius;
  taps_ = static_cast<std::size_t>(std::min(2 * static_cast<int>(std::ceil(radius)) + 1, input_size));
  weights_.assign(taps_ * static_cast<std::size_t>(output_size), 0.0F);

  for (int output = 0; output < output_size; ++output) {
    const float centre = (static_cast<float>(output) + 0.5F) * inverse_scale;
    const int begin = std::clamp(static_cast<int>(std::ceil(centre - radius - 0.5F)), 0, input_size - 1);
    const int end = std::clamp(static_cast<int>(std::floor(centre + radius - 0.5F)), 0, input_size - 1) + 1;
    const int first = std::min(begin, input_size - static_cast<int>(taps_));
    first_.push_back(static_cast<std::size_t>(first));
    float* weights = &weights_[static_cast<std::size_t>(output) * taps_];
    float total = 0.0F;
    for (int input = begin; input < end; ++input) {
      const float distance = std::abs((static_cast<float>(input) + 0.5F - centre) * inverse_radius);
      const float weight = std::max(0.0F, 1.0F - distance);
      weights[input - first] = weight;
      total += weight;
    }
    for (int input = begin; input < end; ++input) weights[input - first] *= 1.0F / total;
  }
}

}  // namespace vialsight
