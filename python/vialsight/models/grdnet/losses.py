"""Losses of the segmenting network, float32 scalars.

Logits and labels are (n,h,w,1); a label is ANOMALOUS, NOMINAL or UNCERTAIN (`models.anomalies`).
"""

from typing import Final

from vialsight.aliases import Tensor
from vialsight.models.anomalies.drawing import ANOMALOUS, NOMINAL, UNCERTAIN
from vialsight.pinned import tf

# GRD-Net's; the paper does not state them (METHODS section 1).
FOCAL_GAMMA: Final = 2.0
FOCAL_ALPHA: Final = 0.25
# Labelled pixels from which on a patch counts as anomalous.
LEAST_PIXELS: Final = 4


def cross_entropy(logits: Tensor, labels: Tensor, *, positive_weight: float) -> Tensor:
    """Mean over certain pixels; anomalous ones count `positive_weight` times."""
    anomalous = _is(labels, ANOMALOUS)
    known = 1.0 - _is(labels, UNCERTAIN)
    each = positive_weight * anomalous * tf.nn.softplus(-logits)
    each += (1.0 - anomalous) * tf.nn.softplus(logits)
    return mean_over(known * each, known)


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over certain pixels of -α (1-p)^γ log p, p the probability of what the pixel is."""
    anomalous = _is(labels, ANOMALOUS)
    known = 1.0 - _is(labels, UNCERTAIN)
    towards = (2.0 * anomalous - 1.0) * logits
    alpha = FOCAL_ALPHA * anomalous + (1.0 - FOCAL_ALPHA) * (1.0 - anomalous)
    each = alpha * tf.pow(tf.sigmoid(-towards), FOCAL_GAMMA) * tf.nn.softplus(-towards)
    return mean_over(known * each, known)


def largest(logits: Tensor, count: int) -> Tensor:
    """Return the mean (n,) of the `count` largest logits, each averaged with its neighbours."""
    smooth = tf.nn.avg_pool2d(logits, 3, 1, "SAME")
    flat = tf.reshape(smooth, (tf.shape(logits)[0], -1))
    return tf.reduce_mean(tf.math.top_k(flat, count, sorted=False).values, axis=1)


def kinds(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether patches are anomalous, and whether they are nominal, float32 (n,) each.

    One that is uncertain, or has few anomalous pixels, is neither.
    """
    pixels = tf.reduce_sum(_is(labels, ANOMALOUS), axis=(1, 2, 3))
    anomalous = tf.cast(pixels >= LEAST_PIXELS, tf.float32)
    nominal = tf.cast(tf.reduce_all(tf.equal(labels, NOMINAL), axis=(1, 2, 3)), tf.float32)
    return anomalous, nominal


def patch_cross_entropy(top: Tensor, anomalous: Tensor, nominal: Tensor) -> Tensor:
    """Cross-entropy of patches' largest logits (n,), mean over those that are one or the other."""
    each = anomalous * tf.nn.softplus(-top) + nominal * tf.nn.softplus(top)
    return mean_over(each, anomalous + nominal)


def mean_over(each: Tensor, counted: Tensor) -> Tensor:
    """Return the sum over this replica's share by the number counted in the average share.

    So that the mean over replicas is that of the whole batch, however the counted are spread.
    """
    count = tf.reduce_sum(counted)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        count = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return tf.reduce_sum(each) / tf.maximum(count, 1.0)


def _is(labels: Tensor, value: float) -> Tensor:
    return tf.cast(tf.equal(labels, value), tf.float32)
