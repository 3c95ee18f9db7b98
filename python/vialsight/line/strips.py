"""Strips to measure with, where there are no images of real ones."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout

Frames = npt.NDArray[Any]

# Of the search for a frame that is seen as the golden one: what is left is below the noise.
_ROUNDS: Final = 12
# Share of the brightest value, so that no patch is of one gray value.
_NOISE: Final = 0.01


def made_strip(bundle: _core.Bundle, seed: int) -> Frames:
    """Return frames (F,H,W) that `bundle` inspects to the end, in its pixel type and depth.

    Where products are not located, random pixels; else the nominal product of the bundle's first
    golden frame in every frame, with a little noise.
    """
    if bundle.locator is None:
        return random_strip(bundle.layout, seed)
    layout, locator = bundle.layout, bundle.locator
    scene = _frame_seen_as(locator["golden_frames"][0], layout, locator["scale"])
    shape = (layout.frames, *scene.shape)
    noisy = scene + np.random.default_rng(seed).uniform(-_NOISE, _NOISE, shape)
    return _pixels(noisy, layout)


def random_strip(layout: Layout, seed: int) -> Frames:
    """Return frames (F,H,W) of uniformly random pixels in the layout's pixel type and depth."""
    shape = (layout.frames, layout.frame_height, layout.frame_width)
    return np.random.default_rng(seed).integers(0, 2**layout.bit_depth, shape, _dtype(layout))


def _frame_seen_as(
    reduced: npt.NDArray[np.float32], layout: Layout, scale: int
) -> npt.NDArray[np.float64]:
    """Return a frame (H,W) in [0,1] that averaging and smoothing make `reduced` (h,w) of.

    By Van Cittert's iteration: what the locator sees too little of is added.
    """
    scene = _enlarged(reduced, layout, scale)
    for _ in range(_ROUNDS):
        seen = _core.reduced_frame(_pixels(scene, layout), scale, bit_depth=layout.bit_depth)
        scene = np.clip(scene + _enlarged(reduced - seen, layout, scale), 0.0, 1.0)
    return scene


def _enlarged(
    reduced: npt.NDArray[np.float32], layout: Layout, scale: int
) -> npt.NDArray[np.float64]:
    blocks = reduced.astype(np.float64).repeat(scale, axis=0).repeat(scale, axis=1)
    # Rows and columns at the end that do not fill a block.
    missing = (layout.frame_height - blocks.shape[0], layout.frame_width - blocks.shape[1])
    return np.pad(blocks, [(0, rows) for rows in missing], mode="edge")


def _pixels(values: npt.NDArray[np.float64], layout: Layout) -> Frames:
    brightest = 2**layout.bit_depth - 1
    pixels: Frames = np.rint(np.clip(values, 0.0, 1.0) * brightest).astype(_dtype(layout))
    return pixels


def _dtype(layout: Layout) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if layout.bit_depth == 8 else np.uint16
