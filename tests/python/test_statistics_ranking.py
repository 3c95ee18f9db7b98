"""Ranking figures against scikit-learn, with and without ties, and against repeated rows."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, f1_score, roc_auc_score, roc_curve

from vialsight.errors import DataError
from vialsight.statistics import ranking
from vialsight.statistics.intervals import resampled_strips
from vialsight.statistics.ranking import auroc, average_precision, f1, ranking_replicates


def units(n: int, seed: int, *, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truths; with `levels`, scores have that many distinct values."""
    random = np.random.default_rng(seed)
    defective = random.random(n) < 0.3
    scores = random.normal(size=n) + defective
    if levels is not None:
        scores = np.floor(scores * levels / 8)
    return scores.astype(np.float32), defective


@pytest.mark.parametrize("levels", [None, 2, 20])
@pytest.mark.parametrize("n", [30, 1000])
class TestAgainstScikitLearn:
    def test_auroc(self, n: int, levels: int | None) -> None:
        scores, defective = units(n, 1, levels=levels)
        expected = roc_auc_score(defective, scores)
        assert auroc(scores, defective) == pytest.approx(expected, abs=1e-12)

    def test_average_precision(self, n: int, levels: int | None) -> None:
        scores, defective = units(n, 2, levels=levels)
        expected = average_precision_score(defective, scores)
        assert average_precision(scores, defective) == pytest.approx(expected, abs=1e-12)

    def test_roc_has_the_same_shape(self, n: int, levels: int | None) -> None:
        scores, defective = units(n, 3, levels=levels)
        fpr, tpr = ranking.roc_points(scores, defective, limit=n)
        theirs = roc_curve(defective, scores, drop_intermediate=False)
        ours = set(zip(fpr.tolist(), tpr.tolist(), strict=True))
        assert ours <= set(zip(theirs[0].tolist(), theirs[1].tolist(), strict=True))
        area = auc(fpr, tpr)
        assert area == pytest.approx(roc_auc_score(defective, scores), abs=1e-12)


class TestEdges:
    def test_all_scores_equal(self) -> None:
        defective = np.array([True, False, False])
        assert auroc(np.ones(3), defective) == 0.5
        assert average_precision(np.ones(3), defective) == 1 / 3

    @pytest.mark.parametrize("defective", [[True, True], [False, False], []])
    def test_one_class_only(self, defective: list[bool]) -> None:
        scores, truth = np.arange(len(defective), dtype=np.float32), np.array(defective, bool)
        assert auroc(scores, truth) is None
        assert average_precision(scores, truth) is None
        assert [points.size for points in ranking.roc_points(scores, truth)] == [0, 0]

    def test_infinite_scores_rank_highest(self) -> None:
        scores = np.array([0.1, 0.5, np.inf], np.float32)
        assert auroc(scores, np.array([False, False, True])) == 1.0

    def test_nan_score(self) -> None:
        with pytest.raises(DataError, match="2 of 3 are NaN"):
            auroc(np.array([np.nan, 0.5, np.nan]), np.array([False, False, True]))


class TestF1:
    def test_equals_scikit_learn(self) -> None:
        random = np.random.default_rng(0)
        truth, rejected = random.random(300) < 0.4, random.random(300) < 0.5
        counts = (int((truth & rejected).sum()), int((~truth & rejected).sum()), int(truth.sum()))
        assert f1(*counts) == pytest.approx(f1_score(truth, rejected), abs=1e-12)

    def test_without_defective(self) -> None:
        assert f1(0, 3, 0) is None

    def test_nothing_detected(self) -> None:
        assert f1(0, 0, 5) == 0.0


class TestReplicates:
    @pytest.mark.parametrize("levels", [None, 10])
    def test_equals_scikit_learn_on_weighted_units(self, levels: int | None) -> None:
        scores, defective = units(400, 4, levels=levels)
        strip = np.random.default_rng(5).integers(0, 40, 400)
        draws = resampled_strips(np.arange(40) < 20, replicates=50, seed=6)
        areas, precisions = ranking_replicates(scores, defective, strip, draws)
        for draw, area, precision in zip(draws, areas, precisions, strict=True):
            weights = {"sample_weight": draw[strip]}
            assert area == pytest.approx(roc_auc_score(defective, scores, **weights), abs=1e-12)
            expected = average_precision_score(defective, scores, **weights)
            assert precision == pytest.approx(expected, abs=1e-12)

    def test_drawing_a_strip_twice_is_having_its_units_twice(self) -> None:
        scores, defective = units(60, 7)
        strip = np.repeat(np.arange(6), 10)
        draw = np.array([[2, 0, 1, 3, 0, 1]])
        rows = np.repeat(np.arange(60), draw[0][strip])
        ((area,), (precision,)) = ranking_replicates(scores, defective, strip, draw)
        assert area == pytest.approx(roc_auc_score(defective[rows], scores[rows]), abs=1e-12)
        expected = average_precision_score(defective[rows], scores[rows])
        assert precision == pytest.approx(expected, abs=1e-12)

    def test_class_not_drawn_is_nan(self) -> None:
        scores, defective = np.array([0.1, 0.9]), np.array([False, True])
        draws = np.array([[1, 1], [2, 0], [0, 2]])
        areas, precisions = ranking_replicates(scores, defective, np.array([0, 1]), draws)
        np.testing.assert_array_equal(areas, [1, np.nan, np.nan])
        np.testing.assert_array_equal(precisions, [1, np.nan, np.nan])

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scores, defective = units(100, 8)
        strip = np.arange(100) // 10
        draws = resampled_strips(np.arange(10) < 5, replicates=31)
        whole = ranking_replicates(scores, defective, strip, draws)
        monkeypatch.setattr(ranking, "_CHUNK", 700)
        parts = ranking_replicates(scores, defective, strip, draws)
        np.testing.assert_array_equal(whole, parts)


class TestThinning:
    def test_limit_ends_and_area(self) -> None:
        scores, defective = units(20_000, 9)
        fpr, tpr = ranking.roc_points(scores, defective, limit=200)
        assert fpr.size <= 200
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
        assert (np.diff(fpr) >= 0).all()
        assert (np.diff(tpr) >= 0).all()
        area = auc(fpr, tpr)
        assert area == pytest.approx(roc_auc_score(defective, scores), abs=2e-3)

    def test_perfect_ranking_is_three_points(self) -> None:
        fpr, tpr = ranking.roc_points(np.arange(50.0), np.arange(50) >= 20)
        assert (fpr.tolist(), tpr.tolist()) == ([0, 0, 1], [0, 1, 1])
