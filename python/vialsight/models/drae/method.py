"""DRAE as a method: trained in steps, its generator deployed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import scores
from vialsight.aliases import Patches, Tensor
from vialsight.bundle import MAP, RECONSTRUCTION
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae.adversaries import Pace, pace_at
from vialsight.models.drae.network import build_generator, deployed_part, opened
from vialsight.models.drae.section import DraeSection
from vialsight.models.drae.step import LOSS_NAMES, Step, network_options
from vialsight.models.gaussian_fit import complete
from vialsight.models.gaussians import DISTANCE, LATENT, Inside
from vialsight.models.method import Batch, Completed, Method, Network, SavedState
from vialsight.models.optimization import numbered, values
from vialsight.models.pooling import block_means
from vialsight.models.regions import NearestMean
from vialsight.pinned import tf
from vialsight.scores import Component

# Pixels of a patch that are averaged to tell its region; patches are multiples of 16.
_REDUCED: Final = 4


class DraeTraining:
    """Generator, second encoder and discriminator of one training."""

    def __init__(
        self, config: Config, patch_size: int, replicas: int, fitted: Mapping[str, Any]
    ) -> None:
        del fitted  # nothing is fitted first
        self._config = config
        self._step = Step(config, patch_size, replicas=replicas)

    @property
    def loss_names(self) -> Sequence[str]:
        """The generator's loss, its parts, the discriminator's."""
        return LOSS_NAMES

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        return self._step.variables()

    def pace(self, step: int, steps_per_epoch: int) -> Pace:
        """Return learning rates and the ramp of w_1 and w_3 at a step."""
        optimizer, schedule = self._config.optimizer, self._config.schedule
        return pace_at(
            step,
            (optimizer.learning_rate, optimizer.discriminator_learning_rate),
            section_of(self._config, DraeSection).loss.ramp_steps,
            schedule,
            steps_per_epoch=steps_per_epoch,
        )

    def __call__(self, batch: Batch, pace: Any) -> Tensor:
        """Train on one replica's share; return its losses float32 (6,), as `loss_names`."""
        return self._step(batch, pace)

    def reconstruct(self, images: Patches) -> Patches:
        """Return X̂ of images (n,P,P,1), in inference mode."""
        return np.asarray(self._step.reconstruct(images), np.float32)


def _network(config: Config, patch_size: int, saved: SavedState) -> Network:
    """Return the trained generator without its latent output."""
    generator = build_generator(network_options(config, patch_size, synchronized=False))
    saved.restore(numbered("generator", values(generator.variables)))
    network: Network = deployed_part(generator)
    return network


class OpenGenerator(tf.Module):  # type: ignore[misc]
    """The trained generator from patches (n,P,P,1) to all that it sees.

    It knows nothing of regions; that is told by `means`, float (R,D) of averages of 4x4 pixels.
    """

    def __init__(self, generator: Any, means: npt.NDArray[Any]) -> None:
        super().__init__(name="drae")
        self._generator = opened(generator)
        self._nearest = NearestMean(means)

    def inside(self, patches: Tensor) -> Inside:
        """Return the reconstruction, the region, z, and the encoder's last features."""
        reconstruction, z, features = self._generator(patches, training=False)
        reduced = tf.nn.avg_pool2d(patches, _REDUCED, _REDUCED, "VALID")
        flat = tf.reshape(reduced, (-1, reduced.shape[1] * reduced.shape[2]))
        return Inside({RECONSTRUCTION: reconstruction}, self._nearest.of(flat), z, features)


def _completed(network: Any, nominal: Patches, regions: int) -> Completed:
    means = [_reduced_mean(nominal[region::regions]) for region in range(regions)]
    return complete(OpenGenerator(network, np.stack(means)), nominal, regions)


def _reduced_mean(patches: Patches) -> npt.NDArray[np.float64]:
    """Return the mean of patches (n,P,P), averaged over 4x4 pixels, (P²/16,)."""
    return block_means(patches.mean(axis=0, dtype=np.float64), _REDUCED).ravel()


def _scores(config: Config, patch_size: int) -> Sequence[Component]:
    del config
    offered = scores.of_reconstruction(patch_size)
    return (*offered, scores.map_of(LATENT), scores.map_of(DISTANCE))


METHOD = Method(
    steps=DraeTraining,
    network=_network,
    completed=_completed,
    outputs={RECONSTRUCTION: RECONSTRUCTION, LATENT: MAP, DISTANCE: MAP},
    scores=_scores,
)
