"""Verdicts of two networks on one calibration set, compared one by one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight.bundle import LEVELS
from vialsight.calibration.fitting import runs_of
from vialsight.calibration.scores import CalibrationScores
from vialsight.calibration.thresholds import RunRule
from vialsight.calibration.thresholds.joint import judged_right

Thresholds = Mapping[str, npt.NDArray[np.float64]]
# Scores, and the thresholds (R,) of each level that they are judged by.
Judged = tuple[CalibrationScores, Thresholds]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Verdicts of one level on the calibration set: how many, and how many are others now."""

    units: int
    changed: int


def compare_verdicts(before: Judged, after: Judged, rule: RunRule) -> dict[str, Comparison]:
    """Return by level how many verdicts are others after than before."""
    pairs = zip(_verdicts(*before, rule), _verdicts(*after, rule), strict=True)
    return {
        level: Comparison(units=a.size, changed=int(np.count_nonzero(a != b)))
        for level, (a, b) in zip(LEVELS, pairs, strict=True)
    }


def _verdicts(
    scored: CalibrationScores, thresholds: Thresholds, rule: RunRule
) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return one answer per unit of each of LEVELS.

    Which patches and strips are rejected; and which strips the runs judge right, where each has as
    many as the rule asks for, else which of all runs are rejected.
    """
    above = {level: scored.scores > values for level, values in thresholds.items()}
    patches = np.asarray(above["patch"], bool)
    strips, runs = (np.asarray(above[level].any(axis=(1, 2, 3)), bool) for level in LEVELS[1:])
    if (np.bincount(scored.unit) == rule.runs).all():
        runs = judged_right(runs_of(scored, rule), thresholds["run"])
    return patches, strips, runs
