"""What makes several components comparable, and where heatmaps begin and end (SPEC §5.2).

All of it is fitted to nominal patches, region by region: numbers to those of nominal strips, maps
to those of any strip.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.bundle import Definition, HeatmapScales
from vialsight.calibration.choice import SUM, Choice
from vialsight.calibration.scores import MAP_BINS, ComponentScores
from vialsight.errors import DataError

# What almost no pixel of a nominal patch exceeds ends the scale; of logits it begins it.
HEATMAP_QUANTILE: Final = 0.999
_SPREAD_QUANTILE: Final = 0.95
# A component that is equal for all nominal patches must not be divided by zero.
_SMALLEST: Final = 1e-6

Counts = npt.NDArray[np.int64]


def fit_definition(offered: Definition, choice: Choice, scored: ComponentScores) -> dict[str, Any]:
    """Return the manifest's `score` in which `choice` decides, normalised where it combines.

    Raises DataError without nominal strips.
    """
    alone = choice.combine is None
    return {
        **offered,
        "decide": list(choice.names),
        "combine": choice.combine,
        "normalisation": None if alone else _normalisations(choice, scored),
    }


def heatmap_scales(choice: Choice, scored: ComponentScores) -> HeatmapScales:
    """Return which values of the score's map are shown as 0 and as 1.

    Of one component: 0, or the median where it is negative, up to the 0.999 quantile. Logits lie
    mostly further below 0 than that quantile is above, in a range so wide that all good parts would
    glow: it begins their scale, which ends as far above it as the median is below. Maps that are
    combined are divided by the quantile before, so their scale ends at 1, at K for a sum of K; it
    begins at what their medians combine to, for the same reason.
    """
    if choice.combine is not None:
        spans = [_combined_span(choice, counts) for counts in scored.map_values.swapaxes(0, 1)]
    else:
        spans = [_span(counts) for counts in scored.map_values[0]]
    vmin, vmax = zip(*spans, strict=True)
    return HeatmapScales(vmin=vmin, vmax=vmax)


def quantile_bin(counts: Counts, quantile: float) -> int:
    """Return the bin in which the `quantile` of the counted values lies."""
    if not counts.any():
        raise DataError("the heatmap scale needs nominal patches; none were given")
    below = np.cumsum(counts)
    return int(np.searchsorted(below, quantile * below[-1]))


def _normalisations(choice: Choice, scored: ComponentScores) -> list[dict[str, Any]]:
    return [
        {
            "component": name,
            **_offset_and_scale(scored, k),
            "map_scale": [_map_scale(counts) for counts in scored.map_values[k]],
        }
        for k, name in enumerate(choice.names)
    ]


def _offset_and_scale(scored: ComponentScores, k: int) -> dict[str, list[float]]:
    """Return median, and 0.95 quantile above it, of component `k` of each region."""
    offset, scale = [], []
    for numbers in scored.of_nominal_strips(k):
        if not len(numbers):
            raise DataError("combining scores needs nominal strips; none were given")
        median, high = np.quantile(numbers.astype(np.float64), [0.5, _SPREAD_QUANTILE])
        offset.append(float(median))
        scale.append(max(float(high - median), _SMALLEST))
    return {"offset": offset, "scale": scale}


def _combined_span(choice: Choice, components: Counts) -> tuple[float, float]:
    """Return (vmin, vmax) of a region, of counts (K,bins) of its components' maps."""
    medians = [MAP_BINS.lower(quantile_bin(c, 0.5)) / _map_scale(c) for c in components]
    if choice.combine == SUM:
        return sum(max(0.0, median) for median in medians), float(len(medians))
    return max(0.0, *medians), 1.0


def _map_scale(counts: Counts) -> float:
    end = MAP_BINS.upper(quantile_bin(counts, HEATMAP_QUANTILE))
    return end if end > 0.0 else _SMALLEST


def _span(counts: Counts) -> tuple[float, float]:
    """Return (vmin, vmax), vmin < vmax also where all values share one bin."""
    middle = quantile_bin(counts, 0.5)
    median = MAP_BINS.lower(middle) if MAP_BINS.upper(middle) < 0.0 else 0.0
    high = MAP_BINS.upper(quantile_bin(counts, HEATMAP_QUANTILE))
    return (high, high + (high - median)) if -median > high else (median, high)
