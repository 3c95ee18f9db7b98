#include "vialsight/heatmap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace vialsight {
namespace {

// In double, so that no finite pair of floats overflows.
double difference(float x, float y) noexcept { return std::abs(static_cast<double>(x) - static_cast<double>(y)); }

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

// Extremes of the finite differences.
Range range_of(std::span<const float> x, std::span<const float> y) noexcept {
  Range range;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = difference(x[i], y[i]);
    if (!std::isfinite(d)) continue;
    range.low = std::min(range.low, d);
    range.high = std::max(range.high, d);
  }
  return range;
}

// Equation 12, clipped; an empty range shows everything finite as 0.
float shade(double d, const Range& range) noexcept {
  if (!std::isfinite(d)) return 1.0F;
  if (!(range.high > range.low)) return 0.0F;
  return static_cast<float>(std::clamp((d - range.low) / (range.high - range.low), 0.0, 1.0));
}

Status check_scale(const HeatmapScale& scale) {
  if (std::isfinite(scale.vmin) && std::isfinite(scale.vmax) && scale.vmax > scale.vmin) return {};
  return {Code::kInvalidArgument, "heatmap: expected a finite scale with vmax above vmin, got vmin " +
                                      std::to_string(scale.vmin) + " and vmax " + std::to_string(scale.vmax)};
}

}  // namespace

Status heatmap(std::span<const float> x, std::span<const float> y, const std::optional<HeatmapScale>& scale,
               std::span<float> result) {
  if (x.size() != y.size() || x.size() != result.size()) {
    return {Code::kInvalidArgument, "heatmap: expected x, y and result of one size, got " + std::to_string(x.size()) +
                                        ", " + std::to_string(y.size()) + " and " + std::to_string(result.size())};
  }
  if (scale) {
    if (Status status = check_scale(*scale); !status.ok()) return status;
  }
  const Range range = scale ? Range{scale->vmin, scale->vmax} : range_of(x, y);
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = shade(difference(x[i], y[i]), range);
  return {};
}

}  // namespace vialsight
