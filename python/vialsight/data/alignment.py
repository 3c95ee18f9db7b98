"""Aligning reduced frames of a product with one another: template, weights, what stands still.

Fit and look again, in rounds: template = median of the frames moved back by their poses, weights =
1 / (spread + 0.02)² (SPEC §1), poses by that locator. What stands still while the product moves
(jaws of the gripper, dirt on the window) gets blurred by moving back, and thereby shows itself.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.errors import DataError
from vialsight.locator import Float32Array, Model

NO_LOCATING: Final = 'or set "locate": "none" in layout.json'
_MOST_ROUNDS: Final = 8
# Of poses between two rounds, pixels: a fifth of what locating is allowed to be wrong by.
_STILL_PX: Final = 0.05
_REACH_PX: Final = 32.0
# Farther, a product has left the frame with its boxes.
_REACH_SHARE: Final = 1 / 8
_REACH_TURN: Final = float(np.deg2rad(1.5))
# A single frame may lie at one end of the reach, the others at its other end; cores allow 3°.
_WIDE: Final = 1.9

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Setup:
    """What a layout says of its locator."""

    layout: Layout

    @cached_property
    def scale(self) -> int:
        """Averaging factor."""
        return _core.locator_scale(self.layout.frame_width, self.layout.frame_height)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (h,w) of a reduced frame."""
        return self.layout.frame_height // self.scale, self.layout.frame_width // self.scale

    @property
    def reach_px(self) -> float:
        """Pixels; less than usual where frames are small."""
        edge = min(self.layout.frame_width, self.layout.frame_height)
        return min(_REACH_PX, _REACH_SHARE * edge)

    @property
    def reach_turn(self) -> float:
        """Radians."""
        return _REACH_TURN if self.layout.locate == "rigid" else 0.0

    @property
    def model(self) -> Model:
        """How products move."""
        return "rigid" if self.layout.locate == "rigid" else "translation"

    @cached_property
    def boxes(self) -> Mask:
        """Where boxes lie in a reduced frame, (h,w)."""
        inside = np.zeros(self.shape, np.bool_)
        for vial in range(self.layout.vials):
            for region in range(len(self.layout.regions)):
                x, y, width, height = (e // self.scale for e in self.layout.box(vial, region))
                inside[y : y + height, x : x + width] = True
        return inside if inside.any() else np.ones(self.shape, np.bool_)


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """What a round makes of frames at known poses; arrays (h,w).

    `spread` is how far pixels deviate between the frames moved back: 1.4826 · MAD.
    """

    template: Float32Array
    weights: Float32Array
    spread: Floats
    rounds: int = 0

    def fields(self, setup: Setup) -> dict[str, Any]:
        """Return what both kinds of locator are made of, without limits."""
        return {
            "frame_width": setup.layout.frame_width,
            "frame_height": setup.layout.frame_height,
            "bit_depth": setup.layout.bit_depth,
            "scale": setup.scale,
            "template": self.template,
            "weights": self.weights,
            "reach_px": setup.reach_px,
            "reach_turn": setup.reach_turn,
        }

    def core(self, setup: Setup) -> _core.Locator:
        """Make a locator that takes any residual."""
        try:
            return _core.Locator(kind=setup.model, residual_limit=1.0, **self.fields(setup))
        except ValueError as error:
            raise DataError(
                f"the products cannot be located: {error}; choose another layout, {NO_LOCATING}"
            ) from error


def align(setup: Setup, reduced: Float32Array) -> Aligned:
    """Align frames (n,h,w) from two starts, and take what blurs the boxes least.

    What stands still holds the poses at zero when it weighs more than the product: the second
    start looks only at what moves. Of products that do not move, the first is right. Where neither
    leads anywhere, one frame serves as the template: edges that wander farther than they are wide
    vanish from the median of all. Raises DataError when the frames show no product that can be
    located.
    """
    spread = spread_of(reduced)
    template = np.median(reduced, axis=0)
    first = Aligned(template=template, weights=_weights(spread), spread=spread)
    moving = replace(first, weights=first.weights * _moves(template, spread))
    found = [_rounds(setup, reduced, start) for start in (first, moving) if start.weights.any()]
    if not any(isinstance(aligned, Aligned) for aligned in found):
        found.append(_from_one_frame(setup, reduced, spread))
    usable = [aligned for aligned in found if isinstance(aligned, Aligned)]
    if not usable:
        raise next(error for error in found if isinstance(error, DataError))
    return min(usable, key=lambda aligned: float(aligned.spread[setup.boxes].mean()))


def evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """Return `most` places in [0, count), or all, spread evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def spread_of(frames: Float32Array) -> Floats:
    """Return how far pixels deviate between frames (n,h,w): 1.4826 · MAD, (h,w)."""
    deviation = np.abs(frames - np.median(frames, axis=0))
    return np.asarray(1.4826 * np.median(deviation, axis=0), np.float64)


def spread_moved_back(setup: Setup, reduced: Float32Array, poses: Floats) -> Floats:
    """Return `spread_of` frames (n,h,w) moved back by their poses (n,3): (h,w)."""
    pairs = zip(reduced, poses, strict=True)
    return spread_of(np.stack([_moved_back(setup, frame, pose) for frame, pose in pairs]))


def _rounds(setup: Setup, reduced: Float32Array, start: Aligned) -> Aligned | DataError:
    aligned, poses = start, np.zeros((len(reduced), 3))
    arm = 0.5 * max(setup.layout.frame_width, setup.layout.frame_height)
    try:
        for number in range(1, _MOST_ROUNDS + 1):
            found, moved = _poses(aligned.core(setup), reduced)
            moved -= np.median(moved[found], axis=0)
            step = np.abs((moved - poses) * (1.0, 1.0, arm))[found].max()
            poses = moved
            aligned = _aligned(setup, reduced[found], poses[found], start.spread)
            aligned = replace(aligned, rounds=number)
            if step <= _STILL_PX:
                break
    except DataError as error:
        return error
    return aligned


def _from_one_frame(setup: Setup, reduced: Float32Array, spread: Floats) -> Aligned | DataError:
    """Align frames (n,h,w) with the one that is most like their median, then in rounds."""
    unlike = np.abs(reduced - np.median(reduced, axis=0)).mean(axis=(1, 2))
    alone = reduced[int(np.argmin(unlike))]
    seen = Aligned(template=alone, weights=np.ones_like(alone), spread=spread)
    reach = {"reach_px": _WIDE * setup.reach_px, "reach_turn": _WIDE * setup.reach_turn}
    try:
        core = _core.Locator(kind=setup.model, residual_limit=1.0, **(seen.fields(setup) | reach))
        found, poses = _poses(core, reduced)
    except (DataError, ValueError) as error:
        return DataError(str(error))
    poses -= np.median(poses[found], axis=0)
    start = _aligned(setup, reduced[found], poses[found], spread)
    return _rounds(setup, reduced, replace(start, spread=spread))


def _poses(core: _core.Locator, reduced: Float32Array) -> tuple[Mask, Floats]:
    where = [core.locate_reduced(frame) for frame in reduced]
    found = np.array([location.found for location in where])
    if found.sum() < max(2, 0.5 * len(where)):
        reasons = sorted({location.reason for location in where if not location.found})
        raise DataError(
            f"the products cannot be located: found in {found.sum()} of {len(where)} frames "
            f"({', '.join(reasons)}); they lie too differently, or look too different: fix them "
            f"better, {NO_LOCATING}"
        )
    return found, np.array([(location.dx, location.dy, location.turn) for location in where])


def _aligned(setup: Setup, reduced: Float32Array, poses: Floats, before: Floats) -> Aligned:
    pairs = zip(reduced, poses, strict=True)
    moved = np.stack([_moved_back(setup, frame, pose) for frame, pose in pairs])
    spread = spread_of(moved)
    return Aligned(
        template=np.median(moved, axis=0).astype(np.float32),
        weights=_weights(spread) * ~_stands_still(before, spread),
        spread=spread,
    )


def _moved_back(setup: Setup, reduced: Float32Array, pose: Floats) -> Float32Array:
    """Return the frame (h,w) as if the product lay where the boxes are drawn."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices(reduced.shape)
    v = (rows + 0.5) * setup.scale - setup.layout.frame_height / 2
    u = (columns + 0.5) * setup.scale - setup.layout.frame_width / 2
    x = columns + (pose[0] + pose[2] * v) / setup.scale
    y = rows + (pose[1] - pose[2] * u) / setup.scale
    return np.asarray(map_coordinates(reduced, [y, x], order=1, mode="nearest"))


def _weights(spread: Floats) -> Float32Array:
    return np.asarray(1.0 / (spread + 0.02) ** 2, np.float32)


def _stands_still(before: Floats, after: Floats) -> Mask:
    """Where moving back has blurred more than it sharpened, and the pixels beside."""
    from scipy.ndimage import binary_dilation

    # Half as much again is beyond the chance of 40 frames; 0.01 is beyond a camera's noise.
    blurred = after > 1.5 * before + 0.01
    return np.asarray(binary_dilation(blurred, np.ones((3, 3)), iterations=2))


def _moves(template: Float32Array, spread: Floats) -> Mask:
    """Where edges change between frames about as far as the edges that change most."""
    down, across = np.gradient(template)
    slope = np.hypot(down, across)
    edges = slope > 0.02
    if not edges.any():
        return np.ones(template.shape, np.bool_)
    noise = np.median(spread[~edges]) if (~edges).any() else 0.0
    way = (spread - noise) / np.maximum(slope, 1e-6)
    return np.asarray(~edges | (way > 0.25 * np.percentile(way[edges], 90)))
