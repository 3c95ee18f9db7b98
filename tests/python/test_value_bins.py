"""Bins of any range: monotone, and as narrow as promised."""

import numpy as np
import pytest

from vialsight.value_bins import ValueBins


@pytest.fixture(params=[0, 3, 11])
def bins(request: pytest.FixtureRequest) -> ValueBins:
    return ValueBins(request.param)


def values() -> np.ndarray:
    random = np.random.default_rng(0)
    magnitudes = 2.0 ** random.uniform(-15.9, 15.9, 5000)
    signed = magnitudes * random.choice([-1.0, 1.0], 5000)
    return np.sort(signed).astype(np.float32)


def test_numbers_grow_with_the_value(bins: ValueBins) -> None:
    assert (np.diff(bins.of(values())) >= 0).all()


def test_each_value_lies_in_its_bin_which_is_narrow(bins: ValueBins) -> None:
    for value, number in zip(values(), bins.of(values()), strict=True):
        low, high = bins.lower(int(number)), bins.upper(int(number))
        assert low <= value <= high
        assert high - low <= abs(value) * 2.0**-bins.octave_bits


def test_bins_follow_each_other_without_a_gap(bins: ValueBins) -> None:
    for number in range(1, min(bins.count, 500)):
        assert bins.lower(number) == bins.upper(number - 1)
    middle = bins.count // 2
    for number in range(middle - 3, middle + 4):
        assert bins.lower(number) == bins.upper(number - 1)


def test_what_is_near_zero_shares_the_middle_bin(bins: ValueBins) -> None:
    small = np.array([0.0, -0.0, 1e-6, -1e-6], np.float32)
    assert set(bins.of(small)) == {bins.count // 2}
    assert bins.lower(bins.count // 2) == -(2.0**-16)
    assert bins.upper(bins.count // 2) == 2.0**-16


def test_what_is_large_is_in_the_outermost_bins(bins: ValueBins) -> None:
    large = np.array([-np.finfo(np.float32).max, -65536.0, 65536.0, 1e30], np.float32)
    assert bins.of(large).tolist() == [0, 0, bins.count - 1, bins.count - 1]
    assert bins.upper(bins.count - 1) == 65536.0
