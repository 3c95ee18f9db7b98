"""The panel of inspectors: its curve against SciPy, its draws against the binomial, its file."""

import csv
import dataclasses
import math
import shutil
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from simulation_support import simulate, small_kit, tree, write_quietly

from vialsight.data.defects import read_defects
from vialsight.simulation.flaws import Flaw
from vialsight.simulation.panel import (
    HALF_SEEN,
    INSPECTIONS,
    INSPECTORS,
    SPREAD,
    Inspector,
    rejection_probability,
    write_panel,
)
from vialsight.simulation.plan import DEFECT_KINDS, Defect, SetPlan, plan_set
from vialsight.statistics.knapp import zone
from vialsight.statistics.manual import ManualResult, read_manual

SURE = Inspector(name="S", bias=0.0, false_alarms=0.0, lapses=0.0)
TYPICAL = Inspector(name="T", bias=0.1, false_alarms=0.02, lapses=0.05)


def defect(kind: str, severity: float) -> Defect:
    return Defect(kind=kind, severity=severity, vial=0)


def results(plan: SetPlan, folder: Path) -> dict[str, ManualResult]:
    write_panel(folder / "manual.csv", plan)
    return {result.product: result for result in read_manual(folder / "manual.csv")}


def _no_flaw(severity: float, random: np.random.Generator) -> Flaw:
    return Flaw()


class TestCurve:
    @pytest.mark.parametrize("kind", DEFECT_KINDS)
    @pytest.mark.parametrize("severity", [0.0, 0.2, 0.5, 0.77, 1.0])
    def test_is_the_psychometric_function(self, kind: str, severity: float) -> None:
        seen = expit((severity - HALF_SEEN[kind] - 0.1) / SPREAD)
        expected = 0.02 + (1 - 0.02 - 0.05) * seen
        found = rejection_probability([defect(kind, severity)], TYPICAL)
        assert found == pytest.approx(expected, rel=1e-12)

    def test_half_see_a_defect_of_the_stated_severity(self) -> None:
        for kind, severity in HALF_SEEN.items():
            assert rejection_probability([defect(kind, severity)], SURE) == 0.5

    def test_a_nominal_strip_is_rejected_by_false_alarms_alone(self) -> None:
        assert [rejection_probability([], i) for i in INSPECTORS] == [
            inspector.false_alarms for inspector in INSPECTORS
        ]

    def test_two_defects_are_seen_independently(self) -> None:
        two = [defect("foam", HALF_SEEN["foam"]), defect("laser_cut", HALF_SEEN["laser_cut"])]
        assert rejection_probability(two, SURE) == 0.75

    def test_every_kind_has_one(self) -> None:
        assert set(HALF_SEEN) == set(DEFECT_KINDS)

    def test_rises_as_that_of_particles_does(self) -> None:
        """0.4 at 100 um, about 0.7 at 150 and 0.9 at 200, where size grows eightfold by 1."""

        def severity_of(size_um: float) -> float:
            return math.log(size_um / 100.0) / math.log(8.0)

        start = math.log(0.4 / 0.6)
        found = [float(expit(start + severity_of(size) / SPREAD)) for size in (150.0, 200.0)]
        assert found == pytest.approx([0.7, 0.9], abs=0.06)

    def test_who_sees_more_also_rejects_more_good_strips(self) -> None:
        by_bias = sorted(INSPECTORS, key=lambda inspector: inspector.bias)
        alarms = [inspector.false_alarms for inspector in by_bias]
        assert alarms == sorted(alarms, reverse=True)
        assert np.mean(alarms) == pytest.approx(0.02)
        assert np.mean([inspector.bias for inspector in INSPECTORS]) == pytest.approx(0.0)
        assert all(0.0 < inspector.lapses < 0.06 for inspector in INSPECTORS)


class TestDraws:
    def test_are_fixed_by_the_strips_own_seed(self, tmp_path: Path) -> None:
        plan = plan_set("kit", strips=3, seed=4)
        write_panel(tmp_path / "manual.csv", plan)
        expected = ["product,inspector,inspections,rejects"]
        for index, strip in enumerate(plan.strips):
            for number, inspector in enumerate(INSPECTORS):
                seed = np.random.SeedSequence(
                    (4, 3, index), spawn_key=(zlib.crc32(b"panel"), number)
                )
                chances = np.random.Generator(np.random.PCG64(seed)).random(10)
                rejects = sum(chances < rejection_probability(strip.defects, inspector))
                expected.append(f"{strip.product},{inspector.name},10,{rejects}")
        assert (tmp_path / "manual.csv").read_text().splitlines() == expected

    @pytest.mark.parametrize("number", range(len(INSPECTORS)))
    def test_have_the_stated_probability(self, number: int, tmp_path: Path) -> None:
        """Rejects by each inspector over six kits lie within four deviations of their sum."""
        expected = variance = rejects = 0.0
        for seed in range(1, 7):
            plan = plan_set("kit", seed=seed)
            write_panel(tmp_path / "manual.csv", plan)
            with (tmp_path / "manual.csv").open(newline="") as file:
                rows = [
                    r for r in csv.DictReader(file) if r["inspector"] == INSPECTORS[number].name
                ]
            rejects += sum(int(row["rejects"]) for row in rows)
            chances = [rejection_probability(s.defects, INSPECTORS[number]) for s in plan.strips]
            expected += INSPECTIONS * sum(chances)
            variance += INSPECTIONS * sum(p * (1 - p) for p in chances)
        assert abs(rejects - expected) < 4 * variance**0.5

    def test_do_not_depend_on_runs_and_frames(self, tmp_path: Path) -> None:
        usual = results(plan_set("kit", strips=20), tmp_path)
        assert results(plan_set("kit", strips=20, runs=2, frames=(8,)), tmp_path) == usual

    def test_zones_of_the_full_kit(self, tmp_path: Path) -> None:
        """As docs/simulation.md counts them."""
        plan = plan_set("kit")
        manual = results(plan, tmp_path)
        found = Counter(
            (strip.label, zone(r.rejects, r.inspections))
            for strip in plan.strips
            for r in [manual[strip.product]]
        )
        assert found == {
            ("nominal", "accept"): 120,
            ("defective", "accept"): 38,
            ("defective", "grey"): 34,
            ("defective", "reject"): 69,
        }
        gross = [s for s in plan.strips if any(d.severity >= 0.5 for d in s.defects)]
        seen = [manual[s.product].rejects / manual[s.product].inspections for s in gross]
        assert np.mean(seen) == pytest.approx(0.84, abs=0.005)


class TestFile:
    def test_holds_fifty_inspections_of_every_strip(self, kit_folder: Path) -> None:
        manual = read_manual(kit_folder / "manual.csv")
        assert [r.product for r in manual] == [strip.product for strip in small_kit().strips]
        assert {r.inspections for r in manual} == {50}

    def test_is_the_only_new_file_of_a_kit(self, kit_folder: Path) -> None:
        names = {path.name for path in kit_folder.iterdir()}
        before = {"images", "masks", "dataset.csv", "defects.csv", "layout.json", "poses.csv"}
        assert names - before == {"simulation.json", "manual.csv"}

    def test_a_calibration_set_has_one(self, tmp_path: Path) -> None:
        write_quietly(plan_set("calibration", strips=2, runs=1), tmp_path / "set")
        assert len(read_manual(tmp_path / "set" / "manual.csv")) == 2

    def test_a_set_without_defects_has_none(self, tmp_path: Path) -> None:
        write_quietly(plan_set("train", strips=2, runs=1, frames=(8,)), tmp_path / "set")
        assert not (tmp_path / "set" / "manual.csv").exists()

    def test_a_set_with_kinds_that_are_not_ours_has_none(self, tmp_path: Path) -> None:
        ours, *_ = small_kit().strips[1].defects
        foreign = dataclasses.replace(ours, kind="rust", make=_no_flaw)
        strip = dataclasses.replace(small_kit().strips[1], defects=(ours, foreign))
        plan = dataclasses.replace(small_kit(), strips=(strip,), frames=(8,))
        write_quietly(plan, tmp_path / "set", workers=1)
        assert read_defects(tmp_path / "set" / "defects.csv")[1].kind == "rust"
        assert not (tmp_path / "set" / "manual.csv").exists()

    def test_an_interrupted_folder_gets_it(self, kit_folder: Path, tmp_path: Path) -> None:
        out = Path(shutil.copytree(kit_folder, tmp_path / "kit"))
        for name in ("dataset.csv", "manual.csv"):
            (out / name).unlink()
        (out / ".manual.csv.0123456789ab.tmp").write_text("product,insp")
        assert write_quietly(small_kit(), out)
        assert tree(out) == tree(kit_folder)

    def test_a_complete_folder_of_before_gets_it_alone(
        self, kit_folder: Path, tmp_path: Path
    ) -> None:
        out = Path(shutil.copytree(kit_folder, tmp_path / "kit"))
        (out / "manual.csv").unlink()
        (out / "layout.json").write_text("changed by its owner")
        said = simulate("kit", "--strips", "3", "--runs", "1", "--out", out)
        assert said == f"wrote {out}\n"
        assert tree(out) == tree(kit_folder) | {"layout.json": b"changed by its owner"}
        assert not write_quietly(small_kit(), out)
