"""What the tests of locating share: simulated frames and their true poses."""

from collections.abc import Sequence

import numpy as np

from vialsight import _core
from vialsight.simulation import rendering
from vialsight.simulation.plan import StripPlan


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
