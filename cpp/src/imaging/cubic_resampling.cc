#include "imaging/cubic_resampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/multiversion.h"

namespace vialsight {
namespace {

constexpr std::size_t kVector = 4;
// Between neighbours the table is read linearly: off by at most 2e-6 of the brightest pixel (|k''| ≤ 5), at any step.
constexpr double kPhases = 1024.0;

// Keys 1981, eq. 4, a = −1/2.
double cubic(double position) noexcept {
  const double d = std::abs(position);
  if (d < 1.0) return (1.5 * d - 2.5) * d * d + 1.0;
  if (d < 2.0) return ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
  return 0.0;
}

// Without a call of the C library, which std::floor is for the oldest machines.
VIALSIGHT_INLINE int floor_of(double position) noexcept {
  const int whole = static_cast<int>(position);
  return whole - (position < whole ? 1 : 0);
}

VIALSIGHT_INLINE float to_unit(float value, float limit) noexcept {
  const float scaled = value / limit;
  const float positive = scaled > 0.0F ? scaled : 0.0F;
  return positive < 1.0F ? positive : 1.0F;
}

// Lanes written out, since compilers make scalar code of loops this short.
using Vector __attribute__((vector_size(kVector * sizeof(float)))) = float;

VIALSIGHT_INLINE Vector load(const float* values) noexcept {
  Vector result;
  std::memcpy(&result, values, sizeof(result));
  return result;
}

VIALSIGHT_INLINE void store(const Vector& vector, float* values) noexcept {
  std::memcpy(values, &vector, sizeof(vector));
}

VIALSIGHT_INLINE void weigh(const CubicWeights::Row& row, std::size_t taps, float* weights) noexcept {
  for (std::size_t k = 0; k < taps; k += kVector) {
    const Vector left = load(row.left + k);
    store(left + row.part * (load(row.left + taps + k) - left), weights + k);
  }
}

// Weights of one sample along both axes.
struct Taps {
  std::size_t columns;
  std::size_t rows;
  float* column_weights;
  float* row_weights;
};

// Weighted sum of the pixels from `source` on; lanes are added in one fixed order.
VIALSIGHT_INLINE float weighted_sum(const float* source, std::size_t stride, const Taps& taps) noexcept {
  Vector total{};
  for (std::size_t first = 0; first < taps.columns; first += kVector) {
    Vector column{};
    for (std::size_t r = 0; r < taps.rows; ++r) column += taps.row_weights[r] * load(source + r * stride + first);
    total += load(taps.column_weights + first) * column;
  }
  return (total[0] + total[1]) + (total[2] + total[3]);
}

VIALSIGHT_INLINE void resample_by(const Taps& taps, const WindowPixels& pixels, const SampleGrid& grid,
                                  const CubicWeights& columns, const CubicWeights& rows, float* patch) noexcept {
  const Window& window = pixels.window;
  const auto stride = static_cast<std::size_t>(window.width);
  for (std::size_t i = 0; i < grid.size; ++i) {
    for (std::size_t j = 0; j < grid.size; ++j) {
      const double x = grid.x_at(i, j);
      const double y = grid.y_at(i, j);
      const int column = floor_of(x);
      const int row = floor_of(y);
      weigh(columns.row(x - column), taps.columns, taps.column_weights);
      weigh(rows.row(y - row), taps.rows, taps.row_weights);
      const auto first_row = static_cast<std::size_t>(row - rows.before() - window.y);
      const auto first_column = static_cast<std::size_t>(column - columns.before() - window.x);
      const float sum = weighted_sum(pixels.values + first_row * stride + first_column, stride, taps);
      *patch++ = to_unit(sum, pixels.limit);
    }
  }
}

// As many taps as the compiler can keep in registers: of boxes that are enlarged, and of those up to twice the patch.
template <std::size_t kTaps>
VIALSIGHT_INLINE void resample_fixed(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                                     const CubicWeights& rows, float* patch) noexcept {
  float column_weights[kTaps];
  float row_weights[kTaps];
  resample_by({kTaps, kTaps, column_weights, row_weights}, pixels, grid, columns, rows, patch);
}

VIALSIGHT_MULTIVERSION
void resample_4(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                const CubicWeights& rows, float* patch) noexcept {
  resample_fixed<4>(pixels, grid, columns, rows, patch);
}

VIALSIGHT_MULTIVERSION
void resample_8(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                const CubicWeights& rows, float* patch) noexcept {
  resample_fixed<8>(pixels, grid, columns, rows, patch);
}

VIALSIGHT_MULTIVERSION
void resample_any(const Taps& taps, const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                  const CubicWeights& rows, float* patch) noexcept {
  resample_by(taps, pixels, grid, columns, rows, patch);
}

// Four rows of pixels, and where between the middle two of them samples lie that follow one another in a row.
struct Stretch {
  std::array<const float*, 4> rows;  // first tap of the first sample
  std::array<float, 4> weights;      // along a row, the same for all samples
  float fraction;                    // of the first sample, along a column
  float slope;                       // fraction lost from sample to sample
};

VIALSIGHT_MULTIVERSION
void resample_stretch(const Stretch& stretch, std::size_t count, float limit, float* __restrict out) noexcept {
  const auto [r0, r1, r2, r3] = stretch.rows;
  const auto [w0, w1, w2, w3] = stretch.weights;
  const float fraction = stretch.fraction;
  const float slope = stretch.slope;
  for (std::size_t k = 0; k < count; ++k) {
    const float a = w0 * r0[k] + w1 * r0[k + 1] + w2 * r0[k + 2] + w3 * r0[k + 3];
    const float b = w0 * r1[k] + w1 * r1[k + 1] + w2 * r1[k + 2] + w3 * r1[k + 3];
    const float c = w0 * r2[k] + w1 * r2[k + 1] + w2 * r2[k + 2] + w3 * r2[k + 3];
    const float d = w0 * r3[k] + w1 * r3[k + 1] + w2 * r3[k + 2] + w3 * r3[k + 3];
    const float t = fraction - slope * static_cast<float>(static_cast<int>(k));
    const float cube = 3.0F * (b - c) + (d - a);
    const float square = 2.0F * a - 5.0F * b + 4.0F * c - d;
    out[k] = to_unit(b + 0.5F * t * ((c - a) + t * (square + t * cube)), limit);
  }
}

// The kernel at the four pixels around a sample that lies `t` behind the second of them.
std::array<float, 4> weights_at(double t) noexcept {
  return {static_cast<float>(cubic(1.0 + t)), static_cast<float>(cubic(t)), static_cast<float>(cubic(1.0 - t)),
          static_cast<float>(cubic(2.0 - t))};
}

// How many samples from one with this fraction on, at most `left`, lie between the same two rows.
std::size_t stretch_length(double fraction, double slope, std::size_t left) noexcept {
  if (slope == 0.0) return left;
  const double steps = slope > 0.0 ? std::floor(fraction / slope) + 1.0 : std::ceil((1.0 - fraction) / -slope);
  return static_cast<std::size_t>(std::clamp(steps, 1.0, static_cast<double>(left)));
}

}  // namespace

CubicWeights::CubicWeights(double step) {
  const double stretch = std::max(step, 1.0);
  const int reach = static_cast<int>(std::ceil(2.0 * stretch));
  before_ = reach - 1;
  const auto used = static_cast<std::size_t>(2 * reach);
  taps_ = (used + kVector - 1) / kVector * kVector;
  const std::size_t phases = std::bit_ceil(static_cast<std::size_t>(std::ceil(kPhases / stretch)));
  phases_ = static_cast<double>(phases);
  table_.assign((phases + 2) * taps_, 0.0F);
  std::vector<double> weights(used);
  for (std::size_t phase = 0; phase <= phases; ++phase) {
    double total = 0.0;
    for (std::size_t k = 0; k < used; ++k) {
      const double distance = static_cast<double>(k) - before_ - static_cast<double>(phase) / phases_;
      weights[k] = cubic(distance / stretch);
      total += weights[k];
    }
    for (std::size_t k = 0; k < used; ++k) table_[phase * taps_ + k] = static_cast<float>(weights[k] / total);
  }
}

Window window_of(const SampleGrid& grid, const CubicWeights& columns, const CubicWeights& rows) noexcept {
  const std::size_t last = grid.size - 1;
  const auto [left, right] =
      std::minmax({grid.x_at(0, 0), grid.x_at(0, last), grid.x_at(last, 0), grid.x_at(last, last)});
  const auto [top, bottom] =
      std::minmax({grid.y_at(0, 0), grid.y_at(0, last), grid.y_at(last, 0), grid.y_at(last, last)});
  return {floor_of(left) - columns.before(), floor_of(top) - rows.before(),
          floor_of(right) - floor_of(left) + static_cast<int>(columns.taps()),
          floor_of(bottom) - floor_of(top) + static_cast<int>(rows.taps())};
}

void resample(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns, const CubicWeights& rows,
              float* scratch, float* patch) noexcept {
  const Taps taps{columns.taps(), rows.taps(), scratch, scratch + columns.taps()};
  if (taps.columns == 4 && taps.rows == 4) return resample_4(pixels, grid, columns, rows, patch);
  if (taps.columns == 8 && taps.rows == 8) return resample_8(pixels, grid, columns, rows, patch);
  resample_any(taps, pixels, grid, columns, rows, patch);
}

void resample_equal(const WindowPixels& pixels, const SampleGrid& grid, float* patch) noexcept {
  const Window& window = pixels.window;
  const auto stride = static_cast<std::size_t>(window.width);
  for (std::size_t i = 0; i < grid.size; ++i) {
    const double x = grid.row_x(i);
    const std::array<float, 4> weights = weights_at(x - floor_of(x));
    const auto first_column = static_cast<std::size_t>(floor_of(x) - 1 - window.x);
    for (std::size_t j = 0; j < grid.size;) {
      const double y = grid.y_at(i, j);
      const double fraction = y - floor_of(y);
      const std::size_t count = stretch_length(fraction, grid.turn, grid.size - j);
      const auto first_row = static_cast<std::size_t>(floor_of(y) - 1 - window.y);
      const float* source = pixels.values + first_row * stride + first_column + j;
      const Stretch stretch{{source, source + stride, source + 2 * stride, source + 3 * stride},
                            weights,
                            static_cast<float>(fraction),
                            static_cast<float>(grid.turn)};
      resample_stretch(stretch, count, pixels.limit, patch);
      patch += count;
      j += count;
    }
  }
}

}  // namespace vialsight
