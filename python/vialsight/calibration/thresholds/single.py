"""The best threshold of one score per unit: accept when score <= threshold."""

import numpy as np
import numpy.typing as npt

from vialsight.calibration.thresholds.objectives import Goal

Scores = npt.NDArray[np.floating]


def best_threshold(nominal: Scores, defective: Scores, goal: Goal) -> float:
    """Return the threshold that serves `goal` best, for scores of (n,) and (m,) units.

    Candidates are the midpoints between neighbouring distinct scores and one value outside each
    end. Among equals the middle of the widest gap is taken, which leaves the largest margin to the
    nearest score on either side; among equally wide gaps the lowest, which rejects more. Infinite
    scores are units whose verdict does not depend on this threshold.
    """
    scores = np.unique(np.concatenate([nominal, defective])).astype(np.float64)
    candidates, gaps = _candidates(scores[np.isfinite(scores)])
    accepted = np.searchsorted(np.sort(nominal).astype(np.float64), candidates, side="right")
    missed = np.searchsorted(np.sort(defective).astype(np.float64), candidates, side="right")
    rejected = len(defective) - missed
    merit = goal.accepted_weight * accepted + goal.rejected_weight * rejected
    allowed = (accepted >= goal.accepted_minimum) & (rejected >= goal.rejected_minimum)
    best = np.flatnonzero(allowed & (merit == merit[allowed].max()))
    return float(candidates[best[np.argmax(gaps[best])]])


def _candidates(
    scores: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return thresholds between and outside distinct sorted scores, and the width of their gaps.

    The outer two have no second neighbour: width 0 makes them the last choice among equals.
    """
    lowest = np.nextafter(np.float32(scores[0]), np.float32(-np.inf)).astype(np.float64)
    middles = scores[:-1] + np.diff(scores) / 2.0
    candidates = np.concatenate([[lowest], middles, [scores[-1]]])
    return candidates, np.concatenate([[0.0], np.diff(scores), [0.0]])
