"""Images of many sizes become one size, and their masks with them."""

import numpy as np
import pytest

from vialsight.data.fits import FITS, Fit, parse_kind, parse_size, parse_tiles
from vialsight.errors import DataError


def ramp(height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.linspace(20, 220, width), (height, width)).astype(np.uint8)


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_image_of_the_size_is_not_touched(kind: str, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14)).astype(dtype)
    fitted = Fit(kind, (14, 9)).image(pixels)
    np.testing.assert_array_equal(fitted, pixels)
    assert fitted.dtype == dtype


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("source", [(9, 14), (40, 30), (200, 50), (3, 301), (1, 1)])
def test_every_image_gets_the_size(kind: str, source: tuple[int, int]) -> None:
    fitted = Fit(kind, (24, 20)).image(np.full(source, 77, np.uint8))
    assert fitted.shape == (20, 24)
    # Nothing is invented: not at the edges, not by scaling.
    np.testing.assert_array_equal(fitted, 77)


def test_resizing_stretches() -> None:
    fitted = Fit("resize", (40, 10)).image(ramp(30, 160))
    np.testing.assert_allclose(fitted[5], ramp(1, 160)[0].reshape(40, 4).mean(axis=1), atol=1.5)


def test_padding_keeps_all_and_repeats_the_border() -> None:
    fitted = Fit("pad", (40, 40)).image(ramp(20, 40))
    np.testing.assert_array_equal(fitted[10:30], ramp(20, 40))
    np.testing.assert_array_equal(fitted[:10], np.repeat(ramp(1, 40), 10, axis=0))


def test_cropping_cuts_both_sides_alike() -> None:
    fitted = Fit("crop", (20, 20)).image(ramp(20, 40))
    np.testing.assert_array_equal(fitted, ramp(20, 40)[:, 10:30])


def test_sixteen_bits_are_scaled_in_their_own_range() -> None:
    pixels = np.full((8, 8), 4095, np.uint16)
    pixels[:, 4:] = 1001
    fitted = Fit("resize", (4, 4)).image(pixels)
    assert fitted.dtype == np.uint16
    assert (fitted.min(), fitted.max()) == (1001, 4095)


@pytest.mark.parametrize("kind", FITS)
def test_a_defect_stays_one_and_lies_where_it_is_seen(kind: str) -> None:
    """A dark spot and its mask, fitted each for itself, are still in one place."""
    pixels, mask = np.full((90, 120), 200, np.uint8), np.zeros((90, 120), bool)
    mask[50:53, 61:64] = True
    pixels[mask] = 0
    fit = Fit(kind, (36, 30))
    seen, marked = fit.image(pixels) < 199, fit.mask(mask)
    assert seen.any()
    assert marked[seen].all()
    assert marked.sum() <= seen.sum() + 8


def test_padding_marks_nothing_around() -> None:
    marked = Fit("pad", (40, 40)).mask(np.ones((20, 40), bool))
    assert marked[10:30].all()
    assert not marked[:10].any()


@pytest.mark.parametrize(("text", "size"), [("640x480", (640, 480)), ("3×2", (3, 2))])
def test_sizes_are_read(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size
    assert parse_tiles(text) == size


@pytest.mark.parametrize(
    "text", ["", "640", "640x", "x480", "0x5", "-1x5", "6.5x2", "1x2x3", "1e3x5", "99999x5", "٣x٢"]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="expected a size WIDTHxHEIGHT such as 640x480, got"):
        parse_size(text)
    with pytest.raises(DataError, match="expected a grid ROWSxCOLUMNS such as 2x3, got"):
        parse_tiles(text)


def test_an_unknown_fit_names_those_there_are() -> None:
    with pytest.raises(DataError, match="--fit must be one of resize, pad, crop; got 'stretch'"):
        parse_kind("stretch")
