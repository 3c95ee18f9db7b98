"""Counts, rates and intervals of verdicts: what an evaluation finds and a report shows.

Positive = defective: detection rate = TPR, false reject rate = 1 - TNR. Counts are integers;
intervals are Wilson's at 95 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Scores, truths and verdicts of one kind of unit (a region's patches, vials or strips).

    scores float32 (n,), defective and rejected bool (n,), parallel.
    """

    unit: str
    scores: npt.NDArray[np.float32]
    defective: npt.NDArray[np.bool_]
    rejected: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Counts and rates of one unit; a rate without samples is None."""

    unit: str
    nominal: int
    defective: int
    false_rejects: int
    detected: int
    detection_rate: float | None
    detection_rate_interval: Interval | None
    false_reject_rate: float | None
    false_reject_rate_interval: Interval | None
    balanced_accuracy: float | None
    auroc: float | None


@dataclass(frozen=True, kw_only=True)
class StripResult:
    """One inspected strip: its truth, verdict and worst score."""

    product: str
    run: int
    defective: bool
    accepted: bool
    reason: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything a report shows; `measures` are regions, then vial, then strip."""

    identity: dict[str, Any]
    measures: tuple[Measures, ...]
    outcomes: tuple[Outcomes, ...]
    strips: tuple[StripResult, ...]


def measure(outcomes: Outcomes) -> Measures:
    """Count and rate one unit's outcomes."""
    defective, rejected = outcomes.defective, outcomes.rejected
    nominal_count, defective_count = int((~defective).sum()), int(defective.sum())
    false_rejects, detected = int((rejected & ~defective).sum()), int((rejected & defective).sum())
    detection, false_reject = _rate(detected, defective_count), _rate(false_rejects, nominal_count)
    both = detection is not None and false_reject is not None
    return Measures(
        unit=outcomes.unit,
        nominal=nominal_count,
        defective=defective_count,
        false_rejects=false_rejects,
        detected=detected,
        detection_rate=detection,
        detection_rate_interval=_interval(detected, defective_count),
        false_reject_rate=false_reject,
        false_reject_rate_interval=_interval(false_rejects, nominal_count),
        balanced_accuracy=_balanced(detection, false_reject),
        auroc=_auroc(outcomes) if both else None,
    )


def table_rows(measures: Sequence[Measures]) -> list[dict[str, Any]]:
    """Return one flat row per unit, intervals as two columns, for CSV and HTML."""
    return [_table_row(row) for row in measures]


def _table_row(row: Measures) -> dict[str, Any]:
    low_high = (None, None)
    detection = row.detection_rate_interval or low_high
    false_reject = row.false_reject_rate_interval or low_high
    return {
        "unit": row.unit,
        "nominal": row.nominal,
        "defective": row.defective,
        "detected": row.detected,
        "false_rejects": row.false_rejects,
        "detection_rate": row.detection_rate,
        "detection_rate_low": detection[0],
        "detection_rate_high": detection[1],
        "false_reject_rate": row.false_reject_rate,
        "false_reject_rate_low": false_reject[0],
        "false_reject_rate_high": false_reject[1],
        "balanced_accuracy": row.balanced_accuracy,
        "auroc": row.auroc,
    }


def _rate(count: int, total: int) -> float | None:
    return count / total if total else None


def _interval(count: int, total: int) -> Interval | None:
    from scipy.stats import binomtest

    if total == 0:
        return None
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _balanced(detection: float | None, false_reject: float | None) -> float | None:
    if detection is None or false_reject is None:
        return None
    return (detection + 1.0 - false_reject) / 2.0


def _auroc(outcomes: Outcomes) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(outcomes.defective, outcomes.scores))
