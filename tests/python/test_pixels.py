"""Patches rounded to 8 bits, and back."""

import numpy as np

from vialsight.pixels import to_pixels, to_unit, without_loss

EVERY = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)


def test_values_are_the_float32_nearest_to_the_quotients() -> None:
    found = to_unit(EVERY)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (EVERY / 255.0).astype(np.float32))


def test_every_pixel_comes_back() -> None:
    pixels = to_pixels(to_unit(EVERY))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, EVERY)


def test_values_between_pixels_go_to_the_nearer_one() -> None:
    between = np.array([0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 1.0], np.float32)
    np.testing.assert_array_equal(to_pixels(between), [0, 0, 1, 254, 255, 255])


# Weights of resampling add up to 1 within rounding only.
def test_a_white_pixel_that_resampling_left_a_little_above_one() -> None:
    above = np.nextafter(np.float32([1.0]), np.float32(2.0))
    np.testing.assert_array_equal(to_pixels(above), [255])
    assert without_loss(above) is above


def test_only_whole_pixels_become_pixels() -> None:
    whole = to_unit(EVERY)
    np.testing.assert_array_equal(without_loss(whole), EVERY)
    between = whole.copy()
    between[0, 0, 1] = np.nextafter(between[0, 0, 1], np.float32(1.0))
    assert without_loss(between) is between
