"""DRAE as a method: trained in steps, its generator deployed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vialsight.aliases import Patches, Tensor
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae.network import build_generator, deployed_part
from vialsight.models.drae.section import DraeSection
from vialsight.models.drae.step import LOSS_NAMES, Pace, Step, Trainable, network_options
from vialsight.models.method import Batch, Method, Network, SavedState
from vialsight.models.optimization import learning_rate


class DraeTraining:
    """Generator, second encoder and discriminator of one training."""

    def __init__(
        self, config: Config, patch_size: int, replicas: int, fitted: Mapping[str, Any]
    ) -> None:
        del fitted  # nothing is fitted first
        self._config = config
        self._trainable = Trainable.create(config, patch_size, replicas=replicas)
        self._step = Step(config, self._trainable)

    @property
    def loss_names(self) -> Sequence[str]:
        """The generator's loss, its parts, the discriminator's."""
        return LOSS_NAMES

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        return self._trainable.variables()

    def pace(self, step: int, steps_per_epoch: int) -> Pace:
        """Return learning rates and the ramp of w_1 and w_3 at a step."""
        optimizer, schedule = self._config.optimizer, self._config.schedule
        maxima = optimizer.learning_rate, optimizer.discriminator_learning_rate
        rates = (
            learning_rate(
                step,
                maximum or optimizer.learning_rate,
                schedule,
                steps_per_epoch=steps_per_epoch,
            )
            for maximum in maxima
        )
        ramp_steps = section_of(self._config, DraeSection).loss.ramp_steps
        ramp = min(1.0, step / ramp_steps) if ramp_steps else 1.0
        return Pace(*(tf.constant(value, tf.float32) for value in (*rates, ramp)))

    def __call__(self, batch: Batch, pace: Any) -> Tensor:
        """Train on one replica's share; return its losses float32 (6,), as `loss_names`."""
        return self._step(batch, pace)

    def reconstruct(self, images: Patches) -> Patches:
        """Return X̂ of images (n,P,P,1), in inference mode."""
        generator = self._trainable.networks.generator
        return np.asarray(generator(images, training=False)[0], np.float32)


def _network(config: Config, patch_size: int, saved: SavedState) -> Network:
    """Return the trained generator without its latent output."""
    generator = build_generator(network_options(config, patch_size, synchronized=False))
    saved.restore(
        {
            f"generator/{index:04d}": variable.value
            for index, variable in enumerate(generator.variables)
        }
    )
    network: Network = deployed_part(generator)
    return network


METHOD = Method(steps=DraeTraining, network=_network)
