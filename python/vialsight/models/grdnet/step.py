"""A training step of GRD-Net's segmenting network."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from vialsight.aliases import Patches, Tensor
from vialsight.models.anomalies.drawing import LABEL_SCALE, REDUCED_SCALE
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae.adversaries import Adversaries, Duel, Pace, pace_at
from vialsight.models.grdnet import losses
from vialsight.models.grdnet.expectation import Arrays, Expectation, Expected, differences
from vialsight.models.grdnet.generator import generator_of, generator_options
from vialsight.models.grdnet.network import SegmentationOptions, build_segmentation
from vialsight.models.grdnet.replay import Replay, Shown
from vialsight.models.grdnet.section import GrdnetSection
from vialsight.models.method import Batch
from vialsight.models.optimization import (
    Adam,
    CycleAverage,
    LossScale,
    apply_gradients,
    compiled,
    cycle_share,
    learning_rate,
    numbered,
    scaled,
    values,
)
from vialsight.models.perturbation import Rows, perturb
from vialsight.pinned import tf

LOSS_NAMES: Final = ("segmentation", "pixels", "patches", "top_nominal", "top_anomalous")
# All but the reconstruction.
_DUEL_LOSSES: Final = Duel._fields[1:]
_REPLAY_STREAM: Final = 4
_PERLIN_STREAM: Final = 5


class GrdnetTraining:
    """The segmenting network of one training, its optimizer, and what it replays."""

    def __init__(self, config: Config, patch_size: int, replicas: int, fitted: Arrays) -> None:
        self._config, self._section = config, section_of(config, GrdnetSection)
        self._expectation = Expectation(fitted)
        roi = np.asarray(fitted["roi"], np.float32)
        self._roi = tf.constant(roi.reshape(len(roi), -1))
        self._crop = self._section.crop or patch_size
        self._network = build_segmentation(
            segmentation_options(
                config, self._crop, len(fitted["means"]), synchronized=replicas > 1
            )
        )
        self._trained = values(self._network.trainable_variables)
        self._optimizer = Adam(self._trained, config.optimizer)
        self._average = (
            CycleAverage(values(self._network.variables)) if self._section.average_cycles else None
        )
        self._adversaries = _adversaries(config, patch_size, replicas)
        float16 = config.training.precision == "mixed_float16"
        self._loss_scale = LossScale() if float16 else None
        places = self._section.replay.patches
        self._replay = Replay(places, self._crop, patch_size // REDUCED_SCALE) if places else None
        self._learn = compiled(self._learned, config.training.jit_compile)

    @property
    def loss_names(self) -> Sequence[str]:
        """The loss, its parts, and the mean largest logits of nominal and anomalous patches.

        Then those of the generator and its adversary, if there is one.
        """
        return LOSS_NAMES if self._adversaries is None else (*LOSS_NAMES, *_DUEL_LOSSES)

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""
        named = numbered("network", values(self._network.variables))
        named |= numbered("optimizer", self._optimizer.slots)
        if self._average is not None:
            named |= self._average.state
        if self._adversaries is not None:
            named |= self._adversaries.variables()
        if self._replay is not None:
            named |= numbered("replay", self._replay.state)
        if self._loss_scale is not None:
            named |= numbered("loss_scale", self._loss_scale.state)
        return named

    def pace(self, step: int, steps_per_epoch: int) -> tuple[Tensor, ...]:
        """Return learning rate, share of the weights' average, and a generator's `Pace`."""
        config, generator = self._config, self._section.generator
        schedule, maximum = config.schedule, config.optimizer.learning_rate
        rate = learning_rate(step, maximum, schedule, steps_per_epoch=steps_per_epoch)
        share = cycle_share(step, schedule, steps_per_epoch=steps_per_epoch)
        own = tf.constant(rate, tf.float32), tf.constant(share, tf.float32)
        if generator is None:
            return own
        maxima = generator.learning_rate, generator.discriminator_learning_rate
        ramp_steps = generator.loss.ramp_steps
        duel = pace_at(step, maxima, ramp_steps, schedule, steps_per_epoch=steps_per_epoch)
        return (*own, *duel)

    def __call__(self, batch: Batch, pace: Any) -> Tensor:
        """Train on one replica's share; return its losses float32 (k,), as `loss_names`."""
        shown, labels, clean = self._examples(batch)
        shown, labels, came_from = self._with_replayed(batch, shown, labels)
        target = _target(shown, clean, came_from)
        result, top = self._learn(shown, labels, target, batch.step + 1, pace)
        if self._average is not None:
            self._average.take(pace[1])
        if self._replay is not None:
            _, nominal = losses.kinds(labels)
            self._replay.learn(shown, top, nominal, came_from)
        return result

    def _learned(
        self, shown: Shown, labels: Tensor, target: Tensor, count: Tensor, pace: Any
    ) -> tuple[Tensor, Tensor]:
        """Move the networks; return the losses, and each example's largest logits (n,)."""
        anomalous, nominal = losses.kinds(labels)
        expected = self._expectation.of(shown.reduced)
        duel, gradients = None, list[Tensor]()
        if self._adversaries is not None:
            duel, gradients = self._duel(self._adversaries, shown, target, Pace(*pace[2:]))
            expected = expected.taught(duel.reconstruction)
        # Its own tape: the segmenting network's gradients do not reach the generator.
        with tf.GradientTape() as tape:
            logits = self._logits(shown, expected)
            pixels = self._pixel_loss(logits, labels)
            top = losses.largest(logits, self._section.loss.largest)
            patches = losses.patch_cross_entropy(top, anomalous, nominal)
            loss = pixels + self._section.loss.patch_weight * patches
            scaled_loss = scaled(loss, self._loss_scale)
        own = tape.gradient(scaled_loss, self._trained)
        apply = partial(self._apply, count=count, pace=pace)
        apply_gradients([*own, *gradients], apply, self._loss_scale)
        means = [losses.mean_over(top * chosen, chosen) for chosen in (nominal, anomalous)]
        parts = () if duel is None else duel[1:]
        return tf.stack([loss, pixels, patches, *means, *parts]), top

    def _duel(
        self, adversaries: Adversaries, shown: Shown, target: Tensor, pace: Pace
    ) -> tuple[Duel, list[Tensor]]:
        """Let generator and discriminator meet; return gradients of both sides as well."""
        weights = generator_of(self._config).loss
        with tf.GradientTape(persistent=True) as tape:
            duel = adversaries.duel(target, shown.images, weights, pace.ramp)
            both = [scaled(one, self._loss_scale) for one in (duel.generator, duel.discriminator)]
        return duel, adversaries.gradients(tape, *both)

    def _apply(self, gradients: Sequence[Tensor], *, count: Tensor, pace: Any) -> None:
        split = len(self._trained)
        self._optimizer.apply(gradients[:split], learning_rate=pace[0], count=count)
        if self._adversaries is not None:
            self._adversaries.apply(gradients[split:], count=count, pace=Pace(*pace[2:]))

    def reconstruct(self, images: Patches) -> Patches:
        """Return what is expected of images (n,P,P,1), in full size."""
        if self._adversaries is not None:
            return np.asarray(self._adversaries.reconstruct(images), np.float32)
        reduced = tf.nn.avg_pool2d(tf.constant(images), REDUCED_SCALE, REDUCED_SCALE, "VALID")
        expected = self._expectation.of(reduced)
        return np.asarray(self._expectation.reconstruction(expected), np.float32)

    def _examples(self, batch: Batch) -> tuple[Shown, Tensor, Tensor]:
        """Return what is shown, labels (n,S/2,S/2,1), and the images without anomalies."""
        images, labels, reduced, origins, *clean = batch.extras
        shown = Shown(images[..., None], reduced[..., None], origins)
        if self._draws_perlin:
            return *self._perturbed(batch, shown), shown.images
        return shown, labels[..., None], clean[0][..., None] if clean else shown.images

    @property
    def _draws_perlin(self) -> bool:
        return self._section.anomalies.kind == "perlin"

    def _perturbed(self, batch: Batch, shown: Shown) -> tuple[Shown, Tensor]:
        """GRD-Net's own anomalies: masked Perlin noise laid over whole patches."""
        seed = tf.random.fold_in((self._config.training.seed, _PERLIN_STREAM), batch.step)
        found = perturb(
            shown.images,
            seed,
            probability=self._section.anomalies.probability,
            rows=self._rows(batch, shown),
        )
        labels = tf.nn.max_pool2d(found.mask, LABEL_SCALE, LABEL_SCALE, "VALID")
        reduced = tf.nn.avg_pool2d(found.images, REDUCED_SCALE, REDUCED_SCALE, "VALID")
        counts = tf.matmul(self._expectation.of(shown.reduced).region, self._roi)
        labels *= tf.reshape(counts, (-1, *labels.shape[1:]))
        return Shown(found.images, reduced, shown.origins), labels

    def _with_replayed(
        self, batch: Batch, shown: Shown, labels: Tensor
    ) -> tuple[Shown, Tensor, Tensor]:
        if self._replay is None:
            return shown, labels, tf.zeros_like(labels[:, 0, 0, 0], tf.int32) - 1
        seed = tf.random.fold_in((self._config.training.seed, _REPLAY_STREAM), batch.step)
        draws = self._rows(batch, shown).uniform((2,), seed)
        _, nominal = losses.kinds(labels)
        chosen = draws[:, 0] < self._section.replay.probability * nominal
        mixed, came_from = self._replay.mixed_in(shown, chosen, draws[:, 1])
        return mixed, labels, came_from

    def _rows(self, batch: Batch, shown: Shown) -> Rows:
        first = tf.cast(batch.first_row, tf.int32)
        return Rows(first, int(shown.images.shape[0]), self._config.training.batch_size)

    def _logits(self, shown: Shown, expected: Expected) -> Tensor:
        planes = _cut(self._expectation.planes(expected), shown.origins // LABEL_SCALE, self._crop)
        seen = tf.stop_gradient(differences(shown.images, planes))
        return self._network([shown.images, seen, expected.region], training=True)[0]

    def _pixel_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self._section.loss.pixel == "focal":
            return losses.focal(logits, labels)
        weight = self._section.loss.positive_weight
        return losses.cross_entropy(logits, labels, positive_weight=weight)


def _adversaries(config: Config, patch_size: int, replicas: int) -> Adversaries | None:
    if section_of(config, GrdnetSection).generator is None:
        return None
    options = generator_options(config, patch_size, synchronized=replicas > 1)
    return Adversaries.create(options, config.optimizer)


def _target(shown: Shown, clean: Tensor, came_from: Tensor) -> Tensor:
    """Return what a generator is to make of what is shown: replayed images are clean already."""
    replayed = tf.reshape(came_from >= 0, (-1, 1, 1, 1))
    return tf.where(replayed, shown.images, clean)


def segmentation_options(
    config: Config, size: int, regions: int, *, synchronized: bool = False, deployed: bool = False
) -> SegmentationOptions:
    """Return what a configuration says of the network; a deployed one computes in float32."""
    section = section_of(config, GrdnetSection)
    return SegmentationOptions(
        size=size,
        regions=regions,
        preset=section.preset,
        batch_norm_momentum=section.batch_norm_momentum,
        dtype="float32" if deployed else config.training.precision,
        synchronized=synchronized,
    )


def _cut(planes: Tensor, origins: Tensor, crop: int) -> Tensor:
    """Return squares (n,S/2,S/2,c) of planes (n,P/2,P/2,c), from origins int32 (n,2)."""
    side = crop // LABEL_SCALE
    if planes.shape[1] == side:
        return planes
    steps = tf.range(side)[None]
    rows = tf.gather(planes, origins[:, 0:1] + steps, axis=1, batch_dims=1)
    return tf.gather(rows, origins[:, 1:2] + steps, axis=2, batch_dims=1)
