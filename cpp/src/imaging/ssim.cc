#include "vialsight/ssim.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include "base/multiversion.h"
#include "imaging/ssim_map.h"

namespace vialsight {
namespace {

// The map is made in strips of this many columns, so that the ring of filtered rows (22 KiB) stays in the first cache.
constexpr std::size_t kStrip = 64;
constexpr std::size_t kWindow = kSsimWindow;
constexpr std::size_t kRadius = kWindow / 2;
constexpr std::size_t kStripInput = kStrip + kWindow - 1;
constexpr std::size_t kAlignment = 64;

constexpr double kC1 = kSsimK1 * kSsimK1;
constexpr double kC2 = kSsimK2 * kSsimK2;

// Of the four quantities whose windowed means make SSIM: x, y, x² + y² and x·y.
enum Quantity : std::size_t { kX, kY, kEnergy, kProduct, kQuantities };

struct Scratch {
  alignas(kAlignment) double pixels[kQuantities][kStripInput];    // one input row
  alignas(kAlignment) double rows[kWindow][kQuantities][kStrip];  // the last ones, filtered horizontally; a ring
  alignas(kAlignment) double means[kQuantities][kStrip];          // one row of the map
  alignas(kAlignment) double map_row[kStrip];                     // one row of the SSIM map
  alignas(kAlignment) double column_sums[kStrip];                 // of the SSIM map
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

// Columns beyond the image are zeros: their map is computed with the rest and not summed.
VIALSIGHT_INLINE void load_pixels(const float* x, const float* y, std::size_t count, Scratch& scratch) noexcept {
  for (std::size_t j = 0; j < count; ++j) {
    const auto a = static_cast<double>(x[j]);
    const auto b = static_cast<double>(y[j]);
    scratch.pixels[kX][j] = a;
    scratch.pixels[kY][j] = b;
    scratch.pixels[kEnergy][j] = a * a + b * b;
    scratch.pixels[kProduct][j] = a * b;
  }
  for (auto& row : scratch.pixels) std::fill(row + count, row + kStripInput, 0.0);
}

// Weighted sum of the window's samples, taps[0] to taps[10], for each of a strip's columns. Serves both directions.
VIALSIGHT_INLINE void filter(const double* const (&taps)[kWindow], const HalfWindow& weight,
                             double* __restrict out) noexcept {
  const auto [w0, w1, w2, w3, w4, w5] = weight;
  const auto [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10] = taps;
  for (std::size_t j = 0; j < kStrip; ++j) {
    out[j] = w0 * t5[j] + w1 * (t4[j] + t6[j]) + w2 * (t3[j] + t7[j]) + w3 * (t2[j] + t8[j]) + w4 * (t1[j] + t9[j]) +
             w5 * (t0[j] + t10[j]);
  }
}

VIALSIGHT_INLINE void filter_horizontally(const HalfWindow& weight, std::size_t ring_row, Scratch& scratch) noexcept {
  for (std::size_t q = 0; q < kQuantities; ++q) {
    const double* taps[kWindow];
    for (std::size_t k = 0; k < kWindow; ++k) taps[k] = scratch.pixels[q] + k;
    filter(taps, weight, scratch.rows[ring_row][q]);
  }
}

// The window's lowest row is `ring_row`; the one after it in the ring is its highest.
VIALSIGHT_INLINE void filter_vertically(const HalfWindow& weight, std::size_t ring_row, Scratch& scratch) noexcept {
  for (std::size_t q = 0; q < kQuantities; ++q) {
    const double* taps[kWindow];
    for (std::size_t k = 0; k < kWindow; ++k) taps[k] = scratch.rows[(ring_row + 1 + k) % kWindow][q];
    filter(taps, weight, scratch.means[q]);
  }
}

// One row of the SSIM map (Wang et al. 2004, eq. 13, as tf.image.ssim arranges it), added to the column sums.
VIALSIGHT_INLINE void add_map_row(Scratch& scratch) noexcept {
  for (std::size_t j = 0; j < kStrip; ++j) {
    const double mean_x = scratch.means[kX][j];
    const double mean_y = scratch.means[kY][j];
    const double product_of_means = 2.0 * (mean_x * mean_y);
    const double squares_of_means = mean_x * mean_x + mean_y * mean_y;
    const double covariance = 2.0 * scratch.means[kProduct][j] - product_of_means;
    const double variances = scratch.means[kEnergy][j] - squares_of_means;
    const double similarity =
        ((product_of_means + kC1) * (covariance + kC2)) / ((squares_of_means + kC1) * (variances + kC2));
    scratch.map_row[j] = similarity;
    scratch.column_sums[j] += similarity;
  }
}

// Where the SSIM map goes, row by row; nullptr: nowhere.
struct MapTarget {
  double* rows = nullptr;
  std::size_t stride = 0;
};

// Sum of the SSIM map over the columns [first, first + columns).
VIALSIGHT_MULTIVERSION
double sum_strip(const float* x, const float* y, std::size_t height, std::size_t width, std::size_t first,
                 std::size_t columns, const HalfWindow& weight, Scratch& scratch, MapTarget map) noexcept {
  std::fill_n(scratch.column_sums, kStrip, 0.0);
  for (std::size_t i = 0; i < height; ++i) {
    const std::size_t offset = i * width + first;
    load_pixels(x + offset, y + offset, columns + kWindow - 1, scratch);
    const std::size_t ring_row = i % kWindow;
    filter_horizontally(weight, ring_row, scratch);
    if (i + 1 < kWindow) continue;
    filter_vertically(weight, ring_row, scratch);
    add_map_row(scratch);
    if (map.rows == nullptr) continue;
    std::copy_n(scratch.map_row, columns, map.rows + (i + 1 - kWindow) * map.stride + first);
  }
  double sum = 0.0;
  for (std::size_t j = 0; j < columns; ++j) sum += scratch.column_sums[j];
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
    sum += sum_strip(x, y, rows, columns, first, count, kWeight, placed, map);
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
