"""No fault makes an accept with the real backend either; tests/cpp tries the rest on a fake one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vialsight
from conftest import add_defect, nominal_frame
from vialsight.errors import VialSightError

pytestmark = pytest.mark.tensorflow

Frames = list[np.ndarray]


def fresh_frames(random: np.random.Generator) -> Frames:
    return [nominal_frame(random) for _ in range(3)]


def with_defects(frames: Frames, random: np.random.Generator) -> Frames:
    for frame in frames:
        add_defect(frame)
        frame[0, 0] = random.integers(0, 256)
    return frames


def flat(value: int) -> Callable[[Frames, np.random.Generator], Frames]:
    """One frame of one gray value but for a pixel in its corner, which makes it a fresh one."""

    def change(frames: Frames, random: np.random.Generator) -> Frames:
        frames[1] = np.full_like(frames[1], value)
        frames[1][-1, -1] = random.integers(1, 255)
        return frames

    return change


# name: what it does to the frames of a strip, and the reason that must come of it
FAULTS: dict[str, tuple[Callable[[Frames, np.random.Generator], Frames], str]] = {
    "a frame is missing": (lambda frames, _: frames[:-1], "frame_missing"),
    "a frame too many": (lambda frames, random: [*frames, nominal_frame(random)], "frame_invalid"),
    "one image twice": (lambda frames, _: [frames[0], frames[1], frames[0]], "frame_stale"),
    "black": (flat(0), "frame_invalid"),
    "saturated": (flat(255), "frame_invalid"),
    "another size": (lambda frames, _: [frame[:-1] for frame in frames], "frame_invalid"),
    "defects": (with_defects, "defect"),
}


@pytest.fixture(scope="module")
def inspector(tiny_calibrated_bundle: Path) -> vialsight.Inspector:
    return vialsight.Inspector(tiny_calibrated_bundle, require_fresh_frames=True)


def run(
    inspector: vialsight.Inspector, frames: Frames, budget_s: float | None = None
) -> vialsight.StripVerdict:
    """Frame by frame, as a line does; what submit refuses must be in the verdict."""
    inspector.open(1, budget_s=budget_s)
    for index, frame in enumerate(frames):
        try:
            inspector.submit(index, frame)
        except (VialSightError, ValueError):
            continue
    return inspector.close()


def accepted_strip(inspector: vialsight.Inspector, random: np.random.Generator) -> Frames:
    """A strip that is accepted; the thresholds of an untrained model reject some good ones."""
    for _ in range(50):
        frames = fresh_frames(random)
        if run(inspector, frames).verdict == "accept":
            return frames
    pytest.fail("no good strip is accepted, so that this test proves nothing")


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_makes_an_accept(inspector: vialsight.Inspector, name: str) -> None:
    change, reason = FAULTS[name]
    random = np.random.default_rng(3 + list(FAULTS).index(name))
    for _ in range(10):
        verdict = run(inspector, change(fresh_frames(random), random))
        assert verdict.verdict == "reject"
        assert verdict.reason == reason
    accepted_strip(inspector, random)


def test_an_accepted_strip_is_not_accepted_again(inspector: vialsight.Inspector) -> None:
    frames = accepted_strip(inspector, np.random.default_rng(1))
    assert run(inspector, frames).reason == "frame_stale"


def test_no_time_is_no_accept(inspector: vialsight.Inspector) -> None:
    random = np.random.default_rng(2)
    for _ in range(10):
        assert run(inspector, fresh_frames(random), budget_s=1e-6).reason == "deadline_missed"


def test_the_counters_are_exact(inspector: vialsight.Inspector) -> None:
    statistics = inspector.statistics
    assert statistics.strips == statistics.accepted + sum(statistics.rejected.values())
