"""PCA as a method: fitted in one pass, deployed as two matrix products.

The graph is not told of which region a patch is: it takes the region whose mean image is nearest,
projects on the components of all regions at once, and keeps those of the one taken.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import scores
from vialsight.aliases import Progress, Tensor
from vialsight.bundle import MAP, RECONSTRUCTION
from vialsight.data.sources import PatchSource
from vialsight.errors import TrainingError
from vialsight.models.configuration import Config, section_of
from vialsight.models.gaussian_fit import complete
from vialsight.models.gaussians import LATENT, Inside
from vialsight.models.method import Fitted, Method, Network, SavedState
from vialsight.models.passes import read_in_order
from vialsight.models.pca.fit import OVERSAMPLING, StreamingComponents, enough_for
from vialsight.models.pca.section import PcaSection
from vialsight.models.regions import NearestMean, own_places
from vialsight.pinned import tf
from vialsight.scores import Component

Arrays = dict[str, npt.NDArray[Any]]
Float32 = npt.NDArray[np.float32]

_LARGE_BYTES: Final = 100 * 2**20


class LinearAutoencoder(tf.Module):  # type: ignore[misc]
    """Patches (n,P,P,1) to their projections on the components of the region they look like.

    Args:
        means: float32 (R,D), the nominal mean of each region.
        components: float32 (K,D), those of all regions one after the other.
        region: int (K,), of which region a component is.
    """

    def __init__(self, means: Any, components: Any, region: npt.NDArray[np.int64]) -> None:
        super().__init__(name="pca")
        self._components = tf.Variable(components, dtype=tf.float32, trainable=False)
        self._nearest = NearestMean(means)
        self._belongs = tf.constant(np.equal.outer(np.arange(len(means)), region), tf.float32)
        self._own_places = tf.constant(own_places(region))

    def __call__(self, patches: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the output "reconstruction" (n,P,P,1), clipped to [0,1]."""
        return dict(self.inside(patches).outputs)

    def inside(self, patches: Tensor) -> Inside:
        """Return the reconstruction, the region, and the codes of that region."""
        size = int(patches.shape[1])
        flat = tf.reshape(patches, (-1, size * size))
        chosen = self._nearest.of(flat)
        mean = self._nearest.mean_of(chosen)
        # Less the mean first: what is common to all patches would cost digits of the codes.
        codes = tf.matmul(flat - mean, self._components, transpose_b=True)
        codes *= tf.matmul(chosen, self._belongs)
        found = tf.matmul(codes, self._components) + mean
        clipped = tf.minimum(tf.maximum(found, 0.0), 1.0)
        outputs = {RECONSTRUCTION: tf.reshape(clipped, (-1, size, size, 1))}
        return Inside(outputs, chosen, tf.matmul(codes, self._own_places))


def _fit(config: Config, training: PatchSource, regions: int, progress: Progress) -> Fitted:
    section = section_of(config, PcaSection)
    if len(training) < 2 * regions:
        raise TrainingError(
            f"principal components need two patches of each region at least; the data hold "
            f"{len(training)} of {regions} regions: add images"
        )
    streams, last_rows = _stream(section, training, regions, progress)
    kept = [_kept(section, stream) for stream in streams]
    arrays: Arrays = {
        "means": np.stack([stream.mean for stream in streams]).astype(np.float32),
        "components": np.concatenate([found for found, _, _ in kept]).astype(np.float32),
        "region": np.repeat(np.arange(regions), [len(found) for found, _, _ in kept]),
    }
    figures = {}
    for number, (found, share, _) in enumerate(kept, start=1):
        figures[f"region_{number}_components"] = float(len(found))
        figures[f"region_{number}_share_of_variance"] = share
    warnings = [text for _, _, text in kept if text] + _warnings(arrays, last_rows, regions)
    return Fitted(arrays=arrays, figures=figures, warnings=tuple(dict.fromkeys(warnings)))


def _stream(
    section: PcaSection, training: PatchSource, regions: int, progress: Progress
) -> tuple[list[StreamingComponents], Float32]:
    """Read every patch once, in order; patch i is of region i modulo `regions`.

    Returns what was found of each region, and the rows read last.
    """
    size = training.patch_size**2
    rank = section.components + OVERSAMPLING
    streams = [StreamingComponents(size, rank) for _ in range(regions)]
    for patches in read_in_order(training, section.batch_patches * regions, progress):
        rows = patches.reshape(-1, size)
        for region, stream in enumerate(streams):
            # Batches begin with region 0; the rest of a damaged source may lack the last regions.
            if len(rows) > region:
                stream.merge(rows[region::regions])
    return streams, rows


def _kept(
    section: PcaSection, stream: StreamingComponents
) -> tuple[npt.NDArray[np.float64], float, str]:
    """Return the components to keep, the share of variance they explain, and a warning or ""."""
    found, shares = stream.components()
    count, text = min(section.components, len(found)), ""
    if section.variance is not None:
        enough = enough_for(shares[:count], section.variance)
        if enough is None:
            text = (
                f"{count} components do not explain {section.variance:g} of the variance of every "
                "region; raise model.components for more"
            )
        count = enough or count
    return found[:count], float(shares[:count].sum()), text


def _warnings(arrays: Arrays, rows: Float32, regions: int) -> list[str]:
    texts = []
    if regions > 1:
        wrong = _misplaced_share(arrays, rows, regions)
        if wrong:
            texts.append(
                f"{wrong:.2%} of the patches read last look more like another region than like "
                "their own, and are reconstructed as such; merge such regions, or train drae"
            )
    size = arrays["components"].nbytes
    if size > _LARGE_BYTES:
        texts.append(
            f"the components take {size // 2**20} MiB of every bundle; fewer, or smaller patches, "
            "take less"
        )
    return texts


def _misplaced_share(arrays: Arrays, rows: Float32, regions: int) -> float:
    """Return the share of rows (n,D), row i of region i modulo `regions`, taken for another."""
    taken = NearestMean(arrays["means"]).of(tf.constant(rows)).numpy().argmax(axis=1)
    return float(np.mean(taken != np.arange(len(rows)) % regions))


def _network(config: Config, patch_size: int, saved: SavedState) -> Network:
    arrays = saved.arrays()
    if arrays["means"].shape[1] != patch_size**2:
        raise TrainingError(
            f"the components are of {arrays['means'].shape[1]} pixels, patches of "
            f"{patch_size}x{patch_size} were expected; was the run changed? Train again"
        )
    return LinearAutoencoder(arrays["means"], arrays["components"], arrays["region"])


def _scores(config: Config, patch_size: int) -> Sequence[Component]:
    del config
    return (*scores.of_reconstruction(patch_size), scores.map_of(LATENT))


METHOD = Method(
    fit=_fit,
    network=_network,
    completed=complete,
    outputs={RECONSTRUCTION: RECONSTRUCTION, LATENT: MAP},
    scores=_scores,
)
