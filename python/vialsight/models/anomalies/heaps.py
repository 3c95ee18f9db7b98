"""Where the members of a heap lie, and heaps of a detail that the patch shows already."""

import math

import numpy as np
from scipy.ndimage import uniform_filter

from vialsight.models.anomalies.shapes import (
    Float32,
    Random,
    Window,
    log_uniform,
    window_around,
)

Place = tuple[float, float]

# How far a heap reaches, as its deviation along and across its own direction, in pixels.
_SPREAD = (4.0, 60.0)
_GATHERED_SHARE = 0.5
# Places to choose each gathered one from.
_CHOICE = 8
# Of so many details the most distinct is repeated: of bare glass there is nothing to repeat.
_CANDIDATES = 60
# Places to choose those details from.
_SEEN = 2000
# A pair is nominal where single ones are; a heap is not.
_MEMBERS = (6.0, 60.0)
_DETAIL_RADIUS = (2.5, 10.0)


def heap(random: Random, patch: Float32, at: Place, count: int) -> list[Place]:
    """Draw `count` places about a place: scattered, or gathered where the patch has edges.

    What moves freely in a product comes to rest at walls and surfaces.
    """
    along, across = (log_uniform(random, *_SPREAD) for _ in range(2))
    angle = random.uniform(0.0, math.pi)
    turn = np.array([[math.sin(angle), math.cos(angle)], [math.cos(angle), -math.sin(angle)]])
    gathered = random.random() < _GATHERED_SHARE
    drawn = random.normal(0.0, 1.0, (count * (_CHOICE if gathered else 1), 2)) * (along, across)
    places = np.array(at) + drawn @ turn.T
    if gathered:
        places = _at_edges(random, patch, places, count)
    return [(float(y), float(x)) for y, x in places]


def _at_edges(random: Random, patch: Float32, places: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` of the places, those on edges more likely."""
    limit = len(patch) - 1
    rows, columns = np.clip(places.astype(int), 1, limit - 1).T
    steep = np.abs(patch[rows + 1, columns] - patch[rows - 1, columns])
    steep += np.abs(patch[rows, columns + 1] - patch[rows, columns - 1])
    weights = steep.astype(np.float64) + 0.005
    return places[random.choice(len(places), count, p=weights / weights.sum())]


def repeat_detail(random: Random, patch: Float32, at: Place) -> Window | None:
    """Show a detail of the patch many times about a place; light passes them all.

    Changes the patch float32 (P,P) in place; returns where.
    """
    detail = _detail(random, patch, log_uniform(random, *_DETAIL_RADIUS))
    joined: Window | None = None
    for place in heap(random, patch, at, int(log_uniform(random, *_MEMBERS))):
        window = _multiply(random, patch, detail, place)
        if window is not None:
            joined = window if joined is None else joined.joined(window)
    return joined


def _detail(random: Random, patch: Float32, radius: float) -> Float32:
    """Return the transmission (2r+1,2r+1) of a detail, 1 at its rim: the most distinct of some."""
    reach = math.ceil(radius) + 1
    steps = np.hypot(*np.indices((2 * reach + 1,) * 2) - reach)
    inner, rim = steps <= radius, (steps > radius) & (steps <= reach)
    best, distinct = np.ones_like(steps), -np.inf
    for y, x in _striking(random, patch, reach):
        seen = patch[y - reach : y + reach + 1, x - reach : x + reach + 1]
        around = seen[rim]
        level = around.mean()
        # What stands alone: an edge goes on beyond the rim.
        found = float(np.abs(seen[inner] - level).mean() / (0.03 + around.std()))
        if found > distinct:
            best, distinct = (seen + 0.02) / (level + 0.02), found
    soft = np.clip((reach - steps) / 2.0, 0.0, 1.0)
    return np.asarray(1.0 + soft * (best - 1.0), np.float32)


def _striking(random: Random, patch: Float32, reach: int) -> np.ndarray:
    """Draw places (k,2) whose grey value differs from that around them."""
    places = random.integers(reach, len(patch) - reach, (_SEEN, 2))
    level = uniform_filter(patch, 2 * reach + 1, mode="nearest")
    away = np.abs(patch - level)[places[:, 0], places[:, 1]].astype(np.float64) + 1e-6
    return places[random.choice(_SEEN, _CANDIDATES, p=away / away.sum())]


def _multiply(random: Random, patch: Float32, detail: Float32, at: Place) -> Window | None:
    """Lay a detail, turned and mirrored at random, over a patch; return where."""
    reach, size = len(detail) // 2, len(patch)
    y, x = round(at[0]), round(at[1])
    around = window_around(y, x, reach, reach, size)
    if around is None:
        return None
    turned = np.rot90(detail[:, :: int(random.choice([-1, 1]))], int(random.integers(0, 4)))
    # What is around a place reaches one pixel farther than the detail.
    window = Window(around.top, min(y + reach + 1, size), around.left, min(x + reach + 1, size))
    part = turned[
        window.top - y + reach : window.bottom - y + reach,
        window.left - x + reach : window.right - x + reach,
    ]
    patch[window.slices] *= part ** np.float32(random.uniform(0.5, 1.3))
    return window
