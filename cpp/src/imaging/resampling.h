// Resampling weights of tf.image.resize(method="bilinear", antialias=True) along one axis.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace vialsight {

// Output sample i is the sum of weights(i)[k] · input[first(i) + k], k in [0, taps()). Immutable.
class Resampling {
 public:
  // Both sizes at least 1.
  Resampling(int input_size, int output_size);

  [[nodiscard]] std::size_t taps() const noexcept { return taps_; }
  [[nodiscard]] std::size_t first(std::size_t output) const noexcept { return first_[output]; }
  [[nodiscard]] std::span<const float> weights(std::size_t output) const noexcept {
    return std::span(weights_).subspan(output * taps_, taps_);
  }

 private:
  std::size_t taps_ = 0;
  std::vector<std::size_t> first_;  // first_[i] + taps_ never exceeds the input
  std::vector<float> weights_;      // [output][tap]; zeros where a span is shorter than taps_
};

}  // namespace vialsight
