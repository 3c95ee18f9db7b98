"""Children of a program with an Inspector: refused with a sentence, and never at its cost."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import nominal_frame

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("fork_process.py")
REFUSED = re.compile(
    r"BundleError: this Inspector was made by process \d+, and this is process \d+, which came "
    r"of a fork: .*; make another Inspector after the fork, or start the process with exec .*"
)
# What a child tells, and its wait status; an uncaught error is Python's exit code 1.
CASES = {
    "fork_before": (re.compile("accept none"), 0),
    "use": (REFUSED, 0),
    "ordinary_end": (re.compile("told"), 0),
    "ordinary_end_after_use": (REFUSED, 0),
    "uncaught_error": (re.compile("told"), 1 << 8),
    "dropped": (re.compile("told"), 0),
    "killed": (re.compile("told"), int(signal.SIGKILL)),
    "own": (re.compile("accept none"), 0),
    "daemon": (REFUSED, 0),
    "in_multiprocessing": (REFUSED, 0),
    "in_a_pool": (re.compile("; ".join([REFUSED.pattern] * 3)), 0),
    "in_a_thread": (REFUSED, 0),
    "started_with_exec": (re.compile("told"), 0),
}
METHODS = (
    "inspect",
    "inspect in time",
    "open",
    "submit",
    "close",
    "score_patches",
    "score_with_outputs",
    "map",
    "images",
    "statistics",
    "health",
)


@pytest.fixture(scope="module", params=["in_process", "worker"])
def isolation(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def results(
    isolation: str, tiny_calibrated_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What came of each scenario, all in one program."""
    frames = tmp_path_factory.mktemp("fork") / "frames.npy"
    random = np.random.default_rng(5)
    np.save(frames, np.stack([nominal_frame(random) for _ in range(3)]))
    finished = subprocess.run(
        [sys.executable, SCRIPT, tiny_calibrated_bundle, frames, isolation],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("case", CASES)
def test_child(results: dict[str, Any], case: str) -> None:
    text, ended = CASES[case]
    assert text.fullmatch(results[case]["child"]), results[case]["child"]
    assert results[case]["ended"] == ended


@pytest.mark.parametrize("case", CASES)
def test_parent_goes_on(results: dict[str, Any], isolation: str, case: str) -> None:
    before, after = results["fork_before"]["parent"], results[case]["parent"]
    assert after == before
    assert after["verdict"] == "accept none"
    assert (after["ready"], after["restarts"], after["fault"]) == (True, 0, "")
    assert (after["worker"] != 0) == (isolation == "worker")


def test_every_use_is_refused(results: dict[str, Any]) -> None:
    told = json.loads(results["uses"]["child"])
    assert told.pop("bundle") == "returned 'calibrated'"
    assert set(told) == set(METHODS)
    passed = {name: text for name, text in told.items() if not REFUSED.fullmatch(text)}
    assert not passed
