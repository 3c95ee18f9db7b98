// Heatmap (paper eq. 12): the map of a score (vialsight/score.h) as people see it, from 0 to 1.
#pragma once

#include <optional>
#include <span>

#include "vialsight/export.h"
#include "vialsight/status.h"

namespace vialsight {

// The value of the map shown as 0 and as 1; fitted at calibration, one per region.
struct HeatmapScale {
  float vmin = 0.0F;
  float vmax = 1.0F;
};

// Writes (map - vmin) / (vmax - vmin), clipped to [0, 1]; `result` may be `map`. Without a scale, vmin and vmax are the
// map's own extremes (eq. 12; a flat map gives zeros): good for looking at one patch, misleading on an operator's
// screen, because then every good part glows. Pixels that are not finite are shown as 1. kInvalidArgument: sizes
// differ, or vmax is not above vmin.
[[nodiscard]] VIALSIGHT_API Status heatmap(std::span<const float> map, const std::optional<HeatmapScale>& scale,
                                           std::span<float> result);

}  // namespace vialsight
