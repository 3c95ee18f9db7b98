"""The report in a few plain sentences, with the integers that they stand on."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.measures import Measures
from vialsight.report.figures import SLOT_MS
from vialsight.report.text import count, milliseconds, percent, percent_interval

_VERDICTS: Final = {
    "at_least_as_good": "is at least as good as manual inspection",
    "worse": "is worse than manual inspection",
    "not_shown": "has not been shown to be at least as good as manual inspection",
}


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One figure of the head of the page: its name, its value, and what it stands on."""

    name: str
    value: str
    basis: str


def knapp_sentence(findings: Findings) -> str | None:
    """Return the verdict of the Knapp study in a sentence, or None where there was no study."""
    if findings.knapp is None:
        return None
    verdict, margin = _VERDICTS[findings.knapp.verdict], findings.knapp.margin
    return f"Knapp study: the machine {verdict}, by the margin of {margin:g} stated before it."


def sentences(evidence: Evidence, findings: Findings) -> list[str]:
    """Return the verdict summary."""
    strip = findings.strip
    found = [
        _share(strip.detected, strip.defective, "defective", strip.detection_rate_interval),
        _share(strip.false_rejects, strip.nominal, "nominal", strip.false_reject_rate_interval),
    ]
    if findings.run is not None:
        found.append(_run_sentence(evidence, findings.run))
    found.append(_time_sentence(evidence))
    return [sentence for sentence in found if sentence]


def key_figures(evidence: Evidence, findings: Findings) -> list[KeyFigure]:
    """Return the figures at the head of the page."""
    strip = findings.strip
    figures = [
        KeyFigure(
            name="Detection rate, strips",
            value=percent(strip.detection_rate),
            basis=f"{count(strip.detected)} of {count(strip.defective)} inspections",
        ),
        KeyFigure(
            name="False reject rate, strips",
            value=percent(strip.false_reject_rate),
            basis=f"{count(strip.false_rejects)} of {count(strip.nominal)} inspections",
        ),
    ]
    if findings.run is not None:
        figures.append(_run_figure(evidence, findings.run))
    figures += [
        KeyFigure(
            name="Time per strip, 99th percentile",
            value=f"{milliseconds(stage.p99_ms)}\N{NO-BREAK SPACE}ms",
            basis=f"slot {SLOT_MS:g} ms",
        )
        for stage in findings.latency
        if stage.stage.removesuffix("_s") == "total"
    ]
    return figures


def _share(hits: int, total: int, truth: str, interval: tuple[float, float] | None) -> str:
    if total == 0:
        return f"There was no {truth} strip, so nothing is known of them."
    return (
        f"{count(hits)} of {count(total)} inspections of {truth} strips were rejected "
        f"({percent(hits / total)}; 95\N{NO-BREAK SPACE}% interval {percent_interval(interval)})."
    )


def _run_sentence(evidence: Evidence, run: Measures) -> str:
    rule = evidence.rule
    return (
        f"Over {rule.runs} runs each, {count(run.detected)} of {count(run.defective)} defective "
        f"and {count(run.nominal - run.false_rejects)} of {count(run.nominal)} nominal strips were "
        f"classified right in at least {rule.agree} runs, with the thresholds of the run level."
    )


def _run_figure(evidence: Evidence, run: Measures) -> KeyFigure:
    right = run.detected + run.nominal - run.false_rejects
    return KeyFigure(
        name=f"Strips right in {evidence.rule.agree} of {evidence.rule.runs} runs",
        value=percent(run.accuracy),
        basis=f"{count(right)} of {count(run.nominal + run.defective)} strips",
    )


def _time_sentence(evidence: Evidence) -> str:
    total_ms = 1e3 * evidence.times["total_s"]
    late = int(np.count_nonzero(total_ms > SLOT_MS))
    return (
        f"{count(late) if late else 'None'} of {count(len(total_ms))} inspections took longer than "
        f"the slot of {SLOT_MS:g} ms on the machine that evaluated."
    )
