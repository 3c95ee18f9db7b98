"""Images made small, by NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt


def block_means(images: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """Return the means of squares of `scale` pixels a side of images (…,h,w)."""
    *counts, height, width = images.shape
    squares = images.reshape(*counts, height // scale, scale, width // scale, scale)
    return np.asarray(squares.mean(axis=(-3, -1)))
