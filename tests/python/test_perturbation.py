"""Perturbation and augmentation against equation 7 worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vialsight.models.perturbation import Rows, augment, overlay, perlin_noise, perturb

pytestmark = pytest.mark.tensorflow

SEED = tf.constant([3, 5])


@pytest.fixture
def patches() -> np.ndarray:
    return np.random.default_rng(0).random((32, 32, 32, 1), np.float32)


def whole(count: int) -> Rows:
    return Rows(tf.constant(0), count, count)


def test_overlay_by_hand() -> None:
    # Masked: 0.25·0.8 + 0.75·0.4 = 0.5; outside the mask X stays.
    x = np.full((1, 1, 2, 1), 0.8, np.float32)
    mask = np.array([[[[1.0], [0.0]]]], np.float32)
    result = overlay(x, mask=mask, noise=0.4 * mask, beta=np.full((1, 1, 1, 1), 0.75, np.float32))
    np.testing.assert_allclose(result.images[0, 0, :, 0], [0.5, 0.8], atol=1e-6)


def test_perturbation_follows_equation_7(patches: np.ndarray) -> None:
    images, mask, noise, beta = (t.numpy() for t in perturb(patches, SEED))
    assert set(np.unique(mask)) <= {0.0, 1.0}
    assert (noise[mask == 0] == 0).all()
    assert noise[mask == 1].min() > 0.6
    assert noise.max() <= 1
    assert ((beta >= 0.5) & (beta < 1)).all()
    expected = (1 - mask) * patches + (1 - beta) * mask * patches + beta * noise
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert images.min() >= 0
    assert images.max() <= 1


def test_probability_is_the_share_of_perturbed_patches() -> None:
    x = np.zeros((2000, 16, 16, 1), np.float32)
    touched = perturb(x, SEED, probability=0.75).mask.numpy().any(axis=(1, 2, 3))
    # Six standard deviations of the binomial share.
    assert abs(touched.mean() - 0.75) < 6 * math.sqrt(0.75 * 0.25 / 2000)


def test_probability_zero_changes_nothing(patches: np.ndarray) -> None:
    result = perturb(patches, SEED, probability=0.0)
    np.testing.assert_array_equal(result.images, patches)
    assert not result.mask.numpy().any()
    assert not result.noise.numpy().any()


def test_same_seed_same_result_other_seed_other_result(patches: np.ndarray) -> None:
    first, again = perturb(patches, SEED), perturb(patches, SEED)
    other = perturb(patches, SEED + 1)
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images.numpy() != other.images.numpy()).any()


def test_rows_of_a_shared_batch_are_cut_from_the_whole(patches: np.ndarray) -> None:
    everything = augment(patches, SEED)
    part = augment(patches[8:16], SEED, rows=Rows(tf.constant(8), 8, 32))
    np.testing.assert_allclose(part, everything[8:16], atol=1e-6)
    everything = perturb(patches, SEED)
    part = perturb(patches[8:16], SEED, rows=Rows(tf.constant(8), 8, 32))
    np.testing.assert_allclose(part.images, everything.images[8:16], atol=1e-6)


def test_perlin_noise_fills_its_range() -> None:
    noise = perlin_noise(whole(16), 48, SEED).numpy()
    assert noise.shape == (16, 48, 48, 1)
    assert noise.min() >= 0
    assert noise.max() <= 1
    deviation = np.abs(noise - 0.5).max(axis=(1, 2, 3))
    np.testing.assert_allclose(deviation, 0.5, atol=1e-6)


def test_perlin_noise_is_smooth_at_one_octave() -> None:
    noise = perlin_noise(whole(8), 64, SEED, octaves=1, scales=(1, 1)).numpy()
    # Two cells over 64 pixels: the interpolant's slope bounds neighbouring differences.
    assert np.abs(np.diff(noise, axis=1)).max() < 0.12
    assert np.abs(np.diff(noise, axis=2)).max() < 0.12


def test_perlin_noise_against_the_textbook_formula() -> None:
    """One octave of one cell scale, rebuilt per pixel with Python floats from the same angles."""
    size, side = 16, 5
    seeds = tf.unstack(tf.random.split(SEED, 2), num=2)
    angles = tf.random.stateless_uniform((1, 1, side**2), seeds[1], 0.0, 2 * math.pi).numpy()[0, 0]
    expected = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            expected[row, column] = textbook_value(row, column, size, 4, side, angles)
    expected = 0.5 + 0.5 * expected / np.abs(expected).max()
    noise = perlin_noise(whole(1), size, SEED, octaves=1, scales=(2, 2)).numpy()[0, ..., 0]
    np.testing.assert_allclose(noise, expected, atol=1e-5)


def textbook_value(
    row: int, column: int, size: int, cells: int, side: int, angles: np.ndarray
) -> float:
    """Perlin (2002): corner gradients times offsets, blended by 6t⁵ - 15t⁴ + 10t³."""
    y, x = (row + 0.5) / size * cells, (column + 0.5) / size * cells
    value = 0.0
    for corner_y in (math.floor(y), math.floor(y) + 1):
        for corner_x in (math.floor(x), math.floor(x) + 1):
            angle = angles[corner_y * side + corner_x]
            dot = math.cos(angle) * (y - corner_y) + math.sin(angle) * (x - corner_x)
            weight = 1.0
            for distance in (abs(y - corner_y), abs(x - corner_x)):
                t = 1 - distance
                weight *= 6 * t**5 - 15 * t**4 + 10 * t**3
            value += weight * dot
    return value


def test_augmentation_keeps_shape_and_range(patches: np.ndarray) -> None:
    result = augment(patches, SEED).numpy()
    assert result.shape == patches.shape
    assert result.min() >= 0
    assert result.max() <= 1


def test_vertical_flip_is_upside_down_only(patches: np.ndarray) -> None:
    result = augment(patches, SEED, rotation=0.0, vertical_flip=1.0)
    np.testing.assert_array_equal(result, patches[:, ::-1])
    result = augment(patches, SEED, rotation=0.0, vertical_flip=0.0)
    np.testing.assert_array_equal(result, patches)


def test_rotation_turns_about_the_centre_within_its_limit() -> None:
    """A bright bar through the centre stays there and turns by at most the limit."""
    size, limit = 33, math.pi / 8
    x = np.zeros((64, size, size, 1), np.float32)
    x[:, 16, :] = 1
    result = augment(x, SEED, rotation=limit, vertical_flip=0.0).numpy()[..., 0]
    assert result[:, 16, 16] == pytest.approx(np.ones(64), abs=1e-5)
    rows, columns = np.indices((size, size)) - 16
    weight = np.where(np.hypot(rows, columns) < 14, result, 0.0)
    covariance = (weight * rows * columns).sum(axis=(1, 2))
    spread = (weight * (columns**2 - rows**2)).sum(axis=(1, 2))
    angles = 0.5 * np.arctan2(2 * covariance, spread)
    assert np.abs(angles).max() <= limit + 0.02
    assert angles.min() < -limit / 2
    assert angles.max() > limit / 2
