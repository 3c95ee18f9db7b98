#include "imaging/cubic_resampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/multiversion.h"

namespace vialsight {
namespace {

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
using Vector4 __attribute__((vector_size(4 * sizeof(float)))) = float;
using Vector8 __attribute__((vector_size(8 * sizeof(float)))) = float;

template <typename Vector>
constexpr std::size_t kLanes = sizeof(Vector) / sizeof(float);

template <typename Vector>
VIALSIGHT_INLINE void load(const float* values, Vector& vector) noexcept {
  std::memcpy(&vector, values, sizeof(vector));
}

// In one fixed order.
VIALSIGHT_INLINE float sum_of(const Vector4& v) noexcept { return (v[0] + v[1]) + (v[2] + v[3]); }
VIALSIGHT_INLINE float sum_of(const Vector8& v) noexcept {
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

// A vector's worth of a sample's weights, of which `table` holds those to its left.
template <typename Vector>
VIALSIGHT_INLINE void weigh(const float* table, std::size_t taps, float part, Vector& weights) noexcept {
  Vector right;
  load(table, weights);
  load(table + taps, right);
  weights += part * (right - weights);
}

// Of a few samples of a row, along one axis: the pixel before, and where their weights lie in the table.
constexpr int kSamples = 64;
struct Places {
  int pixel[kSamples];
  int phase[kSamples];
  float part[kSamples];  // of the way to the phase behind
};

template <typename Position>
VIALSIGHT_INLINE void place(Position position_of, double phases, Places& places) noexcept {
  for (int k = 0; k < kSamples; ++k) {
    const double position = position_of(k);
    const int pixel = floor_of(position);
    const double phase = (position - pixel) * phases;
    places.pixel[k] = pixel;
    places.phase[k] = static_cast<int>(phase);
    places.part[k] = static_cast<float>(phase - places.phase[k]);
  }
}

// What one call resamples, and with how many taps: constants where the compiler can then keep weights in registers.
struct Work {
  const WindowPixels& pixels;
  const SampleGrid& grid;
  const CubicWeights& columns;
  const CubicWeights& rows;
  std::size_t column_taps;
  std::size_t row_taps;
  float* row_weights;  // room for row_taps
};

template <typename Vector>
VIALSIGHT_INLINE float sample(const Work& work, const Places& x, const Places& y, int k) noexcept {
  const Window& window = work.pixels.window;
  const auto stride = static_cast<std::size_t>(window.width);
  const auto row = static_cast<std::size_t>(y.pixel[k] - work.rows.before() - window.y);
  const auto column = static_cast<std::size_t>(x.pixel[k] - work.columns.before() - window.x);
  const float* source = work.pixels.values + row * stride + column;
  const float* across = work.columns.table() + static_cast<std::size_t>(x.phase[k]) * work.column_taps;
  const float* down = work.rows.table() + static_cast<std::size_t>(y.phase[k]) * work.row_taps;
  for (std::size_t r = 0; r < work.row_taps; r += kLanes<Vector>) {
    Vector weights;
    weigh(down + r, work.row_taps, y.part[k], weights);
    std::memcpy(work.row_weights + r, &weights, sizeof(weights));
  }
  Vector total{};
  for (std::size_t c = 0; c < work.column_taps; c += kLanes<Vector>) {
    Vector sum{};
    for (std::size_t r = 0; r < work.row_taps; ++r) {
      Vector values;
      load(source + r * stride + c, values);
      sum += work.row_weights[r] * values;
    }
    Vector weights;
    weigh(across + c, work.column_taps, x.part[k], weights);
    total += weights * sum;
  }
  return sum_of(total);
}

template <typename Vector>
VIALSIGHT_INLINE void resample_by(const Work& work, float* patch) noexcept {
  const SampleGrid& grid = work.grid;
  Places x;
  Places y;
  for (int i = 0; i < grid.size; ++i) {
    for (int first = 0; first < grid.size; first += kSamples) {
      place([&](int k) { return grid.x_at(i, first + k); }, work.columns.phases(), x);
      place([&](int k) { return grid.y_at(i, first + k); }, work.rows.phases(), y);
      const int count = std::min(kSamples, grid.size - first);
      for (int k = 0; k < count; ++k) patch[k] = sample<Vector>(work, x, y, k);
      for (int k = 0; k < count; ++k) patch[k] = to_unit(patch[k], work.pixels.limit);
      patch += count;
    }
  }
}

// Boxes that are enlarged.
VIALSIGHT_MULTIVERSION
void resample_4(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                const CubicWeights& rows, float* patch) noexcept {
  float row_weights[4];
  resample_by<Vector4>({pixels, grid, columns, rows, 4, 4, row_weights}, patch);
}

// Boxes of up to twice the patch's edges.
VIALSIGHT_MULTIVERSION
void resample_8(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns,
                const CubicWeights& rows, float* patch) noexcept {
  float row_weights[8];
  resample_by<Vector8>({pixels, grid, columns, rows, 8, 8, row_weights}, patch);
}

VIALSIGHT_MULTIVERSION
void resample_any(const Work& work, float* patch) noexcept { resample_by<Vector4>(work, patch); }

// Four rows of pixels, and where between the middle two of them samples lie that follow one another in a row.
struct Stretch {
  std::array<const float*, 4> rows;  // first tap of the first sample
  std::array<float, 4> weights;      // along a row, the same for all samples
  float fraction;                    // of the first sample, along a column
  float slope;                       // fraction lost from sample to sample
};

VIALSIGHT_MULTIVERSION
void resample_stretch(const Stretch& stretch, int count, float limit, float* __restrict out) noexcept {
  const auto [r0, r1, r2, r3] = stretch.rows;
  const auto [w0, w1, w2, w3] = stretch.weights;
  const float fraction = stretch.fraction;
  const float slope = stretch.slope;
  for (int k = 0; k < count; ++k) {
    const float a = w0 * r0[k] + w1 * r0[k + 1] + w2 * r0[k + 2] + w3 * r0[k + 3];
    const float b = w0 * r1[k] + w1 * r1[k + 1] + w2 * r1[k + 2] + w3 * r1[k + 3];
    const float c = w0 * r2[k] + w1 * r2[k + 1] + w2 * r2[k + 2] + w3 * r2[k + 3];
    const float d = w0 * r3[k] + w1 * r3[k + 1] + w2 * r3[k + 2] + w3 * r3[k + 3];
    const float t = fraction - slope * static_cast<float>(k);
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
int stretch_length(double fraction, double slope, int left) noexcept {
  if (slope == 0.0) return left;
  const double steps = slope > 0.0 ? std::floor(fraction / slope) + 1.0 : std::ceil((1.0 - fraction) / -slope);
  return static_cast<int>(std::clamp(steps, 1.0, static_cast<double>(left)));
}

}  // namespace

CubicWeights::CubicWeights(double step) {
  const double stretch = std::max(step, 1.0);
  const int reach = static_cast<int>(std::ceil(2.0 * stretch));
  before_ = reach - 1;
  const auto used = static_cast<std::size_t>(2 * reach);
  taps_ = used <= 4 ? 4 : (used + 7) / 8 * 8;
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
  const int last = grid.size - 1;
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
  const std::size_t most = std::max(columns.taps(), rows.taps());
  if (most == 4) return resample_4(pixels, grid, columns, rows, patch);
  if (most == 8 && columns.taps() == rows.taps()) return resample_8(pixels, grid, columns, rows, patch);
  resample_any({pixels, grid, columns, rows, columns.taps(), rows.taps(), scratch}, patch);
}

void resample_equal(const WindowPixels& pixels, const SampleGrid& grid, float* patch) noexcept {
  const Window& window = pixels.window;
  const auto stride = static_cast<std::size_t>(window.width);
  for (int i = 0; i < grid.size; ++i) {
    const double x = grid.row_x(i);
    const std::array<float, 4> weights = weights_at(x - floor_of(x));
    const auto first_column = static_cast<std::size_t>(floor_of(x) - 1 - window.x);
    for (int j = 0; j < grid.size;) {
      const double y = grid.y_at(i, j);
      const double fraction = y - floor_of(y);
      const int count = stretch_length(fraction, grid.turn, grid.size - j);
      const auto first_row = static_cast<std::size_t>(floor_of(y) - 1 - window.y);
      const float* source = pixels.values + first_row * stride + first_column + static_cast<std::size_t>(j);
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
