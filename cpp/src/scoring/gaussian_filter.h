// scipy.ndimage.gaussian_filter of a map that comes row by row: cut at int(4σ + 0.5) pixels, borders reflected.
#pragma once

#include <cstddef>
#include <vector>

#include "scoring/reflection.h"
#include "vialsight/score.h"

namespace vialsight {

// Only the rows that a window needs are kept, in a ring that stays in the first cache for a usual σ.
class GaussianFilter {
 public:
  // sigma > 0, in pixels.
  GaussianFilter(double sigma, MapSize size);

  // How many rows below a row must have come before it is filtered; fewer at the map's end.
  [[nodiscard]] std::size_t reach() const noexcept { return weights_.size() - 1; }
  // Where row i goes. Rows come in order.
  [[nodiscard]] double* input_row(std::size_t i) noexcept { return ring_.data() + (i % ring_rows_) * stride_; }
  // Every row in order.
  void filter_row(std::size_t i, double* out) noexcept;

 private:
  [[nodiscard]] const double* tap(std::size_t i, std::size_t k) noexcept;

  std::size_t height_;
  std::size_t width_;
  std::size_t stride_;           // of the ring
  std::vector<double> weights_;  // of distance 0, 1, … radius
  std::size_t ring_rows_;
  std::vector<double> ring_;
  std::vector<const double*> taps_;  // the 2·radius + 1 rows of a window
  ReflectedRow row_;                 // one, filtered vertically
};

}  // namespace vialsight
