#!/usr/bin/env python3
"""How well a report's strips are told apart, by the least severity of the defects that count.

usage: results_by_severity.py REPORT
REPORT is a folder that `vialsight evaluate` wrote for simulated strips. A strip's number is the
most by which any of its patches exceeds the threshold of its region at strip level. Intervals are
95 %, by the report's own bootstrap over strips.
"""

import sys
from pathlib import Path

import numpy as np

from vialsight.evaluation.decisions import excess
from vialsight.evaluation.evidence import Evidence, read_evidence
from vialsight.evaluation.measures import ranked_auroc
from vialsight.statistics.intervals import resampled_strips

LEAST_SEVERITIES = (0.0, 0.3, 0.5, 0.7)


def severities_of(evidence: Evidence) -> np.ndarray:
    """Severity of the gravest defect of each inspection's product; nominal ones have -1."""
    found: dict[str, float] = {}
    for defect in evidence.defects:
        found[defect.product] = max(defect.severity or 0.0, found.get(defect.product, 0.0))
    return np.array([found.get(product, -1.0) for product in evidence.products])


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    evidence = read_evidence(Path(sys.argv[1]))
    numbers = excess(evidence, "strip").max(axis=(1, 2, 3))
    severities, nominal = severities_of(evidence), ~evidence.defective
    print("| severity | defective strips | AUROC | detected |")
    print("|---|---|---|---|")
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
        share = np.mean(numbers[graver] > 0.0) if count else np.nan
        print(f"| ≥ {least:g} | {count} | {shown(area, interval)} | {share:.1%} |")
    rejected = np.mean(numbers[nominal] > 0.0)
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
