"""What the tests of locating share: the simulator's true poses, and a template fitted to frames."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import map_coordinates

from vialsight import _core
from vialsight.simulation import rendering
from vialsight.simulation.plan import StripPlan
from vialsight.simulation.product import FRAME_HEIGHT, FRAME_WIDTH

SCALE = 4
REACH_TURN = float(np.deg2rad(1.5))
# The gripper's jaws, which stand still, are in the rows above.
JAWS = 140 // SCALE


def rendered(strips: Sequence[StripPlan], frames: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, H, W) of the first run of each strip, and their true poses (n, 3)."""
    pictures = [rendering.render_run(s, 1, frames, with_masks=False).frames for s in strips]
    poses = [rendering.frame_poses(strip, 1)[frame - 1] for strip in strips for frame in frames]
    return np.concatenate(pictures), np.array(poses)


def located(locator: _core.Locator, frames: np.ndarray) -> np.ndarray:
    """Poses (n, 3); every frame is found."""
    locations = [locator.locate(frame) for frame in frames]
    assert [where.reason for where in locations] == ["none"] * len(frames)
    return np.array([(where.dx, where.dy, where.turn) for where in locations])


def locator(
    template: np.ndarray, weights: np.ndarray, *, residual_limit: float = 1.0
) -> _core.Locator:
    return _core.Locator(
        template.astype(np.float32),
        weights.astype(np.float32),
        scale=SCALE,
        kind="rigid",
        reach_px=32.0,
        reach_turn=REACH_TURN,
        residual_limit=residual_limit,
        frame_width=FRAME_WIDTH,
        frame_height=FRAME_HEIGHT,
    )


def _moved_back(reduced: np.ndarray, pose: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(reduced.shape)
    v = (rows + 0.5) * SCALE - FRAME_HEIGHT / 2
    u = (columns + 0.5) * SCALE - FRAME_WIDTH / 2
    x = columns + (pose[0] + pose[2] * v) / SCALE
    y = rows + (pose[1] - pose[2] * u) / SCALE
    return np.asarray(map_coordinates(reduced, [y, x], order=1, mode="nearest"))


def _median_and_weights(reduced: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Template and weights 1 / (spread + 0.02)² (SPEC section 1) of frames at known poses."""
    moved = np.stack([_moved_back(*pair) for pair in zip(reduced, poses, strict=True)])
    template = np.median(moved, axis=0)
    spread = 1.4826 * np.median(np.abs(moved - template), axis=0)
    weights = 1.0 / (spread + 0.02) ** 2
    weights[:JAWS] = 0.0
    return template, weights


def fitted(frames: np.ndarray, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Template and weights from nominal frames (n, H, W)."""
    reduced = np.stack([_core.reduced_frame(frame, SCALE) for frame in frames])
    poses = np.zeros((len(frames), 3))
    for _ in range(rounds):
        poses = located(locator(*_median_and_weights(reduced, poses)), frames)
        poses -= poses.mean(axis=0)
    return _median_and_weights(reduced, poses)
