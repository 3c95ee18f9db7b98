"""Drift figures against scipy, windows by hand and a loop."""

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata

from vialsight.errors import DataError
from vialsight.statistics.drift import rank_correlation, robust_slope, running_median


class TestRankCorrelation:
    def test_is_pearson_of_ranks(self) -> None:
        values = np.round(np.random.default_rng(0).normal(size=80) + np.arange(80) / 40, 1)
        expected = pearsonr(np.arange(80), rankdata(values))
        result = rank_correlation(values)
        assert result is not None
        assert result[0] == pytest.approx(expected.statistic, abs=1e-12)
        assert result[1] == pytest.approx(expected.pvalue, rel=1e-6)

    def test_by_hand(self) -> None:
        # Ranks 1 3 2 4 against 1 2 3 4: rho = 1 - 6 * 2 / (4 * 15) = 0.8.
        result = rank_correlation(np.array([0.1, 0.9, 0.3, 1.0]))
        assert result is not None
        assert result[0] == pytest.approx(0.8)

    @pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0] * 10])
    def test_not_defined(self, values: list[float]) -> None:
        assert rank_correlation(np.array(values)) is None

    def test_nan(self) -> None:
        with pytest.raises(DataError, match="NaN"):
            rank_correlation(np.array([0.1, np.nan, 0.3]))


class TestRunningMedian:
    def test_by_hand(self) -> None:
        values = np.array([5.0, 1.0, 4.0, 2.0, 9.0])
        assert running_median(values, 3).tolist() == [3.0, 4.0, 2.0, 4.0, 5.5]

    @pytest.mark.parametrize("width", [1, 5, 201])
    def test_equals_a_loop(self, width: int) -> None:
        values = np.random.default_rng(1).normal(size=100)
        half = width // 2
        expected = [np.median(values[max(0, i - half) : i + half + 1]) for i in range(100)]
        np.testing.assert_allclose(running_median(values, width), expected, atol=1e-15)

    def test_nothing(self) -> None:
        assert running_median(np.empty(0), 5).size == 0

    @pytest.mark.parametrize("width", [0, 4, -3])
    def test_width_is_not_odd(self, width: int) -> None:
        with pytest.raises(DataError, match="odd width"):
            running_median(np.arange(5.0), width)


class TestRobustSlope:
    def test_median_of_the_slopes_of_all_pairs(self) -> None:
        random = np.random.default_rng(4)
        order = np.sort(random.choice(500, 40, replace=False))
        values = 0.02 * order + random.normal(size=40)
        pairs = [
            (values[j] - values[i]) / (order[j] - order[i]) for i in range(40) for j in range(i)
        ]
        slope, low, high = robust_slope(order, values)
        assert slope == pytest.approx(np.median(pairs))
        assert low < 0.02 < high

    def test_wild_values_do_not_move_it(self) -> None:
        values = 3.0 * np.arange(30.0)
        values[::5] = 1e6
        assert robust_slope(np.arange(30), values)[0] == pytest.approx(3.0)

    def test_many_values_are_averaged(self) -> None:
        values = 0.5 * np.arange(12345.0) + np.random.default_rng(5).normal(size=12345)
        slope, low, high = robust_slope(np.arange(12345), values)
        assert slope == pytest.approx(0.5, abs=1e-4)
        assert low < 0.5 < high

    def test_too_few(self) -> None:
        assert robust_slope(np.arange(2), np.array([1.0, 2.0])) is None

    def test_nan(self) -> None:
        with pytest.raises(DataError, match="NaN"):
            robust_slope(np.arange(3), np.array([0.1, np.nan, 0.3]))
