"""A step's losses against the same networks of Keras' layers in float64; activations by hand."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf

from vialsight.config import OptimizerConfig
from vialsight.models.drae.adversaries import Adversaries
from vialsight.models.drae.blocks import Blocks
from vialsight.models.drae.network import NetworkOptions
from vialsight.models.drae.section import GanLossConfig
from vialsight.models.layers import (
    DepthToSpace,
    FusedBatchNormalization,
    NearestUpsampling,
    PlaneReLU,
    SpaceToDepth,
)

pytestmark = pytest.mark.tensorflow

SIZE, MOMENTUM, EPSILON = 32, 0.99, 1e-3


def in_float64(model: keras.Model) -> keras.Model:
    """Return the model in float64, with Keras' own layers in the place of ours, same weights."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, FusedBatchNormalization):
            return keras.layers.BatchNormalization(
                momentum=MOMENTUM, epsilon=EPSILON, dtype="float64"
            )
        if isinstance(layer, PlaneReLU):
            return keras.layers.ReLU(dtype="float64")
        if isinstance(layer, NearestUpsampling):
            return keras.layers.UpSampling2D(dtype="float64")
        if isinstance(layer, SpaceToDepth | DepthToSpace):
            return type(layer)(4, dtype="float64")
        return type(layer).from_config(layer.get_config() | {"dtype": "float64"})

    clone = keras.models.clone_model(model, clone_function=plain)
    clone.set_weights(model.get_weights())
    return clone


def expected(networks: Sequence[keras.Model], x: tf.Tensor, seen: tf.Tensor) -> list[float]:
    """Losses (adversarial, contextual, encoder, discriminator) by their formulas."""
    generator, encoder, discriminator = networks
    image, z = generator(seen, training=True)
    z_hat = encoder(image, training=True)
    real, of_real = discriminator(x, training=True)
    fake, of_fake = discriminator(image, training=True)
    ssim = float(tf.reduce_mean(tf.image.ssim(x, image, max_val=1.0)))
    # Huber's loss is half the square: no error exceeds 1.
    contextual = 2.0 * tf.reduce_mean(0.5 * (x - image) ** 2) + 1.0 - ssim
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    of_each = entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(fake), fake)
    losses = (
        tf.reduce_mean((of_real - of_fake) ** 2),
        contextual,
        tf.reduce_mean(tf.abs(z - z_hat)),
        0.5 * tf.reduce_mean(of_each),
    )
    return [float(loss) for loss in losses]


@pytest.mark.parametrize("preset", ["drae-32", "drae-64", "line-S"])
def test_losses_are_those_of_keras_layers(preset: str) -> None:
    keras.utils.set_random_seed(0)
    adversaries = Adversaries.create(
        NetworkOptions(patch_size=SIZE, preset=preset), OptimizerConfig()
    )
    networks = adversaries.networks
    plain = [in_float64(m) for m in (networks.generator, networks.encoder, networks.discriminator)]
    random = np.random.default_rng(1)
    x, seen = (tf.constant(random.random((6, SIZE, SIZE, 1), np.float32)) for _ in range(2))

    @tf.function(autograph=False)
    def step() -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        with tf.GradientTape(persistent=True) as tape:
            duel = adversaries.duel(x, seen, GanLossConfig(), tf.constant(1.0))
        losses = [duel.adversarial, duel.contextual, duel.encoder, duel.discriminator]
        # With the gradients, as in a training: they decide on which kernels the losses come from.
        return losses, adversaries.gradients(tape, duel.generator, duel.discriminator)

    losses, _ = step()
    should_be = expected(plain, tf.cast(x, tf.float64), tf.cast(seen, tf.float64))
    # Fresh networks reconstruct next to nothing, and up to 88 normalisations blow up its rounding:
    # Keras' own networks in float32 are as far away.
    np.testing.assert_allclose([float(loss) for loss in losses], should_be, rtol=3e-3)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("channels", [1, 4, 8, 16])
def test_activation_is_its_formula(channels: int, dtype: str) -> None:
    image = keras.Input((6, 10, channels))
    read = keras.layers.Activation("linear", dtype=dtype)
    options = NetworkOptions(patch_size=16, preset="drae-16", dtype=dtype)
    activate = Blocks(options, keras.layers.Conv2D).activate
    model = keras.Model(image, read(activate(read(image))))
    x = np.random.default_rng(2).normal(1, 2, (4, 6, 10, channels)).astype(np.float32)
    with tf.GradientTape() as tape:
        seen = tf.constant(x)
        tape.watch(seen)
        found = model(seen, training=True)
        total = tf.reduce_sum(tf.cast(found, tf.float32) ** 2)
    gradient = tape.gradient(total, seen)

    rounded = tf.cast(tf.cast(x, model.output.dtype), tf.float64).numpy()
    deviation = np.sqrt(rounded.var(axis=(0, 1, 2)) + EPSILON)
    normal = (rounded - rounded.mean(axis=(0, 1, 2))) / deviation
    should_be = np.maximum(normal, 0.0)
    precision = {"float32": 1e-5, "mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}[dtype]
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), should_be, rtol=2 * precision, atol=precision
    )
    pulled = 2.0 * should_be
    centred = pulled - pulled.mean(axis=(0, 1, 2))
    slope = (pulled * normal).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(
        gradient, (centred - normal * slope) / deviation, rtol=4 * precision, atol=4 * precision
    )
