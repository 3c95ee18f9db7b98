"""One training step: the networks, their optimizers, and what a batch does to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import tensorflow as tf

from vialsight.aliases import Tensor
from vialsight.errors import TrainingError
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae import losses
from vialsight.models.drae.network import NetworkOptions, Networks, build_networks
from vialsight.models.drae.section import DraeSection
from vialsight.models.method import Batch
from vialsight.models.optimization import (
    Adam,
    LossScale,
    apply_gradients,
    numbered,
    scaled,
    values,
)
from vialsight.models.perturbation import Perturbed, Rows, augment, perturb

LOSS_NAMES: Final = (
    "generator",
    "adversarial",
    "contextual",
    "encoder",
    "noise",
    "discriminator",
)
_NOISE_STREAM: Final = 2


class Pace(NamedTuple):
    """What changes from step to step by plan: learning rates, and the ramp of w_1 and w_3."""

    learning_rate: Tensor
    discriminator_learning_rate: Tensor
    ramp: Tensor


class _Outcome(NamedTuple):
    """Losses of a batch: what each optimizer minimises, and all of them in order of LOSS_NAMES."""

    generator: Tensor
    discriminator: Tensor
    values: Tensor


@dataclass(frozen=True)
class Trainable:
    """Everything a step changes. Create it inside the strategy's scope."""

    networks: Networks
    generator_optimizer: Adam
    discriminator_optimizer: Adam
    loss_scale: LossScale | None

    @classmethod
    def create(cls, config: Config, patch_size: int, *, replicas: int) -> "Trainable":
        """Fresh networks; initial weights follow `keras.utils.set_random_seed`."""
        options = network_options(config, patch_size, synchronized=replicas > 1)
        networks = build_networks(options)
        both = [*networks.generator.trainable_variables, *networks.encoder.trainable_variables]
        return cls(
            networks,
            Adam(values(both), config.optimizer),
            Adam(values(networks.discriminator.trainable_variables), config.optimizer),
            LossScale() if config.training.precision == "mixed_float16" else None,
        )

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        named: dict[str, Any] = {}
        for name in ("generator", "encoder", "discriminator"):
            model = getattr(self.networks, name)
            named |= numbered(name, values(model.variables))
        named |= numbered("generator_optimizer", self.generator_optimizer.slots)
        named |= numbered("discriminator_optimizer", self.discriminator_optimizer.slots)
        if self.loss_scale is not None:
            named |= numbered("loss_scale", self.loss_scale.state)
        return named


class Step:
    """One G step and one D step on the same batch and the same reconstructions.

    Both gradients are taken before either optimizer moves, as GANomaly does, so that a batch
    passes through every network once.
    """

    def __init__(self, config: Config, trainable: Trainable) -> None:
        self._config, self._section = config, section_of(config, DraeSection)
        self._trainable = trainable
        networks = trainable.networks
        self._generator_variables = values(
            [*networks.generator.trainable_variables, *networks.encoder.trainable_variables]
        )
        self._discriminator_variables = values(networks.discriminator.trainable_variables)

    def __call__(self, batch: Batch, pace: Pace) -> Tensor:
        """Train on one replica's share; return its losses, float32 (6,), as LOSS_NAMES."""
        images, perturbed = self._prepare(batch)
        with tf.GradientTape(persistent=True) as tape:
            outcome = self._losses(images, perturbed, pace.ramp)
            scale = self._trainable.loss_scale
            both = [scaled(outcome.generator, scale), scaled(outcome.discriminator, scale)]
        generator = tape.gradient(both[0], self._generator_variables)
        discriminator = tape.gradient(both[1], self._discriminator_variables)
        apply = partial(self._apply, count=batch.step + 1, pace=pace)
        apply_gradients(generator + discriminator, apply, scale)
        return outcome.values

    def _prepare(self, batch: Batch) -> tuple[Tensor, Perturbed]:
        """X, augmented, and P_q(X)."""
        augmentation, noise = self._config.augmentation, self._section.perturbation
        training = self._config.training
        rows = Rows(
            tf.cast(batch.first_row, tf.int32),
            int(batch.images.shape[0]),
            training.batch_size,
        )
        seed = tf.random.fold_in((training.seed, _NOISE_STREAM), batch.step)
        augmentation_seed, noise_seed = tf.unstack(tf.random.split(seed, 2), num=2)
        images = augment(
            batch.images,
            augmentation_seed,
            rotation=augmentation.rotation_rad,
            vertical_flip=augmentation.vertical_flip,
            rows=rows,
        )
        perturbed = perturb(
            images,
            noise_seed,
            probability=noise.probability,
            threshold=noise.threshold,
            octaves=noise.octaves,
            scales=(noise.min_scale, noise.max_scale),
            rows=rows,
        )
        return images, perturbed

    def _losses(self, x: Tensor, perturbed: Perturbed, ramp: Tensor) -> _Outcome:
        networks, weights = self._trainable.networks, self._section.loss
        reconstruction, z = networks.generator(perturbed.images, training=True)
        z_hat = networks.encoder(reconstruction, training=True)
        logit_real, features_real = networks.discriminator(x, training=True)
        logit_fake, features_fake = networks.discriminator(reconstruction, training=True)
        adversarial = losses.adversarial_loss(features_real, features_fake)
        contextual = losses.contextual_loss(
            x,
            reconstruction,
            pixel=weights.pixel,
            pixel_weight=weights.pixel_weight,
            ssim_weight=weights.ssim_weight,
        )
        encoder = losses.encoder_loss(z, z_hat)
        noise = self._noise_loss(reconstruction, perturbed)
        generator = (
            ramp * weights.adversarial_weight * adversarial
            + weights.contextual_weight * contextual
            + ramp * weights.encoder_weight * encoder
            + weights.noise_weight * noise
        )
        discriminator = losses.discriminator_loss(logit_real, logit_fake)
        parts = [generator, adversarial, contextual, encoder, noise, discriminator]
        return _Outcome(generator, discriminator, tf.stack(parts))

    def _noise_loss(self, reconstruction: Tensor, perturbed: Perturbed) -> Tensor:
        if self._section.loss.noise == "2024":
            return losses.noise_loss_2024(reconstruction, perturbed.images, noise=perturbed.noise)
        return losses.noise_loss(
            reconstruction,
            perturbed.images,
            mask=perturbed.mask,
            noise=perturbed.noise,
            beta=perturbed.beta,
        )

    def _apply(self, gradients: Sequence[Tensor], *, count: Tensor, pace: Pace) -> None:
        split = len(self._generator_variables)
        self._trainable.generator_optimizer.apply(
            gradients[:split], learning_rate=pace.learning_rate, count=count
        )
        self._trainable.discriminator_optimizer.apply(
            gradients[split:], learning_rate=pace.discriminator_learning_rate, count=count
        )


def network_options(config: Config, patch_size: int, *, synchronized: bool) -> NetworkOptions:
    """Return what a configuration says about the networks.

    Raises TrainingError where patches of this size do not fit the preset.
    """
    section = section_of(config, DraeSection)
    try:
        return NetworkOptions(
            patch_size=patch_size,
            preset=section.preset,
            activation=section.activation,
            batch_norm_momentum=section.batch_norm_momentum,
            dtype=config.training.precision,
            synchronized=synchronized,
        )
    except ValueError as error:
        raise TrainingError(
            f"{error}; choose another model.preset, or prepare other patches"
        ) from None
