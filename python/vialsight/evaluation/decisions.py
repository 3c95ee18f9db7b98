"""What was decided: tables 1 to 3 of a report, and the counts behind them.

Positive = defective: detection rate = TPR, false reject rate = 1 - TNR. Counts are integers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight.calibration.thresholds import span_text
from vialsight.data import DEFECTIVE, UNKNOWN
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.measures import Measures, Units, measure


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Three tables, each with the thresholds of its level.

    `patch` are the regions, then vial, with the patch thresholds (table 1); `strip` with the strip
    thresholds (table 2); `run` with the run thresholds and the k-of-n rule (table 3), None where
    the runs do not fit the rule.
    """

    patch: tuple[Measures, ...]
    strip: Measures
    run: Measures | None


def decide(evidence: Evidence, draws: npt.NDArray[np.int32]) -> tuple[Decisions, tuple[str, ...]]:
    """Return the tables, and sentences on what the runs did not allow.

    `draws` (B,K) are `resampled_strips` of the K physical strips.
    """
    run, notes = _run_measures(evidence, draws)
    decisions = Decisions(
        patch=(*_region_measures(evidence, draws), _vial_measures(evidence, draws)),
        strip=_strip_measures(evidence, draws),
        run=run,
    )
    return decisions, notes


def excess(evidence: Evidence, level: str) -> npt.NDArray[np.float64]:
    """Return how far each score is above its region's threshold at a level, float64 (S,F,V,R).

    A patch is rejected when its excess is above 0. Patches of an inspection whose product was not
    located are infinitely far above: it was rejected, and nothing looks less like a good product.
    """
    above = evidence.scores.astype(np.float64) - np.array(evidence.thresholds[level])
    above[evidence.not_located] = np.inf
    return np.asarray(above)


def rejected_runs(evidence: Evidence, level: str) -> npt.NDArray[np.bool_]:
    """Return which runs (S,) are rejected at a level's thresholds: any patch above rejects."""
    return np.asarray((excess(evidence, level) > 0.0).any(axis=(1, 2, 3)))


def confirmed(evidence: Evidence, level: str) -> npt.NDArray[np.bool_]:
    """Return which physical strips (K,) the run rule classifies right at a level's thresholds."""
    rejected = rejected_runs(evidence, level)
    agreeing = np.bincount(evidence.strip_of, rejected == evidence.defective)
    return np.asarray(agreeing >= evidence.rule.agree)


def _region_measures(evidence: Evidence, draws: npt.NDArray[np.int32]) -> tuple[Measures, ...]:
    above = excess(evidence, "patch") > 0.0
    strip = np.broadcast_to(evidence.strip_of[:, np.newaxis, np.newaxis], evidence.scores.shape[:3])
    measures = []
    for region, name in enumerate(evidence.regions):
        truth = evidence.truth[..., region]
        known = truth != UNKNOWN
        units = Units(
            name=name,
            strip=strip[known],
            scores=evidence.scores[..., region][known].astype(np.float64),
            defective=truth[known] == DEFECTIVE,
            rejected=above[..., region][known],
        )
        measures.append(measure(units, draws))
    return tuple(measures)


def _vial_measures(evidence: Evidence, draws: npt.NDArray[np.int32]) -> Measures:
    """Measure vials: rejected when any patch is (paper §5.2.2), defective when any patch is."""
    over = excess(evidence, "patch").max(axis=(1, 3))
    unknown = (evidence.truth == UNKNOWN).any(axis=(1, 3))
    defective = (evidence.truth == DEFECTIVE).any(axis=(1, 3))
    known = defective | ~unknown
    strip = np.broadcast_to(evidence.strip_of[:, np.newaxis], over.shape)
    units = Units(
        name="vial",
        strip=strip[known],
        scores=over[known],
        defective=defective[known],
        rejected=over[known] > 0.0,
    )
    return measure(units, draws)


def _strip_measures(evidence: Evidence, draws: npt.NDArray[np.int32]) -> Measures:
    over = excess(evidence, "strip").max(axis=(1, 2, 3))
    units = Units(
        name="strip",
        strip=evidence.strip_of,
        scores=over,
        defective=evidence.defective,
        rejected=over > 0.0,
    )
    return measure(units, draws)


def _run_measures(
    evidence: Evidence, draws: npt.NDArray[np.int32]
) -> tuple[Measures | None, tuple[str, ...]]:
    rule, runs = evidence.rule, np.bincount(evidence.strip_of)
    if (runs != rule.runs).any():
        seen = span_text(runs)
        note = (
            f"The run level ({rule}) needs {rule.runs} runs of every strip; these have {seen}. "
            "There is no table for it."
        )
        return None, (note,)
    right = confirmed(evidence, "run")
    defective = evidence.defective_strips
    units = Units(
        name="run",
        strip=np.arange(len(runs)),
        scores=np.zeros(len(runs)),
        defective=defective,
        rejected=right == defective,
    )
    return measure(units, draws, ranked=False), ()
