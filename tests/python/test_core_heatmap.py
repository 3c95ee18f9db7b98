"""Heatmaps of the C++ core against NumPy (paper eqs. 11 and 12)."""

import numpy as np
import pytest

import vialsight


def _pair(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    shape = (3, 20, 30)
    return generator.random(shape, dtype=np.float32), generator.random(shape, dtype=np.float32)


def test_without_a_scale_each_patch_has_its_own_extremes() -> None:
    x, y = _pair()
    difference = np.abs(x.astype(np.float64) - y)
    low = difference.min(axis=(1, 2), keepdims=True)
    high = difference.max(axis=(1, 2), keepdims=True)
    result = vialsight.heatmap(x, y)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (difference - low) / (high - low), rtol=0, atol=1e-7)


def test_a_fixed_scale_is_clipped() -> None:
    x, y = _pair(2)
    expected = np.clip((np.abs(x.astype(np.float64) - y) - 0.25) / 0.5, 0, 1)
    np.testing.assert_allclose(vialsight.heatmap(x, y, vmin=0.25, vmax=0.75), expected, atol=1e-7)


def test_equal_images_give_zeros() -> None:
    x, _ = _pair()
    assert not vialsight.heatmap(x, x).any()


def test_pixels_that_are_not_finite_are_shown_as_one() -> None:
    x, y = _pair()
    clean = vialsight.heatmap(x, y, vmin=0.0, vmax=1.0)
    x[0, 3, 4] = np.nan
    x[1, 0, 0] = np.inf
    result = vialsight.heatmap(x, y, vmin=0.0, vmax=1.0)
    clean[0, 3, 4] = clean[1, 0, 0] = 1.0
    np.testing.assert_array_equal(result, clean)


@pytest.mark.parametrize(("vmin", "vmax"), [(0.5, 0.5), (1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_scale_that_is_none_is_refused(vmin: float, vmax: float) -> None:
    x, y = _pair()
    with pytest.raises(ValueError, match="vmax above vmin"):
        vialsight.heatmap(x, y, vmin=vmin, vmax=vmax)


def test_half_a_scale_is_refused() -> None:
    x, y = _pair()
    with pytest.raises(ValueError, match="vmin and vmax"):
        vialsight.heatmap(x, y, vmin=0.1)


def test_different_shapes_are_refused() -> None:
    x, y = _pair()
    with pytest.raises(ValueError, match="same shape"):
        vialsight.heatmap(x, y[:2])


def test_another_dtype_is_refused() -> None:
    x, y = _pair()
    with pytest.raises(TypeError, match="float32"):
        vialsight.heatmap(x.astype(np.float64), y.astype(np.float64))
