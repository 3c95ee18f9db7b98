"""Confidence intervals that know that patches and runs of one strip are not independent."""

from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

Interval: TypeAlias = tuple[float, float]

CONFIDENCE: Final = 0.95


def wilson(count: int, total: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval for `count` of `total` independent units; None of no units.

    Raises DataError when `count` is not in 0..total. Source: Wilson 1927, JASA 22:209-212.
    """
    if not 0 <= count <= total:
        raise DataError(f"expected a count from 0 to its total, got {count} of {total}")
    return wilson_at(count / total, total, confidence) if total else None


def wilson_at(rate: float, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval around an observed `rate` in [0, 1] of `total` >= 1 units.

    `rate * total` need not be an integer, as sample sizes and averages of strips ask for.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    pull = z * z / total
    centre = (rate + pull / 2) / (1 + pull)
    half = float(np.sqrt(pull * (rate * (1 - rate) + pull / 4))) / (1 + pull)
    # Rounding must not leave 1e-17 where the formula gives the end itself.
    low = 0.0 if rate <= 0 else max(0.0, centre - half)
    high = 1.0 if rate >= 1 else min(1.0, centre + half)
    return low, high


def resampled_strips(
    defective: npt.NDArray[np.bool_], *, replicates: int = 1000, seed: int = 0
) -> npt.NDArray[np.int32]:
    """How often each physical strip is drawn in each replicate of a bootstrap of strips.

    `defective` bool (K,) is one truth per physical strip. Strips are drawn with replacement within
    the nominal and within the defective, since the composition of the kit is fixed and not random.
    Returns int32 (B, K). Source: Davison & Hinkley 1997, Bootstrap Methods, section 3.8.
    """
    random = np.random.default_rng(seed)
    draws = np.zeros((replicates, defective.size), np.int32)
    for members in (np.flatnonzero(~defective), np.flatnonzero(defective)):
        if members.size:
            shares = np.full(members.size, 1 / members.size)
            draws[:, members] = random.multinomial(members.size, shares, size=replicates)
    return draws


def percentile_interval(values: npt.NDArray[np.float64], *, flat: bool = True) -> Interval | None:
    """Percentile interval of bootstrap replicates float (B,) at CONFIDENCE.

    NaN marks replicates in which the figure does not exist; they are left out, and where fewer
    than half remain there is no interval. Without `flat`, none either where it has no width: from
    one strip, or without any error, all replicates are equal, which must not be read as certainty.
    Source: Efron 1979, Annals of Statistics 7:1-26.
    """
    kept = values[~np.isnan(values)]
    if kept.size == 0 or 2 * kept.size < values.size:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return (float(low), float(high)) if flat or low < high else None


def proportion_interval(
    hits: npt.NDArray[np.integer[Any]],
    totals: npt.NDArray[np.integer[Any]],
    draws: npt.NDArray[np.integer[Any]],
) -> Interval | None:
    """Interval for sum(hits) / sum(totals) where the units of one strip are alike.

    `hits` and `totals` int (K,) count units per physical strip, `draws` (B, K) comes from
    `resampled_strips`. With one unit per strip at most it is Wilson's interval; otherwise the
    percentile bootstrap over strips. Where that has no width, as with no error at all, it would
    claim certainty: then Wilson's with each strip counted as one unit. None of no units.
    Raises DataError when a strip has more hits than units.
    """
    if (hits < 0).any() or (hits > totals).any():
        raise DataError("expected 0 <= hits <= units in every strip; count both from the same rows")
    hits, totals = hits.astype(np.int64), totals.astype(np.int64)
    count, total = int(hits.sum()), int(totals.sum())
    if total == 0 or totals.max() <= 1:
        return wilson(count, total)
    interval = percentile_interval(_ratios(draws @ hits, draws @ totals), flat=False)
    return interval or wilson_at(count / total, int(np.count_nonzero(totals)))


def _ratios(
    hits: npt.NDArray[np.integer[Any]], totals: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float64]:
    ratios = np.full(hits.shape, np.nan)
    np.divide(hits, totals, out=ratios, where=totals > 0)
    return ratios
