"""Fits the Gaussians of `latent` and `distance` to nominal patches, in float64.

Covariances are shrunk: Σ = (scatter + τ·T) / (m - 1 + τ) from m patches of a region, where τ is
twice the number of dimensions and T is diagonal: the region's variances, averaged over its places,
to which those of all regions together are added as if of two patches. So a place where nothing
varies, or a region of few patches, is not taken for exactly known.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches, Tensor
from vialsight.data.sources import even_groups
from vialsight.models.gaussians import (
    DISTANCE,
    LATENT,
    Float64,
    Gaussians,
    OpenNetwork,
    Projection,
    WithDistances,
)
from vialsight.models.method import Completed
from vialsight.pinned import tf

# Whitening takes their square at each place of each region: 1 KB of a bundle.
CHANNELS: Final = 16
# τ for each dimension, in patches.
SHRINKAGE: Final = 2.0
# Patches that the variances of all regions together stand for in those of one.
_SHARED: Final = 2.0
# Values of order one are float32: a deviation of 0.001 is the least that stands clear of rounding.
_LEAST_VARIANCE: Final = 1e-6
# Components that vary less than this share of the first say nothing.
_LEAST_SHARE: Final = 1e-4
# Patches whose features the principal components are of.
_SAMPLE: Final = 200
_BATCH: Final = 60

Array = npt.NDArray[Any]


class Moments:
    """Counts, sums and products of values (n,L,k) by region."""

    def __init__(self, regions: int, places: int, size: int) -> None:
        self.counts = np.zeros(regions)
        self._sums = np.zeros((regions, places, size))
        self._products = np.zeros((regions, places, size, size))

    def add(self, values: Array, region: Array) -> None:
        """Add values (n,L,k) of patches whose regions are one-hot (n,R)."""
        self.counts += region.sum(axis=0)
        for number in range(len(self.counts)):
            own = values[region[:, number] > 0].astype(np.float64)
            self._sums[number] += own.sum(axis=0)
            self._products[number] += own.transpose(1, 2, 0) @ own.transpose(1, 0, 2)

    def gaussians(self) -> tuple[Float64, Float64]:
        """Return means (R,L,k) and covariances (R,L,k,k), shrunk as this module says."""
        size = self._sums.shape[2]
        means = self._sums / np.maximum(self.counts, 1.0)[:, None, None]
        outer = means[..., :, None] * means[..., None, :]
        scatter = self._products - self.counts[:, None, None, None] * outer
        strength = SHRINKAGE * size
        freedom = np.maximum(self.counts - 1.0, 0.0)
        targets = self._variances(scatter, freedom)[:, None, :, None] * np.eye(size)
        return means, (scatter + strength * targets) / (freedom + strength)[:, None, None, None]

    def enough(self) -> int:
        """Return how many patches of a region outweigh the shrinkage."""
        return 1 + int(SHRINKAGE * self._sums.shape[2])

    def _variances(self, scatter: Float64, freedom: Float64) -> Float64:
        """Return the variances of each region (R,k), averaged over places."""
        squares = np.diagonal(scatter, axis1=2, axis2=3).mean(axis=1)
        together = squares.sum(axis=0) / max(1.0, freedom.sum())
        found = (squares + _SHARED * together) / (freedom + _SHARED)[:, None]
        return np.asarray(np.maximum(found, _LEAST_VARIANCE))


def fit_projection(features: Array, region: Array) -> Projection:
    """Return principal components of what varies at a place of features (n,h,w,C) of a region.

    `region` is one-hot (n,R). What makes places or regions differ is no component.
    """
    channels = features.shape[-1]
    flat = features.reshape(len(features), -1, channels).astype(np.float64)
    centre = flat.mean(axis=(0, 1))
    scatter = np.zeros((channels, channels))
    for number in range(region.shape[1]):
        own = flat[region[:, number] > 0]
        if len(own):
            away = (own - own.mean(axis=0)).reshape(-1, channels)
            scatter += away.T @ away
    variances, vectors = np.linalg.eigh(scatter)
    strongest = np.argsort(variances)[::-1][:CHANNELS]
    # One at least, where nothing varies.
    enough = np.maximum(variances[strongest[0]], 0.0) * _LEAST_SHARE
    kept = [strongest[0], *(one for one in strongest[1:] if variances[one] > enough)]
    return Projection(centre, vectors[:, kept].T)


def complete(network: OpenNetwork, nominal: Patches, regions: int) -> Completed:
    """Return the network with its distances, fitted to nominal patches float32 (n,P,P), n >= 1.

    Patch i is of region i modulo `regions`; a Gaussian is of the patches that the graph takes for
    its region's. Few patches are warned of, and ones that are taken for another region's.
    """
    projection = _projection(network, nominal, regions)

    def look(patches: Tensor) -> list[Tensor]:
        seen = network.inside(patches)
        values = [seen.region, seen.codes[:, tf.newaxis]]
        return values if projection is None else [*values, projection(seen.features)]

    moments, taken = _moments(_batches(look, nominal))
    gaussians = [Gaussians(*one.gaussians()) for one in moments]
    features = None if projection is None else (projection, gaussians[1])
    return Completed(
        network=WithDistances(network, gaussians[0], features),
        warnings=(*_few(moments), *_misplaced(taken, regions)),
    )


def _projection(network: OpenNetwork, nominal: Patches, regions: int) -> Projection | None:
    """Return the projection of a network's features, if it has any."""
    if network.inside(tf.constant(nominal[:1, ..., np.newaxis])).features is None:
        return None

    def look(patches: Tensor) -> tuple[Tensor, Tensor]:
        seen = network.inside(patches)
        return seen.features, seen.region

    chosen = nominal[even_groups(len(nominal), regions, max(1, _SAMPLE // regions)).ravel()]
    features, region = (
        np.concatenate(parts) for parts in zip(*_batches(look, chosen), strict=True)
    )
    return fit_projection(features, region)


def _batches(
    look: Callable[[Tensor], Sequence[Tensor]], patches: Patches
) -> Iterator[Sequence[Array]]:
    """Yield what `look` sees in patches (n,P,P), batch by batch."""
    size = patches.shape[1]
    signature = tf.TensorSpec((None, size, size, 1), tf.float32)
    function = tf.function(look, input_signature=(signature,), autograph=False)
    for first in range(0, len(patches), _BATCH):
        batch = tf.constant(patches[first : first + _BATCH, ..., np.newaxis])
        yield [found.numpy() for found in function(batch)]


def _moments(batches: Iterator[Sequence[Array]]) -> tuple[list[Moments], Array]:
    """Return moments of each kind of values, and the region (n,) that each patch was taken for."""
    moments: list[Moments] = []
    taken = []
    for region, *kinds in batches:
        moments = moments or [Moments(region.shape[1], *values.shape[1:]) for values in kinds]
        for one, values in zip(moments, kinds, strict=True):
            one.add(values, region)
        taken.append(region.argmax(axis=1))
    return moments, np.concatenate(taken)


def _few(moments: Sequence[Moments]) -> Iterator[str]:
    """Warn of Gaussians that rest more on their shrinkage than on their patches."""
    for name, one in zip((LATENT, DISTANCE), moments, strict=False):
        fewest = int(one.counts.min())
        if fewest < one.enough():
            yield (
                f"{name}: expected {one.enough()} nominal patches of each region at least, got "
                f"{fewest}: its Gaussians rest more on their shrinkage than on patches; add images"
            )


def _misplaced(taken: Array, regions: int) -> Iterator[str]:
    share = float(np.mean(taken != np.arange(len(taken)) % regions))
    if share > 0.0:
        yield (
            f"{share:.2%} of the nominal patches look more like another region than like their "
            f"own: {LATENT} and {DISTANCE} measure them by that region's Gaussians"
        )
