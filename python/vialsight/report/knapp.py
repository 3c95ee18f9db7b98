"""The report's part on the Knapp study and on the k-of-n rule: figures and sample sizes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.reject_zone import must_reject
from vialsight.report import svg
from vialsight.report.decisions import DecisionTables, decision_tables
from vialsight.report.text import percent, rate
from vialsight.statistics.characteristic import (
    characteristic_curve,
    containers_for_margin,
    detection_for,
    pass_probability,
    strips_for_halfwidth,
    strips_without_error,
)
from vialsight.statistics.knapp import Comparison, Container, KnappStudy

# The example of the acceptance rule: a defect seen in 6 of 10 acquisitions mostly fails it.
_EXAMPLE: Final = 0.6
_ZONE_ENDS: Final = (3, 7)
_ZONE_COLOURS: Final = {"accept": svg.NOMINAL, "grey": svg.MUTED, "reject": svg.DEFECTIVE}


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One comparison of man and machine; None where its zone is empty."""

    name: str
    comparison: Comparison | None


@dataclass(frozen=True, kw_only=True)
class KnappPart:
    """What the section shows; `study` and `scatter` are None without manual results."""

    study: KnappStudy | None
    rows: tuple[ComparisonRow, ...]
    kinds: tuple[ComparisonRow, ...]
    zones: tuple[tuple[str, int], ...]
    must_reject: int  # defective strips of the reject zone
    must_reject_decisions: DecisionTables | None  # on them and on all nominal strips
    scatter: str | None
    characteristic: str | None
    characteristic_caption: str
    sizes: tuple[tuple[str, int], ...]


def knapp_part(evidence: Evidence, findings: Findings) -> KnappPart:
    """Return the section's figures; the k-of-n rule only where there are runs to judge by it."""
    study = findings.knapp
    ruled = findings.run is not None or study is not None
    return KnappPart(
        study=study,
        rows=_rows(study),
        kinds=_kinds(study),
        zones=_zones(study),
        must_reject=0 if study is None else len(must_reject(evidence, study)),
        must_reject_decisions=_must_reject_decisions(evidence, findings),
        scatter=None if study is None else _scatter(study.containers),
        characteristic=_characteristic(evidence) if ruled else None,
        characteristic_caption=_caption(evidence),
        sizes=_sizes(study) if ruled else (),
    )


def _must_reject_decisions(evidence: Evidence, findings: Findings) -> DecisionTables | None:
    zone = findings.reject_zone
    return None if zone is None else decision_tables(evidence, zone)


def _rows(study: KnappStudy | None) -> tuple[ComparisonRow, ...]:
    if study is None:
        return ()
    return (
        ComparisonRow(name="RZE: reject zone", comparison=study.rze),
        ComparisonRow(name="RAG: accept and grey zones", comparison=study.rag),
    )


def _kinds(study: KnappStudy | None) -> tuple[ComparisonRow, ...]:
    if study is None:
        return ()
    return tuple(ComparisonRow(name=kind, comparison=c) for kind, c in study.rze_of_kind.items())


def _zones(study: KnappStudy | None) -> tuple[tuple[str, int], ...]:
    """Count the containers of each zone."""
    if study is None:
        return ()
    found = Counter(container.zone for container in study.containers)
    return tuple((zone, found[zone]) for zone in ("accept", "grey", "reject"))


def _scatter(containers: Sequence[Container]) -> str:
    """Draw FQV of the machine against FQV of man; a dot's area is its number of containers."""
    places = Counter((row.manual_fqv, row.machine_fqv, row.zone) for row in containers)

    def paint(axes: Any) -> None:
        axes.axvspan(*_ZONE_ENDS, color=svg.GRID, zorder=0)
        for end in _ZONE_ENDS:
            axes.axhline(end, color=svg.MUTED, linewidth=0.6, linestyle=":")
        axes.plot([0, 10], [0, 10], color=svg.MUTED, linewidth=0.6)
        for (man, machine, zone), containers_here in sorted(places.items()):
            size = 3.0 + 2.5 * np.sqrt(containers_here)
            axes.plot(man, machine, "o", color=_ZONE_COLOURS[zone], markersize=size, alpha=0.55)
        for text, place in (("accept", 1.5), ("grey", 5.0), ("reject", 8.5)):
            axes.text(place, 10.7, text, ha="center", va="bottom", color=_ZONE_COLOURS[text])
        axes.set(xlim=(-0.6, 10.6), ylim=(-0.6, 10.6))
        axes.set(xlabel="FQV of manual inspection", ylabel="FQV of the machine")

    return svg.draw("FQV of man and machine per container", paint, height=0.95)


def _characteristic(evidence: Evidence) -> str:
    """Draw how often the k-of-n rule is passed, by the probability to be right in one run."""
    agree, runs = evidence.rule.agree, evidence.rule.runs

    def paint(axes: Any) -> None:
        axes.plot(*characteristic_curve(agree, runs), color=svg.NOMINAL, linewidth=1.4)
        passed = pass_probability(_EXAMPLE, agree, runs)
        axes.plot([0, _EXAMPLE, _EXAMPLE], [passed, passed, 0], color=svg.MUTED, linewidth=0.7)
        axes.plot(_EXAMPLE, passed, "o", color=svg.DEFECTIVE, markersize=5)
        text = f"{_EXAMPLE:g} → {100 * passed:.0f} %"
        axes.annotate(
            text, (_EXAMPLE, passed), textcoords="offset points", xytext=(-6, 4), ha="right"
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set(xlabel="probability to be right in one run", ylabel=f"passes {agree} of {runs}")

    return svg.draw("Operating characteristic of the run rule", paint, height=0.95)


def _caption(evidence: Evidence) -> str:
    agree, runs = evidence.rule.agree, evidence.rule.runs
    passed = percent(pass_probability(_EXAMPLE, agree, runs))
    needed = rate(detection_for(0.95, agree, runs))
    return (
        f"The rule {agree} of {runs}: a strip that is judged right with probability {_EXAMPLE:g} "
        f"in each run passes in {passed} of cases; to pass in 95 % it needs {needed}."
    )


def _sizes(study: KnappStudy | None) -> tuple[tuple[str, int], ...]:
    """Return what a claim needs, and how many strips or containers that takes."""
    sizes = [
        (
            f"Defective strips, all detected, that show a detection rate of at least {shown:g}",
            strips_without_error(shown),
        )
        for shown in (0.9, 0.95, 0.99)
    ]
    sizes += [
        (
            f"Strips for an interval within ±{half:g} of a rate of 0.95",
            strips_for_halfwidth(0.95, half),
        )
        for half in (0.05, 0.02)
    ]
    return (*sizes, *_containers_needed(study))


def _containers_needed(study: KnappStudy | None) -> list[tuple[str, int]]:
    """Return the size of a study with the deviation of this one, where it has one."""
    if study is None or study.margin == 0:
        return []
    needed = []
    for name, rejects in (("reject zone", True), ("accept and grey zones", False)):
        differences = np.array(
            [
                (row.machine_fqv - row.manual_fqv) / 10
                for row in study.containers
                if (row.zone == "reject") is rejects
            ]
        )
        deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
        if deviation > 0:
            text = (
                f"Containers of the {name} for the margin of {study.margin:g} with a power of "
                f"80 %, were both equally good and differences spread as here ({deviation:.3f})"
            )
            needed.append((text, containers_for_margin(deviation, study.margin)))
    return needed
