"""Losses against values worked out by hand and against TensorFlow's own SSIM."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vialsight.models import similarity
from vialsight.models.drae import losses

pytestmark = pytest.mark.tensorflow


def images(*values: float, size: int = 16) -> np.ndarray:
    """One constant image per value."""
    return np.stack([np.full((size, size, 1), value, np.float32) for value in values])


@pytest.mark.parametrize("size", [11, 16, 48])
def test_ssim_is_tensorflows(size: int) -> None:
    random = np.random.default_rng(0)
    x = random.random((5, size, size, 1), np.float32)
    y = np.clip(x + random.normal(0, 0.2, x.shape), 0, 1).astype(np.float32)
    x[3], y[3], x[4], y[4] = 0, 1, 0.5, 0.5
    expected = tf.image.ssim(x, y, max_val=1.0).numpy()
    np.testing.assert_allclose(similarity.ssim(x, y).numpy(), expected, atol=1e-5)


def test_ssim_of_constant_images_by_hand() -> None:
    # No variance: only the luminance term (2ab + c1) / (a² + b² + c1) is left.
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert similarity.ssim(images(0.2), images(0.6)).numpy()[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 32])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_ssim_of_any_batch_size(count: int, size: int) -> None:
    """A broadcast batch product in its place returned garbage for one image."""
    random = np.random.default_rng(count)
    x, y = random.random((2, count, size, size, 1))
    expected = tf.image.ssim(x, y, max_val=1.0).numpy()
    np.testing.assert_allclose(similarity.ssim(tf.constant(x), tf.constant(y)), expected, atol=1e-5)


def test_ssim_gradient_is_tensorflows() -> None:
    random = np.random.default_rng(5)
    x, y = (tf.constant(a) for a in random.random((2, 3, 20, 20, 1)))
    gradients = []
    for function in (similarity.ssim, lambda a, b: tf.image.ssim(a, b, max_val=1.0)):
        with tf.GradientTape() as tape:
            tape.watch(y)
            value = tf.reduce_sum(function(x, y))
        gradients.append(tape.gradient(value, y).numpy())
    # float32 inside tf.image.ssim's constants limits the agreement.
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        similarity.ssim(images(0.1, size=10), images(0.1, size=10))


def test_huber_is_quadratic_then_linear() -> None:
    # 0.5²/2 = 0.125; 1²/2 = 0.5; 3 - 1/2 = 2.5; mean 3.125/3.
    assert float(losses.huber(tf.constant([0.5, -1.0, 3.0]))) == pytest.approx(3.125 / 3)


@pytest.mark.parametrize(("pixel", "distance"), [("huber", 0.4**2 / 2), ("l1", 0.4)])
def test_contextual_loss_by_hand(pixel: str, distance: float) -> None:
    structure = 1 - (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    loss = losses.contextual_loss(
        images(0.2), images(0.6), pixel=pixel, pixel_weight=2.0, ssim_weight=1.0
    )
    assert float(loss) == pytest.approx(2.0 * distance + structure, abs=1e-5)


def test_adversarial_loss_by_hand() -> None:
    loss = losses.adversarial_loss(tf.constant([[1.0, 2.0]]), tf.constant([[0.0, 5.0]]))
    assert float(loss) == pytest.approx((1 + 9) / 2)


def test_encoder_loss_by_hand() -> None:
    loss = losses.encoder_loss(tf.constant([[1.0, -2.0]]), tf.constant([[0.5, 1.0]]))
    assert float(loss) == pytest.approx((0.5 + 3.0) / 2)


def test_noise_loss_by_hand() -> None:
    # Left half under the mask: X* = (1-β) X + β N = 0.4·0.5 + 0.6·0.9 = 0.74 with β = 0.6;
    # |0.4·0.25 - 0.74| - 0.6·0.9 = 0.1 there, 0 in the right half.
    mask = np.zeros((1, 2, 2, 1), np.float32)
    mask[:, :, 0] = 1
    perturbed = np.where(mask > 0, 0.74, 0.5).astype(np.float32)
    reconstruction = np.where(mask > 0, 0.25, 0.1).astype(np.float32)
    loss = losses.noise_loss(
        reconstruction,
        perturbed,
        mask=mask,
        noise=0.9 * mask,
        beta=np.full((1, 1, 1, 1), 0.6, np.float32),
    )
    assert float(loss) == pytest.approx(0.1**2 / 2, abs=1e-6)


def test_noise_loss_is_zero_for_a_perfect_reconstruction() -> None:
    random = np.random.default_rng(1)
    x = random.random((4, 16, 16, 1), np.float32)
    mask = (random.random(x.shape) > 0.5).astype(np.float32)
    noise = mask * random.random(x.shape, np.float32)
    beta = random.uniform(0.5, 1.0, (4, 1, 1, 1)).astype(np.float32)
    perturbed = (1 - mask) * x + (1 - beta) * mask * x + beta * noise
    loss = losses.noise_loss(x, perturbed, mask=mask, noise=noise, beta=beta)
    assert float(loss) < 1e-12


def test_noise_loss_2024_by_hand() -> None:
    # ||0.7 - 0.4| - 0.1| = 0.2
    loss = losses.noise_loss_2024(images(0.4), images(0.7), noise=images(0.1))
    assert float(loss) == pytest.approx(0.2, abs=1e-6)


def test_discriminator_loss_by_hand() -> None:
    # -log sigmoid(2) for the real one, -log(1 - sigmoid(-1)) for the fake one, averaged.
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    loss = losses.discriminator_loss(tf.constant([[2.0]]), tf.constant([[-1.0]]))
    assert float(loss) == pytest.approx(expected)


def test_discriminator_loss_survives_huge_logits() -> None:
    loss = losses.discriminator_loss(tf.constant([[-1e4]]), tf.constant([[1e4]]))
    assert float(loss) == pytest.approx(1e4)
