"""The locator against the simulator's truth: defective strips, the reach's ends, bad frames."""

import dataclasses
import functools

import numpy as np
import pytest
from locator_support import located, rendered

from vialsight import _core
from vialsight.data import Group
from vialsight.data.locating import fit_locator
from vialsight.simulation import rendering
from vialsight.simulation.plan import INSPECTED_FRAMES, plan_set
from vialsight.simulation.product import bfs_layout

pytestmark = pytest.mark.slow

# From the frame's centre to the axis of an outer vial.
OUTER_VIAL_PX = 544.0


@dataclasses.dataclass(frozen=True)
class Fit:
    """A locator fitted to nominal strips, and the template's own pose."""

    locator: _core.Locator
    pose: np.ndarray


@pytest.fixture(scope="module")
def fit() -> Fit:
    frames, truth = rendered(plan_set("train", strips=40, seed=11).strips, [8])
    groups = [_group(number, frame) for number, frame in enumerate(frames)]
    locator = fit_locator(bfs_layout(locate="rigid"), groups).locator
    core = locator.core()
    return Fit(core, np.median(located(core, frames) - truth, axis=0))


def _group(number: int, frame: np.ndarray) -> Group:
    return Group(
        product=f"strip-{number}",
        run=1,
        label="nominal",
        split="train",
        frames=(8,),
        load=lambda: [frame],
    )


@pytest.fixture(scope="module")
def strips():
    """Nominal and defective ones, each defect once."""
    return plan_set("kit", strips=34, runs=1, seed=12).strips


def errors(fit: Fit, frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of dx, dy and of what the turn does to the outer vials, pixels (n, 3)."""
    difference = located(fit.locator, frames) - truth - fit.pose
    return np.abs(difference * [1.0, 1.0, OUTER_VIAL_PX])


def test_poses_of_all_strips_are_the_simulators(fit, strips):
    error = errors(fit, *rendered(strips, INSPECTED_FRAMES))
    assert np.median(error[:, :2]) <= 0.05
    assert np.median(error[:, 2]) <= 0.05
    assert error.max() <= 0.25


def test_frames_of_one_run_differ_by_the_shake_alone(fit, strips):
    frames, truth = rendered(strips[:4], INSPECTED_FRAMES)
    difference = (located(fit.locator, frames) - truth).reshape(4, len(INSPECTED_FRAMES), 3)
    spread = difference - difference.mean(axis=1, keepdims=True)
    assert np.abs(spread * [1.0, 1.0, OUTER_VIAL_PX]).max() < 0.05


@pytest.mark.parametrize(
    ("dx", "dy", "degrees"),
    [(30, 30, 1.4), (-30, 30, 1.4), (30, -30, -1.4), (-30, -30, -1.4), (-30, 0, 0), (0, 30, 1.4)],
)
def test_poses_at_the_ends_of_the_reach(fit, strips, monkeypatch, dx, dy, degrees):
    drawn = functools.partial(
        dataclasses.replace, offset=(float(dx), float(dy)), rotation_rad=np.deg2rad(degrees)
    )
    run_traits = rendering.run_traits
    monkeypatch.setattr(rendering, "run_traits", lambda plan, run: drawn(run_traits(plan, run)))
    error = errors(fit, *rendered([strips[0], strips[20]], [8]))
    assert error.max() <= 0.5


@pytest.fixture(scope="module")
def frame(strips) -> np.ndarray:
    return rendered(strips[:1], [8])[0][0]


def covered(frame: np.ndarray, rows: slice, columns: slice, value: int) -> np.ndarray:
    frame = frame.copy()
    frame[rows, columns] = value
    return frame


def shifted(frame: np.ndarray, down: int, right: int) -> np.ndarray:
    """Backlight moves in where the strip has moved away."""
    moved = np.roll(frame, (down, right), (0, 1))
    moved[:down] = 230
    moved[:, :right] = 230
    return moved


HALF_ROWS, HALF_COLUMNS, ALL = slice(576), slice(704), slice(None)
NOT_FOUND = {
    "blank": lambda frame: np.full_like(frame, 255),
    "grey": lambda frame: np.full_like(frame, 100),
    "black": np.zeros_like,
    "noise": lambda frame: np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8),
    "upside down": lambda frame: frame[::-1],
    "turned by half": lambda frame: frame[::-1, ::-1],
    "inverted": lambda frame: 255 - frame,
    "60 pixels to the right": lambda frame: shifted(frame, 0, 60),
    "60 pixels down": lambda frame: shifted(frame, 60, 0),
    "a vial to the right": lambda frame: shifted(frame, 0, 272),
    "half a vial to the right": lambda frame: shifted(frame, 0, 136),
    "left half black": lambda frame: covered(frame, ALL, HALF_COLUMNS, 0),
    "left half bright": lambda frame: covered(frame, ALL, HALF_COLUMNS, 230),
    "top half black": lambda frame: covered(frame, HALF_ROWS, ALL, 0),
    "bottom half black": lambda frame: covered(frame[::-1], HALF_ROWS, ALL, 0)[::-1],
    "saturated": lambda frame: np.minimum(frame, 127) * 2 + (frame > 127),
    "two strips at once": lambda frame: frame // 2 + np.roll(frame, 20, 1) // 2,
}


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_is_no_whole_product_is_not_found(fit, frame, name):
    where = fit.locator.locate(np.ascontiguousarray(NOT_FOUND[name](frame)))
    assert not where.found, (where.dx, where.dy, where.turn, where.residual)
    assert where.reason != "none"


def test_a_mirrored_strip_is_not_found_or_where_its_mirror_lies(fit, frame):
    # Seen from behind a strip differs by its embossed letters alone.
    where = fit.locator.locate(np.ascontiguousarray(frame[:, ::-1]))
    original = fit.locator.locate(frame)
    if where.found:
        assert where.dx == pytest.approx(-original.dx, abs=1.5)
        assert where.dy == pytest.approx(original.dy, abs=0.5)
        assert where.turn == pytest.approx(-original.turn, abs=2e-3)


@pytest.mark.parametrize("exposure", [0.4, 0.6, 0.85, 0.95, 1.1])
def test_another_exposure_does_not_move_the_strip(fit, frame, exposure):
    bright = np.clip(frame * exposure, 0, 255).astype(np.uint8)
    where, original = fit.locator.locate(bright), fit.locator.locate(frame)
    assert where.found, where.reason
    assert where.contrast == pytest.approx(exposure * original.contrast, rel=0.1)
    assert abs(where.dx - original.dx) < 0.1
    assert abs(where.dy - original.dy) < 0.1
    assert abs(where.turn - original.turn) * OUTER_VIAL_PX < 0.1


def test_a_frame_located_again_gives_equal_bits(fit, frame):
    first, again = fit.locator.locate(frame), fit.locator.locate(frame)
    assert (first.dx, first.dy, first.turn) == (again.dx, again.dy, again.turn)
    assert first.residual == again.residual
