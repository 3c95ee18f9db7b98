#!/usr/bin/env python3
"""How well a report's strips are told apart, by the least severity of the defects that count.

usage: results_by_severity.py REPORT
REPORT is a folder that `vialsight evaluate` wrote for simulated strips. A strip's number is the
most by which any of its patches exceeds the threshold of its region at strip level. Intervals are
95 %, by the report's own bootstrap over strips.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vialsight.data.defects import gravest
from vialsight.evaluation.decisions import excess
from vialsight.evaluation.evidence import Evidence, read_evidence
from vialsight.evaluation.measures import ranked_auroc
from vialsight.statistics.intervals import resampled_strips


class Row(NamedTuple):
    """Strips whose gravest defect has a severity of `least` at least, against all nominal ones."""

    least: float
    strips: int
    auroc: float | None
    interval: tuple[float, float] | None
    detected: float


LEAST_SEVERITIES = (0.0, 0.3, 0.5, 0.7)


def severities_of(evidence: Evidence) -> np.ndarray:
    """Severity of the gravest defect of each inspection's product; nominal ones have -1."""
    defects = gravest(evidence.defects)
    found = {product: defect.severity or 0.0 for product, defect in defects.items()}
    return np.array([found.get(product, -1.0) for product in evidence.products])


def rows_of(evidence: Evidence) -> Iterator[Row]:
    """Measure the strips of each least severity against all nominal ones."""
    numbers = excess(evidence, "strip").max(axis=(1, 2, 3))
    severities, nominal = severities_of(evidence), ~evidence.defective
    for least in LEAST_SEVERITIES:
        graver = severities >= least
        chosen = nominal | graver
        _, strips = np.unique(evidence.strip_of[chosen], return_inverse=True)
        labels = graver[chosen]
        per_strip = np.zeros(int(strips.max()) + 1, bool)
        per_strip[strips] = labels
        draws = resampled_strips(per_strip)
        area, interval = ranked_auroc(numbers[chosen], labels, strips, draws)
        count = np.unique(evidence.strip_of[graver]).size
        detected = float(np.mean(numbers[graver] > 0.0)) if count else math.nan
        yield Row(least, count, area, interval, detected)


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    evidence = read_evidence(Path(sys.argv[1]))
    print("| severity | defective strips | AUROC | detected |")
    print("|---|---|---|---|")
    for row in rows_of(evidence):
        area = shown(row.auroc, row.interval)
        print(f"| ≥ {row.least:g} | {row.strips} | {area} | {row.detected:.1%} |")
    nominal = ~evidence.defective
    rejected = np.mean(excess(evidence, "strip").max(axis=(1, 2, 3))[nominal] > 0.0)
    print(f"\nnominal: {rejected:.2%} of {nominal.sum()} inspections rejected")
    return 0


def shown(area: float | None, interval: tuple[float, float] | None) -> str:
    """Return a figure and its interval, or a dash where there is none."""
    if area is None or interval is None:
        return "–" if area is None else f"{area:.3f}"
    low, high = interval
    return f"{area:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
