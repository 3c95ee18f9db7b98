"""Kinds of defects that the simulator lacks: seen from 0.3 on, masked, in a folder like others."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vialsight.data import read_dataset
from vialsight.data.defects import read_defects
from vialsight.errors import DataError
from vialsight.simulation.plan import DEFECT_KINDS, Defect, plan_set
from vialsight.simulation.rendering import render_run

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from unknown_flaws import KINDS  # noqa: E402
from unknown_kinds import MILDEST, plan_unknown  # noqa: E402

HEALTHY = plan_set("train", strips=2, seed=5).strips[0]
# Electrons and read noise of the simulated sensor, grey values, in bright light.
NOISE = 1.8


@pytest.fixture(scope="module")
def faultless():
    return render_run(HEALTHY, 1, [8]).frames[0].astype(float)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mildest_defect_stands_out_of_the_noise_and_grows(kind, faultless):
    energies = []
    for severity in (MILDEST, 1.0):
        defect = Defect(kind=kind, severity=severity, vial=3, make=KINDS[kind])
        run = render_run(replace(HEALTHY, defects=(defect,)), 1, [8])
        difference = (run.frames[0] - faultless) ** 2
        assert difference[run.masks[0]].sum() >= 0.9 * difference.sum()
        energies.append(difference.sum())
    # An ideal observer's detectability index; people need some 10 where they must search.
    assert np.sqrt(energies[0]) / NOISE > 20
    assert energies[1] > 1.5 * energies[0]


def test_kinds_are_not_the_simulators():
    assert len(KINDS) >= 8
    assert not set(KINDS) & set(DEFECT_KINDS)
    with pytest.raises(DataError, match="'foam' is made by the simulator; give another name"):
        Defect(kind="foam", severity=0.5, vial=0, make=KINDS["crack"])


def test_plan_has_as_many_nominal_strips_and_spreads_severities():
    plan = plan_unknown(42, seed=3)
    labels = [strip.label for strip in plan.strips]
    assert labels == ["nominal"] * 42 + ["defective"] * 42
    assert len({strip.product for strip in plan.strips}) == 84
    defects = [strip.defects[0] for strip in plan.strips[42:]]
    for kind in KINDS:
        assert sum(defect.kind == kind for defect in defects) == 3
    severities = np.sort([defect.severity for defect in defects])
    even = np.linspace(MILDEST, 1.0, 42)
    np.testing.assert_allclose(severities, even, atol=0.06)


def test_no_strip_is_another_sets_or_seeds():
    ours = {strip.entropy for seed in (0, 1) for strip in plan_unknown(3, seed).strips}
    theirs = {
        strip.entropy
        for name in ("train", "calibration", "kit")
        for strip in plan_set(name, strips=6, seed=0).strips
    }
    assert len(ours) == 12
    assert not ours & theirs


def test_tool_writes_a_dataset_folder_and_goes_on_with_it(tmp_path):
    command = [sys.executable, TOOLS / "unknown_kinds.py", "--out", tmp_path, "--strips", "1"]
    command += ["--seed", "4", "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True)
    data = read_dataset(tmp_path)
    assert [record.label for record in data.records] == ["nominal"] * 3 + ["defective"] * 3
    assert {record.split for record in data.records} == {"test"}
    assert [record.frame for record in data.records] == [1, 8, 16] * 2
    assert all(record.mask is not None for record in data.records[3:])
    (defect,) = read_defects(tmp_path / "defects.csv")
    assert defect.kind in KINDS
    assert MILDEST <= defect.severity <= 1.0
    assert len((tmp_path / "poses.csv").read_text().splitlines()) == 7
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    subprocess.run(command, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
