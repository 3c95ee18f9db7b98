#include "scoring/pooling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "base/multiversion.h"

namespace vialsight {
namespace {

// Of reductions: sums and maxima run in this many fixed lanes, whatever the vector's width.
constexpr std::size_t kSums = 32;
constexpr std::size_t kFloatSums = 64;
// Rows of a band. The higher, the fewer maxima to look through, and the more pixels below each.
constexpr std::size_t kBand = 16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Total {
  double largest;
  double sum;
};

VIALSIGHT_MULTIVERSION
Total total_of(const double* values, std::size_t count) noexcept {
  double largest_in[kSums];
  double sum_in[kSums] = {};
  std::fill_n(largest_in, kSums, -kInfinity);
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t lane = 0; lane < kSums; ++lane) {
      const double value = values[i + lane];
      largest_in[lane] = value > largest_in[lane] ? value : largest_in[lane];
      sum_in[lane] += value;
    }
  }
  Total total{-kInfinity, 0.0};
  for (; i < count; ++i) {
    total.largest = values[i] > total.largest ? values[i] : total.largest;
    total.sum += values[i];
  }
  for (std::size_t lane = 0; lane < kSums; ++lane) {
    total.largest = largest_in[lane] > total.largest ? largest_in[lane] : total.largest;
    total.sum += sum_in[lane];
  }
  return total;
}

VIALSIGHT_MULTIVERSION
void raise(const double* row, std::size_t width, double* __restrict maxima) noexcept {
  for (std::size_t j = 0; j < width; ++j) maxima[j] = row[j] > maxima[j] ? row[j] : maxima[j];
}

VIALSIGHT_MULTIVERSION
bool is_all_finite(const float* values, std::size_t count) noexcept {
  float differences[kFloatSums] = {};
  std::size_t i = 0;
  for (; i + kFloatSums <= count; i += kFloatSums) {
    for (std::size_t lane = 0; lane < kFloatSums; ++lane) differences[lane] += values[i + lane] - values[i + lane];
  }
  for (; i < count; ++i) differences[0] += values[i] - values[i];
  float total = 0.0F;
  for (const float difference : differences) total += difference;
  return total == 0.0F;
}

// Sorts values into bins from the smallest to the largest, so that only one bin has to be ordered.
struct Histogram {
  static constexpr std::size_t kBins = 1024;

  Histogram(double smallest, double largest) noexcept
      : lowest(smallest), per_value(static_cast<double>(kBins - 1) / (largest - smallest)) {}

  // Not when all values are as good as equal.
  [[nodiscard]] bool sorts() const noexcept { return std::isfinite(per_value); }
  [[nodiscard]] std::size_t bin_of(double value) const noexcept {
    return static_cast<std::size_t>(static_cast<std::int32_t>((value - lowest) * per_value));
  }
  // Bin of the `count`th largest value; `count` becomes how many of it are wanted.
  [[nodiscard]] std::size_t bin_of_rank(std::span<const double> values, std::size_t& count) noexcept {
    for (const double value : values) ++counts[bin_of(value)];
    std::size_t bin = kBins - 1;
    for (; counts[bin] < count; --bin) count -= counts[bin];
    return bin;
  }

  double lowest;
  double per_value;
  std::array<std::uint32_t, kBins> counts = {};
};

// Sum of the `count` largest, in memory of their own; all are from `smallest` to `largest`.
double sum_of_largest(std::span<double> values, std::size_t count, double smallest, double largest) noexcept {
  Histogram histogram(smallest, largest);
  if (!histogram.sorts()) return largest * static_cast<double>(count);
  const std::size_t bin = histogram.bin_of_rank(values, count);
  double sum = 0.0;
  std::size_t undecided = 0;
  for (const double value : values) {
    const std::size_t of_value = histogram.bin_of(value);
    if (of_value > bin) sum += value;
    if (of_value == bin) values[undecided++] = value;
  }
  const auto end = values.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(values.begin(), end, values.begin() + static_cast<std::ptrdiff_t>(undecided), std::greater<>());
  for (auto value = values.begin(); value != end; ++value) sum += *value;
  return sum;
}

// A number that at least `count` of `values` reach.
double reached_by(std::span<const double> values, std::size_t count, double largest) noexcept {
  const double smallest = *std::min_element(values.begin(), values.end());
  Histogram histogram(smallest, largest);
  if (!histogram.sorts()) return smallest;
  const std::size_t bin = histogram.bin_of_rank(values, count);
  double reached = largest;
  for (const double value : values) {
    if (histogram.bin_of(value) >= bin) reached = std::min(reached, value);
  }
  return reached;
}

}  // namespace

bool all_finite(std::span<const float> values) noexcept { return is_all_finite(values.data(), values.size()); }

Pooling::Pooling(MapSize size, std::size_t count) : width_(static_cast<std::size_t>(size.width)), count_(count) {
  const std::size_t bands = (static_cast<std::size_t>(size.height) + kBand - 1) / kBand;
  if (!needs_map() || count_ > bands * width_) return;
  maxima_.resize(bands * width_);
  columns_.resize(width_);
}

void Pooling::begin() noexcept {
  row_ = 0;
  largest_ = -kInfinity;
  sum_ = 0.0;
  std::fill(maxima_.begin(), maxima_.end(), -kInfinity);
}

void Pooling::add_row(const double* row) noexcept {
  const Total total = total_of(row, width_);
  largest_ = std::max(largest_, total.largest);
  sum_ += total.sum;
  if (!maxima_.empty()) raise(row, width_, maxima_.data() + row_ / kBand * width_);
  ++row_;
}

// Moves to the front all that reach a number which `count_` of the maxima, hence of the values, reach.
std::size_t Pooling::keep_candidates(std::span<double> map) noexcept {
  lowest_candidate_ = reached_by(maxima_, count_, largest_);
  std::size_t kept = 0;
  for (std::size_t first = 0; first < row_; first += kBand) {
    const double* const maxima = maxima_.data() + first / kBand * width_;
    std::size_t columns = 0;
    for (std::size_t j = 0; j < width_; ++j) {
      columns_[columns] = j;
      columns += maxima[j] >= lowest_candidate_ ? 1 : 0;
    }
    for (std::size_t i = first; i < std::min(first + kBand, row_); ++i) {
      for (std::size_t k = 0; k < columns; ++k) {
        const double value = map[i * width_ + columns_[k]];
        if (value >= lowest_candidate_) map[kept++] = value;
      }
    }
  }
  return kept;
}

double Pooling::result(std::span<double> map) noexcept {
  if (!std::isfinite(sum_)) return std::numeric_limits<double>::quiet_NaN();
  if (!needs_map()) return largest_;
  const auto count = static_cast<double>(count_);
  if (count_ == map.size()) return sum_ / count;
  if (maxima_.empty()) return sum_of_largest(map, count_, *std::min_element(map.begin(), map.end()), largest_) / count;
  const std::size_t kept = keep_candidates(map);
  return sum_of_largest(map.first(kept), count_, lowest_candidate_, largest_) / count;
}

}  // namespace vialsight
