"""The plastic of one vial: thickness, cavity and absorption over the vial's window.

Everything is a map over the window, (FRAME_HEIGHT, PITCH) float32 in pixels along the line of
sight, because all that the light meets is how long its way is in plastic, liquid and air.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vialsight.simulation.flaws import Flaw
from vialsight.simulation.plan import VIALS, StripPlan
from vialsight.simulation.product import (
    CAVITY_BOTTOM,
    CAVITY_TOP,
    FLAG,
    FLAG_CORNER,
    FRAME_HEIGHT,
    PITCH,
    Float,
    Profile,
    nominal_wall,
    outer_profile,
    vial_columns,
)
from vialsight.simulation.traits import VialTraits

_EDGE_RADIUS: Final = 0.75
_FILLET: Final = 14.0
_FLAG_THICKNESS: Final = 13.0
_RIM_HEIGHT: Final = 3.2
_WEB_THICKNESS: Final = 4.5
_WEB_ROWS: Final = (560.0, 1012.0)
_BRIDGES: Final = ((128.0, 16.0), (236.0, 16.0))  # rows and heights of the tags between flags
_STRIP_EDGE: Final = 129.0  # the web of the outer vials is cut off here
_EMBOSS_HEIGHT: Final = 2.4
_EMBOSS_CENTER: Final = (0.0, 176.0)
_CAVITY_NUMBER_AT: Final = (0.0, 1006.0)


@dataclass(frozen=True, kw_only=True)
class Plastic:
    """What of a vial does not move: thickness of plastic, chord of the cavity, absorption."""

    thickness: Float
    cavity: Float
    absorption: Float  # optical depth of what is burnt or foreign, no unit
    haze: Float  # optical depth of what scatters besides the plastic itself, no unit
    inner: Profile


def mould(plan: StripPlan, vial: int, traits: VialTraits, flaws: Sequence[Flaw] = ()) -> Plastic:
    """Make the plastic of one vial with its flaws."""
    from scipy.ndimage import gaussian_filter

    outer, inner = _profiles(traits, flaws)
    u = vial_columns()
    cavity = inner.chord(u)
    solid = _joined(outer.chord(u), _plates(vial, flaws))
    relief = _mottle(plan, vial) + _die_lines(plan, vial) + _emboss(vial, flaws) + _bottom_seam()
    for flaw in flaws:
        relief = relief + flaw.relief
    # Relief shapes plastic where there is some, and nothing sticks to the air.
    wall = np.maximum(solid - cavity, 0.0)
    for flaw in flaws:
        wall = wall + flaw.attached
    present = np.minimum(wall / 3.0, 1.0)
    thickness = np.maximum(wall + relief * present, 0.0)
    absorption = present * sum((flaw.absorption for flaw in flaws), np.zeros_like(wall))
    haze = present * sum((flaw.haze for flaw in flaws), np.zeros_like(wall))
    return Plastic(
        # Moulded edges are round; without this, silhouettes would show the pixels' stairs.
        thickness=gaussian_filter(thickness, _EDGE_RADIUS, output=np.float32),
        cavity=cavity,
        absorption=np.asarray(absorption, np.float32),
        haze=np.asarray(haze, np.float32),
        inner=inner,
    )


def _joined(first: Float, second: Float) -> Float:
    """Return the union of two solids, with a fillet where they meet."""
    fillet = np.maximum(_FILLET - np.abs(first - second), 0.0) / _FILLET
    both = np.minimum(np.minimum(first, second) / _FILLET, 1.0)
    return np.asarray(np.maximum(first, second) + 0.25 * _FILLET * both * fillet**2, np.float32)


def _profiles(traits: VialTraits, flaws: Sequence[Flaw]) -> tuple[Profile, Profile]:
    outer = outer_profile()
    left, right = outer.left.copy(), outer.right.copy()
    depth = outer.depth.copy()
    for flaw in flaws:
        left, right = left + flaw.left, right + flaw.right
        depth = depth * flaw.depth_scale
    exists = outer.left > 0
    outer = Profile(
        np.where(exists, np.maximum(left, 2.0), 0.0).astype(np.float32),
        np.where(exists, np.maximum(right, 2.0), 0.0).astype(np.float32),
        depth.astype(np.float32),
    )
    wall = nominal_wall() * np.float32(traits.wall_scale)
    inner = outer.inset(wall, CAVITY_TOP, CAVITY_BOTTOM)
    skew = wall * np.float32(traits.wall_skew)
    left = np.where(inner.left > 0, np.maximum(inner.left - skew, 0), 0).astype(np.float32)
    right = np.where(inner.right > 0, np.maximum(inner.right + skew, 0), 0).astype(np.float32)
    return outer, Profile(left, right, inner.depth)


def _plates(vial: int, flaws: Sequence[Flaw]) -> Float:
    """Thickness of flag, webs and bridges."""
    inside = flag_distance()
    for flaw in flaws:
        inside = inside - flaw.cut
    plate = _FLAG_THICKNESS * np.sqrt((inside / 5.0).clip(0.0, 1.0))
    rim = _RIM_HEIGHT * np.exp(-(((inside - 11.0) / 3.6) ** 2)) * (inside > 0)
    rows = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None]
    web = _WEB_THICKNESS * _between(rows, *_WEB_ROWS, 14.0)
    for top, height in _BRIDGES:
        web = np.maximum(web, _WEB_THICKNESS * _between(rows, top, top + height, 7.0))
    return np.asarray(np.maximum(plate + rim, web * _web_columns(vial)), np.float32)


@lru_cache(maxsize=1)
def flag_distance() -> Float:
    """Return the distance to the flag's outline, positive inside, (FRAME_HEIGHT, PITCH)."""
    left, top, right, bottom = FLAG
    rows = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None]
    across = np.abs(vial_columns()[None, :] - (left + right) / 2) - (right - left) / 2
    down = np.abs(rows - (top + bottom) / 2) - (bottom - top) / 2
    across, down = across + FLAG_CORNER, down + FLAG_CORNER
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    distance = FLAG_CORNER - (outside + np.minimum(np.maximum(across, down), 0))
    distance.setflags(write=False)
    return np.asarray(distance, np.float32)


def _web_columns(vial: int) -> Float:
    """1 where the web is: thin along the break line, ended at the strip's edges."""
    u = vial_columns()[None, :]
    to_neighbour = PITCH / 2 - np.abs(u)
    shape = 1.0 - 0.75 * np.exp(-((to_neighbour / 1.8) ** 2))
    if vial == 0:
        shape = shape * _between(u, -_STRIP_EDGE, PITCH, 3.0)
    if vial == VIALS - 1:
        shape = shape * _between(u, -PITCH, _STRIP_EDGE, 3.0)
    return np.asarray(shape, np.float32)


def _between(values: Float, low: float, high: float, soft: float) -> Float:
    rise = ((values - low) / soft).clip(0.0, 1.0)
    fall = ((high - values) / soft).clip(0.0, 1.0)
    return np.asarray((rise * fall) ** 0.75, np.float32)


def _mottle(plan: StripPlan, vial: int) -> Float:
    """Uneven wall: two octaves of smooth noise."""
    random = plan.random("mottle", vial)
    field = np.zeros((FRAME_HEIGHT, PITCH), np.float32)
    for cell, height in ((32, 0.8), (12, 0.2)):
        down, across = _spline_basis(FRAME_HEIGHT, cell), _spline_basis(PITCH, cell)
        coarse = random.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
        # Not matmul: a threaded BLAS may add in another order, and pictures must not depend on it.
        field += np.float32(height) * np.einsum(
            "ri,ci->rc", down, np.einsum("ij,cj->ci", coarse, across)
        )
    return field


@lru_cache(maxsize=4)
def _spline_basis(length: int, cell: int) -> Float:
    """Return uniform cubic B-splines a cell apart at 0 … length - 1, (length, splines)."""
    knots = np.arange(length // cell + 4) - 1.0
    distance = np.abs(np.arange(length)[:, None] / cell - knots[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.maximum(2.0 - distance, 0.0) ** 3 / 6.0
    return np.asarray(np.where(distance < 1.0, near, far), np.float32)


def _die_lines(plan: StripPlan, vial: int) -> Float:
    """Streaks along the extruded parison."""
    from scipy.ndimage import gaussian_filter1d

    random = plan.random("die", vial)
    fine = gaussian_filter1d(random.standard_normal(PITCH), 1.6) * 0.55
    broad = gaussian_filter1d(random.standard_normal(PITCH), 5.0) * 1.6
    strength = 0.75 + 0.25 * np.sin(np.arange(FRAME_HEIGHT) / 170.0 + random.uniform(0, 6.3))
    return np.asarray(strength[:, None] * (fine + broad)[None, :] * 0.4, np.float32)


def _emboss(vial: int, flaws: Sequence[Flaw]) -> Float:
    from scipy.ndimage import gaussian_filter

    relief = _emboss_of(vial)
    for flaw in flaws:
        if flaw.emboss_smear is not None:
            on_flag = relief[: int(FLAG[3])]
            smeared = gaussian_filter(on_flag, flaw.emboss_smear, output=np.float32)
            relief = np.concatenate([smeared, relief[int(FLAG[3]) :]])
        relief = relief * flaw.emboss_gain
    return np.asarray(relief, np.float32)


@lru_cache(maxsize=VIALS)
def _emboss_of(vial: int) -> Float:
    """Relief of the flag's mark and of the mould cavity's number."""
    from scipy.ndimage import gaussian_filter

    scale = 4
    canvas = Image.new("L", (PITCH * scale, FRAME_HEIGHT * scale), 0)
    draw = ImageDraw.Draw(canvas)

    def place(text: str, size: int, at: tuple[float, float]) -> None:
        x, y = (at[0] + PITCH / 2) * scale, at[1] * scale
        draw.text((x, y), text, 255, ImageFont.load_default(size * scale), anchor="mm")

    x, y = _EMBOSS_CENTER
    place("VS", 74, (x, y - 34))
    place("10 ml", 38, (x, y + 32))
    place(str(vial + 1), 26, _CAVITY_NUMBER_AT)
    grown = gaussian_filter(np.asarray(canvas, np.float32) / 255.0, 1.0 * scale)
    relief = grown.reshape(FRAME_HEIGHT, scale, PITCH, scale).mean((1, 3)) * _EMBOSS_HEIGHT
    relief.setflags(write=False)
    return np.asarray(relief, np.float32)


@lru_cache(maxsize=1)
def _bottom_seam() -> Float:
    """Return the pinch-off line across the bottom."""
    rows = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None]
    u = vial_columns()[None, :]
    line = 1062.0 - 0.0009 * u**2
    seam = 2.6 * np.exp(-(((rows - line) / 2.4) ** 2)) * _between(u, -78.0, 78.0, 10.0)
    seam.setflags(write=False)
    return np.asarray(seam, np.float32)
