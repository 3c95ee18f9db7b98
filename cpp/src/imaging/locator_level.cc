#include "imaging/locator_level.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/float_lanes.h"
#include "base/multiversion.h"

namespace vialsight {
namespace {

// 15 of the symmetric matrix and 5 of the right side.
constexpr std::size_t kSums = kUnknowns * (kUnknowns + 1) / 2 + kUnknowns;

// Residuals are counted in bins of 1/4096, up to a quarter: a spread beyond is no product's.
constexpr float kBinsPerUnit = 4096.0F;
constexpr double kMadToSigma = 1.4826;  // of a normal distribution
// Share of a column that the others must leave unexplained.
constexpr double kLeastPivot = 1e-4;

// One piece of a row of the frame, between the rows that it is interpolated from.
struct Piece {
  const float* upper;
  const float* lower;
  float right;       // share of the pixel to the right
  float first_down;  // share of the lower row at the piece's first pixel
  float down_step;
};

struct Light {
  float inverse_exposure;
  float brightness;
};

VIALSIGHT_MULTIVERSION
void subtract_template(const Piece& piece, const Light& light, const float* pattern, std::size_t count,
                       float* __restrict out) noexcept {
  const auto [inverse_exposure, brightness] = light;
  const auto [upper, lower, right, first_down, down_step] = piece;
  for (std::size_t k = 0; k < count; ++k) {
    const float above = upper[k] + right * (upper[k + 1] - upper[k]);
    const float below = lower[k] + right * (lower[k + 1] - lower[k]);
    const float down = first_down + down_step * static_cast<float>(static_cast<std::int32_t>(k));
    out[k] = (above + down * (below - above)) * inverse_exposure - brightness - pattern[k];
  }
}

VIALSIGHT_INLINE std::size_t bin_of(float residual) noexcept {
  constexpr float kLastBin = 1023.0F;
  const float bin = std::abs(residual) * kBinsPerUnit;
  return static_cast<std::size_t>(static_cast<std::int32_t>(bin < kLastBin ? bin : kLastBin));
}

// Position of the median in a histogram, interpolated within its bin.
double median_of(std::span<const std::uint32_t> counts) noexcept {
  double total = 0.0;
  for (const std::uint32_t count : counts) total += count;
  double below = 0.0;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    const double count = counts[bin];
    if (count > 0.0 && below + count >= 0.5 * total) {
      return (static_cast<double>(bin) + (0.5 * total - below) / count) / static_cast<double>(kBinsPerUnit);
    }
    below += count;
  }
  return 0.0;
}

// What the equations read of one row.
struct Row {
  const float* residual;
  const float* pattern;
  const float* weights;
  const float* gradient_x;
  const float* gradient_y;
  float v;        // strip coordinates relative to the arm
  float first_u;  // of the first pixel
  float u_step;
};

// `count` ≤ kFloatLanes pixels from `j` on; lanes beyond have no weight.
VIALSIGHT_INLINE void add_pixels(const Row& row, std::size_t j, std::size_t count, float inverse_scale,
                                 FloatLanes (&sums)[kSums]) noexcept {
  constexpr FloatLanes kOwn = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  FloatLanes residual;
  FloatLanes weight;
  FloatLanes pattern;
  FloatLanes dx;
  FloatLanes dy;
  load_lanes(row.residual + j, count, residual);
  load_lanes(row.weights + j, count, weight);
  load_lanes(row.pattern + j, count, pattern);
  load_lanes(row.gradient_x + j, count, dx);
  load_lanes(row.gradient_y + j, count, dy);
  const FloatLanes relative = residual * inverse_scale;
  weight /= 1.0F + relative * relative;
  const FloatLanes u = row.first_u + row.u_step * (static_cast<float>(static_cast<std::int32_t>(j)) + kOwn);
  const FloatLanes columns[kUnknowns] = {dx, dy, dx * row.v - dy * u, FloatLanes{} + 1.0F, pattern};
  std::size_t sum = 0;
  for (std::size_t a = 0; a < kUnknowns; ++a) {
    const FloatLanes weighted = weight * columns[a];
    for (std::size_t b = a; b < kUnknowns; ++b) sums[sum++] += weighted * columns[b];
    sums[sum++] += weighted * residual;
  }
}

using LaneTotals = double[kSums][kFloatLanes];

VIALSIGHT_MULTIVERSION
void add_row(const Row& row, std::size_t count, float inverse_scale, LaneTotals& totals) noexcept {
  FloatLanes sums[kSums] = {};
  std::size_t j = 0;
  for (; j + kFloatLanes <= count; j += kFloatLanes) add_pixels(row, j, kFloatLanes, inverse_scale, sums);
  if (j < count) add_pixels(row, j, count - j, inverse_scale, sums);
  for (std::size_t s = 0; s < kSums; ++s) {
    for (std::size_t lane = 0; lane < kFloatLanes; ++lane) totals[s][lane] += static_cast<double>(sums[s][lane]);
  }
}

double sum_of(const double (&lanes)[kFloatLanes]) noexcept {
  double total = 0.0;
  for (const double lane : lanes) total += lane;
  return total;
}

struct AbsoluteSums {
  FloatLanes absolute;
  FloatLanes weights;
};

// Weighted absolute values of residual - offset - slope·template, and the weights themselves.
VIALSIGHT_INLINE void add_absolute(const float* residual, const float* pattern, const float* weights, std::size_t count,
                                   float offset, float slope, AbsoluteSums& sums) noexcept {
  FloatLanes rest;
  FloatLanes weight;
  FloatLanes bright;
  load_lanes(residual, count, rest);
  load_lanes(weights, count, weight);
  load_lanes(pattern, count, bright);
  rest -= offset + slope * bright;
  sums.absolute += weight * (rest < 0.0F ? -rest : rest);
  sums.weights += weight;
}

VIALSIGHT_MULTIVERSION
void add_absolute_row(const float* residual, const float* pattern, const float* weights, std::size_t count,
                      float offset, float slope, double (&totals)[2][kFloatLanes]) noexcept {
  AbsoluteSums sums = {};
  std::size_t j = 0;
  for (; j + kFloatLanes <= count; j += kFloatLanes) {
    add_absolute(residual + j, pattern + j, weights + j, kFloatLanes, offset, slope, sums);
  }
  if (j < count) add_absolute(residual + j, pattern + j, weights + j, count - j, offset, slope, sums);
  for (std::size_t lane = 0; lane < kFloatLanes; ++lane) {
    totals[0][lane] += static_cast<double>(sums.absolute[lane]);
    totals[1][lane] += static_cast<double>(sums.weights[lane]);
  }
}

// Central differences, one-sided at the ends, per frame pixel.
float difference(const float* at, std::size_t position, std::size_t count, std::size_t step, double scale) noexcept {
  const std::size_t back = position > 0 ? 1 : 0;
  const std::size_t ahead = position + 1 < count ? 1 : 0;
  const double change = static_cast<double>(at[ahead * step]) - static_cast<double>(*(at - back * step));
  return static_cast<float>(change / (static_cast<double>(back + ahead) * scale));
}

// The next pixel after `from`, up to `end`, whose height in the frame, start - slope·j, has another whole part.
std::size_t piece_end(double start, double slope, std::size_t from, std::size_t end, double whole) noexcept {
  if (slope == 0.0) return end;
  const double crossing = slope > 0.0 ? std::floor((start - whole) / slope) + 1.0 : (start - whole - 1.0) / slope;
  if (!(crossing < static_cast<double>(end))) return end;
  return std::max(from + 1, static_cast<std::size_t>(std::max(0.0, std::ceil(crossing))));
}

}  // namespace

bool solve(const NormalEquations& equations, std::span<const Unknown> wanted, Solution& solution) noexcept {
  const std::size_t count = wanted.size();
  solution.fill(0.0);
  std::array<double, kUnknowns> length{};
  for (std::size_t i = 0; i < count; ++i) {
    const double square = equations.matrix[wanted[i]][wanted[i]];
    if (!(square > 0.0)) return false;
    length[i] = std::sqrt(square);
  }
  // Cholesky on columns of length one: a pivot is the share of a column that those before it leave unexplained.
  std::array<std::array<double, kUnknowns>, kUnknowns> factor{};
  std::array<double, kUnknowns> y{};
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double value = equations.matrix[wanted[i]][wanted[j]] / (length[i] * length[j]);
      for (std::size_t k = 0; k < j; ++k) value -= factor[i][k] * factor[j][k];
      if (i == j && !(value > kLeastPivot)) return false;
      factor[i][j] = i == j ? std::sqrt(value) : value / factor[j][j];
    }
    y[i] = equations.right[wanted[i]] / length[i];
    for (std::size_t k = 0; k < i; ++k) y[i] -= factor[i][k] * y[k];
    y[i] /= factor[i][i];
  }
  for (std::size_t i = count; i-- > 0;) {
    for (std::size_t k = i + 1; k < count; ++k) y[i] -= factor[k][i] * y[k];
    y[i] /= factor[i][i];
    solution[wanted[i]] = y[i] / length[i];
  }
  return std::all_of(solution.begin(), solution.end(), [](double value) { return std::isfinite(value); });
}

LocatorLevel::LocatorLevel(std::size_t scale, ImageSize size, ImageSize frame, std::vector<float> template_pixels,
                           std::vector<float> weights)
    : size_(size),
      scale_(static_cast<double>(scale)),
      first_u_(0.5 * scale_ - 0.5 * static_cast<double>(frame.width)),
      first_v_(0.5 * scale_ - 0.5 * static_cast<double>(frame.height)),
      arm_(0.5 * static_cast<double>(std::max(frame.width, frame.height))),
      template_(std::move(template_pixels)),
      weights_(std::move(weights)),
      gradient_x_(size.pixels()),
      gradient_y_(size.pixels()) {
  for (std::size_t i = 0; i < size_.height; ++i) {
    for (std::size_t j = 0; j < size_.width; ++j) {
      const std::size_t at = i * size_.width + j;
      gradient_x_[at] = difference(&template_[at], j, size_.width, 1, scale_);
      gradient_y_[at] = difference(&template_[at], i, size_.height, size_.width, scale_);
    }
  }
}

LocatorLevel LocatorLevel::halved(ImageSize frame) const {
  const ImageSize half = size_.divided_by(2);
  std::vector<float> pattern(half.pixels());
  std::vector<float> weights(half.pixels());
  halve(template_.data(), size_, pattern.data());
  halve(weights_.data(), size_, weights.data());
  return {2 * static_cast<std::size_t>(scale_), half, frame, std::move(pattern), std::move(weights)};
}

RowSpan LocatorLevel::subtract_row(std::span<const float> image, const Alignment& alignment, std::size_t i,
                                   float* residual) const noexcept {
  const Pose& pose = alignment.pose;
  const Light light{static_cast<float>(1.0 / alignment.exposure), static_cast<float>(alignment.brightness)};
  const auto width = static_cast<std::ptrdiff_t>(size_.width);
  const double v = first_v_ + scale_ * static_cast<double>(i);
  const double across = (pose.dx + pose.turn * v) / scale_;
  const double first_height = static_cast<double>(i) + (pose.dy - pose.turn * first_u_) / scale_;
  const auto shift = static_cast<std::ptrdiff_t>(std::floor(across));
  // Interpolation takes the pixel to the right, too.
  const auto first = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(-shift, 0, width));
  const auto end = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(width - 1 - shift, 0, width));
  RowSpan inside{end, end};
  for (std::size_t j = first, next = first; j < end; j = next) {
    const double height = first_height - pose.turn * static_cast<double>(j);
    const double whole = std::floor(height);
    next = piece_end(first_height, pose.turn, j, end, whole);
    if (whole < 0.0 || whole > static_cast<double>(size_.height) - 2.0) continue;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(whole) * width + shift + static_cast<std::ptrdiff_t>(j);
    const float* const upper = &image[static_cast<std::size_t>(at)];
    const Piece piece{upper, upper + width, static_cast<float>(across - static_cast<double>(shift)),
                      static_cast<float>(height - whole), static_cast<float>(-pose.turn)};
    subtract_template(piece, light, &template_[i * size_.width + j], next - j, residual + j);
    inside = {std::min(inside.begin, j), next};
  }
  return inside;
}

double LocatorLevel::residual(std::span<const float> image, const Alignment& alignment,
                              LevelScratch& scratch) const noexcept {
  scratch.counts.fill(0);
  for (std::size_t i = 0; i < size_.height; ++i) {
    float* const residual = &scratch.residual[i * size_.width];
    const RowSpan inside = subtract_row(image, alignment, i, residual);
    scratch.inside[i] = inside;
    const float* const weights = &weights_[i * size_.width];
    for (std::size_t j = inside.begin; j < inside.end; ++j) {
      scratch.counts[bin_of(residual[j])] += weights[j] > 0.0F ? 1U : 0U;
    }
  }
  return kMadToSigma * median_of(scratch.counts);
}

NormalEquations LocatorLevel::equations(const LevelScratch& scratch, double cauchy_scale) const noexcept {
  LaneTotals totals{};
  for (std::size_t i = 0; i < size_.height; ++i) {
    const auto [begin, end] = scratch.inside[i];
    if (begin >= end) continue;
    const std::size_t at = i * size_.width + begin;
    const double v = first_v_ + scale_ * static_cast<double>(i);
    const double u = first_u_ + scale_ * static_cast<double>(begin);
    const Row row{.residual = &scratch.residual[at],
                  .pattern = &template_[at],
                  .weights = &weights_[at],
                  .gradient_x = &gradient_x_[at],
                  .gradient_y = &gradient_y_[at],
                  .v = static_cast<float>(v / arm_),
                  .first_u = static_cast<float>(u / arm_),
                  .u_step = static_cast<float>(scale_ / arm_)};
    add_row(row, end - begin, static_cast<float>(1.0 / cauchy_scale), totals);
  }
  NormalEquations result;
  std::size_t sum = 0;
  for (std::size_t a = 0; a < kUnknowns; ++a) {
    for (std::size_t b = a; b < kUnknowns; ++b) result.matrix[b][a] = result.matrix[a][b] = sum_of(totals[sum++]);
    result.right[a] = sum_of(totals[sum++]);
  }
  return result;
}

double LocatorLevel::unexplained(const LevelScratch& scratch, double brightness, double contrast) const noexcept {
  double totals[2][kFloatLanes] = {};
  for (std::size_t i = 0; i < size_.height; ++i) {
    const auto [begin, end] = scratch.inside[i];
    if (begin >= end) continue;
    const std::size_t at = i * size_.width + begin;
    add_absolute_row(&scratch.residual[at], &template_[at], &weights_[at], end - begin, static_cast<float>(brightness),
                     static_cast<float>(contrast - 1.0), totals);
  }
  return sum_of(totals[0]) / (contrast * sum_of(totals[1]));
}

}  // namespace vialsight
