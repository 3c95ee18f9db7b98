"""`tools/demo` refuses what it cannot do; its picture shows right verdicts and mistakes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vialsight.data.defects import KnownDefect

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from strip_picture import choose, described, excess, summary  # noqa: E402


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in a repository that has nothing else."""
    (folder / "tools").mkdir()
    for name in ("demo", "environment.sh"):
        (folder / "tools" / name).write_bytes((TOOLS / name).read_bytes())
    command = ["bash", str(folder / "tools" / "demo"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class TestRefusals:
    def test_missing_bundle(self, tmp_path: Path) -> None:
        done = demo(tmp_path)
        assert done.returncode == 2
        assert "error: bundles/bfs-5.vsb is missing" in done.stderr
        assert "tools/demo --train" in done.stderr
        assert not (tmp_path / ".venv").exists()
        assert not (tmp_path / "demo").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--data", "vials"), "--data: expected simulated or elpv, got 'vials'"),
            (("--seed", "0"), "--seed: expected a number from 1 (0 is that of training), got '0'"),
            (("--seed=x",), "--seed: expected a number from 1 (0 is that of training), got 'x'"),
            (("--data",), "usage: tools/demo"),
            (("--quick",), "usage: tools/demo"),
            (("--seconds", "9"), "--seconds needs --station"),
            (("--station", "--seconds", "0"), "--seconds: expected a number from 1, got '0'"),
            (("--station", "--train"), "leave out --data and --train"),
            (("--station", "--data", "elpv"), "leave out --data and --train"),
        ],
    )
    def test_argument(self, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
        done = demo(tmp_path, *arguments)
        assert done.returncode == 2
        assert message in done.stderr

    def test_help_says_every_option(self, tmp_path: Path) -> None:
        done = demo(tmp_path, "--help")
        assert done.returncode == 0
        for option in (
            "--data simulated",
            "--data elpv",
            "--train",
            "--seed N",
            "--station",
            "--seconds N",
            "--fresh",
        ):
            assert f"\n  {option} " in done.stdout


# Stands for the installed program: notes its arguments, and makes what the verb would make.
FAKE_VIALSIGHT = """#!/usr/bin/env bash
echo "$*" >>"$LOG"
previous=
for argument in "$@"; do
  [ "$previous" != --out ] || out=$argument
  previous=$argument
done
case "$1" in
  simulate) mkdir -p "$out"; touch "$out/dataset.csv" "$out/manual.csv" ;;
  freeze | calibrate) mkdir -p "$out"; echo "$*" >"$out/manifest.json" ;;
  evaluate) mkdir -p "$out"; echo "a table" ;;
  inspect) echo "{}" ;;
  station) mkdir -p "$out"; sha256sum bundles/bfs-5.vsb/manifest.json >"$out/kit.json" ;;
esac
"""
FAKE_PYTHON = """#!/bin/sh
case "$1" in *station_demo.py) echo "$*" >>"$LOG" ;; esac
"""
FAKE_ENVIRONMENT = """
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
VENV=$PWD/.venv
say() { :; }
fail() { echo "error: $*" >&2; exit 2; }
ensure_compiler() { :; }
ensure_debian_packages() { echo "packages $*" >>"$LOG"; }
forget_build_without() { :; }
ensure_venv() { :; }
install_package() { :; }
"""


class TestSteps:
    """Which verbs run, in which order, and which are not repeated."""

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        for name in ("tools", ".venv/bin", "bundles/bfs-5.vsb"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "tools" / "demo").write_bytes((TOOLS / "demo").read_bytes())
        (tmp_path / "tools" / "environment.sh").write_text(FAKE_ENVIRONMENT)
        (tmp_path / "bundles" / "bfs-5.vsb" / "manifest.json").write_text("shipped")
        for name, text in (("vialsight", FAKE_VIALSIGHT), ("python", FAKE_PYTHON)):
            program = tmp_path / ".venv" / "bin" / name
            program.write_text(text)
            program.chmod(0o755)
        return tmp_path

    def verbs(self, repository: Path, *arguments: str) -> list[str]:
        """Run the demo; returns what it called the program with."""
        log = repository / "log"
        log.write_text("")
        command = ["bash", str(repository / "tools" / "demo"), *arguments]
        environment = {**os.environ, "LOG": str(log)}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert ("a table\n" in done.stdout) != ("--station" in arguments)
        return log.read_text().splitlines()

    def test_shipped_bundle_is_used_without_training(self, repository: Path) -> None:
        kit, bundle = "demo/simulated/kit-7", "bundles/bfs-5.vsb"
        assert self.verbs(repository) == [
            f"simulate kit --strips 44 --runs 1 --seed 7 --out {kit}",
            f"verify {bundle}",
            f"evaluate {bundle} --data {kit} --out demo/simulated/report "
            f"--knapp {kit}/manual.csv --margin 0.05",
            f"inspect {bundle} --data {kit} --split test --json",
        ]
        assert self.verbs(repository) == [f"verify {bundle}"]

    def test_other_strips_and_other_bundles_are_inspected_anew(self, repository: Path) -> None:
        first = [line.split()[0] for line in self.verbs(repository)]
        assert [line.split()[0] for line in self.verbs(repository, "--seed", "8")] == first
        (repository / "bundles" / "bfs-5.vsb" / "manifest.json").write_text("another")
        again = self.verbs(repository, "--seed", "8")
        assert [line.split()[0] for line in again] == ["verify", "evaluate", "inspect"]

    def test_training_makes_the_bundle_once(self, repository: Path) -> None:
        lines = self.verbs(repository, "--train")
        work, bundle = "demo/simulated/training", "demo/simulated/bfs-5.vsb"
        assert [" ".join(line.split()[:2]) for line in lines] == [
            "simulate train",
            "simulate calibration",
            "train -c",
            f"freeze {work}/run",
            f"calibrate {work}/frozen.vsb",
            "simulate kit",
            f"verify {bundle}",
            f"evaluate {bundle}",
            f"inspect {bundle}",
        ]
        preset = "python/vialsight/presets/bfs_5.yaml"
        assert lines[2] == f"train -c {preset} --data {work}/train --out {work}/run"
        assert self.verbs(repository, "--train") == [f"verify {bundle}"]

    def test_station_is_made_once_and_run_each_time(self, repository: Path) -> None:
        here = "demo/station"
        run = (
            f"tools/station_demo.py {here} --bundle bundles/bfs-5.vsb --kit {here}/kit "
            f"--data {here}/strips-7"
        )
        assert self.verbs(repository, "--station", "--seconds", "5") == [
            "packages libaravis-dev",
            f"simulate kit --strips 44 --runs 1 --seed 7 --out {here}/strips-7",
            f"simulate kit --strips 28 --runs 1 --seed 11 --out {here}/strips-11-of-the-kit",
            f"station kit bundles/bfs-5.vsb --data {here}/strips-11-of-the-kit --out {here}/kit",
            f"{run} --seconds 5",
        ]
        assert self.verbs(repository, "--station") == ["packages libaravis-dev", run]

    def test_station_of_another_bundle_begins_anew(self, repository: Path) -> None:
        self.verbs(repository, "--station")
        line = repository / "demo" / "station" / "line"
        line.mkdir()
        (repository / "bundles" / "bfs-5.vsb" / "manifest.json").write_text("another")
        again = self.verbs(repository, "--station")
        assert [text.split()[0] for text in again] == [
            "packages",
            "station",
            "tools/station_demo.py",
        ]
        assert not line.exists()

    def test_fresh_keeps_the_training_unless_told(self, repository: Path) -> None:
        self.verbs(repository, "--train")
        assert self.verbs(repository, "--fresh")[0].startswith("simulate kit ")
        assert (repository / "demo" / "simulated" / "bfs-5.vsb").exists()
        assert self.verbs(repository, "--train", "--fresh")[0].startswith("simulate train ")


# Two vials with one region each, one frame; thresholds as of logits.
THRESHOLDS = [-1.0]


def verdict(product: str, *scores: float | None) -> dict[str, Any]:
    """A verdict as `inspect --json` prints it, of scores per vial."""
    rejected = [score is None or score > THRESHOLDS[0] for score in scores]
    return {
        "product": product,
        "run": 1,
        "verdict": "reject" if any(rejected) else "accept",
        "scores": [[[score] for score in scores]],
        "thresholds": THRESHOLDS,
        "vials": ["reject" if one else "accept" for one in rejected],
    }


def defect(product: str, severity: float, vial: int = 1) -> KnownDefect:
    return KnownDefect(product=product, kind="black_spot", severity=severity, vial=vial)


class TestChoice:
    def test_mistakes_and_what_is_typical(self) -> None:
        severities = {"clear": 0.9, "usual": 0.6, "mild": 0.3, "small_miss": 0.1, "miss": 0.8}
        known = {name: [defect(name, severity)] for name, severity in severities.items()}
        verdicts = [
            verdict("clear", 9.0, -5.0),
            verdict("usual", 4.0, -5.0),
            verdict("mild", 1.0, -5.0),
            verdict("miss", -2.0, -5.0),
            verdict("small_miss", -3.0, -5.0),
            verdict("good", -6.0, -5.0),
            verdict("near", -6.0, -1.5),
            verdict("false_reject", -6.0, 0.5),
        ]
        chosen = {choice.why: choice.verdict["product"] for choice in choose(verdicts, known)}
        assert chosen == {
            "typical of the defects found": "usual",
            "the mildest defect found": "mild",
            "the most severe defect missed": "miss",
            "the good strip rejected most clearly": "false_reject",
            "the accepted good strip nearest to rejection": "near",
            "the defect found most clearly": "clear",
        }

    def test_rejected_for_another_vial_is_not_found(self) -> None:
        known = {"lucky": [defect("lucky", 0.5, vial=2)]}
        assert choose([verdict("lucky", 3.0, -5.0)], known) == []

    def test_each_strip_once(self) -> None:
        known = {"only": [defect("only", 0.5)]}
        chosen = choose([verdict("only", 3.0, -5.0)], known)
        assert [choice.verdict["product"] for choice in chosen] == ["only"]

    def test_strip_without_scores_is_left_out(self) -> None:
        assert choose([verdict("lost", None, None)], {}) == []


def test_excess_is_a_difference_since_thresholds_may_be_negative() -> None:
    assert excess(verdict("any", 3.0, -5.0)).ravel().tolist() == [4.0, -4.0]


def test_summary_counts_defective_and_good_apart() -> None:
    verdicts = [verdict("a", 3.0, -5.0), verdict("b", -5.0, -5.0), verdict("c", -5.0, 3.0)]
    known = {"a": [defect("a", 0.5)], "b": [defect("b", 0.5)]}
    expected = "1 of 2 defective strips rejected, 1 of 1 good ones rejected"
    assert summary(verdicts, known) == expected


def test_defect_in_words() -> None:
    bare = KnownDefect(product="a", kind="crack")
    assert described([defect("a", 0.5), bare]) == "black spot, severity 0.50, vial 1; crack"
