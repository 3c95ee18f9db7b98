"""The Knapp study: whether the machine rejects what people reject, container by container.

Knapp & Kushner 1980, Journal of the Parenteral Drug Association 34: a container is inspected many
times, and the share of inspections that reject it, not a label, says how defective it is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias

import numpy as np

from vialsight.data.records import raise_listed
from vialsight.errors import DataError
from vialsight.statistics.intervals import Interval, percentile_interval, resampled_strips
from vialsight.statistics.manual import ManualResult, read_manual

__all__ = [
    "Comparison",
    "Container",
    "KnappStudy",
    "ManualResult",
    "fqv",
    "read_manual",
    "study",
    "zone",
]

Zone: TypeAlias = Literal["accept", "grey", "reject"]
Verdict: TypeAlias = Literal["at_least_as_good", "not_shown", "worse"]

# Bounds are means of rounded numbers: their last bits must not decide.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """One container: n rejects of N inspections and FQV, by man and machine."""

    product: str
    kind: str  # defect class; empty: none
    zone: Zone  # by the manual data
    manual_rejects: int
    manual_inspections: int
    manual_fqv: float
    machine_rejects: int
    machine_inspections: int
    machine_fqv: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Mean FQV / 10 over the containers of a zone, and the mean paired difference machine - man.

    The interval is a paired bootstrap over containers; None with fewer than 2.
    """

    containers: int
    man: float
    machine: float
    difference: float
    interval: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class KnappStudy:
    """A Knapp study; `dataclasses.asdict` of it is plain JSON.

    `rze` is the reject zone efficiency; `rag` the same mean over accept and grey zone: rejects of
    what people mostly let pass. None for a zone without containers. `limitation` says what the
    verdict cannot rest on, or is empty.
    """

    containers: tuple[Container, ...]
    rze: Comparison | None
    rag: Comparison | None
    rze_of_kind: dict[str, Comparison | None]
    margin: float
    verdict: Verdict
    point_criterion: bool  # RZE of the machine >= RZE of man, without margin or interval
    limitation: str
    replicates: int
    seed: int


def fqv(rejects: int, inspections: int) -> Fraction:
    """FQV = 10 n / N, exactly: 41 rejects of 50 inspections are 8.2.

    Raises DataError unless 0 <= n <= N and N > 0.
    """
    if not (0 <= rejects <= inspections and inspections > 0):
        raise DataError(
            f"expected 0 <= rejects <= inspections and inspections > 0, "
            f"got {rejects} of {inspections}"
        )
    return Fraction(10 * rejects, inspections)


def zone(rejects: int, inspections: int) -> Zone:
    """Zone of a container: accept to FQV 3, reject from FQV 7, grey between, compared exactly.

    Raises DataError unless 0 <= n <= N and N > 0.
    """
    value = fqv(rejects, inspections)
    if value <= 3:
        return "accept"
    return "reject" if value >= 7 else "grey"


def study(
    manual: Sequence[ManualResult],
    machine: Mapping[str, tuple[int, int]],
    kinds: Mapping[str, str],
    *,
    margin: Fraction | float,
    replicates: int = 1000,
    seed: int = 0,
) -> KnappStudy:
    """Compare machine and man over the same containers; zones come from the manual data alone.

    `machine` maps a product to (inspections, rejects), `kinds` a product to its defect class.
    `margin` in [0, 1), on the scale of RZE, is stated before the data is seen: "at_least_as_good"
    needs the lower bound of the RZE difference at or above -margin and the upper bound of the RAG
    difference at or below it; "worse" one of them beyond it as a whole; otherwise "not_shown".
    Raises DataError when products differ, come twice or have impossible counts.
    """
    if not 0 <= margin < 1:
        raise DataError(
            f"the margin must be at least 0 and below 1, got {margin}; 0.05 is five points of RZE"
        )
    _check_products(manual, machine)
    containers = tuple(_container(result, machine, kinds) for result in manual)
    rejected = [row for row in containers if row.zone == "reject"]
    others = [row for row in containers if row.zone != "reject"]
    rze, rag = (_compared(rows, replicates, seed) for rows in (rejected, others))
    return KnappStudy(
        containers=containers,
        rze=rze,
        rag=rag,
        rze_of_kind={
            kind: _compared([row for row in rejected if row.kind == kind], replicates, seed)
            for kind in sorted({row.kind for row in containers if row.kind})
        },
        margin=float(margin),
        verdict=_verdict(rze, rag, float(margin)),
        point_criterion=_mean_difference(rejected) >= 0 if rejected else False,
        limitation=" ".join(_limitations(rze, rag)),
        replicates=replicates,
        seed=seed,
    )


def _check_products(manual: Sequence[ManualResult], machine: Mapping[str, tuple[int, int]]) -> None:
    if not manual:
        raise DataError("expected at least one container with manual results, got none")
    seen = Counter(result.product for result in manual)
    raise_listed(
        "products with more than one manual result; sum them first",
        [product for product, times in seen.items() if times > 1],
    )
    only_manual = [f"{product}: no machine result" for product in sorted(set(seen) - set(machine))]
    only_machine = [f"{product}: no manual result" for product in sorted(set(machine) - set(seen))]
    raise_listed(
        "a Knapp study needs the same products by man and machine; have the others inspected too, "
        "or leave them out of data and table",
        only_manual + only_machine,
    )
    counts = {f"{r.product} by man": (r.inspections, r.rejects) for r in manual}
    counts |= {f"{product} by machine": pair for product, pair in machine.items()}
    raise_listed(
        "expected 0 <= rejects <= inspections and inspections > 0",
        [
            f"{who}: {rejects} rejects of {inspections}"
            for who, (inspections, rejects) in counts.items()
            if not (0 <= rejects <= inspections and inspections > 0)
        ],
    )


def _container(
    result: ManualResult, machine: Mapping[str, tuple[int, int]], kinds: Mapping[str, str]
) -> Container:
    inspections, rejects = machine[result.product]
    return Container(
        product=result.product,
        kind=kinds.get(result.product, ""),
        zone=zone(result.rejects, result.inspections),
        manual_rejects=result.rejects,
        manual_inspections=result.inspections,
        manual_fqv=float(fqv(result.rejects, result.inspections)),
        machine_rejects=rejects,
        machine_inspections=inspections,
        machine_fqv=float(fqv(rejects, inspections)),
    )


def _compared(rows: Sequence[Container], replicates: int, seed: int) -> Comparison | None:
    if not rows:
        return None
    return Comparison(
        containers=len(rows),
        man=float(sum(_man(row) for row in rows) / len(rows)),
        machine=float(sum(_machine(row) for row in rows) / len(rows)),
        difference=float(_mean_difference(rows)),
        interval=_paired_interval(rows, replicates, seed),
    )


def _man(row: Container) -> Fraction:
    return fqv(row.manual_rejects, row.manual_inspections) / 10


def _machine(row: Container) -> Fraction:
    return fqv(row.machine_rejects, row.machine_inspections) / 10


def _mean_difference(rows: Sequence[Container]) -> Fraction:
    return Fraction(sum(_machine(row) - _man(row) for row in rows), len(rows))


def _paired_interval(rows: Sequence[Container], replicates: int, seed: int) -> Interval | None:
    if len(rows) < 2:
        return None
    differences = np.array([float(_machine(row) - _man(row)) for row in rows])
    draws = resampled_strips(np.ones(len(rows), bool), replicates=replicates, seed=seed)
    return percentile_interval((draws * differences).sum(axis=1) / len(rows))


def _verdict(rze: Comparison | None, rag: Comparison | None, margin: float) -> Verdict:
    bounds = [None if part is None else part.interval for part in (rze, rag)]
    if bounds[0] is None or bounds[1] is None:
        return "not_shown"
    (rze_low, rze_high), (rag_low, rag_high) = bounds[0], bounds[1]
    if rze_high < -margin - _ROUNDING or rag_low > margin + _ROUNDING:
        return "worse"
    if rze_low >= -margin - _ROUNDING and rag_high <= margin + _ROUNDING:
        return "at_least_as_good"
    return "not_shown"


def _limitations(rze: Comparison | None, rag: Comparison | None) -> list[str]:
    return [
        text
        for name, part in (("reject zone", rze), ("accept and grey zone", rag))
        if (text := _limitation(name, part))
    ]


def _limitation(name: str, part: Comparison | None) -> str:
    if part is None:
        return f"No container lies in the {name}: no verdict is possible."
    if part.interval is None:
        return f"Only one container lies in the {name}: no interval, so no verdict is possible."
    if part.interval[0] == part.interval[1]:
        return (
            f"Man and machine differ by the same in all {part.containers} containers of the "
            f"{name}: the interval has no width and says nothing about other containers."
        )
    return ""
