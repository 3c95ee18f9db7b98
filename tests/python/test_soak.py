"""What a soak reports, apart from how fast this machine is."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import vialsight
from vialsight.cli import app
from vialsight.errors import BundleError
from vialsight.line.soak import read_jitter, run_slots, scheduling_jitter


def test_jitter_counts_what_lay_beyond_the_histogram() -> None:
    thread = {"histogram": {"10": 97, "20": 1}, "cycles": 100, "max": 30000}
    jitter = read_jitter({"thread": {"0": thread}})
    assert jitter["wake_ups"] == 100
    expected = np.percentile([10] * 97 + [20, 30000, 30000], [0, 50, 99, 99.9, 100])
    assert list(jitter["late_us"].values()) == pytest.approx(expected)


def test_jitter_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match="apt-get install rt-tests"), scheduling_jitter(1.0):
        pass


def test_jitter_of_a_program_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "cyclictest"
    program.write_text("#!/bin/sh\necho 'not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(BundleError, match="not permitted"), scheduling_jitter(1.0):
        pass


@pytest.mark.tensorflow
@pytest.mark.parametrize("isolation", ["in_process", "worker"])
def test_slots_follow_each_other(tiny_calibrated_bundle: Path, isolation: str) -> None:
    inspector = vialsight.Inspector(
        tiny_calibrated_bundle,
        require_fresh_frames=True,
        isolation=isolation,  # type: ignore[arg-type]
    )
    seen: list[tuple[float, float]] = []
    result = run_slots(
        inspector, seconds=0.5, budget_s=0.1, progress=lambda *done: seen.append(done)
    )
    # Random pixels are no product; what matters is that no frame was taken for another's.
    assert set(result["verdicts"]) <= {"defect", "deadline_missed"}
    assert sum(result["verdicts"].values()) == result["slots"] == len(seen)
    assert {"submit", "extract", "infer", "score", "total"} <= set(result["latency_ms"])
    assert inspector.statistics.strips == result["slots"] + 5


@pytest.mark.tensorflow
def test_verb(tiny_calibrated_bundle: Path) -> None:
    run = CliRunner().invoke(
        app,
        ["soak", str(tiny_calibrated_bundle), "--seconds", "1", "--slot-ms", "200", "--json"],
    )
    assert run.exit_code == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["isolation"] == "in_process"
    assert result["cyclictest"] is None
    assert result["slots"] >= 1


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (["--isolation", "container"], "expected in_process or worker, got 'container'"),
        (["--cpus", "0;1"], "expected numbers from 0 to 1023, like 2,3; got '0;1'"),
    ],
)
def test_verb_names_what_is_wrong(
    tiny_calibrated_bundle: Path, option: list[str], text: str
) -> None:
    from vialsight.errors import DataError

    run = CliRunner().invoke(app, ["soak", str(tiny_calibrated_bundle), *option])
    assert isinstance(run.exception, DataError)
    assert text in str(run.exception)
