"""One training step of DRAE: what a batch is made of, and what it does to the networks."""

from functools import partial
from typing import Any, Final

from vialsight.aliases import Patches, Tensor
from vialsight.errors import TrainingError
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae import losses
from vialsight.models.drae.adversaries import Adversaries, Pace
from vialsight.models.drae.network import NetworkOptions
from vialsight.models.drae.section import DraeSection
from vialsight.models.method import Batch
from vialsight.models.optimization import LossScale, apply_gradients, compiled, numbered, scaled
from vialsight.models.perturbation import Perturbed, Rows, augment, perturb
from vialsight.pinned import tf

LOSS_NAMES: Final = (
    "generator",
    "adversarial",
    "contextual",
    "encoder",
    "noise",
    "discriminator",
)
_NOISE_STREAM: Final = 2


class Step:
    """One G step and one D step on the same batch and the same reconstructions.

    Both gradients are taken before either optimizer moves, as GANomaly does, so that a batch
    passes through every network once. Create it inside the strategy's scope.
    """

    def __init__(self, config: Config, patch_size: int, *, replicas: int) -> None:
        self._config, self._section = config, section_of(config, DraeSection)
        options = network_options(config, patch_size, synchronized=replicas > 1)
        self._adversaries = Adversaries.create(options, config.optimizer)
        float16 = config.training.precision == "mixed_float16"
        self._loss_scale = LossScale() if float16 else None
        self._learn = compiled(self._learned, config.training.jit_compile)

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        named = self._adversaries.variables()
        if self._loss_scale is not None:
            named |= numbered("loss_scale", self._loss_scale.state)
        return named

    def reconstruct(self, images: Patches) -> Tensor:
        """Return X̂ of images (n,P,P,1), in inference mode."""
        return self._adversaries.reconstruct(images)

    def __call__(self, batch: Batch, pace: Pace) -> Tensor:
        """Train on one replica's share; return its losses, float32 (6,), as LOSS_NAMES."""
        result: Tensor = self._learn(*self._prepare(batch), batch.step + 1, pace)
        return result

    def _learned(self, images: Tensor, perturbed: Perturbed, count: Tensor, pace: Pace) -> Tensor:
        weights, scale = self._section.loss, self._loss_scale
        with tf.GradientTape(persistent=True) as tape:
            duel = self._adversaries.duel(images, perturbed.images, weights, pace.ramp)
            noise = self._noise_loss(duel.reconstruction, perturbed)
            generator = duel.generator + weights.noise_weight * noise
            both = scaled(generator, scale), scaled(duel.discriminator, scale)
        gradients = self._adversaries.gradients(tape, *both)
        apply = partial(self._adversaries.apply, count=count, pace=pace)
        apply_gradients(gradients, apply, scale)
        return tf.stack(
            [
                generator,
                duel.adversarial,
                duel.contextual,
                duel.encoder,
                noise,
                duel.discriminator,
            ]
        )

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
