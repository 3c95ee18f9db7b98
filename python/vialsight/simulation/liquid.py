"""The liquid of one vial: how much of it lies along the line of sight, at every pixel.

The volume is what was filled: the level at every moment is found so that the cavity holds exactly
it, whatever the surface looks like.
"""

from typing import Final

import numpy as np

from vialsight.simulation.motion import BubbleState, DropletState, LiquidState
from vialsight.simulation.plastic import Plastic
from vialsight.simulation.product import (
    CAVITY_BOTTOM,
    CAVITY_TOP,
    FRAME_HEIGHT,
    NECK_BOTTOM,
    PITCH,
    PIXELS_PER_MM,
    Float,
    disc_around,
    vial_columns,
)

_CAPILLARY_LENGTH: Final = 2.4 * PIXELS_PER_MM
_CAMERA_PITCH: Final = 0.022  # rows of the surface's ellipse per pixel of depth
_NECK_MENISCUS: Final = 9.0  # depth of the concave ends of a plug, pixels
_FILM: Final = 0.9  # thickness of a floating bubble's dome, pixels
_TOP: Final = NECK_BOTTOM  # the main body of liquid never reaches higher
_CLIMB_AT_REST: Final = 9.0


class Vessel:
    """A cavity with a filled volume in it."""

    def __init__(self, plastic: Plastic, fill_level: float) -> None:
        self._cavity = plastic.cavity
        # Volume of the cavity from a row down, per column: [row, column].
        self._below = np.cumsum(plastic.cavity[::-1].astype(np.float64), axis=0)[::-1]
        self._width = np.maximum(plastic.inner.left, plastic.inner.right)
        at_rest = np.zeros(PITCH)
        self.volume = self._volume(at_rest + fill_level, _CLIMB_AT_REST)
        # Where the search for the level begins at every frame.
        self._level_at_rest = float(np.searchsorted(-self._below.sum(axis=1), -self.volume))

    def water(self, state: LiquidState) -> Float:
        """Return the liquid along the line of sight, (FRAME_HEIGHT, PITCH) pixels.

        Droplets, bubbles and the plug in the neck are in the map; they do not count in the volume
        of the main body.
        """
        u = vial_columns().astype(np.float64)
        shape = state.surface(u)
        level = self._level(shape, state.climb)
        water, fraction = self._filled(level + shape, state.climb)
        _add_droplets(water, fraction, self._cavity, state.droplets)
        if state.neck_plug is not None:
            self._add_plug(water, state.neck_plug)
        _add_bubbles(water, self._cavity, state.bubbles, level)
        return water

    def held(self, state: LiquidState) -> float:
        """Return the volume of the main body of liquid as drawn, cubic pixels."""
        shape = state.surface(vial_columns().astype(np.float64))
        water, _ = self._filled(self._level(shape, state.climb) + shape, state.climb)
        return float(water.sum(dtype=np.float64))

    def _level(self, shape: np.ndarray, climb: float) -> float:
        """Solve volume(level) = filled volume; a few Newton steps, the function is near linear."""
        level = self._level_at_rest
        for _ in range(12):
            rows = (level + shape).clip(_TOP, CAVITY_BOTTOM)
            missing = self.volume - self._volume(rows, climb)
            area = self._cavity[rows.astype(np.int64), np.arange(PITCH)].sum()
            level -= missing / max(float(area), 1.0)
            if abs(missing) < 1e-4 * self.volume:
                break
        return float(level)

    def _volume(self, surface: np.ndarray, climb: float) -> float:
        """Liquid under a surface (PITCH,) in cubic pixels."""
        first, last = self._band(surface, climb)
        partly = self._fraction(surface, climb, first, last) * self._cavity[first:last]
        return float(partly.sum(dtype=np.float64) + self._below[last].sum())

    def _filled(self, surface: np.ndarray, climb: float) -> tuple[Float, Float]:
        first, last = self._band(surface, climb)
        fraction = np.zeros((FRAME_HEIGHT, PITCH), np.float32)
        fraction[last:] = 1.0
        fraction[first:last] = self._fraction(surface, climb, first, last)
        return fraction * self._cavity, fraction

    def _band(self, surface: np.ndarray, climb: float) -> tuple[int, int]:
        first = int(np.floor(surface.min() - climb)) - 6
        last = int(np.ceil(surface.max())) + 7
        return max(first, _TOP), min(max(last, _TOP + 1), CAVITY_BOTTOM)

    def _fraction(self, surface: np.ndarray, climb: float, first: int, last: int) -> Float:
        """Return the filled part of the chord in rows first…last.

        Liquid climbs the wall by climb·exp(−s/λ) at the distance s from it (λ: capillary length),
        so that above the surface only the ends of the chord are filled.
        """
        from scipy.ndimage import gaussian_filter1d

        rows = np.arange(first, last, dtype=np.float32)[:, None]
        half = self._cavity[first:last] / 2.0
        side = np.maximum(self._width[first:last, None] - np.abs(vial_columns())[None, :], 0.0)
        raised = surface[None, :] - climb * np.exp(-side / _CAPILLARY_LENGTH)
        above = np.maximum(raised - rows, 0.0)
        wet = _CAPILLARY_LENGTH * np.log(climb / np.maximum(above, 1e-6))
        fraction = np.where(above <= 0.0, 1.0, (wet / np.maximum(half, 1.0)).clip(0.0, 1.0))
        # The camera looks a little down on the surface, which is therefore an ellipse.
        blur = _CAMERA_PITCH * 100.0 * 0.5
        return np.asarray(gaussian_filter1d(fraction, blur, axis=0, mode="nearest"), np.float32)

    def _add_plug(self, water: Float, plug: tuple[float, float]) -> None:
        top, bottom = plug
        rows = np.arange(CAVITY_TOP, NECK_BOTTOM, dtype=np.float32)[:, None]
        cavity = self._cavity[CAVITY_TOP:NECK_BOTTOM]
        width = np.maximum(self._width[CAVITY_TOP:NECK_BOTTOM, None], 1.0)
        radial = (vial_columns()[None, :] / width) ** 2
        ends = [
            1.0 - np.sqrt((1.0 - inside / _NECK_MENISCUS - radial).clip(0.0, 1.0))
            for inside in (rows - top, bottom - rows)
        ]
        inside = (rows > top) & (rows < bottom)
        part = np.where(inside, np.minimum(*ends).clip(0.0, 1.0), 0.0)
        region = water[CAVITY_TOP:NECK_BOTTOM]
        np.maximum(region, part * cavity, out=region)


def _add_droplets(water: Float, fraction: Float, cavity: Float, drops: DropletState) -> None:
    """Spherical caps on the wall, where there is no liquid already."""
    for u, y, radius, stretch, contact in zip(
        drops.u, drops.y, drops.radius, drops.stretch, drops.contact, strict=True
    ):
        disc = disc_around(u, y, radius * stretch)
        if disc is None:
            continue
        place, squared = disc.place, (disc.down / stretch) ** 2 + disc.across**2
        height = contact * radius
        sphere = (radius**2 + height**2) / (2 * height)
        cap = np.sqrt(np.maximum(sphere**2 - squared, 0.0)) - (sphere - height)
        room = cavity[place] * (1.0 - fraction[place])
        water[place] += np.minimum(np.maximum(cap, 0.0), room)


def _add_bubbles(water: Float, cavity: Float, bubbles: BubbleState, level: float) -> None:
    """Spheres of air in the liquid; floating ones carry a film where they stand above it."""
    for u, y, radius, floating in zip(
        bubbles.u, bubbles.y, bubbles.radius, bubbles.floating, strict=True
    ):
        disc = disc_around(u, y + level, radius)
        if disc is None:
            continue
        place, squared = disc.place, disc.down**2 + disc.across**2
        sphere = 2.0 * np.sqrt(np.maximum(radius**2 - squared, 0.0))
        there = water[place]
        air = np.minimum(sphere, there)
        film = 0.0
        if floating:
            hollow = 2.0 * np.sqrt(np.maximum((radius - _FILM) ** 2 - squared, 0.0))
            film = (sphere - hollow) * (there <= 0.0) * (cavity[place] > 0.0)
        water[place] = there - air + film
