"""How each component of a combined score, and the paper's φ, would rank on its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight.data import DEFECTIVE, UNKNOWN
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.measures import ranked_auroc
from vialsight.evaluation.published_score import PUBLISHED_NAME
from vialsight.statistics.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class ComponentMeasures:
    """AUROC of one component alone on one kind of unit: a region's patches, or "strip".

    Patches are ordered by the component's number; an inspection of a strip by the largest of its
    patches, after the normalisation that makes regions comparable, of the paper's φ as it is; one
    whose product was not located comes above all.
    """

    component: str
    unit: str
    nominal: int
    defective: int
    auroc: float | None
    auroc_interval: Interval | None


def component_measures(
    evidence: Evidence, draws: npt.NDArray[np.int32]
) -> tuple[ComponentMeasures, ...]:
    """Return the regions and the strip of each component, and of the paper's φ.

    The φ that decides is none of them: nothing where one component decides and is the paper's.
    """
    alone: list[tuple[str, npt.NDArray[np.float64]]] = []
    if len(evidence.score.names) > 1:
        comparable = evidence.score.comparable(evidence.component_scores)
        alone += [(name, comparable[..., k]) for k, name in enumerate(evidence.score.names)]
    if evidence.published is not None:
        alone.append((PUBLISHED_NAME, evidence.published.astype(np.float64)))
    return tuple(
        _measured(name, ranked, draws)
        for name, numbers in alone
        for ranked in _units(evidence, numbers)
    )


@dataclass(frozen=True)
class _Ranked:
    """n units of one kind: number, truth, and physical strip of each, (n,)."""

    name: str
    numbers: npt.NDArray[np.float64]
    defective: npt.NDArray[np.bool_]
    strip: npt.NDArray[np.int64]


def _units(evidence: Evidence, numbers: npt.NDArray[np.float64]) -> Iterator[_Ranked]:
    """Yield the patches of each region, then the strips, of one component's (S,F,V,R)."""
    strips = np.broadcast_to(evidence.strip_of[:, np.newaxis, np.newaxis], numbers.shape[:3])
    for region, name in enumerate(evidence.regions):
        truth = evidence.truth[..., region]
        known = truth != UNKNOWN
        yield _Ranked(name, numbers[..., region][known], truth[known] == DEFECTIVE, strips[known])
    largest = np.where(evidence.not_located, np.inf, numbers.max(axis=(1, 2, 3)))
    yield _Ranked("strip", largest, evidence.defective, evidence.strip_of)


def _measured(component: str, units: _Ranked, draws: npt.NDArray[np.int32]) -> ComponentMeasures:
    area, interval = ranked_auroc(units.numbers, units.defective, units.strip, draws)
    return ComponentMeasures(
        component=component,
        unit=units.name,
        nominal=int(np.count_nonzero(~units.defective)),
        defective=int(np.count_nonzero(units.defective)),
        auroc=area,
        auroc_interval=interval,
    )
