#include "imaging/locator_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/float_lanes.h"
#include "base/multiversion.h"

namespace vialsight {
namespace {

constexpr double kLeastVariance = 1e-10;  // what rounding leaves of an image without any

// Of the image, its square and its product with the template, each weighted.
constexpr std::size_t kSums = 3;
using Sums = std::array<double, kSums>;

VIALSIGHT_INLINE void add_pixels(const float* image, const float* weights, const float* weighted_template,
                                 std::size_t count, FloatLanes (&sums)[kSums]) noexcept {
  FloatLanes value;
  FloatLanes weight;
  FloatLanes deviation;
  load_lanes(image, count, value);
  load_lanes(weights, count, weight);
  load_lanes(weighted_template, count, deviation);
  weight *= value;
  sums[0] += weight;
  sums[1] += weight * value;
  sums[2] += deviation * value;
}

// One position of the template. A lane adds up some hundred terms of a sum of one: float loses nothing that counts.
VIALSIGHT_MULTIVERSION
void add_position(const float* image, std::size_t stride, const float* weights, const float* weighted_template,
                  std::size_t height, std::size_t width, Sums& totals) noexcept {
  FloatLanes sums[kSums] = {};
  for (std::size_t i = 0; i < height; ++i) {
    std::size_t j = 0;
    for (; j + kFloatLanes <= width; j += kFloatLanes)
      add_pixels(image + j, weights + j, weighted_template + j, kFloatLanes, sums);
    if (j < width) add_pixels(image + j, weights + j, weighted_template + j, width - j, sums);
    image += stride;
    weights += width;
    weighted_template += width;
  }
  for (std::size_t s = 0; s < kSums; ++s) {
    totals[s] = 0.0;
    for (std::size_t lane = 0; lane < kFloatLanes; ++lane) totals[s] += static_cast<double>(sums[s][lane]);
  }
}

// Between two pixels of a line whose ends go on for ever.
std::pair<std::size_t, float> place(double position, std::size_t count) noexcept {
  const double inside = std::clamp(position, 0.0, static_cast<double>(count - 1));
  const std::size_t low = std::min(static_cast<std::size_t>(inside), count - 2);
  return {low, static_cast<float>(inside - static_cast<double>(low))};
}

// Turns from -reach to reach, so close that the frame's edge moves by at most one pixel of the level between two.
std::vector<double> turns_within(double reach, double arm, double scale) {
  const int steps = static_cast<int>(std::ceil(reach * arm / scale));
  std::vector<double> turns{0.0};
  for (int k = 1; k <= steps; ++k) {
    turns.push_back(reach * k / steps);
    turns.push_back(-turns.back());
  }
  return turns;
}

}  // namespace

LocatorSearch::LocatorSearch(const LocatorLevel& level, double reach_px, double reach_turn)
    : shifts_(static_cast<std::size_t>(std::ceil(reach_px / level.scale())) + 1),
      turns_(turns_within(reach_turn, level.arm(), level.scale())),
      turned_((level.size().height + 2 * shifts_) * (level.size().width + 2 * shifts_)),
      weights_(level.weights().begin(), level.weights().end()),
      weighted_template_(level.size().pixels()) {
  const std::span<const float> pattern = level.template_pixels();
  double total = 0.0;
  for (const float weight : weights_) total += static_cast<double>(weight);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] = static_cast<float>(static_cast<double>(weights_[i]) / total);
    template_mean_ += static_cast<double>(weights_[i]) * static_cast<double>(pattern[i]);
  }
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const double deviation = static_cast<double>(pattern[i]) - template_mean_;
    weighted_template_[i] = static_cast<float>(static_cast<double>(weights_[i]) * deviation);
    template_variance_ += static_cast<double>(weights_[i]) * deviation * deviation;
  }
}

void LocatorSearch::turn_image(const LocatorLevel& level, std::span<const float> image, double turn) noexcept {
  const auto [height, width] = level.size();
  const auto border = static_cast<double>(shifts_);
  float* out = turned_.data();
  for (std::size_t i = 0; i < height + 2 * shifts_; ++i) {
    const double row = static_cast<double>(i) - border;
    for (std::size_t j = 0; j < width + 2 * shifts_; ++j) {
      const double column = static_cast<double>(j) - border;
      const double v = level.first_v() / level.scale() + row;
      const double u = level.first_u() / level.scale() + column;
      const auto [left, right_share] = place(column + turn * v, width);
      const auto [top, lower_share] = place(row - turn * u, height);
      const float* const at = &image[top * width + left];
      const float above = at[0] + right_share * (at[1] - at[0]);
      const float below = at[width] + right_share * (at[width + 1] - at[width]);
      *out++ = above + lower_share * (below - above);
    }
  }
}

void LocatorSearch::try_shifts(const LocatorLevel& level, double turn, double& best_correlation,
                               Alignment& best) const noexcept {
  const auto [height, width] = level.size();
  const std::size_t stride = width + 2 * shifts_;
  for (std::size_t down = 0; down <= 2 * shifts_; ++down) {
    for (std::size_t across = 0; across <= 2 * shifts_; ++across) {
      Sums sums{};
      add_position(&turned_[down * stride + across], stride, weights_.data(), weighted_template_.data(), height, width,
                   sums);
      const auto [mean, square, covariance] = sums;
      const double variance = std::max(square - mean * mean, kLeastVariance);
      const double correlation = covariance / std::sqrt(variance * template_variance_);
      if (!(correlation > best_correlation)) continue;
      best_correlation = correlation;
      // A shift of the turned image is one of the product, turned.
      const double dx = (static_cast<double>(across) - static_cast<double>(shifts_)) * level.scale();
      const double dy = (static_cast<double>(down) - static_cast<double>(shifts_)) * level.scale();
      best.pose = {dx + turn * dy, dy - turn * dx, turn};
      best.contrast = covariance / template_variance_;
      best.brightness = mean - template_mean_;
    }
  }
}

Alignment LocatorSearch::best(const LocatorLevel& level, std::span<const float> image) noexcept {
  Alignment best;
  best.contrast = 0.0;
  double best_correlation = 0.0;
  for (const double turn : turns_) {
    turn_image(level, image, turn);
    try_shifts(level, turn, best_correlation, best);
  }
  return best;
}

}  // namespace vialsight
