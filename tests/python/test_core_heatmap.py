"""Heatmaps of the C++ core against NumPy (paper eq. 12)."""

import numpy as np
import pytest

import vialsight


def maps(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 20, 30)).astype(np.float32)


def test_without_a_scale_each_patch_has_its_own_extremes() -> None:
    values = maps().astype(np.float64)
    low = values.min(axis=(1, 2), keepdims=True)
    high = values.max(axis=(1, 2), keepdims=True)
    result = vialsight.heatmap(maps())
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (values - low) / (high - low), rtol=0, atol=1e-7)


def test_a_fixed_scale_is_clipped() -> None:
    expected = np.clip((maps(2).astype(np.float64) + 0.25) / 1.5, 0, 1)
    found = vialsight.heatmap(maps(2), vmin=-0.25, vmax=1.25)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_flat_maps_give_zeros() -> None:
    assert not vialsight.heatmap(np.full((2, 4, 5), 0.25, np.float32)).any()


def test_pixels_that_are_not_finite_are_shown_as_one() -> None:
    values = maps()
    clean = vialsight.heatmap(values, vmin=0.0, vmax=1.0)
    values[0, 3, 4] = np.nan
    values[1, 0, 0] = np.inf
    result = vialsight.heatmap(values, vmin=0.0, vmax=1.0)
    clean[0, 3, 4] = clean[1, 0, 0] = 1.0
    np.testing.assert_array_equal(result, clean)


@pytest.mark.parametrize(("vmin", "vmax"), [(0.5, 0.5), (1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_scale_that_is_none_is_refused(vmin: float, vmax: float) -> None:
    with pytest.raises(ValueError, match="vmax above vmin"):
        vialsight.heatmap(maps(), vmin=vmin, vmax=vmax)


def test_half_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="vmin and vmax"):
        vialsight.heatmap(maps(), vmin=0.1)


def test_another_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match="float32"):
        vialsight.heatmap(maps().astype(np.float64))
