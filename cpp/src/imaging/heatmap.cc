#include "vialsight/heatmap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace vialsight {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

// Extremes of the finite values.
Range range_of(std::span<const float> map) noexcept {
  Range range;
  for (const double value : map) {
    if (!std::isfinite(value)) continue;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

// Equation 12 in double, so that no finite pair of floats overflows; clipped; an empty range shows everything finite as
// 0.
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

Status heatmap(std::span<const float> map, const std::optional<HeatmapScale>& scale, std::span<float> result) {
  if (map.size() != result.size()) {
    return {Code::kInvalidArgument, "heatmap: expected map and result of one size, got " + std::to_string(map.size()) +
                                        " and " + std::to_string(result.size())};
  }
  if (scale) {
    if (Status status = check_scale(*scale); !status.ok()) return status;
  }
  const Range range = scale ? Range{scale->vmin, scale->vmax} : range_of(map);
  for (std::size_t i = 0; i < map.size(); ++i) result[i] = shade(map[i], range);
  return {};
}

}  // namespace vialsight
