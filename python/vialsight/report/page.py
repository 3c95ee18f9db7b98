"""`report.html`: one page that needs no network and runs no script."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Drift, Findings
from vialsight.evaluation.measures import Measures
from vialsight.files import atomic
from vialsight.report import figures, knapp, paper, summary, text
from vialsight.report.decisions import decision_tables, threshold_rows
from vialsight.report.gallery import galleries
from vialsight.report.poses import pose_part
from vialsight.report.score import score_part
from vialsight.report.values import limitations

PAGE_NAME = "report.html"
_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, kw_only=True)
class RegionFigures:
    """The drawings of one region, and the figures that their captions quote."""

    region: str
    measures: Measures
    drift: Drift | None
    not_finite: int
    histogram: str
    roc: str | None
    over_time: str


def write_page(evidence: Evidence, findings: Findings, out: Path) -> None:
    """Write `report.html` into the folder `out`: same evidence and findings, same bytes.

    Raises DataError when a picture of the evidence cannot be read.
    """
    page = environment().get_template(_TEMPLATE).render(_context(evidence, findings))
    atomic.write_text(out / PAGE_NAME, page)


def environment() -> Any:
    """Return the Jinja environment of pages: their templates and how numbers are written."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vialsight", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "count", "rate", "difference", "interval", "difference_interval", "percent", "score",
        "milliseconds", "probability", "words",
    ):  # fmt: skip
        environment.filters[name] = getattr(text, name)
    return environment


def _context(evidence: Evidence, findings: Findings) -> dict[str, Any]:
    """Return all that the templates show."""
    return {
        "galleries": galleries(evidence),  # first: broken pictures fail before figures are drawn
        "evidence": evidence,
        "findings": findings,
        "name": str(evidence.identity.get("bundle", "a bundle")),
        "bundle_mark": _bundle_mark(evidence),
        "strips": len(set(evidence.products)),
        "sentences": summary.sentences(evidence, findings),
        "knapp_sentence": summary.knapp_sentence(findings),
        "key_figures": summary.key_figures(evidence, findings),
        "limitations": limitations(evidence, findings),
        "decisions": decision_tables(evidence, findings),
        "thresholds": threshold_rows(evidence),
        "score": score_part(evidence, findings),
        "paper": paper,
        "regions": _region_figures(evidence, findings),
        "poses": pose_part(evidence, findings),
        "class_figure": figures.class_rates(findings.classes),
        "severity_figure": figures.severity_rates(findings.classes),
        "latency_figures": (figures.latency_histogram(evidence), figures.latency_tail(evidence)),
        "knapp": knapp.knapp_part(evidence, findings),
        "identity": text.flat(evidence.identity),
    }


def _region_figures(evidence: Evidence, findings: Findings) -> list[RegionFigures]:
    measures = {row.unit: row for row in findings.patch}
    drifts = {row.region: row for row in findings.drift}
    return [
        RegionFigures(
            region=region,
            measures=measures[region],
            drift=drifts.get(region),
            not_finite=int(np.count_nonzero(~np.isfinite(evidence.scores[..., place]))),
            histogram=figures.histogram(evidence, place),
            roc=figures.roc(evidence, place),
            over_time=figures.drift(evidence, place),
        )
        for place, region in enumerate(evidence.regions)
    ]


def _bundle_mark(evidence: Evidence) -> str:
    """Return the start of the bundle's hash for the foot of printed pages, safe inside CSS."""
    digest = str(evidence.identity.get("bundle_sha256", ""))
    return digest[:12] if re.fullmatch(r"[0-9a-f]{64}", digest) else ""
