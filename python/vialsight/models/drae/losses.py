"""Losses of generator and discriminator (SPEC section 4; paper equations 2 to 9).

Images are float32 (n,P,P,1) in [0,1]; every loss is a scalar mean over the batch.
"""

from typing import Final

from vialsight.aliases import Tensor
from vialsight.models.similarity import ssim
from vialsight.pinned import tf

HUBER_DELTA: Final = 1.0


def contextual_loss(
    x: Tensor, reconstruction: Tensor, *, pixel: str, pixel_weight: float, ssim_weight: float
) -> Tensor:
    """L_con = w_a Huber(X, X̂) + w_b (1 - SSIM(X, X̂)); `pixel` is huber (2026) or l1 (2024)."""
    distance = huber(x - reconstruction) if pixel == "huber" else _mean_absolute(x - reconstruction)
    return pixel_weight * distance + ssim_weight * (1.0 - tf.reduce_mean(ssim(x, reconstruction)))


def huber(error: Tensor) -> Tensor:
    """Mean Huber loss with delta 1: e²/2 up to |e| = 1, |e| - 1/2 beyond."""
    size = tf.abs(error)
    inner = tf.minimum(size, HUBER_DELTA)
    return tf.reduce_mean(inner * (size - 0.5 * inner))


def adversarial_loss(features_real: Tensor, features_fake: Tensor) -> Tensor:
    """L_adv: mean square of F_C(X) - F_C(X̂)."""
    return tf.reduce_mean(tf.square(features_real - features_fake))


def encoder_loss(z: Tensor, z_hat: Tensor) -> Tensor:
    """L_enc: mean absolute z - ẑ."""
    return _mean_absolute(z - z_hat)


def noise_loss(
    reconstruction: Tensor, perturbed: Tensor, *, mask: Tensor, noise: Tensor, beta: Tensor
) -> Tensor:
    """L_nse (2026): mean square of |(1-β) M X̂ - M X*| - β N; zero when X̂ = X under the mask.

    `mask` and `noise` are (n,P,P,1), `beta` is (n,1,1,1).
    """
    estimate = tf.abs((1.0 - beta) * mask * reconstruction - mask * perturbed)
    return tf.reduce_mean(tf.square(estimate - beta * noise))


def noise_loss_2024(reconstruction: Tensor, perturbed: Tensor, *, noise: Tensor) -> Tensor:
    """L_nse of the earlier paper: mean absolute |X* - X̂| - N."""
    return _mean_absolute(tf.abs(perturbed - reconstruction) - noise)


def discriminator_loss(logit_real: Tensor, logit_fake: Tensor) -> Tensor:
    """L_disc: binary cross-entropy on logits, mean over real (target 1) and fake (target 0)."""
    return 0.5 * tf.reduce_mean(tf.nn.softplus(-logit_real) + tf.nn.softplus(logit_fake))


def _mean_absolute(error: Tensor) -> Tensor:
    return tf.reduce_mean(tf.abs(error))
