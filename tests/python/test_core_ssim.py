"""SSIM of the C++ core against tf.image.ssim, scikit-image and the definition in float64."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from skimage.metrics import structural_similarity

import vialsight

Stack = npt.NDArray[np.float32]
Pair = tuple[Stack, Stack]


def _uniform(seed: int, shape: tuple[int, ...]) -> Stack:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def _constant(value: float, shape: tuple[int, ...]) -> Stack:
    return np.full(shape, value, np.float32)


def _noisy(shape: tuple[int, ...], sigma: float) -> Pair:
    x = _uniform(1, shape)
    noise = np.random.default_rng(2).normal(0, sigma, shape).astype(np.float32)
    return x, np.clip(x + noise, 0, 1).astype(np.float32)


def _smooth(shape: tuple[int, ...]) -> Pair:
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    wave = (0.5 + 0.4 * np.sin(rows / 9) * np.cos(columns / 13)).astype(np.float32)
    x = np.broadcast_to(wave, shape).copy()
    return x, (x * np.float32(0.98) + np.float32(0.01)).astype(np.float32)


PAIRS: dict[str, Callable[[], Pair]] = {
    "random": lambda: (_uniform(1, (3, 64, 64)), _uniform(2, (3, 64, 64))),
    "random_patch": lambda: (_uniform(3, (2, 256, 256)), _uniform(4, (2, 256, 256))),
    "nearly_equal": lambda: _noisy((3, 128, 128), 0.002),
    "noisy": lambda: _noisy((3, 128, 128), 0.2),
    "smooth": lambda: _smooth((2, 256, 256)),
    "equal": lambda: (_uniform(5, (2, 50, 50)), _uniform(5, (2, 50, 50))),
    "opposite": lambda: (_uniform(6, (2, 50, 50)), 1 - _uniform(6, (2, 50, 50))),
    "constant": lambda: (_constant(0.3, (1, 40, 40)), _constant(0.7, (1, 40, 40))),
    "constant_and_random": lambda: (_constant(0.5, (1, 40, 40)), _uniform(7, (1, 40, 40))),
    "black": lambda: (_constant(0, (1, 40, 40)), _constant(0, (1, 40, 40))),
    "white": lambda: (_constant(1, (1, 40, 40)), _constant(1, (1, 40, 40))),
    "black_and_white": lambda: (_constant(0, (1, 40, 40)), _constant(1, (1, 40, 40))),
    "black_and_random": lambda: (_constant(0, (1, 40, 40)), _uniform(8, (1, 40, 40))),
    "tiny": lambda: (_uniform(9, (5, 11, 11)), _uniform(10, (5, 11, 11))),
    "wide": lambda: (_uniform(11, (2, 12, 301)), _uniform(12, (2, 12, 301))),
    "tall": lambda: (_uniform(13, (2, 203, 11)), _uniform(14, (2, 203, 11))),
}


def _definition(x: Stack, y: Stack) -> float:
    """Mean SSIM of one pair in float64, with a two-dimensional window (Wang et al. 2004)."""
    distance = np.arange(11) - 5.0
    window = np.exp(-(distance[:, None] ** 2 + distance[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        views = np.lib.stride_tricks.sliding_window_view(image, (11, 11))
        return np.asarray(np.einsum("abij,ij->ab", views, window))

    a, b = x.astype(np.float64), y.astype(np.float64)
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return float(np.mean(luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)))


@pytest.mark.parametrize("name", PAIRS)
def test_equals_the_definition_in_float64(name: str) -> None:
    x, y = PAIRS[name]()
    expected = [_definition(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(vialsight.ssim(x, y), expected, rtol=0, atol=1e-7)


# In flat regions of different grey tf.image.ssim itself is off by up to 7e-4: its float32 variance
# is a rounding error there, which it divides by C2. Its float64 twin below is held to 1e-7.
FLAT_GREY = {"constant": 1e-3}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", PAIRS)
def test_equals_tensorflow(name: str) -> None:
    import tensorflow as tf

    x, y = PAIRS[name]()
    expected = tf.image.ssim(x[..., None], y[..., None], max_val=1.0).numpy()
    tolerance = FLAT_GREY.get(name, 1e-5)
    np.testing.assert_allclose(vialsight.ssim(x, y), expected, rtol=0, atol=tolerance)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", PAIRS)
def test_equals_tensorflow_in_float64(name: str) -> None:
    import tensorflow as tf
    from tensorflow.python.ops import image_ops_impl

    x, y = (tf.constant(image[..., None], tf.float64) for image in PAIRS[name]())
    scores, _ = image_ops_impl._ssim_per_channel(x, y, max_val=tf.constant(1.0, tf.float64))
    np.testing.assert_allclose(vialsight.ssim(*PAIRS[name]()), scores[:, 0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_equals_scikit_image_inside_its_border(name: str) -> None:
    x, y = PAIRS[name]()
    expected = [
        structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(vialsight.ssim(x, y), expected, rtol=0, atol=1e-7)


def test_result_is_float32_of_one_per_image() -> None:
    scores = vialsight.ssim(_uniform(1, (4, 20, 30)), _uniform(2, (4, 20, 30)))
    assert scores.shape == (4,)
    assert scores.dtype == np.float32


def test_equal_images_score_exactly_one() -> None:
    x = _uniform(15, (4, 60, 60))
    assert vialsight.ssim(x, x).tolist() == [1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_spoils_only_its_image(bad: float) -> None:
    x, y = _uniform(1, (3, 20, 20)), _uniform(2, (3, 20, 20))
    x[1, 19, 0] = bad
    assert np.isnan(vialsight.ssim(x, y)).tolist() == [False, True, False]


def test_an_empty_stack_has_no_scores() -> None:
    assert vialsight.ssim(
        np.empty((0, 11, 11), np.float32), np.empty((0, 11, 11), np.float32)
    ).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.float16])
def test_another_dtype_is_refused(dtype: type) -> None:
    x = np.zeros((1, 20, 20), dtype)
    with pytest.raises(TypeError, match="float32"):
        vialsight.ssim(x, x)


@pytest.mark.parametrize("shape", [(20, 20), (1, 20, 20, 1), (400,)])
def test_another_number_of_axes_is_refused(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match="shape"):
        vialsight.ssim(x, x)


def test_images_below_the_window_are_refused() -> None:
    x = np.zeros((1, 10, 20), np.float32)
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 10x20"):
        vialsight.ssim(x, x)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        vialsight.ssim(np.zeros((1, 20, 20), np.float32), np.zeros((1, 20, 21), np.float32))


def test_strides_are_refused_not_copied() -> None:
    x = np.zeros((1, 20, 40), np.float32)
    with pytest.raises(ValueError, match="contiguous"):
        vialsight.ssim(x[:, :, ::2], x[:, :, ::2])
