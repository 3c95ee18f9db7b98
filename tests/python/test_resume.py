"""A run that was killed and resumed is the run that was not."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from training_process import GRDNET
from training_support import finish, start, wait_for_step

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

STEPS = "training.steps=24"


@pytest.mark.parametrize("method", [(), GRDNET], ids=["drae", "grdnet"])
def test_killed_and_interrupted_run_ends_bit_equal(tmp_path: Path, method: tuple[str, ...]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    finish(start(whole, STEPS, *method))

    process = start(parts, STEPS, *method)
    wait_for_step(process, parts, 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    saved = sorted(entry.name for entry in (parts / "checkpoints").iterdir())
    assert "step-00000003" in saved
    assert "step-00000024" not in saved

    process = start(parts, STEPS, *method)
    wait_for_step(process, parts, 11)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "run the same command again" in errors
    record = json.loads((parts / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert (parts / "checkpoints" / f"step-{record['step']:08d}").is_dir()

    assert f"resuming at step {record['step']}" in finish(start(parts, STEPS, *method))
    assert (parts / "losses.csv").read_bytes() == (whole / "losses.csv").read_bytes()
    last = "checkpoints/step-00000024/state.npz"
    with np.load(whole / last) as expected, np.load(parts / last) as got:
        assert expected.files == got.files
        for name in expected.files:
            np.testing.assert_array_equal(expected[name], got[name])
