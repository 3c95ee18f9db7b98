"""Starting and watching training processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_name("training_process.py")


def start(run: Path, *overrides: str, tf_config: str | None = None) -> subprocess.Popen[str]:
    """Start a training process; its output is captured."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if tf_config is not None:
        environment["TF_CONFIG"] = tf_config
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(run), *overrides],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for success; return stderr."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    """Return once `step` lines of losses are written."""
    path = run / "losses.csv"
    while not path.exists() or path.read_text().count("\n") <= step:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def losses_of(run: Path) -> np.ndarray:
    """Losses (steps, 6) as they were written."""
    return np.loadtxt(run / "losses.csv", delimiter=",", skiprows=1, ndmin=2)[:, 2:]
