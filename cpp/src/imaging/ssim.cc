#include "vialsight/ssim.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "base/lanes.h"
#include "base/multiversion.h"
#include "imaging/ssim_map.h"

namespace vialsight {
namespace {

// The map is made in strips of this many columns, so that the ring of filtered rows (24 KiB) stays in the first cache.
constexpr std::size_t kStrip = 64;
constexpr std::size_t kWindow = kSsimWindow;
constexpr std::size_t kRadius = kWindow / 2;
constexpr std::size_t kStripInput = kStrip + kWindow - 1;
constexpr std::size_t kRing = kWindow + 1;  // two rows of the map at a time share all but one row of each window
constexpr std::size_t kAlignment = 64;

constexpr double kC1 = kSsimK1 * kSsimK1;
constexpr double kC2 = kSsimK2 * kSsimK2;

// Of the four quantities whose windowed means make SSIM: x, y, x² + y² and x·y.
enum Quantity : std::size_t { kX, kY, kEnergy, kProduct, kQuantities };

struct Scratch {
  alignas(kAlignment) double pixels[kQuantities][kStripInput];  // one input row
  alignas(kAlignment) double rows[kRing][kQuantities][kStrip];  // the last ones, filtered horizontally; a ring
  alignas(kAlignment) double map_rows[2][kStrip];               // of the SSIM map
  alignas(kAlignment) double column_sums[kStrip];               // of the SSIM map
};

// The window is symmetric: weight[k] belongs to distance k from its centre.
using HalfWindow = std::array<double, kRadius + 1>;

HalfWindow gaussian_half_window() noexcept {
  HalfWindow weight{};
  double total = 0.0;
  for (std::size_t k = 0; k <= kRadius; ++k) {
    const auto distance = static_cast<double>(k);
    weight[k] = std::exp(-0.5 * distance * distance / (kSsimSigma * kSsimSigma));
    total += (k == 0 ? 1.0 : 2.0) * weight[k];
  }
  for (double& w : weight) w /= total;
  return weight;
}

template <typename Value>
VIALSIGHT_INLINE void put_pixels(Value a, Value b, std::size_t j, Scratch& scratch) noexcept {
  const auto put = [&](Quantity quantity, Value value) {
    std::memcpy(&scratch.pixels[quantity][j], &value, sizeof value);
  };
  put(kX, a);
  put(kY, b);
  put(kEnergy, a * a + b * b);
  put(kProduct, a * b);
}

// A strip jumps from row to row, which the hardware does not foresee.
VIALSIGHT_INLINE void prefetch_pixels(const float* row) noexcept {
  constexpr std::size_t kLine = kAlignment / sizeof(float);
  for (std::size_t j = 0; j < kStripInput; j += kLine) __builtin_prefetch(row + j);
}

// Columns beyond the image are zeros: their map is computed with the rest and not summed.
VIALSIGHT_INLINE void load_pixels(const float* x, const float* y, std::size_t count, Scratch& scratch) noexcept {
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) put_pixels(widen_lanes(x + j), widen_lanes(y + j), j, scratch);
  for (; j < count; ++j) put_pixels(static_cast<double>(x[j]), static_cast<double>(y[j]), j, scratch);
  for (auto& row : scratch.pixels) std::fill(row + count, row + kStripInput, 0.0);
}

// Weighted sum of the window's samples, at(0) to at(10). Serves both directions.
template <typename At>
VIALSIGHT_INLINE auto weigh(const HalfWindow& weight, At at) noexcept {
  const auto [w0, w1, w2, w3, w4, w5] = weight;
  return w0 * at(5) + w1 * (at(4) + at(6)) + w2 * (at(3) + at(7)) + w3 * (at(2) + at(8)) + w4 * (at(1) + at(9)) +
         w5 * (at(0) + at(10));
}

VIALSIGHT_INLINE void filter_horizontally(const HalfWindow& weight, const double* pixels,
                                          double* __restrict out) noexcept {
  const auto sum_at = [&](std::size_t j) VIALSIGHT_INLINE_LAMBDA {
    return weigh(weight, [&](std::size_t k) VIALSIGHT_INLINE_LAMBDA { return load_lanes(pixels + j + k); });
  };
  for (std::size_t j = 0; j < kStrip; j += 4 * kLanes) {
    const Lanes sums[] = {sum_at(j), sum_at(j + kLanes), sum_at(j + 2 * kLanes), sum_at(j + 3 * kLanes)};
    for (std::size_t k = 0; k < 4; ++k) store_lanes(out + j + k * kLanes, sums[k]);
  }
}

// SSIM (Wang et al. 2004, eq. 13, as tf.image.ssim arranges it).
VIALSIGHT_INLINE WideLanes similarity_of(WideLanes x, WideLanes y, WideLanes energy, WideLanes product) noexcept {
  const WideLanes product_of_means = 2.0 * (x * y);
  const WideLanes squares_of_means = x * x + y * y;
  const WideLanes covariance = 2.0 * product - product_of_means;
  const WideLanes variances = energy - squares_of_means;
  return ((product_of_means + kC1) * (covariance + kC2)) / ((squares_of_means + kC1) * (variances + kC2));
}

// One or two rows of the SSIM map, also added to the column sums. The first window's highest row is `ring_row`.
template <std::size_t kRows>
VIALSIGHT_INLINE void add_map_rows(const HalfWindow& weight, std::size_t ring_row, Scratch& scratch) noexcept {
  const double(*rows[kRing])[kStrip];
  for (std::size_t k = 0; k < kRing; ++k) rows[k] = scratch.rows[(ring_row + k) % kRing];
  for (std::size_t j = 0; j < kStrip; j += kWideLanes) {
    const auto mean = [&](std::size_t i, Quantity q) VIALSIGHT_INLINE_LAMBDA {
      return weigh(weight, [&](std::size_t k) VIALSIGHT_INLINE_LAMBDA { return load_wide_lanes(rows[i + k][q] + j); });
    };
    auto sum = load_wide_lanes(scratch.column_sums + j);
    for (std::size_t i = 0; i < kRows; ++i) {
      const WideLanes similarity = similarity_of(mean(i, kX), mean(i, kY), mean(i, kEnergy), mean(i, kProduct));
      store_lanes(scratch.map_rows[i] + j, similarity);
      sum += similarity;
    }
    store_lanes(scratch.column_sums + j, sum);
  }
}

// Where the SSIM map goes, row by row; nullptr: nowhere.
struct MapTarget {
  double* rows = nullptr;
  std::size_t stride = 0;
};

// The columns [first, first + columns) of the map of two images.
struct Strip {
  const float* x;
  const float* y;
  std::size_t height;
  std::size_t width;
  std::size_t first;
  std::size_t columns;
};

VIALSIGHT_INLINE void add_input_row(const Strip& strip, std::size_t i, const HalfWindow& weight,
                                    Scratch& scratch) noexcept {
  constexpr std::size_t kAhead = 2;
  const std::size_t offset = i * strip.width + strip.first;
  if (i + kAhead < strip.height) {
    prefetch_pixels(strip.x + offset + kAhead * strip.width);
    prefetch_pixels(strip.y + offset + kAhead * strip.width);
  }
  load_pixels(strip.x + offset, strip.y + offset, strip.columns + kWindow - 1, scratch);
  for (std::size_t q = 0; q < kQuantities; ++q) {
    filter_horizontally(weight, scratch.pixels[q], scratch.rows[i % kRing][q]);
  }
}

template <std::size_t kRows>
VIALSIGHT_INLINE void add_rows(const Strip& strip, std::size_t i, const HalfWindow& weight, Scratch& scratch,
                               MapTarget map) noexcept {
  for (std::size_t k = 0; k < kRows; ++k) add_input_row(strip, i + k + kWindow - 1, weight, scratch);
  add_map_rows<kRows>(weight, i % kRing, scratch);
  if (map.rows == nullptr) return;
  for (std::size_t k = 0; k < kRows; ++k) {
    std::copy_n(scratch.map_rows[k], strip.columns, map.rows + (i + k) * map.stride + strip.first);
  }
}

// Sum of the SSIM map over a strip.
VIALSIGHT_MULTIVERSION
double sum_strip(const Strip& strip, const HalfWindow& weight, Scratch& scratch, MapTarget map) noexcept {
  std::fill_n(scratch.column_sums, kStrip, 0.0);
  for (std::size_t i = 0; i + 1 < kWindow; ++i) add_input_row(strip, i, weight, scratch);
  const std::size_t map_rows = strip.height - kWindow + 1;
  std::size_t i = 0;
  for (; i + 2 <= map_rows; i += 2) add_rows<2>(strip, i, weight, scratch, map);
  if (i < map_rows) add_rows<1>(strip, i, weight, scratch, map);
  double sum = 0.0;
  for (std::size_t j = 0; j < strip.columns; ++j) sum += scratch.column_sums[j];
  return sum;
}

// `Scratch` inside the caller's doubles, which need not be aligned to it.
Scratch* place_scratch(std::span<double> doubles) noexcept {
  void* start = doubles.data();
  std::size_t space = doubles.size_bytes();
  return static_cast<Scratch*>(std::align(kAlignment, sizeof(Scratch), start, space));
}

// Sum of the whole map.
double sum_map(const float* x, const float* y, std::size_t rows, std::size_t columns, std::span<double> scratch,
               MapTarget map) noexcept {
  static const HalfWindow kWeight = gaussian_half_window();
  Scratch& placed = *place_scratch(scratch);
  const std::size_t map_columns = columns - kWindow + 1;
  double sum = 0.0;
  for (std::size_t first = 0; first < map_columns; first += kStrip) {
    const std::size_t count = std::min(kStrip, map_columns - first);
    sum += sum_strip({x, y, rows, columns, first, count}, kWeight, placed, map);
  }
  return sum;
}

Status check_arguments(std::size_t x_size, std::size_t y_size, int height, int width, std::size_t scratch_size) {
  if (height < kSsimWindow || width < kSsimWindow) {
    return {Code::kInvalidArgument, "ssim: expected images of at least 11x11 pixels, got " + std::to_string(height) +
                                        "x" + std::to_string(width)};
  }
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  if (x_size != pixels || y_size != pixels) {
    return {Code::kInvalidArgument, "ssim: expected two images of " + std::to_string(pixels) + " pixels, got " +
                                        std::to_string(x_size) + " and " + std::to_string(y_size)};
  }
  if (scratch_size < ssim_scratch_size(height, width)) {
    return {Code::kInvalidArgument,
            "ssim: expected scratch of ssim_scratch_size() = " + std::to_string(ssim_scratch_size(height, width)) +
                " doubles, got " + std::to_string(scratch_size)};
  }
  return {};
}

}  // namespace

std::size_t ssim_scratch_size(int /*height*/, int /*width*/) noexcept {
  return (sizeof(Scratch) + kAlignment) / sizeof(double);
}

Status ssim(std::span<const float> x, std::span<const float> y, int height, int width, std::span<double> scratch,
            double& result) {
  if (Status status = check_arguments(x.size(), y.size(), height, width, scratch.size()); !status.ok()) return status;
  const auto rows = static_cast<std::size_t>(height);
  const auto columns = static_cast<std::size_t>(width);
  result = ssim_map(x.data(), y.data(), rows, columns, scratch, nullptr, 0);
  return {};
}

double ssim_map(const float* x, const float* y, std::size_t height, std::size_t width, std::span<double> scratch,
                double* map, std::size_t stride) noexcept {
  const double sum = sum_map(x, y, height, width, scratch, {map, stride});
  return sum / (static_cast<double>(height - kWindow + 1) * static_cast<double>(width - kWindow + 1));
}

}  // namespace vialsight
