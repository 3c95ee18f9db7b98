"""Shapes of changes, drawn in the smallest window of a patch that holds them.

A shape is a window and values float32 of its size: 1 inside, 0 outside, soft at the edge.
Coordinates are pixels, y down and x right.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Random = np.random.Generator

# Pixels around a shape that its slopes and shadows may reach.
_MARGIN = 6


@dataclass(frozen=True)
class Window:
    """Rows [top, bottom) and columns [left, right) of a patch."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the window out of an array (H,W)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def grid(self) -> tuple[Float32, Float32]:
        """Rows (h,1) and columns (1,w) of its pixels in the patch."""
        rows = np.arange(self.top, self.bottom, dtype=np.float32)[:, None]
        return rows, np.arange(self.left, self.right, dtype=np.float32)[None, :]

    def joined(self, other: "Window") -> "Window":
        """Return the smallest window that holds both."""
        return Window(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def grown(self, margin: int, size: int) -> "Window":
        """Return it with a margin on all sides, within a patch of `size`."""
        return Window(
            max(self.top - margin, 0),
            min(self.bottom + margin, size),
            max(self.left - margin, 0),
            min(self.right + margin, size),
        )


def window_around(y: float, x: float, reach_y: float, reach_x: float, size: int) -> Window | None:
    """Return what of a patch of `size` lies within the reach of a point; None: nothing."""
    top, bottom = max(int(y - reach_y), 0), min(int(y + reach_y) + 2, size)
    left, right = max(int(x - reach_x), 0), min(int(x + reach_x) + 2, size)
    # Slopes need two neighbours.
    if bottom - top < 3 or right - left < 3:
        return None
    return Window(top, bottom, left, right)


@dataclass(frozen=True)
class Shape:
    """Where a change is, and how much of it (h,w)."""

    window: Window
    values: Float32

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts its window out of a patch."""
        return self.window.slices


def log_uniform(random: Random, low: float, high: float) -> float:
    """Draw between two positive limits, each size as likely as its double."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def blob(
    random: Random,
    at: tuple[float, float],
    radius: float,
    size: int,
    *,
    soft: float | None = None,
) -> Shape | None:
    """Draw an irregular spot, stretched up to 1.6 times; `soft` is the width of its edge."""
    y, x = at
    stretch = random.uniform(0.6, 1.6)
    reach = 1.9 * radius + _MARGIN
    window = window_around(y, x, reach, reach / min(stretch, 1.0), size)
    if window is None:
        return None
    rows, columns = window.grid()
    down, across = rows - np.float32(y), (columns - np.float32(x)) * np.float32(stretch)
    angle = np.arctan2(down, across)
    edge = np.ones_like(angle)
    for order in range(2, 6):
        wave, phase = random.normal(0.0, 0.25 / order), random.uniform(0.0, 2.0 * math.pi)
        edge += np.float32(wave) * np.cos(np.float32(order) * angle + np.float32(phase))
    width = soft or max(0.8, radius * float(random.choice([0.05, 0.15, 0.5, 0.9])))
    inside = (np.float32(radius) * edge - np.hypot(down, across)) / np.float32(width) + 0.5
    return Shape(window, np.clip(inside, 0.0, 1.0).astype(np.float32))


def union(shapes: list[Shape]) -> Shape | None:
    """Return the largest value of any shape at each pixel; None of no shapes."""
    if not shapes:
        return None
    window = shapes[0].window
    for shape in shapes[1:]:
        window = window.joined(shape.window)
    values = np.zeros(window.shape, np.float32)
    for shape in shapes:
        place = (
            slice(shape.window.top - window.top, shape.window.bottom - window.top),
            slice(shape.window.left - window.left, shape.window.right - window.left),
        )
        np.maximum(values[place], shape.values, out=values[place])
    return Shape(window, values)


def thread(
    random: Random,
    at: tuple[float, float],
    length: float,
    width: float,
    size: int,
    *,
    wander: float,
) -> Shape | None:
    """Draw a line about `at` whose heading wanders by `wander` radians a pixel."""
    steps = max(int(length), 4)
    heading = random.uniform(0.0, 2.0 * math.pi) + np.cumsum(random.normal(0.0, wander, steps))
    path = np.stack([np.cumsum(np.sin(heading)), np.cumsum(np.cos(heading))])
    path += np.array(at)[:, None] - path.mean(axis=1, keepdims=True)
    reach = width / 2.0 + 1.0
    low, high = path.min(axis=1) - reach - _MARGIN, path.max(axis=1) + reach + _MARGIN
    centre, half = (low + high) / 2.0, (high - low) / 2.0
    window = window_around(centre[0], centre[1], half[0], half[1], size)
    if window is None:
        return None
    values = np.zeros(window.shape, np.float32)
    # Beads closer than half a width apart make a line.
    for y, x in path.T[:: max(1, int(width / 3))]:
        _bead(values, y - window.top, x - window.left, width / 2.0)
    return Shape(window, values)


def _bead(values: Float32, y: float, x: float, radius: float) -> None:
    around = window_around(y, x, radius + 1.0, radius + 1.0, max(values.shape))
    if around is None:
        return
    place = values[around.slices]
    if not place.size:
        return
    rows, columns = around.grid()
    rows, columns = rows[: place.shape[0]], columns[:, : place.shape[1]]
    disc = np.clip(radius - np.hypot(rows - y, columns - x) + 0.5, 0.0, 1.0)
    np.maximum(place, disc.astype(np.float32), out=place)


def bell(random: Random, at: tuple[float, float], radius: float, size: int) -> Shape | None:
    """Draw a smooth hill, stretched 0.5 to 1.5 times along x; `radius` is its deviation."""
    y, x = at
    stretch = random.uniform(0.5, 1.5)
    window = window_around(y, x, 3.2 * radius, 3.2 * radius / stretch, size)
    if window is None:
        return None
    rows, columns = window.grid()
    down, across = (rows - y) / radius, (columns - x) * stretch / radius
    values = np.exp(-0.5 * down**2) * np.exp(-0.5 * across**2)
    return Shape(window, values.astype(np.float32))


def band(random: Random, at: tuple[float, float], radius: float, size: int) -> Shape:
    """Draw a smooth ridge through the whole patch, along rows or columns."""
    whole = Window(0, size, 0, size)
    rows, columns = whole.grid()
    along_rows = random.random() < 0.5
    distance = (rows - at[0]) if along_rows else (columns - at[1])
    ridge = np.exp(-0.5 * (distance / radius) ** 2)
    return Shape(whole, np.broadcast_to(ridge, whole.shape).astype(np.float32))


def cut(random: Random, at: tuple[float, float], reach: float, size: int) -> Shape | None:
    """Draw a piece bounded by straight edges: a rectangle that is turned at random."""
    angle = random.uniform(0.0, math.pi)
    half = reach, reach * random.uniform(0.25, 1.0)
    extent = math.hypot(*half) + 2.0
    window = window_around(at[0], at[1], extent, extent, size)
    if window is None:
        return None
    rows, columns = window.grid()
    down, across = rows - at[0], columns - at[1]
    along = np.abs(down * math.cos(angle) + across * math.sin(angle))
    beside = np.abs(across * math.cos(angle) - down * math.sin(angle))
    inside = np.minimum(half[0] - along, half[1] - beside) + 0.5
    return Shape(window, np.clip(inside, 0.0, 1.0).astype(np.float32))


def waves(random: Random, cells: int, shape: tuple[int, int]) -> Float32:
    """Draw smooth noise (h,w) of `cells` random values a side, of deviation 1, blended between."""
    values = random.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    down, across = (_blending(cells, length) for length in shape)
    return np.asarray(down @ values @ across.T, np.float32)


def _blending(cells: int, length: int) -> Float32:
    """Return the weights (length, cells + 1) of each value at each pixel."""
    position = (np.arange(length, dtype=np.float32)[:, None] + 0.5) * (cells / length)
    near = np.clip(1.0 - np.abs(position - np.arange(cells + 1, dtype=np.float32)), 0.0, 1.0)
    return np.asarray(near * near * (3.0 - 2.0 * near), np.float32)
