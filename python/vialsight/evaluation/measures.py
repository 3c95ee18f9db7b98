"""Counts, rates and intervals of verdicts on units that may share physical strips.

Positive = defective: detection rate = TPR, false reject rate = 1 - TNR. Counts are integers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight.statistics.intervals import Interval, percentile_interval, proportion_interval
from vialsight.statistics.ranking import (
    Replicates,
    auroc,
    average_precision,
    f1,
    ranking_replicates,
)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Counts and rates of one kind of unit; a rate without samples is None.

    `unit` is a region's name, "vial", "strip" (one inspection of a strip) or "run" (a physical
    strip over all its runs). Score-based figures (AUROC and average precision) are None for "run".
    Intervals are at 95 %.
    """

    unit: str
    nominal: int
    defective: int
    false_rejects: int
    detected: int
    accuracy: float | None
    accuracy_interval: Interval | None
    detection_rate: float | None
    detection_rate_interval: Interval | None
    false_reject_rate: float | None
    false_reject_rate_interval: Interval | None
    balanced_accuracy: float | None
    balanced_accuracy_interval: Interval | None
    f1: float | None
    auroc: float | None
    auroc_interval: Interval | None
    average_precision: float | None
    average_precision_interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Units:
    """n units of one kind: int strip in [0, K), score, truth and verdict of each, (n,)."""

    name: str
    strip: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    defective: npt.NDArray[np.bool_]
    rejected: npt.NDArray[np.bool_]


def measure(units: Units, draws: npt.NDArray[np.int32], *, ranked: bool = True) -> Measures:
    """Count and rate units; `draws` (B,K) are `resampled_strips` of their physical strips.

    Without `ranked` the scores mean nothing and no figure is made of them.
    """
    count = draws.shape[1]

    def per_strip(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(units.strip[chosen], minlength=count)

    defective, rejected = units.defective, units.rejected
    n, m = per_strip(~defective), per_strip(defective)
    false, hit = per_strip(~defective & rejected), per_strip(defective & rejected)
    false_rejects, detected = int(false.sum()), int(hit.sum())
    right = n - false + hit
    ranking = _ranking(units.scores, defective, units.strip, draws) if ranked else None
    auc = auroc(units.scores, defective) if ranked else None
    precision = average_precision(units.scores, defective) if ranked else None
    detection, false_rate = rate(detected, int(m.sum())), rate(false_rejects, int(n.sum()))
    return Measures(
        unit=units.name,
        nominal=int(n.sum()),
        defective=int(m.sum()),
        false_rejects=false_rejects,
        detected=detected,
        accuracy=rate(int(right.sum()), len(defective)),
        accuracy_interval=proportion_interval(right, n + m, draws),
        detection_rate=detection,
        detection_rate_interval=proportion_interval(hit, m, draws),
        false_reject_rate=false_rate,
        false_reject_rate_interval=proportion_interval(false, n, draws),
        balanced_accuracy=_balanced(detection, false_rate),
        balanced_accuracy_interval=_balanced_interval(hit, m, false, n, draws),
        f1=f1(detected, false_rejects, int(m.sum())),
        auroc=auc,
        auroc_interval=None if ranking is None else _spread(ranking.auroc),
        average_precision=precision,
        average_precision_interval=None if ranking is None else _spread(ranking.average_precision),
    )


def ranked_auroc(
    scores: npt.NDArray[np.float64],
    defective: npt.NDArray[np.bool_],
    strip: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int32],
) -> tuple[float | None, Interval | None]:
    """Return AUROC and interval of n units as `measure` makes them; None where there are none."""
    ranking = _ranking(scores, defective, strip, draws)
    return auroc(scores, defective), None if ranking is None else _spread(ranking.auroc)


def _ranking(
    scores: npt.NDArray[np.float64],
    defective: npt.NDArray[np.bool_],
    strip: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int32],
) -> Replicates | None:
    if defective.all() or not defective.any():
        return None
    return ranking_replicates(scores, defective, strip, draws)


def _spread(values: npt.NDArray[np.float64]) -> Interval | None:
    """Return the percentile interval, or None where it has no width and would claim certainty."""
    return percentile_interval(values, flat=False)


def rate(count: int, total: int) -> float | None:
    """Return count / total, or None of nothing."""
    return count / total if total else None


def _balanced(detection: float | None, false_reject: float | None) -> float | None:
    if detection is None or false_reject is None:
        return None
    return (detection + 1.0 - false_reject) / 2.0


def _balanced_interval(
    hit: npt.NDArray[np.int64],
    m: npt.NDArray[np.int64],
    false: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int32],
) -> Interval | None:
    """Bootstrap interval; where it has no width, the mean of the two rates' limits, cautious."""
    if not m.sum() or not n.sum():
        return None
    with np.errstate(invalid="ignore"):
        values = ((draws @ hit) / (draws @ m) + 1.0 - (draws @ false) / (draws @ n)) / 2.0
    interval = _spread(values)
    detection = proportion_interval(hit, m, draws)
    false_reject = proportion_interval(false, n, draws)
    if interval is not None or detection is None or false_reject is None:
        return interval
    low = (detection[0] + 1.0 - false_reject[1]) / 2.0
    return low, (detection[1] + 1.0 - false_reject[0]) / 2.0
