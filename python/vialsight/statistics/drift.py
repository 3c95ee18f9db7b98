"""Whether scores drift in the order in which strips were inspected."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

# Half a million pairs: a tenth of a second.
_SLOPE_POINTS: Final = 1000


def rank_correlation(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Spearman's correlation of `values` float (n,) with their order, and its two-sided p.

    None where it is not defined: fewer than 3 values, or all equal. Raises DataError on NaN.
    Source: Spearman 1904, American Journal of Psychology 15:72-101.
    """
    from scipy.stats import spearmanr

    if np.isnan(values).any():
        raise DataError("expected values without NaN; leave out strips that were not scored")
    if values.size < 3 or (values == values[0]).all():
        return None
    result = spearmanr(np.arange(values.size), values)
    return float(result.statistic), float(result.pvalue)


def running_median(values: npt.NDArray[Any], width: int) -> npt.NDArray[np.float64]:
    """Median of the `width` values around each value of float (n,); fewer at both ends.

    `width` is odd. Returns float64 (n,). Raises DataError when `width` is even or below 1.
    """
    if width < 1 or width % 2 == 0:
        raise DataError(f"expected an odd width from 1, got {width}")
    if values.size == 0:
        return np.empty(0)
    padded = np.pad(values.astype(np.float64), width // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return np.asarray(np.nanmedian(windows, axis=1), np.float64)


def robust_slope(
    order: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[float, float, float] | None:
    """Theil–Sen slope of `values` float (n,) over `order` int (n,), and its 95 % interval.

    The median of the slopes of all pairs, which a third of wild values does not move. Many values
    are first averaged over neighbours, since pairs grow with their square. None of fewer than 3.
    Raises DataError on NaN. Source: Sen 1968, J. Am. Stat. Assoc. 63:1379-1389.
    """
    from scipy.stats import theilslopes

    if np.isnan(values).any():
        raise DataError("expected values without NaN; leave out strips that were not located")
    if values.size < 3:
        return None
    points = min(values.size, _SLOPE_POINTS)
    starts = np.arange(points) * values.size // points
    sizes = np.diff(np.append(starts, values.size))
    x, y = (np.add.reduceat(array, starts) / sizes for array in (order, values))
    slope, _, low, high = theilslopes(y, x)
    return float(slope), float(low), float(high)
