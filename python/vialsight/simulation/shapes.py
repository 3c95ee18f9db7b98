"""Shapes that flaws are drawn with, over the window of one vial: (FRAME_HEIGHT, PITCH) float32.

Places are u, the distance from the vial's axis, and y, the row; all lengths are pixels.
"""

import numpy as np

from vialsight.simulation.product import FRAME_HEIGHT, PITCH, Float, disc_around, vial_columns


def nowhere() -> Float:
    """Return a map of zeros."""
    return np.zeros((FRAME_HEIGHT, PITCH), np.float32)


def no_rows() -> Float:
    """Return zeros for every row, (FRAME_HEIGHT,)."""
    return np.zeros(FRAME_HEIGHT, np.float32)


def scale(severity: float, low: float, high: float) -> float:
    """Return the size of a severity in [0, 1] on a geometric scale from `low` to `high`."""
    return float(low * (high / low) ** severity)


def blob(random: np.random.Generator, u: float, y: float, radius: float, soft: float) -> Float:
    """Draw an irregular spot, 1 inside: a circle whose radius wavers with the angle."""
    across = vial_columns()[None, :] - u
    down = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None] - y
    angle = np.arctan2(down, across)
    edge = np.ones_like(angle)
    for order in range(2, 7):
        wave = random.normal(0.0, 0.28 / order)
        edge += wave * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    squeeze = random.uniform(0.7, 1.0)
    distance = np.hypot(across, down / squeeze)
    return np.asarray(((radius * edge - distance) / soft + 0.5).clip(0.0, 1.0), np.float32)


def fibre(random: np.random.Generator, u: float, y: float, length: float, width: float) -> Float:
    """Draw a bent thread, 1 inside."""
    steps = max(int(length), 2)
    heading = random.uniform(0, np.pi) + np.cumsum(random.normal(0.0, 0.09, steps))
    path = np.stack([u + np.cumsum(np.cos(heading)), y + np.cumsum(np.sin(heading))])
    return along(path - (path.mean(axis=1) - [u, y])[:, None], np.full(steps, width))


def along(path: np.ndarray, width: np.ndarray) -> Float:
    """Draw the union of soft discs of diameter `width` along a path (2, n) of u and y."""
    result = nowhere()
    for u, y, thick in zip(*path, width, strict=True):
        around = disc_around(u, y, thick / 2 + 1.0)
        if around is None:
            continue
        disc = (thick / 2 - np.hypot(around.across, around.down) + 0.5).clip(0.0, 1.0)
        np.maximum(result[around.place], disc, out=result[around.place])
    return result


def bell(values: Float, center: float, width: float) -> Float:
    """Return a Gaussian of height 1 and standard deviation `width` at each of the values."""
    return np.asarray(np.exp(-0.5 * ((values - center) / width) ** 2), np.float32)


def row_numbers() -> Float:
    """Return y of every row, (FRAME_HEIGHT,)."""
    return np.arange(FRAME_HEIGHT, dtype=np.float32)
