#include "scoring/filters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "base/multiversion.h"

namespace vialsight {
namespace {

// Of reductions: sums and maxima run in this many fixed lanes, whatever the vector's width.
constexpr std::size_t kLanes = 16;

// Where a position beside a line of `count` pixels is reflected to; the reflections repeat.
std::size_t reflected(std::ptrdiff_t position, std::size_t count) noexcept {
  const auto period = static_cast<std::ptrdiff_t>(2 * count);
  const std::ptrdiff_t inside = ((position % period) + period) % period;
  const auto at = static_cast<std::size_t>(inside);
  return at < count ? at : 2 * count - 1 - at;
}

// The columns that `radius` positions left and right of a row show.
std::vector<std::size_t> reflected_ends(std::size_t radius, std::size_t width) {
  std::vector<std::size_t> ends;
  const auto reach = static_cast<std::ptrdiff_t>(radius);
  const auto right = static_cast<std::ptrdiff_t>(width);
  for (std::ptrdiff_t k = -reach; k < 0; ++k) ends.push_back(reflected(k, width));
  for (std::ptrdiff_t k = right; k < right + reach; ++k) ends.push_back(reflected(k, width));
  return ends;
}

void fill_ends(double* row, std::size_t width, const std::vector<std::size_t>& ends) noexcept {
  const std::size_t radius = ends.size() / 2;
  for (std::size_t k = 0; k < radius; ++k) {
    row[k] = row[radius + ends[k]];
    row[radius + width + k] = row[radius + ends[radius + k]];
  }
}

// Adds kPairs distances from `first` on, or begins with the centre: many at a time, for fewer passes over `out`.
template <std::size_t kPairs, bool kBegins>
VIALSIGHT_INLINE void weigh_pairs(const double* const* centre, const double* weights, std::size_t first,
                                  std::size_t width, double* __restrict out) noexcept {
  const double* left[kPairs];
  const double* right[kPairs];
  double weight[kPairs];
  for (std::size_t p = 0; p < kPairs; ++p) {
    left[p] = *(centre - first - p);
    right[p] = *(centre + first + p);
    weight[p] = weights[first + p];
  }
  const double* const middle = *centre;
  const double middle_weight = weights[0];
  for (std::size_t j = 0; j < width; ++j) {
    double sum = kBegins ? middle_weight * middle[j] : out[j];
    for (std::size_t p = 0; p < kPairs; ++p) sum += weight[p] * (left[p][j] + right[p][j]);
    out[j] = sum;
  }
}

// Σ weight[|k|]·taps[radius + k] for each column. Serves both directions.
VIALSIGHT_MULTIVERSION
void weigh(const double* const* taps, const double* weights, std::size_t radius, std::size_t width,
           double* __restrict out) noexcept {
  constexpr std::size_t kMany = 6;
  const double* const* const centre = taps + radius;
  std::size_t k = 1;
  if (radius >= kMany) {
    weigh_pairs<kMany, true>(centre, weights, k, width, out);
    k += kMany;
  } else {
    for (std::size_t j = 0; j < width; ++j) out[j] = weights[0] * (*centre)[j];
  }
  for (; k + kMany <= radius + 1; k += kMany) weigh_pairs<kMany, false>(centre, weights, k, width, out);
  for (; k + 1 <= radius; k += 2) weigh_pairs<2, false>(centre, weights, k, width, out);
  if (k == radius) weigh_pairs<1, false>(centre, weights, k, width, out);
}

VIALSIGHT_MULTIVERSION
void slide(const double* entering, const double* leaving, std::size_t width, double* __restrict columns) noexcept {
  for (std::size_t j = 0; j < width; ++j) columns[j] += entering[j] - leaving[j];
}

VIALSIGHT_MULTIVERSION
void add_row(const double* row, std::size_t width, double* __restrict columns) noexcept {
  for (std::size_t j = 0; j < width; ++j) columns[j] += row[j];
}

// Means of 21 neighbours, from sums of 2, 4 and 8 of them: 21 = 8 + 8 + 4 + 1. `sums` holds three padded rows.
VIALSIGHT_MULTIVERSION
void mean_of_21(const double* row, std::size_t width, double* __restrict sums, double* __restrict out) noexcept {
  constexpr std::size_t kPad = MeanFilter::kWindow - 1;
  constexpr double kPixels = MeanFilter::kWindow * MeanFilter::kWindow;
  const std::size_t padded = width + kPad;
  double* const two = sums;
  double* const four = sums + padded;
  double* const eight = sums + 2 * padded;
  for (std::size_t j = 0; j < padded - 1; ++j) two[j] = row[j] + row[j + 1];
  for (std::size_t j = 0; j < padded - 3; ++j) four[j] = two[j] + two[j + 2];
  for (std::size_t j = 0; j < padded - 7; ++j) eight[j] = four[j] + four[j + 4];
  for (std::size_t j = 0; j < width; ++j) {
    out[j] = ((eight[j] + eight[j + 8]) + (four[j + 16] + row[j + 20])) / kPixels;
  }
}

VIALSIGHT_MULTIVERSION
void add_mix(const double* low, const double* high, double fraction, std::size_t width,
             double* __restrict out) noexcept {
  for (std::size_t j = 0; j < width; ++j) out[j] += low[j] + fraction * (high[j] - low[j]);
}

struct Extreme {
  double largest;
  double smallest;
  double sum;
  double not_finite;  // 0, or NaN
};

VIALSIGHT_MULTIVERSION
Extreme extreme_of(const double* values, std::size_t count) noexcept {
  double largest_in[kLanes];
  double smallest_in[kLanes];
  double sum_in[kLanes] = {};
  double differences[kLanes] = {};
  std::fill_n(largest_in, kLanes, -std::numeric_limits<double>::infinity());
  std::fill_n(smallest_in, kLanes, std::numeric_limits<double>::infinity());
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[i + lane];
      largest_in[lane] = value > largest_in[lane] ? value : largest_in[lane];
      smallest_in[lane] = value < smallest_in[lane] ? value : smallest_in[lane];
      sum_in[lane] += value;
      differences[lane] += value - value;
    }
  }
  for (; i < count; ++i) {
    largest_in[0] = values[i] > largest_in[0] ? values[i] : largest_in[0];
    smallest_in[0] = values[i] < smallest_in[0] ? values[i] : smallest_in[0];
    sum_in[0] += values[i];
    differences[0] += values[i] - values[i];
  }
  Extreme result{largest_in[0], smallest_in[0], 0.0, 0.0};
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    result.largest = largest_in[lane] > result.largest ? largest_in[lane] : result.largest;
    result.smallest = smallest_in[lane] < result.smallest ? smallest_in[lane] : result.smallest;
    result.sum += sum_in[lane];
    result.not_finite += differences[lane];
  }
  return result;
}

VIALSIGHT_MULTIVERSION
bool is_all_finite(const float* values, std::size_t count) noexcept {
  float differences[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) differences[lane] += values[i + lane] - values[i + lane];
  }
  for (; i < count; ++i) differences[0] += values[i] - values[i];
  float total = 0.0F;
  for (const float difference : differences) total += difference;
  return total == 0.0F;
}

// Sorts values into bins from the smallest to the largest, so that only one bin has to be ordered.
struct Histogram {
  static constexpr std::size_t kBins = 1024;

  explicit Histogram(const Extreme& extreme) noexcept
      : lowest(extreme.smallest), per_value(static_cast<double>(kBins - 1) / (extreme.largest - extreme.smallest)) {}

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

// Sum of the `count` largest, in memory of their own.
double sum_of_largest(std::span<double> values, std::size_t count, const Extreme& extreme) noexcept {
  Histogram histogram(extreme);
  if (!std::isfinite(histogram.per_value)) return extreme.largest * static_cast<double>(count);
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

std::vector<double> gaussian_weights(double sigma) {
  const auto radius = static_cast<std::size_t>(4.0 * sigma + 0.5);
  std::vector<double> weights(radius + 1);
  double total = 0.0;
  for (std::size_t k = 0; k <= radius; ++k) {
    const auto distance = static_cast<double>(k);
    weights[k] = std::exp(-0.5 * distance * distance / (sigma * sigma));
    total += (k == 0 ? 1.0 : 2.0) * weights[k];
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace

bool all_finite(std::span<const float> values) noexcept { return is_all_finite(values.data(), values.size()); }

double largest(std::span<const double> values) noexcept {
  const Extreme extreme = extreme_of(values.data(), values.size());
  return extreme.largest + extreme.not_finite;
}

double mean_of_largest(std::span<double> values, std::size_t count) noexcept {
  const Extreme extreme = extreme_of(values.data(), values.size());
  if (std::isnan(extreme.not_finite)) return extreme.not_finite;
  if (count == values.size()) return extreme.sum / static_cast<double>(count);
  return sum_of_largest(values, count, extreme) / static_cast<double>(count);
}

GaussianFilter::GaussianFilter(double sigma, MapSize size)
    : size_(size),
      weights_(gaussian_weights(sigma)),
      row_(static_cast<std::size_t>(size.width) + 2 * (weights_.size() - 1)),
      row_taps_(2 * weights_.size() - 1),
      ends_(reflected_ends(weights_.size() - 1, static_cast<std::size_t>(size.width))) {
  for (std::size_t k = 0; k < row_taps_.size(); ++k) column_taps_.push_back(row_.data() + k);
}

void GaussianFilter::apply(std::span<const double> in, std::span<double> out) noexcept {
  const auto height = static_cast<std::size_t>(size_.height);
  const auto width = static_cast<std::size_t>(size_.width);
  const std::size_t radius = weights_.size() - 1;
  for (std::size_t i = 0; i < height; ++i) {
    for (std::size_t k = 0; k < row_taps_.size(); ++k) {
      const auto row = static_cast<std::ptrdiff_t>(i + k) - static_cast<std::ptrdiff_t>(radius);
      row_taps_[k] = in.data() + reflected(row, height) * width;
    }
    weigh(row_taps_.data(), weights_.data(), radius, width, row_.data() + radius);
    fill_ends(row_.data(), width, ends_);
    weigh(column_taps_.data(), weights_.data(), radius, width, out.data() + i * width);
  }
}

MeanFilter::MeanFilter(MapSize size)
    : size_(size),
      columns_(static_cast<std::size_t>(size.width)),
      row_(static_cast<std::size_t>(size.width) + kWindow - 1),
      sums_(3 * row_.size()),
      ends_(reflected_ends(kWindow / 2, static_cast<std::size_t>(size.width))) {}

void MeanFilter::apply(std::span<const double> in, std::span<double> out) noexcept {
  constexpr std::ptrdiff_t kRadius = kWindow / 2;
  const auto height = static_cast<std::size_t>(size_.height);
  const auto width = static_cast<std::size_t>(size_.width);
  const auto row_at = [&](std::ptrdiff_t i) { return in.data() + reflected(i, height) * width; };
  std::fill(columns_.begin(), columns_.end(), 0.0);
  for (std::ptrdiff_t i = -kRadius; i <= kRadius; ++i) add_row(row_at(i), width, columns_.data());
  for (std::size_t i = 0; i < height; ++i) {
    const auto centre = static_cast<std::ptrdiff_t>(i);
    if (i > 0) slide(row_at(centre + kRadius), row_at(centre - kRadius - 1), width, columns_.data());
    std::copy(columns_.begin(), columns_.end(), row_.begin() + kRadius);
    fill_ends(row_.data(), width, ends_);
    mean_of_21(row_.data(), width, sums_.data(), out.data() + i * width);
  }
}

std::vector<BilinearResize::Tap> BilinearResize::taps_of(int from, int to) {
  std::vector<Tap> taps;
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (int i = 0; i < to; ++i) {
    const double position = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    const double floor = std::floor(position);
    const int low = static_cast<int>(floor);
    taps.push_back({static_cast<std::size_t>(std::clamp(low, 0, from - 1)),
                    static_cast<std::size_t>(std::clamp(low + 1, 0, from - 1)), position - floor});
  }
  return taps;
}

BilinearResize::BilinearResize(MapSize from, MapSize to)
    : from_(from),
      to_(to),
      rows_(taps_of(from.height, to.height)),
      columns_(taps_of(from.width, to.width)),
      wide_(static_cast<std::size_t>(from.height) * static_cast<std::size_t>(to.width)) {}

void BilinearResize::add(std::span<const double> in, std::span<double> out) noexcept {
  const auto narrow = static_cast<std::size_t>(from_.width);
  const auto width = static_cast<std::size_t>(to_.width);
  // Rows first are widened, then mixed: there are fewer of them before, and mixing whole rows is quick.
  for (std::size_t i = 0; i < static_cast<std::size_t>(from_.height); ++i) {
    const double* const row = in.data() + i * narrow;
    double* const wide = wide_.data() + i * width;
    for (std::size_t j = 0; j < width; ++j) {
      const Tap& tap = columns_[j];
      wide[j] = row[tap.low] + tap.fraction * (row[tap.high] - row[tap.low]);
    }
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(to_.height); ++i) {
    const Tap& tap = rows_[i];
    add_mix(wide_.data() + tap.low * width, wide_.data() + tap.high * width, tap.fraction, width,
            out.data() + i * width);
  }
}

}  // namespace vialsight
