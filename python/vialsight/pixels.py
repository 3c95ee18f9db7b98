"""Patches as they are stored: 8 bits a pixel."""

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches


def to_pixels(patches: Patches) -> npt.NDArray[np.uint8]:
    """Return patches, float32 of any shape in [0,1], rounded to the nearest of 256 gray values."""
    return np.asarray(np.rint(patches * np.float32(255.0)), np.uint8)


def to_unit(pixels: npt.NDArray[np.uint8]) -> Patches:
    """Return uint8 of any shape as float32 in [0,1]: value / 255, as the core reads frames."""
    return np.asarray(pixels / np.float32(255.0), np.float32)


def without_loss(patches: Patches) -> Patches | npt.NDArray[np.uint8]:
    """Return finite patches in [0,1] as uint8 where that loses nothing, else as they are."""
    pixels = to_pixels(patches)
    return pixels if np.array_equal(to_unit(pixels), patches) else patches
