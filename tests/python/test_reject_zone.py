"""Decisions on strips that people reject and on nominal ones, recomputed from the files alone."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from report_page import PageParser, written
from report_support import evidence_of, located, small_kit
from statsmodels.stats.proportion import proportion_confint

from vialsight.evaluation.decisions import Decisions
from vialsight.evaluation.evidence import Evidence, write_evidence
from vialsight.evaluation.findings import Findings, find
from vialsight.evaluation.measures import Measures
from vialsight.report import report_values, tables
from vialsight.report.decisions import decision_tables
from vialsight.statistics.manual import ManualResult

COUNTS = ("nominal", "defective", "false_rejects", "detected")


def graded(evidence: Evidence) -> Evidence:
    """The same; of three defective strips people always reject two, and one half of the time."""
    defective = set(np.array(evidence.products)[evidence.defective].tolist())
    order = sorted(defective)
    shares = {p: (50 if order.index(p) % 3 != 2 else 25) if p in defective else 1
              for p in dict.fromkeys(evidence.products)}  # fmt: skip
    manual = tuple(ManualResult(product=p, inspections=50, rejects=n) for p, n in shares.items())
    return dataclasses.replace(evidence, manual=manual)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """24 strips in 10 runs, 10 of them defective, 7 of which people always reject."""
    return graded(evidence_of(tmp_path_factory.mktemp("evidence"), frames=2, with_pictures=False))


@pytest.fixture(scope="module")
def findings(evidence: Evidence) -> Findings:
    return find(evidence)


@pytest.fixture(scope="module")
def zone(findings: Findings) -> Decisions:
    assert findings.reject_zone is not None
    return findings.reject_zone


@pytest.fixture(scope="module")
def files(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_evidence(evidence, folder)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Counted:
    """Units of the chosen strips, counted row by row from the files of the evidence."""

    def __init__(self, folder: Path) -> None:
        manual = rows_of(folder / "manual.csv")
        must = {r["product"] for r in manual if 10 * int(r["rejects"]) >= 7 * int(r["inspections"])}
        identity = json.loads((folder / "identity.json").read_text())
        self.limits = {
            level: dict(zip(identity["regions"], values, strict=True))
            for level, values in identity["thresholds"].items()
        }
        self.labels = {r["product"]: r["label"] for r in rows_of(folder / "strips.csv")}
        chosen = {p for p, label in self.labels.items() if label == "nominal" or p in must}
        self.rows = [r for r in rows_of(folder / "scores.csv") if r["product"] in chosen]

    def above(self, row: dict[str, str], level: str) -> bool:
        return float(row["score"]) > self.limits[level][row["region"]]

    def region(self, name: str) -> dict[str, int]:
        rows = [r for r in self.rows if r["region"] == name and r["truth"] != "unknown"]
        return counts([(r["truth"] == "defective", self.above(r, "patch")) for r in rows])

    def vials(self) -> dict[str, int]:
        truths: dict[tuple[str, ...], set[str]] = {}
        rejected: dict[tuple[str, ...], bool] = {}
        for row in self.rows:
            key = (row["product"], row["run"], row["vial"])
            truths.setdefault(key, set()).add(row["truth"])
            rejected[key] = rejected.get(key, False) or self.above(row, "patch")
        known = [k for k, t in truths.items() if "defective" in t or "unknown" not in t]
        return counts([("defective" in truths[key], rejected[key]) for key in known])

    def inspections(self, level: str) -> dict[tuple[str, str], bool]:
        rejected: dict[tuple[str, str], bool] = {}
        for row in self.rows:
            key = (row["product"], row["run"])
            rejected[key] = rejected.get(key, False) or self.above(row, level)
        return rejected

    def strips(self) -> dict[str, int]:
        found = self.inspections("strip").items()
        return counts([(self.labels[p] == "defective", rejected) for (p, _), rejected in found])

    def runs(self) -> dict[str, int]:
        rejects: dict[str, int] = {}
        for (product, _), rejected in self.inspections("run").items():
            rejects[product] = rejects.get(product, 0) + rejected
        # 7 of 10 agree with the label; a nominal strip that is not right is a false reject.
        return counts(
            [
                (True, n >= 7) if self.labels[product] == "defective" else (False, 10 - n < 7)
                for product, n in rejects.items()
            ]
        )


def counts(units: list[tuple[bool, bool]]) -> dict[str, int]:
    """Count units given as (defective, rejected)."""
    return {
        "nominal": sum(not defective for defective, _ in units),
        "defective": sum(defective for defective, _ in units),
        "false_rejects": sum(rejected and not defective for defective, rejected in units),
        "detected": sum(rejected and defective for defective, rejected in units),
    }


def counts_in(row: Measures) -> dict[str, int]:
    return {name: getattr(row, name) for name in COUNTS}


class TestFigures:
    def test_counts_are_those_of_the_files(self, zone: Decisions, files: Path) -> None:
        counted = Counted(files)
        *regions, vial = zone.patch
        assert [counts_in(row) for row in regions] == [counted.region(row.unit) for row in regions]
        assert (vial.unit, counts_in(vial)) == ("vial", counted.vials())
        assert counts_in(zone.strip) == counted.strips()
        assert zone.run is not None
        assert counts_in(zone.run) == counted.runs()
        assert (zone.run.nominal, zone.run.defective) == (14, 7)

    def test_balanced_accuracy_follows_from_the_counts(self, zone: Decisions) -> None:
        assert zone.run is not None
        for row in (*zone.patch, zone.strip, zone.run):
            passed = (row.nominal - row.false_rejects) / row.nominal
            expected = (row.detected / row.defective + passed) / 2
            assert row.balanced_accuracy == pytest.approx(expected)

    def test_interval_is_a_bootstrap_of_the_chosen_strips(
        self, zone: Decisions, files: Path
    ) -> None:
        counted = Counted(files)
        rejects: dict[str, list[bool]] = {}
        for (product, _), rejected in counted.inspections("strip").items():
            rejects.setdefault(product, []).append(rejected)
        shares = {
            label: np.array([np.mean(r) for p, r in rejects.items() if counted.labels[p] == label])
            for label in ("nominal", "defective")
        }
        random = np.random.default_rng(5)
        drawn = {k: random.choice(v, (20_000, len(v))).mean(axis=1) for k, v in shares.items()}
        values = (drawn["defective"] + 1 - drawn["nominal"]) / 2
        expected = np.quantile(values, [0.025, 0.975])
        assert zone.strip.balanced_accuracy_interval == pytest.approx(expected, abs=0.02)

    def test_interval_of_the_run_level_is_wilsons(self, zone: Decisions) -> None:
        assert zone.run is not None
        expected = proportion_confint(zone.run.detected, 7, method="wilson")
        assert zone.run.detection_rate_interval == pytest.approx(expected)

    def test_all_strips_are_measured_as_before(self, evidence: Evidence, findings) -> None:
        alone = find(dataclasses.replace(evidence, manual=(), margin=None))
        assert (alone.patch, alone.strip, alone.run) == (
            findings.patch, findings.strip, findings.run,
        )  # fmt: skip


class TestStrips:
    def test_without_a_study_there_is_none(self, evidence: Evidence) -> None:
        assert find(dataclasses.replace(evidence, manual=(), margin=None)).reject_zone is None

    def test_where_people_reject_none_there_is_none(self, evidence: Evidence) -> None:
        spared = tuple(dataclasses.replace(m, rejects=34) for m in evidence.manual)
        findings = find(dataclasses.replace(evidence, manual=spared))
        assert findings.knapp is not None
        assert findings.reject_zone is None

    def test_a_nominal_strip_that_people_reject_stays_nominal(
        self, evidence: Evidence, zone: Decisions
    ) -> None:
        doubted = tuple(dataclasses.replace(m, rejects=50) for m in evidence.manual)
        found = find(dataclasses.replace(evidence, manual=doubted)).reject_zone
        assert found is not None
        assert (found.strip.nominal, found.strip.false_rejects) == (
            zone.strip.nominal,
            zone.strip.false_rejects,
        )
        assert found.strip.defective == 100

    def test_runs_that_do_not_fit_the_rule(self, tmp_path: Path) -> None:
        found = find(graded(evidence_of(tmp_path, runs=3, with_pictures=False))).reject_zone
        assert found is not None
        assert found.run is None

    def test_a_strip_that_was_not_located_counts_as_rejected(self, tmp_path: Path) -> None:
        seen = graded(evidence_of(tmp_path, frames=2, with_pictures=False))
        first = int(np.flatnonzero(np.array(seen.products) == "S001")[0])
        before, after = find(seen).reject_zone, find(located(seen, lost=[first])).reject_zone
        assert before is not None
        assert after is not None
        assert after.strip.defective == before.strip.defective
        assert after.strip.detected == before.strip.detected + bool(seen.accepted[first])


class TestReport:
    def test_page_has_the_papers_figures_beside_them(self, tmp_path: Path) -> None:
        evidence = graded(evidence_of(tmp_path, frames=1, with_pictures=False))
        findings = find(evidence)
        page = written(evidence, findings).page
        part = page[page.index("Strips people reject, and nominal ones") :]
        assert "of the 7 defective strips of the reject zone" in part
        rows = PageParser(part).rows
        assert findings.reject_zone is not None
        expected = decision_tables(evidence, findings.reject_zone).rows
        assert [row.ours.unit for row in expected] == [
            "flag", "top_body", "liquid_body", "bottom", "vial", "strip", "run",
        ]  # fmt: skip
        published = ["0.9530", "0.9515", "0.9883", "0.9984", "0.9762", "0.9581", "0.9638"]
        assert [row[5] for row in rows[1:15] if row[0] == "paper"] == published
        for row, cells in zip(expected, rows[1:15:2], strict=True):
            assert cells[0] == row.ours.unit
            assert cells[1] == f"{row.ours.detected} of {row.ours.defective}"
            assert cells[5].startswith(f"{row.ours.balanced_accuracy:.4f}")

    def test_page_without_such_strips(self, tmp_path: Path) -> None:
        evidence = small_kit(tmp_path)
        spared = tuple(dataclasses.replace(m, rejects=0) for m in evidence.manual)
        evidence = dataclasses.replace(evidence, manual=spared)
        assert "Strips people reject" not in written(evidence, find(evidence)).page

    def test_values_and_table_hold_the_same(
        self, evidence: Evidence, findings: Findings, zone: Decisions
    ) -> None:
        values = json.loads(json.dumps(report_values(evidence, findings)))["reject_zone"]
        rows = tables(findings)["reject_zone.csv"]
        assert [row["level"] for row in rows] == ["patch"] * 5 + ["strip", "run"]
        flat = [*values["patch"], values["strip"], values["run"]]
        for row, value in zip(rows, flat, strict=True):
            assert row["unit"] == value["unit"]
            assert row["balanced_accuracy"] == value["balanced_accuracy"]
            low, high = value["balanced_accuracy_interval"]
            assert (row["balanced_accuracy_low"], row["balanced_accuracy_high"]) == (low, high)
        assert rows[5]["detected"] == zone.strip.detected
