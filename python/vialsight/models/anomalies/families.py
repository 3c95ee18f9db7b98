"""Families of changes. Each alters a patch float32 (P,P) in [0,1] in place, where it draws.

Nothing here knows a product or a simulator: light is absorbed, added, bent, or comes from
elsewhere, and contrast is lost.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from vialsight.models.anomalies.heaps import Place, heap, repeat_detail
from vialsight.models.anomalies.section import AnomaliesConfig
from vialsight.models.anomalies.shapes import (
    Float32,
    Random,
    Shape,
    Window,
    band,
    bell,
    blob,
    cut,
    log_uniform,
    thread,
    union,
    waves,
)

# Changes a patch about a place, with the texture of another patch at hand; returns where.
Family = Callable[[AnomaliesConfig, Random, Float32, Float32, Place], Window | None]


def absorbing(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Darken by Lambert and Beer: a thread, or a spot with satellites, or a cloud."""
    del other
    size = len(patch)
    depth = log_uniform(random, *config.optical_depth)
    if random.random() < 0.3:
        shape = _thread(config, random, at, size)
    else:
        shape = _spots(config, random, at, size)
    if shape is None:
        return None
    patch[shape.slices] *= np.exp(-np.float32(depth) * shape.values)
    # What absorbs is a body, or sits in a dent, and bends the light beside it.
    if random.random() < 0.4:
        height = gaussian_filter(shape.values, 0.8)
        _bend(random, patch, Shape(shape.window, height), log_uniform(random, 0.3, 2.0))
    return shape.window


def lighter(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Brighten towards white: a spot, or a piece with straight edges that is missing."""
    del other
    size, (low, high) = len(patch), config.radius
    if random.random() < 0.75:
        shape = blob(random, at, log_uniform(random, max(low, 1.5), high), size)
    else:
        shape = cut(random, at, log_uniform(random, max(low, 4.0), high), size)
    if shape is None:
        return None
    inside = patch[shape.slices]
    inside += (1.0 - inside) * np.float32(random.uniform(0.1, 0.9)) * shape.values
    return shape.window


def texture(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Show a place of another region, or another place of this patch.

    Never the same place of another product: what moves freely there, such as a bubble, would be
    labelled although it is nominal.
    """
    size = len(patch)
    radius = log_uniform(random, max(config.radius[0], 4.0), max(config.radius[1], 4.0))
    if random.random() < 0.5:
        shape = blob(random, at, radius, size, soft=2.0)
    else:
        shape = cut(random, at, radius, size)
    if shape is None:
        return None
    share = np.float32(random.uniform(0.4, 1.0)) * shape.values
    inside = patch[shape.slices]
    inside += share * (_from_elsewhere(random, patch, other, shape.window) - inside)
    return shape.window


def relief(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Bend the light: a groove or ridge, a hill or dent, or a heap of grains."""
    del other
    size, choice = len(patch), random.random()
    shift = log_uniform(random, *config.bending)
    if choice < 0.4:
        shape = _thread(config, random, at, size)
        blur = 0.7
    elif choice < 0.7:
        radius = log_uniform(random, 3.0, 18.0)
        shape = bell(random, at, radius, size)
        # The slope of a hill is its height over its radius; so is the shift.
        shift, blur = shift * radius * 1.2, 0.0
    else:
        shape, blur = _grains(random, patch, at), 0.5
    if shape is None:
        return None
    height = gaussian_filter(shape.values, blur) if blur else shape.values
    _bend(random, patch, Shape(shape.window, height), shift)
    return shape.window


def displacement(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Move a part, or everything along a ridge through the patch."""
    del other
    size, radius = len(patch), log_uniform(random, 8.0, 60.0)
    shape = (
        bell(random, at, radius, size) if random.random() < 0.6 else band(random, at, radius, size)
    )
    if shape is None:
        return None
    # A fold is no displacement: small parts move less.
    limit = config.shift[1] * min(1.0, radius / 30.0 + 0.1)
    length = log_uniform(random, config.shift[0], max(limit, config.shift[0]))
    angle = random.uniform(0.0, 2.0 * math.pi)
    down, across = length * math.sin(angle), length * math.cos(angle)
    patch[shape.slices] = _moved(patch, shape.window, down * shape.values, across * shape.values)
    return shape.window


def fading(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Blur a part, weakly or until nothing but its mean is left."""
    del other
    size = len(patch)
    radius = log_uniform(random, 10.0, max(2.0 * config.radius[1], 10.0))
    shape = blob(random, at, radius, size, soft=max(4.0, 0.3 * radius))
    if shape is None:
        return None
    sigma = float(random.choice([1.2, 2.0, 4.0, 10.0]))
    inside = patch[shape.slices]
    share = np.float32(random.uniform(0.4, 1.0)) * shape.values
    inside += share * (gaussian_filter(inside, sigma, truncate=2.5) - inside)
    return shape.window


def repetition(
    config: AnomaliesConfig, random: Random, patch: Float32, other: Float32, at: Place
) -> Window | None:
    """Show a detail that is there already many times."""
    del config, other
    return repeat_detail(random, patch, at)


FAMILY_OF: Final[dict[str, Family]] = {
    "absorbing": absorbing,
    "lighter": lighter,
    "texture": texture,
    "relief": relief,
    "displacement": displacement,
    "fading": fading,
    "repetition": repetition,
}


def _thread(config: AnomaliesConfig, random: Random, at: Place, size: int) -> Shape | None:
    wander = float(random.choice([0.01, 0.03, 0.1]))
    length, width = log_uniform(random, *config.length), log_uniform(random, *config.width)
    return thread(random, at, length, width, size, wander=wander)


def _spots(config: AnomaliesConfig, random: Random, at: Place, size: int) -> Shape | None:
    radius = log_uniform(random, *config.radius)
    shapes = [blob(random, at, radius, size)]
    for _ in range(int(random.integers(0, 3))):
        aside = random.normal(0.0, max(8.0, radius), 2)
        small = log_uniform(random, 0.9, max(1.2, radius / 2.0))
        shapes.append(blob(random, (at[0] + aside[0], at[1] + aside[1]), small, size))
    shape = union([found for found in shapes if found is not None])
    if shape is not None and radius > 12.0 and random.random() < 0.4:
        mottled = 0.6 + 0.4 * waves(random, 2 + int(radius / 6.0), shape.window.shape)
        return Shape(shape.window, shape.values * np.clip(mottled, 0.0, 1.0))
    return shape


def _grains(random: Random, patch: Float32, at: Place) -> Shape | None:
    places = heap(random, patch, at, int(log_uniform(random, 3.0, 60.0)))
    shapes = (
        blob(random, place, log_uniform(random, 1.5, 5.0), len(patch), soft=2.0) for place in places
    )
    return union([found for found in shapes if found is not None])


def _from_elsewhere(random: Random, patch: Float32, other: Float32, window: Window) -> Float32:
    height, width = window.shape
    if random.random() < 0.6:
        return np.asarray(other[window.slices], np.float32)
    top = int(random.integers(0, len(patch) - height + 1))
    left = int(random.integers(0, len(patch) - width + 1))
    return np.array(patch[top : top + height, left : left + width], np.float32)


def _bend(random: Random, patch: Float32, height: Shape, shift: float) -> None:
    """Show a patch through a relief: shifted along its slope, focused, and dimmed where steep."""
    strength = shift * float(random.choice([-1.0, 1.0]))
    slope_y, slope_x = np.gradient(height.values)
    curvature = np.gradient(slope_y, axis=0) + np.gradient(slope_x, axis=1)
    seen = _moved(patch, height.window, strength * slope_y, strength * slope_x)
    focus = np.clip(strength * curvature, -0.6, 0.6) * random.uniform(0.0, 1.0)
    steep = np.exp(-0.04 * abs(strength) * np.hypot(slope_y, slope_x))
    patch[height.slices] = seen * (1.0 - focus) * steep


def _moved(patch: Float32, window: Window, down: Float32, across: Float32) -> Float32:
    """Return the window as seen `down` and `across` pixels away; the patch's edge is a mirror."""
    rows, columns = window.grid()
    return np.asarray(
        map_coordinates(patch, [rows + down, columns + across], order=1, mode="mirror"),
        np.float32,
    )
