"""Joint thresholds against every combination there is, on sets small enough to try them all."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from vialsight.calibration.thresholds import parse_objective
from vialsight.calibration.thresholds.joint import Runs, count_right, fit_joint, fit_joint_quantile

OBJECTIVES = [
    "balanced_accuracy",
    "accuracy",
    "max_detection_at_false_reject=0.2",
    "max_detection_at_false_reject=0",
    "max_accuracy_at_detection=0.7",
    "max_accuracy_at_detection=1",
]


def made_runs(seed: int, *, units: int, runs: int, regions: int, agree: int) -> Runs:
    """Scores on a coarse grid, so that ties are common; every third unit is defective."""
    random = np.random.default_rng(seed)
    defective = np.arange(units) % 3 == 0
    unit = np.repeat(np.arange(units), runs)
    scores = random.integers(0, 8, (len(unit), regions)) + 3 * (
        defective[unit, np.newaxis] & (random.random((len(unit), regions)) < 0.5)
    )
    return Runs(scores=scores / 16.0, unit=unit, defective=defective, agree=agree)


def judged(runs: Runs, thresholds: tuple[float, ...]) -> tuple[int, int]:
    """Straight from SPEC §6, without any vector: accepted nominal and rejected defective units."""
    right = [0, 0]
    for number, defective in enumerate(runs.defective):
        mine = runs.scores[runs.unit == number]
        rejected = [any(s > t for s, t in zip(run, thresholds, strict=True)) for run in mine]
        agreeing = sum(r == defective for r in rejected)
        right[int(defective)] += agreeing >= runs.agree
    return right[0], right[1]


def worth(objective: str, accepted: int, rejected: int, n: int, m: int) -> tuple | None:
    """Figures to compare, the most important first; None where the constraint is not met."""
    kind, _, value = objective.partition("=")
    accuracy = Fraction(accepted + rejected, n + m)
    if kind == "balanced_accuracy":
        return Fraction(accepted, n) + Fraction(rejected, m), rejected
    if kind == "accuracy":
        return accuracy, rejected
    if kind == "max_detection_at_false_reject":
        return (rejected, accepted) if n - accepted <= Fraction(value) * n else None
    return (accuracy, rejected) if rejected >= Fraction(value) * m else None


def best_of_all(runs: Runs, objective: str) -> tuple:
    """Try a threshold below, between and above all scores in every region, in every combination."""
    columns = [[-1.0, *sorted(set(column))] for column in runs.scores.T]
    m = int(runs.defective.sum())
    n = len(runs.defective) - m
    found = [worth(objective, *judged(runs, t), n, m) for t in itertools.product(*columns)]
    return max(w for w in found if w is not None)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("units", "runs", "regions", "agree"), [(14, 1, 2, 1), (9, 1, 3, 1), (6, 5, 2, 3), (5, 3, 3, 2)]
)
def test_no_combination_is_better(
    objective: str, seed: int, units: int, runs: int, regions: int, agree: int
) -> None:
    made = made_runs(seed, units=units, runs=runs, regions=regions, agree=agree)
    fit = fit_joint(made, parse_objective(objective))
    n, m = int((~made.defective).sum()), int(made.defective.sum())
    assert fit.gap == 0.0
    assert (fit.accepted, fit.rejected) == judged(made, fit.thresholds)
    assert worth(objective, fit.accepted, fit.rejected, n, m) == best_of_all(made, objective)


def test_order_of_runs_and_units_does_not_matter() -> None:
    made = made_runs(3, units=12, runs=4, regions=3, agree=3)
    random = np.random.default_rng(0)
    order, renamed = random.permutation(len(made.unit)), random.permutation(len(made.defective))
    defective = np.empty_like(made.defective)
    defective[renamed] = made.defective
    shuffled = Runs(
        scores=made.scores[order], unit=renamed[made.unit][order], defective=defective, agree=3
    )
    objective = parse_objective("balanced_accuracy")
    assert fit_joint(shuffled, objective) == fit_joint(made, objective)


def test_thresholds_lie_in_the_middle_of_the_gap_that_matters() -> None:
    # By hand: region 0 tells apart 0.25 and 0.75, region 1 tells apart 0.125 and 0.875.
    scores = np.array([[0.25, 0.125], [0.0, 0.125], [0.75, 0.0], [0.25, 0.875]])
    runs = Runs(scores=scores, unit=np.arange(4), defective=np.array([False, False, True, True]))
    assert fit_joint(runs, parse_objective("accuracy")).thresholds == (0.5, 0.5)


def test_search_that_is_cut_short_says_how_far_it_may_be_from_the_best() -> None:
    random = np.random.default_rng(5)
    scores = random.random((400, 4))
    runs = Runs(scores=scores, unit=np.arange(400), defective=np.arange(400) % 2 == 0)
    cut = fit_joint(runs, parse_objective("balanced_accuracy"), box_limit=10)
    proven = fit_joint(runs, parse_objective("balanced_accuracy"))
    assert proven.gap == 0.0
    assert cut.gap > 0.0
    weight = 200 * 201
    reached = (cut.accepted + cut.rejected) * weight / (400 * weight)
    best = (proven.accepted + proven.rejected) * weight / (400 * weight)
    assert reached + cut.gap + 1e-3 >= best


def test_quantile_of_whole_strips_holds_the_share_of_strips_not_of_regions() -> None:
    random = np.random.default_rng(2)
    scores = random.random((1000, 4))
    runs = Runs(scores=scores, unit=np.arange(1000), defective=np.zeros(1000, bool))
    thresholds = fit_joint_quantile(runs, Fraction("0.95"))
    accepted = (scores <= thresholds).all(axis=1).sum()
    assert 950 <= accepted <= 953
    # Four regions held to 95 % each would have rejected 1 - 0.95^4 = 18.5 % of the strips.
    assert ((scores <= thresholds).mean(axis=0) > 0.97).all()


def test_quantile_of_strips_over_their_runs() -> None:
    # One region, three runs, two must agree: the middle run of each strip counts. By hand.
    scores = np.array([0.1, 0.2, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])[:, np.newaxis]
    runs = Runs(scores=scores, unit=np.repeat([0, 1, 2], 3), defective=np.zeros(3, bool), agree=2)
    assert fit_joint_quantile(runs, Fraction(2, 3)).tolist() == [0.4]
    assert count_right(runs, np.array([0.4])) == (2, 0)
