"""The k-of-n rule and sample sizes against exact sums, scipy, statsmodels and published values."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta, binom, norm
from statsmodels.stats.proportion import proportion_confint

from vialsight.errors import DataError
from vialsight.statistics.characteristic import (
    characteristic_curve,
    containers_for_margin,
    detection_for,
    pass_probability,
    strips_for_halfwidth,
    strips_without_error,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "knapp.md"


def table_under(header: str) -> list[list[str]]:
    """Rows of the page's table with this first line."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index(header) + 2 :]
    end = next(i for i, line in enumerate(rows) if not line.startswith("|"))
    return [re.findall(r"[^|\s]+", row) for row in rows[:end]]


def exact_sum(p: Fraction, agree: int, runs: int) -> float:
    terms = (math.comb(runs, k) * p**k * (1 - p) ** (runs - k) for k in range(agree, runs + 1))
    return float(sum(terms))


class TestRule:
    def test_six_in_ten_passes_seven_of_ten_in_38_percent(self) -> None:
        assert pass_probability(0.6) == pytest.approx(0.3823, abs=5e-5)

    @pytest.mark.parametrize(("agree", "runs"), [(7, 10), (1, 1), (1, 5), (16, 16)])
    @pytest.mark.parametrize("p", [Fraction(0), Fraction(3, 5), Fraction(99, 100), Fraction(1)])
    def test_equals_the_exact_sum(self, p: Fraction, agree: int, runs: int) -> None:
        expected = exact_sum(p, agree, runs)
        assert pass_probability(float(p), agree, runs) == pytest.approx(expected, abs=1e-12)

    def test_curve(self) -> None:
        probabilities, passing = characteristic_curve(7, 10)
        np.testing.assert_allclose(probabilities, np.arange(101) / 100, atol=1e-15)
        expected = [exact_sum(Fraction(i, 100), 7, 10) for i in range(101)]
        np.testing.assert_allclose(passing, expected, atol=1e-12)

    @pytest.mark.parametrize("passing", [0.01, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize(("agree", "runs"), [(7, 10), (1, 3)])
    def test_detection_for_is_a_quantile_of_beta(
        self, passing: float, agree: int, runs: int
    ) -> None:
        # The k-th smallest of n uniform numbers is Beta(k, n - k + 1).
        expected = beta.ppf(passing, agree, runs - agree + 1)
        assert detection_for(passing, agree, runs) == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize("end", [0.0, 1.0])
    def test_detection_for_the_ends(self, end: float) -> None:
        assert detection_for(end) == pytest.approx(end, abs=1e-9)


class TestPage:
    def test_characteristic(self) -> None:
        for p, passing in table_under("| p of one run | passes 7 of 10 |"):
            assert f"{exact_sum(Fraction(p), 7, 10):.3f}" == passing

    def test_strips(self) -> None:
        for rate, errorless, *sizes in table_under(
            "| rate | all detected | ± 0.05 | ± 0.02 | ± 0.01 |"
        ):
            n = int(errorless)
            assert float(rate) ** n <= 0.05 < float(rate) ** (n - 1)
            for halfwidth, size in zip((0.05, 0.02, 0.01), sizes, strict=True):
                reaches = [wilson_reach(float(rate), int(size) - less) for less in (0, 1)]
                assert reaches[0] <= halfwidth < reaches[1]

    def test_containers(self) -> None:
        for s, *sizes in table_under("| s | margin 0.05 | margin 0.10 |"):
            for margin, size in zip((0.05, 0.10), sizes, strict=True):
                quantiles = norm.ppf(0.975) + norm.ppf(0.8)
                assert math.ceil((quantiles * float(s) / margin) ** 2) == int(size)


def wilson_reach(rate: float, strips: int) -> float:
    low, high = proportion_confint(rate * strips, strips, method="wilson")
    return max(rate - low, high - rate)


class TestStripsWithoutError:
    @pytest.mark.parametrize(
        ("rate", "confidence", "strips"),
        # The first three are the usual tables of success runs; the last two are exact powers.
        [(0.9, 0.95, 29), (0.95, 0.95, 59), (0.99, 0.95, 299), (0.5, 0.75, 2), (0.1, 0.9, 1)],
    )
    def test_known(self, rate: float, confidence: float, strips: int) -> None:
        assert strips_without_error(rate, confidence) == strips

    @pytest.mark.parametrize("rate", [0.3, 0.77, 0.985])
    def test_is_the_smallest(self, rate: float) -> None:
        n = strips_without_error(rate, 0.9)
        assert binom.pmf(n, n, rate) <= 0.1 < binom.pmf(n - 1, n - 1, rate)


class TestStripsForHalfwidth:
    @pytest.mark.parametrize("rate", [0.0, 0.5, 0.95, 1.0])
    @pytest.mark.parametrize("halfwidth", [0.02, 0.05, 0.3])
    def test_is_the_smallest(self, rate: float, halfwidth: float) -> None:
        expected = next(n for n in range(1, 10_000) if wilson_reach(rate, n) <= halfwidth)
        assert strips_for_halfwidth(rate, halfwidth) == expected


class TestContainersForMargin:
    def test_by_hand(self) -> None:
        # ((1.959964 + 0.841621) * 0.2 / 0.1)**2 = 31.4.
        assert containers_for_margin(0.2, 0.1) == 32

    def test_power_by_simulation(self) -> None:
        n = containers_for_margin(0.3, 0.1, power=0.9)
        random = np.random.default_rng(0)
        means = random.normal(0, 0.3, (20_000, n)).mean(axis=1)
        shown = means - norm.ppf(0.975) * 0.3 / math.sqrt(n) >= -0.1
        assert shown.mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pass_probability(0.5, 0, 10), "1 <= k <= n, got 0 of 10"),
        (lambda: pass_probability(0.5, 11, 10), "1 <= k <= n, got 11 of 10"),
        (lambda: pass_probability(1.1), "from 0 to 1, got 1.1"),
        (lambda: detection_for(math.nan), "from 0 to 1, got nan"),
        (lambda: strips_without_error(1.0), "between 0 and 1, got 1.0"),
        (lambda: strips_without_error(0.9, 0.0), "the confidence must be between 0 and 1"),
        (lambda: strips_for_halfwidth(0.9, 0.0), "the half-width must be between 0 and 1"),
        (lambda: containers_for_margin(0.0, 0.1), "must be above 0, got 0.0"),
        (lambda: containers_for_margin(0.2, 0.0), "the margin must be between 0 and 1"),
    ],
)
def test_impossible_question(call: Callable[[], float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()
