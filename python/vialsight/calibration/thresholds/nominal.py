"""Thresholds from nominal scores alone: a quantile, or a fit of the tail beyond the data."""

from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

Scores = npt.NDArray[np.floating]

CONFIDENCE: Final = 0.95
# A tail is fitted to the largest tenth; with fewer values its shape means nothing.
TAIL_SHARE: Final = 0.1
TAIL_MINIMUM: Final = 30


def quantile_threshold(scores: Scores, share: Fraction) -> float:
    """Return the smallest score at or under which at least a share of the scores (n,) lies."""
    ordered = np.sort(scores)
    needed = max(-int(-share * len(ordered) // 1), 1)
    return float(ordered[needed - 1])


def quantile_bound(above: int, units: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper confidence bound of the share above a threshold: Clopper-Pearson, one-sided.

    `above` of `units` independent units of the calibration were above it.
    """
    from scipy.stats import beta

    if above >= units:
        return 1.0
    return float(beta.ppf(confidence, above + 1, units - above))


def tail_threshold(scores: Scores, share: Fraction) -> float:
    """Return the threshold above which a share of nominal scores (n,) is expected to lie.

    Peaks over threshold: a generalised Pareto distribution fitted to what exceeds the largest
    tenth's lower end (Coles 2001, An Introduction to Statistical Modeling of Extreme Values,
    eq. 4.12). Where the share lies inside the data the quantile is returned. Raises DataError with
    too few scores for a tail, or when they are too much alike to fit one.
    """
    from scipy.stats import genpareto

    values = scores.astype(np.float64)
    start = float(np.quantile(values, 1.0 - TAIL_SHARE, method="higher"))
    excess = values[values > start] - start
    if len(excess) < TAIL_MINIMUM:
        raise DataError(
            f"a tail fit needs {TAIL_MINIMUM} distinct scores in the largest tenth, got "
            f"{len(excess)}; give more nominal strips or use nominal_quantile"
        )
    beyond = float(share) * len(values) / len(excess)
    if beyond >= 1.0:
        return quantile_threshold(scores, 1 - share)
    shape, _, scale = genpareto.fit(excess, floc=0.0)
    threshold = start + float(genpareto.isf(beyond, shape, scale=scale))
    if not np.isfinite(threshold):
        raise DataError("the tail of the nominal scores cannot be fitted; use nominal_quantile")
    return threshold
