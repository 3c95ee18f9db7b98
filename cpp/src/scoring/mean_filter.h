// Mean over 21×21 pixels (Mekhilef eq. 7), as scipy.ndimage.uniform_filter; borders reflected.
#pragma once

#include <cstddef>
#include <vector>

#include "scoring/reflection.h"
#include "vialsight/score.h"

namespace vialsight {

// Sums of columns slide down the map: filter_row() of each row in order.
class MeanFilter {
 public:
  static constexpr int kWindow = 21;

  explicit MeanFilter(MapSize size);
  // Row i of `map`, filtered.
  void filter_row(const float* map, std::size_t i, double* out) noexcept;

 private:
  std::size_t height_;
  std::size_t width_;
  ReflectedRow columns_;  // sums of 21 rows
};

}  // namespace vialsight
