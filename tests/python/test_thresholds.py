"""Thresholds of one score: against brute force, hand-worked examples and scipy."""

from fractions import Fraction

import numpy as np
import pytest

from vialsight.calibration.thresholds import (
    RunRule,
    best_threshold,
    goal_of,
    parse_objective,
    parse_run_rule,
    quantile_bound,
    quantile_threshold,
    tail_threshold,
)
from vialsight.errors import DataError


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def best(nominal: np.ndarray, defective: np.ndarray, objective: str = "balanced_accuracy") -> float:
    goal = goal_of(parse_objective(objective), len(nominal), len(defective))
    return best_threshold(nominal, defective, goal)


def rates(threshold: float, nominal: np.ndarray, defective: np.ndarray) -> tuple[int, int]:
    """Accepted nominal and rejected defective, straight from the definition: φ <= t accepts."""
    accepted = sum(float(score) <= threshold for score in nominal)
    return accepted, sum(float(score) > threshold for score in defective)


class TestBestThreshold:
    def test_middle_of_the_gap_between_separable_classes(self) -> None:
        assert best(scores(0.125, 0.25), scores(0.75, 0.5)) == 0.375

    def test_more_detection_among_equals(self) -> None:
        # By hand: (0.25, 0.5) detects both and (0.5625, 1) one; both give 3/4.
        assert best(scores(0.125, 0.5625), scores(0.5, 1.0)) == 0.3125

    def test_widest_gap_among_equals(self) -> None:
        # By hand: every threshold from 0.125 to 1 detects both; 0.5 to 1 is empty.
        nominal = scores(0.125, 0.25, 0.5)
        assert best(nominal, scores(1.0, 1.0), "max_accuracy_at_detection=1") == 0.75

    def test_scores_that_differ_in_the_last_bit_are_separated(self) -> None:
        low = np.float32(0.3)
        high = np.nextafter(low, np.float32(1))
        threshold = best(scores(low), scores(high))
        assert float(low) <= threshold < float(high)

    def test_identical_scores_are_all_rejected(self) -> None:
        assert best(scores(0.5, 0.5), scores(0.5)) < 0.5

    def test_inverted_scores_are_all_rejected(self) -> None:
        assert best(scores(0.8, 0.9), scores(0.1, 0.2)) < 0.1

    @pytest.mark.parametrize(
        "objective",
        [
            "balanced_accuracy",
            "accuracy",
            "max_detection_at_false_reject=0.1",
            "max_detection_at_false_reject=0",
            "max_accuracy_at_detection=0.9",
        ],
    )
    @pytest.mark.parametrize("seed", range(12))
    def test_no_threshold_is_better(self, seed: int, objective: str) -> None:
        random = np.random.default_rng(seed)
        # Few distinct values make ties common.
        nominal = random.integers(0, 12, random.integers(1, 30)).astype(np.float32) / 16
        defective = random.integers(4, 16, random.integers(1, 30)).astype(np.float32) / 16
        everywhere = np.arange(-1, 18) / 16 + 1 / 32
        worths = [self._worth(objective, t, nominal, defective) for t in everywhere]
        chosen = best(nominal, defective, objective)
        expected = max(worth for worth in worths if worth is not None)
        assert self._worth(objective, chosen, nominal, defective) == expected

    @staticmethod
    def _worth(
        objective: str, threshold: float, nominal: np.ndarray, defective: np.ndarray
    ) -> tuple | None:
        accepted, rejected = rates(threshold, nominal, defective)
        n, m = len(nominal), len(defective)
        kind, _, value = objective.partition("=")
        if kind == "balanced_accuracy":
            return Fraction(accepted, n) + Fraction(rejected, m), rejected
        if kind == "accuracy":
            return accepted + rejected, rejected
        if kind == "max_detection_at_false_reject":
            return (rejected, accepted) if n - accepted <= Fraction(value) * n else None
        return (accepted + rejected, rejected) if rejected >= Fraction(value) * m else None

    def test_order_does_not_matter(self) -> None:
        random = np.random.default_rng(1)
        nominal = random.random(50, np.float32)
        defective = random.random(40, np.float32) + np.float32(0.3)
        assert best(random.permutation(nominal), defective[::-1]) == best(nominal, defective)


class TestObjectives:
    @pytest.mark.parametrize(
        "text",
        [
            "balanced_accuracy",
            "accuracy",
            "max_detection_at_false_reject=0.05",
            "nominal_tail=0.001",
            "nominal_quantile=0.99999995",
        ],
    )
    def test_text_is_kept(self, text: str) -> None:
        assert str(parse_objective(text)) == text

    def test_values_are_exact(self) -> None:
        # 0.05 is no binary fraction: as a float, 0.05 · 120 could allow 5 false rejects only.
        goal = goal_of(parse_objective("max_detection_at_false_reject=0.05"), 120, 141)
        assert goal.accepted_minimum == 114
        goal = goal_of(parse_objective("max_accuracy_at_detection=0.07"), 120, 100)
        assert goal.rejected_minimum == 7

    @pytest.mark.parametrize(
        "text",
        [
            "", "f1", "accuracy=0.5", "nominal_quantile", "nominal_quantile=", "nominal_quantile=0",
            "nominal_quantile=1.01", "nominal_tail=1", "nominal_tail=0", "nominal_tail=nan",
            "max_detection_at_false_reject=-0.1", "max_detection_at_false_reject=x",
            "max_accuracy_at_detection=1/0", "max_accuracy_at_detection=1e-999999999",
        ],
    )  # fmt: skip
    def test_wrong_text(self, text: str) -> None:
        with pytest.raises(DataError, match=r"objective must be one of|expected a (number|share)"):
            parse_objective(text)

    def test_run_rule(self) -> None:
        assert parse_run_rule("7/10") == RunRule(agree=7, runs=10)
        for text in ("7", "0/10", "11/10", "7/x", "7/10/2", "-1/3", "", "7/" + "9" * 5000):
            with pytest.raises(DataError, match="AGREE/RUNS"):
                parse_run_rule(text)


class TestNominal:
    def test_quantile_by_hand(self) -> None:
        values = np.arange(1, 201, dtype=np.float32) / 256
        assert quantile_threshold(values, Fraction("0.99")) == 198 / 256
        assert quantile_threshold(values, Fraction(1)) == 200 / 256
        assert quantile_threshold(values, Fraction("0.0001")) == 1 / 256

    def test_share_that_is_no_binary_fraction(self) -> None:
        # 0.7 · 10 is 7 exactly; in floating point 7.000000000000001 would take the eighth.
        assert quantile_threshold(scores(*range(1, 11)), Fraction("0.7")) == 7.0

    def test_bound_is_clopper_pearsons(self) -> None:
        from statsmodels.stats.proportion import proportion_confint

        for above, units in ((0, 60), (1, 60), (5, 100), (99, 100)):
            expected = proportion_confint(above, units, alpha=0.1, method="beta")[1]
            assert quantile_bound(above, units) == pytest.approx(expected)
        assert quantile_bound(60, 60) == 1.0

    def test_bound_covers_the_true_share_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(3)
        counts = random.binomial(80, 0.04, 400)
        assert np.mean([quantile_bound(int(k), 80) >= 0.04 for k in counts]) >= 0.93

    def test_tail_extrapolates_an_exponential(self) -> None:
        # Of an exponential distribution the share above -ln(p) is p, whatever the sample holds.
        values = np.random.default_rng(1).exponential(size=20_000)
        for share in ("0.01", "0.0001"):
            threshold = tail_threshold(values, Fraction(share))
            assert np.exp(-threshold) == pytest.approx(float(share), rel=0.6)

    def test_share_inside_the_data_is_the_quantile(self) -> None:
        values = np.random.default_rng(2).random(1000)
        expected = quantile_threshold(values, Fraction("0.7"))
        assert tail_threshold(values, Fraction("0.3")) == expected

    def test_too_few_scores_for_a_tail(self) -> None:
        with pytest.raises(DataError, match=r"tail fit needs 30 .* got 9"):
            tail_threshold(np.arange(100.0), Fraction("0.001"))

    def test_equal_scores_have_no_tail(self) -> None:
        with pytest.raises(DataError, match="tail fit needs 30 distinct"):
            tail_threshold(np.full(1000, 0.25), Fraction("0.001"))
