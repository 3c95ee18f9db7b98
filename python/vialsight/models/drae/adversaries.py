"""Generator, second encoder and discriminator, and what they learn from each other (SPEC 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vialsight.aliases import Patches, Tensor
from vialsight.config import OptimizerConfig, ScheduleConfig
from vialsight.models.drae import losses
from vialsight.models.drae.network import NetworkOptions, Networks, build_networks
from vialsight.models.drae.section import GanLossConfig
from vialsight.models.optimization import Adam, learning_rate, numbered, values
from vialsight.pinned import tf


class Pace(NamedTuple):
    """What changes from step to step by plan: learning rates, and the ramp of w_1 and w_3."""

    learning_rate: Tensor
    discriminator_learning_rate: Tensor
    ramp: Tensor


class Duel(NamedTuple):
    """A batch's reconstruction X̂ (n,P,P,1), and the losses: what each side minimises, their parts.

    `generator` lacks the loss of the noise, which not every method has.
    """

    reconstruction: Tensor
    generator: Tensor
    adversarial: Tensor
    contextual: Tensor
    encoder: Tensor
    discriminator: Tensor


@dataclass(frozen=True)
class Adversaries:
    """The three networks and their optimizers. Create them inside the strategy's scope."""

    networks: Networks
    generator_optimizer: Adam
    discriminator_optimizer: Adam
    generator_variables: Sequence[Any]
    discriminator_variables: Sequence[Any]

    @classmethod
    def create(cls, options: NetworkOptions, optimizer: OptimizerConfig) -> "Adversaries":
        """Fresh networks; initial weights follow `keras.utils.set_random_seed`."""
        networks = build_networks(options)
        both = [*networks.generator.trainable_variables, *networks.encoder.trainable_variables]
        generator = values(both)
        discriminator = values(networks.discriminator.trainable_variables)
        return cls(
            networks,
            Adam(generator, optimizer),
            Adam(discriminator, optimizer),
            generator,
            discriminator,
        )

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        named: dict[str, Any] = {}
        for name in ("generator", "encoder", "discriminator"):
            model = getattr(self.networks, name)
            named |= numbered(name, values(model.variables))
        named |= numbered("generator_optimizer", self.generator_optimizer.slots)
        named |= numbered("discriminator_optimizer", self.discriminator_optimizer.slots)
        return named

    def duel(self, x: Tensor, seen: Tensor, weights: GanLossConfig, ramp: Tensor) -> Duel:
        """Reconstruct what is `seen` (n,P,P,1) and compare with X, both (n,P,P,1) in [0,1]."""
        networks = self.networks
        reconstruction, z = networks.generator(seen, training=True)
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
        generator = (
            ramp * weights.adversarial_weight * adversarial
            + weights.contextual_weight * contextual
            + ramp * weights.encoder_weight * encoder
        )
        discriminator = losses.discriminator_loss(logit_real, logit_fake)
        return Duel(reconstruction, generator, adversarial, contextual, encoder, discriminator)

    def gradients(self, tape: Any, generator: Tensor, discriminator: Tensor) -> list[Tensor]:
        """Return gradients of both sides' losses, as `apply` takes them."""
        return [
            *tape.gradient(generator, self.generator_variables),
            *tape.gradient(discriminator, self.discriminator_variables),
        ]

    def apply(self, gradients: Sequence[Tensor], *, count: Tensor, pace: Pace) -> None:
        """Move both sides; `count` is 1 at the first call."""
        split = len(self.generator_variables)
        self.generator_optimizer.apply(
            gradients[:split], learning_rate=pace.learning_rate, count=count
        )
        self.discriminator_optimizer.apply(
            gradients[split:], learning_rate=pace.discriminator_learning_rate, count=count
        )

    def reconstruct(self, images: Patches) -> Tensor:
        """Return X̂ of images (n,P,P,1), in inference mode."""
        return self.networks.generator(images, training=False)[0]


def pace_at(
    step: int,
    maxima: tuple[float, float | None],
    ramp_steps: int,
    schedule: ScheduleConfig,
    *,
    steps_per_epoch: int,
) -> Pace:
    """Return the pace at a step; `maxima` are of generator and discriminator, None: the same."""
    generator, discriminator = (
        learning_rate(step, maximum or maxima[0], schedule, steps_per_epoch=steps_per_epoch)
        for maximum in maxima
    )
    ramp = min(1.0, step / ramp_steps) if ramp_steps else 1.0
    return Pace(*(tf.constant(value, tf.float32) for value in (generator, discriminator, ramp)))
