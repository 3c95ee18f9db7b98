"""The figures of a report for machines: plain JSON values, and flat rows for CSV files."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vialsight.evaluation.decisions import Decisions
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.measures import Measures

Row = dict[str, Any]


def report_values(evidence: Evidence, findings: Findings) -> dict[str, Any]:
    """Return identity, thresholds, rule and every figure as plain JSON values."""
    return {
        "identity": evidence.identity,
        "score": _score(evidence, findings),
        "regions": list(evidence.regions),
        "thresholds": {level: list(values) for level, values in evidence.thresholds.items()},
        "rule": asdict(evidence.rule),
        "inspections": len(evidence.products),
        "strips": len(set(evidence.products)),
        "margin": evidence.margin,
        "limitations": limitations(evidence, findings),
        **{
            key: value
            for key, value in asdict(findings).items()
            if key not in ("components", "limitations") and (key != "poses" or value is not None)
        },
    }


def _score(evidence: Evidence, findings: Findings) -> dict[str, Any]:
    """Return which components decide, how, and what each would do alone."""
    return {
        "components": list(evidence.score.names),
        "combine": evidence.score.combine,
        "measures": [asdict(row) for row in findings.components],
    }


def limitations(evidence: Evidence, findings: Findings) -> list[str]:
    """Return what the data did not allow, each sentence once, in order."""
    return list(dict.fromkeys((*evidence.limitations, *findings.limitations)))


def tables(findings: Findings) -> dict[str, list[Row]]:
    """Return the rows of each CSV file by its name; intervals are two columns, _low and _high.

    A part that the data did not allow has no file.
    """
    found: dict[str, list[Row]] = {
        "measures.csv": _decisions(findings),
        "components.csv": [_flat_row(row) for row in findings.components],
        "classes.csv": [_flat_row(row) for row in findings.classes],
        "pixels.csv": [_flat_row(row) for row in findings.pixels],
        "latency.csv": [_flat_row(row) for row in findings.latency],
        "drift.csv": [_flat_row(row) for row in findings.drift],
        "pose_measures.csv": _coordinates(findings),
        "knapp.csv": [] if findings.knapp is None else _containers(findings),
        "reject_zone.csv": [] if findings.reject_zone is None else _decisions(findings.reject_zone),
    }
    return {name: rows for name, rows in found.items() if rows}


def _decisions(decisions: Findings | Decisions) -> list[Row]:
    """Return tables 1 to 3 as rows, the level first."""
    levels: list[tuple[str, Sequence[Measures]]] = [
        ("patch", decisions.patch),
        ("strip", (decisions.strip,)),
        ("run", () if decisions.run is None else (decisions.run,)),
    ]
    return [{"level": level, **_flat_row(row)} for level, rows in levels for row in rows]


def _coordinates(findings: Findings) -> list[Row]:
    return [] if findings.poses is None else [_flat_row(row) for row in findings.poses.coordinates]


def _containers(findings: Findings) -> list[Row]:
    assert findings.knapp is not None
    return [_flat_row(row) for row in findings.knapp.containers]


def _flat_row(row: Any) -> Row:
    """Return the fields of a dataclass; every `…interval` becomes two columns."""
    flat: Row = {}
    for key, value in asdict(row).items():
        if key.endswith("interval"):
            name = key.removesuffix("_interval")
            flat[f"{name}_low"], flat[f"{name}_high"] = (None, None) if value is None else value
        else:
            flat[key] = value
    return flat
