"""The simulated product: a blow-fill-seal strip of five vials, in pixels of the strip.

Strip coordinates are those of the frame when the gripper holds the strip exactly in its place: x to
the right, y down, 11.3 pixels to the millimetre. A vial is a stack of superellipses |u/w|^p +
|z/d|^p = 1 (u across the strip, z towards the camera) whose half-width w and half-depth d are
functions of y; a plate, the flag, sits on top, thin webs join neighbours.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.simulation.plan import INSPECTED_FRAMES, VIALS

Float = npt.NDArray[np.float32]

FRAME_WIDTH: Final = 1408
FRAME_HEIGHT: Final = 1152
PITCH: Final = 272
MARGIN: Final = (FRAME_WIDTH - VIALS * PITCH) // 2
PIXELS_PER_MM: Final = 11.3
BOX: Final = 256
FIRST_BOX_TOP: Final = 64
REGIONS: Final = ("flag", "top_body", "liquid_body", "bottom")
EXPONENT: Final = 2.4

# Half-width of the outer surface over y, from the twist-off cap through the break line (the waist
# at 352), neck and shoulder to the bottom.
_OUTLINE: Final = (
    (272.0, 20.0),
    (288.0, 34.0),
    (312.0, 41.0),
    (334.0, 38.0),
    (352.0, 21.0),
    (366.0, 30.0),
    (386.0, 35.0),
    (424.0, 36.0),
    (448.0, 45.0),
    (476.0, 74.0),
    (506.0, 101.0),
    (540.0, 114.0),
    (600.0, 117.5),
    (800.0, 118.5),
    (1000.0, 118.0),
    (1034.0, 112.0),
    (1056.0, 96.0),
    (1068.0, 74.0),
    (1075.0, 40.0),
    (1077.0, 2.0),
)
# Half-depth over half-width: the neck is round, the body flattened.
_FLATNESS: Final = (
    (272.0, 0.55),
    (300.0, 0.8),
    (352.0, 0.95),
    (430.0, 0.97),
    (540.0, 0.91),
    (1077.0, 0.88),
)
_WALL: Final = (
    (352.0, 13.0),
    (430.0, 12.0),
    (500.0, 9.0),
    (560.0, 7.5),
    (980.0, 7.5),
    (1040.0, 10.0),
    (1077.0, 12.0),
)
OUTER_TOP: Final = 272
OUTER_BOTTOM: Final = 1077
CAVITY_TOP: Final = 366
CAVITY_BOTTOM: Final = 1062
NECK_BOTTOM: Final = 436
FLAG: Final = (-104.0, 82.0, 104.0, 284.0)  # left, top, right, bottom
FLAG_CORNER: Final = 26.0
FILL_LEVEL: Final = 648.0


@dataclass(frozen=True)
class Profile:
    """Half-widths left and right and half-depth at every row of the strip, (FRAME_HEIGHT,) each."""

    left: Float
    right: Float
    depth: Float

    def inset(self, wall: Float, top: int, bottom: int) -> "Profile":
        """Return the cavity: this profile less the wall, closed above `top` and below `bottom`."""
        rows = np.arange(FRAME_HEIGHT, dtype=np.float32)
        # The cavity ends in round caps, not in flat lids.
        ends = np.minimum(rows - (top - 1), (bottom + 1) - rows).clip(0.0, 22.0) / 22.0
        closing = np.sqrt(1.0 - (1.0 - ends) ** 2)
        left, right, depth = (
            np.maximum(values - wall, 0.0) * closing
            for values in (self.left, self.right, self.depth)
        )
        return Profile(left.astype(np.float32), right.astype(np.float32), depth.astype(np.float32))

    def chord(self, u: Float) -> Float:
        """Length along the line of sight through the solid, (FRAME_HEIGHT, len(u)), in pixels."""
        width = np.where(u[None, :] < 0, self.left[:, None], self.right[:, None])
        ratio = np.abs(u)[None, :] / np.maximum(width, 1e-3)
        inside = np.maximum(1.0 - ratio**EXPONENT, 0.0)
        return np.asarray(2.0 * self.depth[:, None] * inside ** (1.0 / EXPONENT), np.float32)


def outer_profile() -> Profile:
    """Return the outer surface of a vial as the mould makes it."""
    width = _over_rows(_OUTLINE)
    width[:OUTER_TOP] = 0.0
    width[OUTER_BOTTOM + 1 :] = 0.0
    return Profile(width, width.copy(), (width * _over_rows(_FLATNESS)).astype(np.float32))


def nominal_wall() -> Float:
    """Return the wall's thickness at every row, (FRAME_HEIGHT,), in pixels."""
    return _over_rows(_WALL)


def vial_center(vial: int) -> float:
    """Return x of a vial's axis in the strip."""
    return MARGIN + PITCH * (vial + 0.5)


def vial_columns() -> Float:
    """Return u, the distance from the vial's axis, of the columns of its window, (PITCH,)."""
    return np.asarray(np.arange(PITCH) - (PITCH / 2 - 0.5), np.float32)


@dataclass(frozen=True)
class Disc:
    """The pixels of a vial's window around a point: where, and how far down and across, each."""

    place: tuple[slice, slice]
    down: np.ndarray  # (rows, 1)
    across: np.ndarray  # (1, columns)


def disc_around(u: float, y: float, radius: float) -> Disc | None:
    """Return the square within `radius` of a point of the vial; None when it lies outside."""
    column = u + PITCH / 2 - 0.5
    top, bottom = max(int(np.floor(y - radius)), 0), int(np.ceil(y + radius)) + 1
    left, right = max(int(np.floor(column - radius)), 0), int(np.ceil(column + radius)) + 1
    bottom, right = min(bottom, FRAME_HEIGHT), min(right, PITCH)
    if top >= bottom or left >= right:
        return None
    return Disc(
        place=(slice(top, bottom), slice(left, right)),
        down=(np.arange(top, bottom) - y)[:, None],
        across=(np.arange(left, right) - column)[None, :],
    )


def bfs_layout(
    patch_size: int = BOX, *, locate: Literal["none", "translation", "rigid"] = "rigid"
) -> Layout:
    """Return the layout of the simulated strip: 5 vials of 4 regions, boxes of 256×256 pixels.

    Another `patch_size`, or locating, resamples the boxes; else they are copied. Raises ValueError
    as `Layout` does.
    """
    boxes = []
    for vial in range(VIALS):
        left = MARGIN + PITCH * vial + (PITCH - BOX) // 2
        tops = [FIRST_BOX_TOP + BOX * region for region in range(len(REGIONS))]
        boxes.append([(left, top, BOX, BOX) for top in tops])
    return Layout(
        name="bfs-5",
        frame_width=FRAME_WIDTH,
        frame_height=FRAME_HEIGHT,
        bit_depth=8,
        frames=len(INSPECTED_FRAMES),
        regions=list(REGIONS),
        boxes=boxes,
        patch_size=patch_size,
        locate=locate,
    )


def _over_rows(points: tuple[tuple[float, float], ...]) -> Float:
    from scipy.interpolate import PchipInterpolator

    rows = np.arange(FRAME_HEIGHT, dtype=np.float64)
    ys, values = zip(*points, strict=True)
    curve = PchipInterpolator(ys, values)
    return np.asarray(curve(rows.clip(ys[0], ys[-1])), np.float32)
