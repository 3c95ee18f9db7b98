"""Decisions on the strips that people reject, and on the nominal ones.

Of a defect that people mostly let pass, nobody can say whether a machine must see it. The strips of
the reject zone (FQV from 7, by the manual results alone) are those that must go.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vialsight.evaluation.decisions import Decisions, decide
from vialsight.evaluation.evidence import Evidence
from vialsight.statistics.intervals import resampled_strips
from vialsight.statistics.knapp import KnappStudy


def must_reject(evidence: Evidence, study: KnappStudy) -> frozenset[str]:
    """Return the defective strips of the study's reject zone, by product."""
    defective = {p for p, bad in zip(evidence.products, evidence.defective, strict=True) if bad}
    return frozenset(row.product for row in study.containers if row.zone == "reject") & defective


def decide_on_reject_zone(evidence: Evidence, study: KnappStudy) -> Decisions | None:
    """Return the three tables of defective strips in the reject zone and of all nominal strips.

    Nominal by label: a nominal strip that people reject counts as nominal. Intervals are of these
    strips alone. None where no defective strip lies in the zone.
    """
    strips = must_reject(evidence, study)
    if not strips:
        return None
    in_zone = np.array([product in strips for product in evidence.products], bool)
    part = _inspections(evidence, in_zone | ~evidence.defective)
    decisions, _ = decide(part, resampled_strips(part.defective_strips))
    return decisions


def _inspections(evidence: Evidence, chosen: npt.NDArray[np.bool_]) -> Evidence:
    """Return the evidence of the chosen inspections (S,), without what no decision needs."""
    numbers = np.flatnonzero(chosen)
    return replace(
        evidence,
        products=tuple(evidence.products[i] for i in numbers),
        runs=evidence.runs[chosen],
        defective=evidence.defective[chosen],
        accepted=evidence.accepted[chosen],
        reasons=tuple(evidence.reasons[i] for i in numbers),
        scores=evidence.scores[chosen],
        component_scores=evidence.component_scores[chosen],
        published=None,
        truth=evidence.truth[chosen],
        times={stage: seconds[chosen] for stage, seconds in evidence.times.items()},
        pixels=None,
        pictures=(),
        poses=None,
    )
