#!/usr/bin/env python3
"""How well a report's strips are told apart, by the least severity of the defects that count.

usage: results_by_severity.py REPORT
REPORT is a folder that `vialsight evaluate` wrote for simulated strips. A strip's number is the
most by which any of its patches exceeds the threshold of its region at strip level. Intervals are
95 %, by bootstrap over strips (2,000 replicates, seed 0).
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from vialsight.statistics.ranking import auroc

LEAST_SEVERITIES = (0.0, 0.3, 0.5, 0.7)
REPLICATES = 2000


def numbers_of(report: Path) -> dict[tuple[str, str], float]:
    """Largest excess over the strip thresholds by product and run."""
    levels = json.loads((report / "report.json").read_text())
    thresholds = dict(zip(levels["regions"], levels["thresholds"]["strip"], strict=True))
    found: dict[tuple[str, str], float] = defaultdict(lambda: -np.inf)
    with (report / "scores.csv").open() as file:
        for row in csv.DictReader(file):
            key = row["product"], row["run"]
            found[key] = max(found[key], float(row["score"]) - thresholds[row["region"]])
    return found


def severities_of(report: Path) -> dict[str, float]:
    """Severity of the gravest defect by product; nominal strips are absent."""
    found: dict[str, float] = {}
    with (report / "defects.csv").open() as file:
        for row in csv.DictReader(file):
            found[row["product"]] = max(float(row["severity"]), found.get(row["product"], 0.0))
    return found


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    report = Path(sys.argv[1])
    numbers, severities = numbers_of(report), severities_of(report)
    by_strip: dict[str, list[float]] = defaultdict(list)
    for (product, _), number in numbers.items():
        by_strip[product].append(number)
    nominal = [by_strip[p] for p in by_strip if p not in severities]
    print("| severity | defective strips | AUROC | detected |")
    print("|---|---|---|---|")
    for least in LEAST_SEVERITIES:
        chosen = [by_strip[p] for p in by_strip if severities.get(p, -1.0) >= least]
        area, low, high = interval(nominal, chosen)
        rate = np.mean(np.concatenate(chosen) > 0.0)
        print(f"| ≥ {least:g} | {len(chosen)} | {area:.3f} [{low:.3f}, {high:.3f}] | {rate:.1%} |")
    rejected = np.mean(np.concatenate(nominal) > 0.0)
    print(f"\nnominal: {rejected:.2%} of {sum(map(len, nominal))} inspections rejected")
    return 0


def interval(
    nominal: list[list[float]], defective: list[list[float]]
) -> tuple[float, float, float]:
    """AUROC with its bootstrap interval over strips of both kinds."""
    random = np.random.default_rng(0)

    def area(good: list[list[float]], bad: list[list[float]]) -> float:
        scores = np.concatenate([*good, *bad])
        labels = np.arange(len(scores)) >= sum(map(len, good))
        return float(auroc(scores, labels) or 0.0)

    def drawn(strips: list[list[float]]) -> list[list[float]]:
        return [strips[i] for i in random.integers(0, len(strips), len(strips))]

    replicates = [area(drawn(nominal), drawn(defective)) for _ in range(REPLICATES)]
    return area(nominal, defective), *np.quantile(replicates, [0.025, 0.975])


if __name__ == "__main__":
    sys.exit(main())
