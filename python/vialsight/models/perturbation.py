"""Augmentation and Perlin-noise perturbation of training patches (SPEC section 3; equation 7).

Everything is a pure function of its inputs and of a seed pair, so that a training step can be
repeated exactly. Patches are float32 (n,P,P,1) in [0,1].
"""

import math
from typing import Final, NamedTuple

from vialsight.aliases import Tensor
from vialsight.pinned import tf

ROTATION_LIMIT: Final = math.pi / 8
BETA_RANGE: Final = (0.5, 1.0)
PERSISTENCE: Final = 0.5


class Rows(NamedTuple):
    """Which rows of the global batch the images are: `count` of them from `first`, of `total`.

    Random numbers are drawn for the whole global batch and cut, so that results do not depend on
    how many replicas share it.
    """

    first: Tensor
    count: Tensor
    total: Tensor

    @classmethod
    def all_of(cls, images: Tensor) -> "Rows":
        """Say that the images are the whole batch."""
        count = tf.shape(images)[0]
        return cls(tf.zeros_like(count), count, count)

    def uniform(self, shape: tuple[int, ...], seed: Tensor, *limits: float) -> Tensor:
        """Uniform float32 (count, *shape) in [0,1) or between the two limits."""
        drawn = tf.random.stateless_uniform((self.total, *shape), seed, *limits)
        return drawn[self.first : self.first + self.count]

    def integers(self, seed: Tensor, low: int, high: int) -> Tensor:
        """Uniform int32 (count,) in [low, high)."""
        drawn = tf.random.stateless_uniform((self.total,), seed, low, high, dtype=tf.int32)
        return drawn[self.first : self.first + self.count]


class Perturbed(NamedTuple):
    """X* and what was done to X: images and N = M noise (n,P,P,1), M in {0,1}, β (n,1,1,1)."""

    images: Tensor
    mask: Tensor
    noise: Tensor
    beta: Tensor


def augment(
    images: Tensor,
    seed: Tensor,
    *,
    rotation: float = ROTATION_LIMIT,
    vertical_flip: float = 0.5,
    rows: Rows | None = None,
) -> Tensor:
    """Rotate by U(-rotation, rotation) radians, then flip upside down with a probability.

    Corners are filled by reflection. A horizontal flip is never applied (paper section 5.2).
    """
    rotation_seed, flip_seed = _split(seed, 2)
    rows = rows or Rows.all_of(images)
    if rotation > 0.0:
        images = _rotate(images, rows.uniform((), rotation_seed, -rotation, rotation))
    flips = rows.uniform((1, 1, 1), flip_seed) < vertical_flip
    return tf.where(flips, tf.reverse(images, axis=[1]), images)


def perturb(
    images: Tensor,
    seed: Tensor,
    *,
    probability: float = 0.75,
    threshold: float = 0.6,
    octaves: int = 3,
    scales: tuple[int, int] = (1, 4),
    rows: Rows | None = None,
) -> Perturbed:
    """P_q(X): overlay masked Perlin noise with probability q, else X* = X, M = N = 0.

    X* = (1-M) X + (1-β) M X + β N with β ~ U(0.5, 1), N zero outside M. The coarsest octave has
    2^k cells a side, k uniform over `scales` (both ends included).
    """
    choice_seed, noise_seed, beta_seed = _split(seed, 3)
    rows = rows or Rows.all_of(images)
    noise = perlin_noise(rows, int(images.shape[1]), noise_seed, octaves=octaves, scales=scales)
    chosen = rows.uniform((1, 1, 1), choice_seed) < probability
    mask = tf.cast(tf.logical_and(noise > threshold, chosen), tf.float32)
    beta = rows.uniform((1, 1, 1), beta_seed, *BETA_RANGE)
    return overlay(images, mask=mask, noise=mask * noise, beta=beta)


def overlay(images: Tensor, *, mask: Tensor, noise: Tensor, beta: Tensor) -> Perturbed:
    """Equation 7: X* = (1-M) X + (1-β) M X + β N."""
    mixed = (1.0 - mask) * images + (1.0 - beta) * mask * images + beta * noise
    return Perturbed(mixed, mask, noise, beta)


def perlin_noise(
    rows: Rows, size: int, seed: Tensor, *, octaves: int = 3, scales: tuple[int, int] = (1, 4)
) -> Tensor:
    """Perlin noise (rows.count,size,size,1) in [0,1]; 0.5 is the level of no noise.

    Each octave doubles the cells and halves the amplitude; every image is scaled so that its
    largest deviation from 0.5 is 0.5.
    """
    scale_seed, angle_seed = _split(seed, 2)
    cells = tf.bitwise.left_shift(1, rows.integers(scale_seed, scales[0], scales[1] + 1))
    lattice_side = 2 ** (scales[1] + octaves - 1) + 1
    angles = rows.uniform((octaves, lattice_side**2), angle_seed, 0.0, 2.0 * math.pi)
    total = tf.zeros((rows.count, size, size))
    for octave in range(octaves):
        waves = _gradient_noise(angles[:, octave], lattice_side, cells * 2**octave, size)
        total += PERSISTENCE**octave * waves
    peak = tf.reduce_max(tf.abs(total), axis=(1, 2), keepdims=True)
    return (0.5 + 0.5 * total / peak)[..., tf.newaxis]


def _gradient_noise(angles: Tensor, lattice_side: int, cells: Tensor, size: int) -> Tensor:
    """One octave (n,size,size) from lattice angles (n,side²) and cells a side (n,)."""
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size
    position = centres[tf.newaxis, :] * tf.cast(cells, tf.float32)[:, tf.newaxis]
    cell, offset = tf.cast(tf.floor(position), tf.int32), position - tf.floor(position)
    lattice = tf.reshape(angles, (-1, lattice_side, lattice_side))
    down_parts, right_parts = tf.cos(lattice), tf.sin(lattice)
    fade = offset**3 * (offset * (6.0 * offset - 15.0) + 10.0)
    fade_y, fade_x = fade[:, :, tf.newaxis], fade[:, tf.newaxis, :]

    def edge(right: int) -> tuple[Tensor, Tensor]:
        # Of every row of the lattice first: there are fewer of them than rows of pixels, and what
        # is left to gather are whole rows.
        columns = cell + right
        down_part = tf.gather(down_parts, columns, axis=2, batch_dims=1)
        right_part = tf.gather(right_parts, columns, axis=2, batch_dims=1)
        return down_part, right_part * (offset - right)[:, tf.newaxis, :]

    def row(down: int) -> Tensor:
        y = offset[:, :, tf.newaxis] - down
        left, right = (
            tf.gather(down_part, cell + down, axis=1, batch_dims=1) * y
            + tf.gather(across, cell + down, axis=1, batch_dims=1)
            for down_part, across in edges
        )
        return left + fade_x * (right - left)

    edges = edge(0), edge(1)
    top, bottom = row(0), row(1)
    return top + fade_y * (bottom - top)


def _rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate each image (n,P,P,1) about its centre by its angle in radians."""
    size = int(images.shape[1])
    centre = (size - 1) / 2.0
    cos, sin = tf.cos(angles), tf.sin(angles)
    zero = tf.zeros_like(cos)
    shift_x, shift_y = centre - centre * (cos - sin), centre - centre * (sin + cos)
    transforms = tf.stack([cos, -sin, shift_x, sin, cos, shift_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _split(seed: Tensor, count: int) -> list[Tensor]:
    seeds: list[Tensor] = tf.unstack(tf.random.split(seed, count), num=count)
    return seeds
