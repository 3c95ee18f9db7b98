// Heatmap |X - X̂| (paper eqs. 11, 12): where a patch differs from its reconstruction.
#pragma once

#include <optional>
#include <span>

#include "vialsight/export.h"
#include "vialsight/status.h"

namespace vialsight {

// The absolute difference shown as 0 and as 1; fitted at calibration, one per region.
struct HeatmapScale {
  float vmin = 0.0F;
  float vmax = 1.0F;
};

// Writes (|x - y| - vmin) / (vmax - vmin), clipped to [0, 1]. Without a scale, vmin and vmax are the patch's own
// extremes (eq. 12; a patch without differences gives zeros): good for looking at one patch, misleading on an
// operator's screen, because then every good part glows. Pixels that are not finite are shown as 1. kInvalidArgument:
// sizes differ, or vmax is not above vmin.
[[nodiscard]] VIALSIGHT_API Status heatmap(std::span<const float> x, std::span<const float> y,
                                           const std::optional<HeatmapScale>& scale, std::span<float> result);

}  // namespace vialsight
