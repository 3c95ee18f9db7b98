// Filters of maps in double, row-major and dense, and the numbers that pooling makes of them.
//
// Borders are reflected about the edge of the outermost pixel (d c b a | a b c d), as SciPy's mode "reflect". Every
// buffer is allocated when a filter is made.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vialsight/score.h"

namespace vialsight {

// No value is NaN or infinite.
[[nodiscard]] bool all_finite(std::span<const float> values) noexcept;

// The largest of at least one value; NaN when any of them is not finite.
[[nodiscard]] double largest(std::span<const double> values) noexcept;

// Mean of the `count` ≥ 1 largest values, which it reorders; NaN when any of all is not finite.
[[nodiscard]] double mean_of_largest(std::span<double> values, std::size_t count) noexcept;

// scipy.ndimage.gaussian_filter: cut at int(4σ + 0.5) pixels.
class GaussianFilter {
 public:
  // sigma > 0, in pixels.
  GaussianFilter(double sigma, MapSize size);
  // `in` and `out` may not overlap.
  void apply(std::span<const double> in, std::span<double> out) noexcept;

 private:
  MapSize size_;
  std::vector<double> weights_;             // of distance 0, 1, … radius
  std::vector<double> row_;                 // one, filtered vertically, with its reflected ends
  std::vector<const double*> row_taps_;     // 2·radius + 1 rows of the map
  std::vector<const double*> column_taps_;  // the same shifts along row_
  std::vector<std::size_t> ends_;           // columns that the reflected ends show: left, then right
};

// Mean over 21×21 pixels (Mekhilef eq. 7), as scipy.ndimage.uniform_filter.
class MeanFilter {
 public:
  static constexpr int kWindow = 21;

  explicit MeanFilter(MapSize size);
  // `in` and `out` may not overlap.
  void apply(std::span<const double> in, std::span<double> out) noexcept;

 private:
  MapSize size_;
  std::vector<double> columns_;    // sums of 21 rows
  std::vector<double> row_;        // the same, with reflected ends
  std::vector<double> sums_;       // of 2, 4, 8, 16 neighbours
  std::vector<std::size_t> ends_;  // as GaussianFilter's
};

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
