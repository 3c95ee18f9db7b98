"""Intervals against statsmodels and scipy, and their coverage on clustered data."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from vialsight.errors import DataError
from vialsight.statistics.intervals import (
    percentile_interval,
    proportion_interval,
    resampled_strips,
    wilson,
    wilson_at,
)
from vialsight.statistics.ranking import ranking_replicates

COUNTS = [(0, 1), (1, 1), (0, 141), (141, 141), (7, 10), (120, 141), (119, 120), (5000, 40000)]


class TestWilson:
    @pytest.mark.parametrize(("count", "total"), COUNTS)
    @pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
    def test_equals_statsmodels_and_scipy(self, count: int, total: int, confidence: float) -> None:
        ours = wilson(count, total, confidence)
        theirs = proportion_confint(count, total, alpha=1 - confidence, method="wilson")
        assert ours == pytest.approx(theirs, abs=1e-12)
        exact = binomtest(count, total).proportion_ci(confidence, method="wilson")
        assert ours == pytest.approx((exact.low, exact.high), abs=1e-12)

    def test_ends_exactly_at_none_and_all(self) -> None:
        assert wilson(0, 120)[0] == 0.0
        assert wilson(120, 120)[1] == 1.0

    def test_no_units_no_interval(self) -> None:
        assert wilson(0, 0) is None

    @pytest.mark.parametrize(("count", "total"), [(-1, 10), (11, 10), (1, 0)])
    def test_impossible_count(self, count: int, total: int) -> None:
        with pytest.raises(DataError, match=f"{count} of {total}"):
            wilson(count, total)

    def test_count_need_not_be_an_integer(self) -> None:
        theirs = proportion_confint(0.37 * 29, 29, method="wilson")
        assert wilson_at(0.37, 29) == pytest.approx(theirs, abs=1e-12)


class TestResampledStrips:
    def test_composition_is_fixed_and_every_strip_drawn_once_on_average(self) -> None:
        defective = np.array([True] * 7 + [False] * 5 + [True])
        draws = resampled_strips(defective, replicates=4000, seed=3)
        assert (draws.shape, draws.dtype) == ((4000, 13), np.int32)
        assert (draws[:, defective].sum(axis=1) == 8).all()
        assert (draws[:, ~defective].sum(axis=1) == 5).all()
        # Binomial(8, 1/8): variance 7/8; the mean of 4000 lies within five standard errors.
        assert np.abs(draws.mean(axis=0) - 1).max() < 5 * np.sqrt(0.875 / 4000)
        assert draws[:, 0].var() == pytest.approx(7 / 8, rel=0.15)

    def test_seed_decides(self) -> None:
        defective = np.arange(20) < 9
        first, again, other = (resampled_strips(defective, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_one_class_only(self) -> None:
        assert (resampled_strips(np.ones(4, bool), replicates=9).sum(axis=1) == 4).all()


class TestPercentileInterval:
    def test_quantiles_by_hand(self) -> None:
        # 0, 1 ... 1000: 2.5 % lie at 25, 97.5 % at 975.
        values = np.random.default_rng(0).permutation(np.arange(1001.0))
        assert percentile_interval(values) == pytest.approx((25, 975))

    def test_missing_replicates_are_left_out(self) -> None:
        values = np.concatenate([np.arange(1001.0), np.full(1001, np.nan)])
        assert percentile_interval(values) == pytest.approx((25, 975))

    def test_most_replicates_missing(self) -> None:
        assert percentile_interval(np.array([0.5, np.nan, np.nan])) is None
        assert percentile_interval(np.empty(0)) is None

    def test_without_width(self) -> None:
        assert percentile_interval(np.ones(50)) == (1.0, 1.0)
        assert percentile_interval(np.ones(50), flat=False) is None
        assert percentile_interval(np.arange(1001.0), flat=False) == pytest.approx((25, 975))


class TestProportionInterval:
    def test_one_unit_per_strip_is_wilson(self) -> None:
        hits, totals = np.array([1, 0, 1, 0, 1]), np.array([1, 1, 1, 0, 1])
        draws = resampled_strips(np.ones(5, bool))
        theirs = proportion_confint(3, 4, method="wilson")
        assert proportion_interval(hits, totals, draws) == pytest.approx(theirs, abs=1e-12)

    @pytest.mark.parametrize("rate", [0, 1])
    def test_no_error_counts_strips_not_units(self, rate: int) -> None:
        totals = np.array([10] * 20 + [0] * 5)
        draws = resampled_strips(np.ones(25, bool))
        theirs = proportion_confint(20 * rate, 20, method="wilson")
        assert proportion_interval(totals * rate, totals, draws) == pytest.approx(theirs, abs=1e-12)

    def test_one_strip_is_never_certain(self) -> None:
        hits, totals = np.array([5]), np.array([10])
        theirs = proportion_confint(0.5, 1, method="wilson")
        draws = resampled_strips(np.ones(1, bool))
        assert proportion_interval(hits, totals, draws) == pytest.approx(theirs, abs=1e-12)

    def test_bootstrap_against_a_loop_over_drawn_strips(self) -> None:
        random = np.random.default_rng(5)
        totals = random.integers(0, 12, 40)
        hits = random.binomial(totals, 0.7)
        draws = resampled_strips(np.arange(40) < 25, replicates=200, seed=1)
        ratios = []
        for draw in draws:
            drawn = np.repeat(np.arange(40), draw)
            ratios.append(hits[drawn].sum() / totals[drawn].sum())
        expected = tuple(np.percentile(ratios, [2.5, 97.5]))
        assert proportion_interval(hits, totals, draws) == pytest.approx(expected, abs=1e-12)

    def test_no_units(self) -> None:
        none = np.zeros(3, int)
        assert proportion_interval(none, none, resampled_strips(np.ones(3, bool))) is None

    def test_more_hits_than_units(self) -> None:
        with pytest.raises(DataError, match="hits <= units"):
            proportion_interval(np.array([2]), np.array([1]), np.ones((1, 1), int))


class TestCoverage:
    """60 strips of alike units; how often does the interval of 300 data sets hold the truth?"""

    STRIPS, SETS = 60, 300

    def test_proportion(self) -> None:
        # Beta-binomial with true rate 0.8 and correlation 1 / (1 + 2.4 + 0.6) = 0.25 in a strip:
        # the variance of the pooled rate is 1 + 9 * 0.25 = 3.25 times the binomial one.
        random = np.random.default_rng(2024)
        totals = np.full(self.STRIPS, 10)
        draws = resampled_strips(np.ones(self.STRIPS, bool), replicates=1000, seed=0)
        clustered = pooled = 0
        for _ in range(self.SETS):
            hits = random.binomial(10, random.beta(2.4, 0.6, self.STRIPS))
            clustered += covers(proportion_interval(hits, totals, draws), 0.8)
            pooled += covers(wilson(int(hits.sum()), int(totals.sum())), 0.8)
        assert 0.90 <= clustered / self.SETS <= 0.99
        assert pooled / self.SETS < 0.85

    def test_auroc(self) -> None:
        # Score = class shift + strip effect + unit effect, both standard normal: the difference of
        # a defective and a nominal score is N(2, 4), so the true AUROC is Phi(2 / 2).
        random = np.random.default_rng(7)
        defective = np.arange(self.STRIPS) < 30
        strip = np.repeat(np.arange(self.STRIPS), 5)
        draws = resampled_strips(defective, replicates=400, seed=0)
        clustered = pooled = 0
        for _ in range(self.SETS):
            scores = 2.0 * defective[strip] + random.normal(size=self.STRIPS)[strip]
            scores += random.normal(size=strip.size)
            areas = ranking_replicates(scores, defective[strip], strip, draws).auroc
            clustered += covers(percentile_interval(areas), 0.8413447460685429)
            pooled += covers(independent_interval(scores, defective[strip]), 0.8413447460685429)
        assert 0.90 <= clustered / self.SETS <= 0.99
        assert pooled / self.SETS < 0.85


def covers(interval: tuple[float, float] | None, truth: float) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def independent_interval(
    scores: npt.NDArray[np.float64], defective: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """DeLong's interval, which takes every unit as independent (Biometrics 1988, 44:837-845)."""
    wins = scores[defective][:, None] > scores[~defective][None, :]
    variance = wins.mean(axis=1).var(ddof=1) / wins.shape[0]
    variance += wins.mean(axis=0).var(ddof=1) / wins.shape[1]
    half = 1.959964 * np.sqrt(variance)
    return wins.mean() - half, wins.mean() + half
