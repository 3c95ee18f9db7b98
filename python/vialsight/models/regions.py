"""Of which region a patch is, seen by the graph alone: of the one whose mean image is nearest."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Tensor
from vialsight.pinned import tf


class NearestMean(tf.Module):  # type: ignore[misc]
    """Regions told apart by their mean images, float (R,D)."""

    def __init__(self, means: npt.NDArray[Any]) -> None:
        super().__init__(name="nearest_mean")
        double = np.asarray(means, np.float64)
        self._means = tf.constant(double, tf.float32)
        # |x - m|² is least where x·m - |m|²/2 is largest.
        self._half_squares = tf.constant(0.5 * np.square(double).sum(axis=1), tf.float32)

    def of(self, flat: Tensor) -> Tensor:
        """Return the region of images (n,D), one-hot (n,R)."""
        nearest = tf.matmul(flat, self._means, transpose_b=True) - self._half_squares
        return tf.one_hot(tf.argmax(nearest, 1), self._means.shape[0])

    def mean_of(self, region: Tensor) -> Tensor:
        """Return the mean images (n,D) of regions, one-hot (n,R)."""
        return tf.matmul(region, self._means)


def own_places(region: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the matrix (K,k) that moves codes of all regions, one after the other, to their own.

    `region` (K,), ascending, says of which region a code is; k is the most of a region, 1 at least.
    Codes of other regions than the patch's must be 0.
    """
    counts = np.bincount(region) if len(region) else np.zeros(1, np.int64)
    place = np.arange(len(region)) - (np.cumsum(counts) - counts)[region]
    return np.eye(max(1, int(counts.max())), dtype=np.float32)[place]
