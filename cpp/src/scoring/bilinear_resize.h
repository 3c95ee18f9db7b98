// Brings a component's map to the size of the combination's.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vialsight/score.h"

namespace vialsight {

// Bilinear resampling without antialiasing, half-pixel centres, borders replicated (tf.image.resize).
class BilinearResize {
 public:
  BilinearResize(MapSize from, MapSize to);
  // Adds the resampled `in` to `out`.
  void add(std::span<const double> in, std::span<double> out) noexcept;

 private:
  struct Tap {
    std::size_t low;
    std::size_t high;
    double fraction;  // of high
  };
  static std::vector<Tap> taps_of(int from, int to);

  MapSize from_;
  MapSize to_;
  std::vector<Tap> rows_;
  std::vector<Tap> columns_;
  std::vector<double> wide_;  // from.height × to.width
};

}  // namespace vialsight
