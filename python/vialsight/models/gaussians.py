"""How far what a network sees in a patch is from what it sees in nominal ones: the graph's part.

Two maps beside a network's outputs, of Gaussians fitted when it is frozen (`gaussian_fit`):

- `latent` (n,1,1,1), T²: squared Mahalanobis distance of the code, a Gaussian for each region.
- `distance` (n,h,w,1): that of the features of one stage, a Gaussian for each place of each region,
  after projection on the principal components of what varies at a place.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Tensor
from vialsight.pinned import tf

LATENT: Final = "latent"
DISTANCE: Final = "distance"

Float64 = npt.NDArray[np.float64]


class Inside(NamedTuple):
    """What a network sees: outputs by name, region one-hot (n,R), codes (n,k), features (n,h,w,C).

    Features are None where a network has none.
    """

    outputs: Mapping[str, Tensor]
    region: Tensor
    codes: Tensor
    features: Tensor | None = None


class OpenNetwork(Protocol):
    """A network that shows what it sees."""

    def inside(self, patches: Tensor) -> Inside:
        """Return what it sees in patches (n,P,P,1), in inference mode."""


class Gaussians(tf.Module):  # type: ignore[misc]
    """A Gaussian for each of L places of R regions: `means` (R,L,k), `covariances` (R,L,k,k)."""

    def __init__(self, means: Float64, covariances: Float64) -> None:
        super().__init__(name="gaussians")
        regions, self._places, self._size = means.shape
        # Σ = C·Cᵀ: |C⁻¹·v|² is vᵀ·Σ⁻¹·v without its differences of large terms.
        whitening = np.linalg.inv(np.linalg.cholesky(covariances))
        self._means = tf.constant(means.reshape(regions, -1), tf.float32)
        self._whitening = tf.constant(whitening.reshape(regions, -1), tf.float32)
        self._ones = tf.ones((self._size, 1), tf.float32)

    def squared_distances(self, values: Tensor, region: Tensor) -> Tensor:
        """Return squared Mahalanobis distances (n,L) of values (n,L,k) by region, one-hot (n,R)."""
        size = self._size
        means = tf.reshape(tf.matmul(region, self._means), (-1, self._places, size))
        away = tf.reshape(values - means, (-1, 1, size))
        rows = tf.reshape(tf.matmul(region, self._whitening), (-1, size, size))
        # Sums as plain products with ones; batched products are wrong for some shapes.
        white = tf.matmul(tf.reshape(rows * away, (-1, size)), self._ones)
        squares = tf.reshape(white * white, (-1, size))
        return tf.reshape(tf.matmul(squares, self._ones), (-1, self._places))


class Projection(tf.Module):  # type: ignore[misc]
    """Features (n,h,w,C) less `centre` (C,), along orthonormal `components` (k,C)."""

    def __init__(self, centre: Float64, components: Float64) -> None:
        super().__init__(name="projection")
        self._centre = tf.constant(centre, tf.float32)
        self._components = tf.constant(components, tf.float32)

    def __call__(self, features: Tensor) -> Tensor:
        """Return coordinates (n,h·w,k)."""
        _, height, width, channels = features.shape
        size = int(self._components.shape[0])
        # Less the centre first: what all places have in common would cost digits.
        flat = tf.reshape(features - self._centre, (-1, channels))
        found = tf.matmul(flat, self._components, transpose_b=True)
        return tf.reshape(found, (-1, height * width, size))


class WithDistances(tf.Module):  # type: ignore[misc]
    """A network with the output `latent` and, given Gaussians of its features, `distance`."""

    def __init__(
        self,
        network: OpenNetwork,
        codes: Gaussians,
        features: tuple[Projection, Gaussians] | None = None,
    ) -> None:
        super().__init__(name="with_distances")
        self._network, self._codes, self._features = network, codes, features

    def __call__(self, patches: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the outputs of the network and the distances of patches (n,P,P,1)."""
        seen = self._network.inside(patches)
        codes = tf.reshape(seen.codes, (-1, 1, seen.codes.shape[1]))
        latent = self._codes.squared_distances(codes, seen.region)
        outputs = {**seen.outputs, LATENT: tf.reshape(latent, (-1, 1, 1, 1))}
        if self._features is not None:
            outputs[DISTANCE] = self._distance(seen, *self._features)
        return outputs

    def _distance(self, seen: Inside, projection: Projection, places: Gaussians) -> Tensor:
        features: Any = seen.features
        found = places.squared_distances(projection(features), seen.region)
        return tf.reshape(found, (-1, features.shape[1], features.shape[2], 1))
