"""A runtime in a process of its own: the same scores, and what killing it costs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import vialsight
from conftest import nominal_frame

pytestmark = pytest.mark.tensorflow

# Prints which runtimes are mapped into a process that inspects, in the way it is told.
MAPS = """
import sys
import numpy as np
import vialsight
inspector = vialsight.Inspector(sys.argv[1], isolation=sys.argv[2])
size = inspector.bundle.layout
frames = np.random.default_rng(0).integers(
    0, 256, (size.frames, size.frame_height, size.frame_width), np.uint8
)
assert np.isfinite(inspector.inspect(frames).scores).all()
maps = open("/proc/self/maps").read()
print(*(name for name in ("libtensorflow", "libopenvino") if name in maps))
"""


@pytest.fixture(params=["tensorflow", "openvino"])
def bundle_path(request: pytest.FixtureRequest) -> Path:
    names = {"tensorflow": "tiny_calibrated_bundle", "openvino": "tiny_openvino_bundle"}
    return request.getfixturevalue(names[request.param])


def strip(seed: int) -> np.ndarray:
    random_numbers = np.random.default_rng(seed)
    return np.stack([nominal_frame(random_numbers) for _ in range(3)])


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_scores_are_equal_to_the_last_bit(bundle_path: Path) -> None:
    bundle = vialsight.Bundle.load(bundle_path)
    here = vialsight.Inspector(bundle)
    there = vialsight.Inspector(bundle, isolation="worker")
    assert here.health.worker_pid == 0 < there.health.worker_pid
    for seed in range(5):
        first, second = here.inspect(strip(seed)), there.inspect(strip(seed))
        np.testing.assert_array_equal(first.scores, second.scores)
        assert (first.verdict, first.reason) == (second.verdict, second.reason)
        ours, theirs = here.images(2, 0, 1), there.images(2, 0, 1)
        assert ours is not None
        assert theirs is not None
        np.testing.assert_array_equal(ours, theirs)
    patches = np.random.default_rng(1).random((11, 32, 32), np.float32)
    ours, theirs = (inspector.score_with_outputs(patches) for inspector in (here, there))
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[2]["reconstruction"], theirs[2]["reconstruction"])


@pytest.mark.parametrize("isolation", ["worker", "in_process"])
def test_a_process_has_the_runtime_that_it_needs(bundle_path: Path, isolation: str) -> None:
    command = [sys.executable, "-c", MAPS, str(bundle_path), isolation]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    runtime = vialsight.Bundle.load(bundle_path).runtime
    assert done.stdout.strip() == ("" if isolation == "worker" else f"lib{runtime}")


@pytest.mark.slow
def test_blows_cost_the_strip_in_flight_and_no_more(bundle_path: Path) -> None:
    inspector = vialsight.Inspector(bundle_path, isolation="worker")
    frames = strip(0)
    expected = inspector.inspect(frames)
    descriptors = count_descriptors()
    order = random.Random(4)
    for blow in (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGSTOP, signal.SIGKILL):
        inspector.open(1, budget_s=1.0)
        inspector.submit(0, frames[0])
        time.sleep(order.random() * 0.05)
        os.kill(inspector.health.worker_pid, blow)
        inspector.submit(1, frames[1])
        inspector.submit(2, frames[2])
        verdict = inspector.close()
        assert verdict.verdict == "reject"
        assert verdict.reason in {"backend_fault", "deadline_missed"}
        while not inspector.health.ready or inspector.health.worker_pid == 0:
            time.sleep(0.01)
        while (again := inspector.inspect(frames)).reason in {"not_ready", "backend_fault"}:
            time.sleep(0.01)
        np.testing.assert_array_equal(again.scores, expected.scores)
        assert again.reason == expected.reason
    assert inspector.health.restarts == 5
    assert count_descriptors() == descriptors
    counts = inspector.statistics
    assert counts.strips == counts.accepted + sum(counts.rejected.values())
