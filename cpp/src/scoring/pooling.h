// The number that pooling makes of a map, collected row by row while a row is in the first cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vialsight/score.h"

namespace vialsight {

// No value is NaN or infinite.
[[nodiscard]] bool all_finite(std::span<const float> values) noexcept;

// begin(), add_row() of each row in order, result(). NaN when any value is not finite.
class Pooling {
 public:
  // The mean of the `count` ≥ 1 largest values.
  Pooling(MapSize size, std::size_t count);

  // Whether result() reads the map; it is not kept for the largest value alone.
  [[nodiscard]] bool needs_map() const noexcept { return count_ > 1; }
  void begin() noexcept;
  void add_row(const double* row) noexcept;
  // `map`: all the rows; reordered.
  [[nodiscard]] double result(std::span<double> map) noexcept;

 private:
  [[nodiscard]] std::size_t keep_candidates(std::span<double> map) noexcept;

  std::size_t width_;
  std::size_t count_;
  std::size_t row_ = 0;
  double largest_ = 0.0;
  double sum_ = 0.0;
  double lowest_candidate_ = 0.0;
  std::vector<double> maxima_;        // of the columns of a band of rows, band by band; empty where they are of no use
  std::vector<std::size_t> columns_;  // of a band
};

}  // namespace vialsight
