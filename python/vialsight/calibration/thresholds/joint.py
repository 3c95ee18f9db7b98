"""Thresholds of all regions at once, where one region above its threshold rejects the whole.

A run of a strip has one score per region, the largest of its patches; it is accepted when every
score is at or under its threshold. What counts is a *unit*: at the strip level each run by itself,
at the run level a physical strip, judged right when at least `agree` of its runs get its label.

Lowering a threshold only ever rejects more. Hence, over a box of threshold combinations, no
combination accepts more nominal units than the highest corner, or rejects more defective ones than
the lowest: a bound by which branch-and-bound finds the best combination and proves it. Thresholds
are taken between scores of nominal runs, where alone the number of accepted ones changes.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.calibration.thresholds.nominal import quantile_threshold
from vialsight.calibration.thresholds.objectives import Goal, Objective, goal_of
from vialsight.calibration.thresholds.single import best_threshold

Indices = npt.NDArray[np.int64]

# Boxes examined before the best found so far is returned with the gap that is left to prove.
BOX_LIMIT: Final = 1_000_000
_BATCH: Final = 2_048
_STARTS: Final = 24
_WORD_BITS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Scores float64 (S,R) of S runs and the unit each belongs to, int (S,) in [0, U).

    `defective` bool (U,); `agree` runs of a unit must get its label for it to be judged right.
    """

    scores: npt.NDArray[np.float64]
    unit: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]
    agree: int = 1


@dataclass(frozen=True, kw_only=True)
class JointFit:
    """Thresholds (R,), how many units they judge right, and how far from proven best they are.

    `gap` is the share of the largest possible merit that the search could not rule out: 0 where
    no combination is better.
    """

    thresholds: tuple[float, ...]
    accepted: int
    rejected: int
    gap: float


def fit_joint(runs: Runs, objective: Objective, *, box_limit: int = BOX_LIMIT) -> JointFit:
    """Return the thresholds that serve `objective` best on whole units.

    Needs nominal and defective units. Deterministic, whatever the order of runs.
    """
    order = np.lexsort((*runs.scores.T, runs.unit))
    runs = Runs(
        scores=runs.scores[order],
        unit=runs.unit[order],
        defective=runs.defective,
        agree=runs.agree,
    )
    nominal, defective = int((~runs.defective).sum()), int(runs.defective.sum())
    goal = goal_of(objective, nominal, defective)
    start = _climb(runs, goal)
    found, bound = _Search(runs, goal, box_limit).run(start)
    thresholds = _centre(runs, goal, found)
    accepted, rejected = count_right(runs, thresholds)
    merit = goal.accepted_weight * accepted + goal.rejected_weight * rejected
    full = goal.accepted_weight * nominal + goal.rejected_weight * defective
    gap = max(bound - merit, 0) / full
    return JointFit(
        thresholds=tuple(map(float, thresholds)), accepted=accepted, rejected=rejected, gap=gap
    )


def fit_joint_quantile(runs: Runs, share: Fraction) -> npt.NDArray[np.float64]:
    """Return thresholds (R,) under which a share of the units lies, the same rank in every region.

    All units are nominal. A run is as bad as its worst region, counted in ranks: "any region
    rejects" then costs what the share says, not the share once per region.
    """
    ordered = np.sort(runs.scores, axis=0)
    columns = zip(ordered.T, runs.scores.T, strict=True)
    ranks = [np.searchsorted(column, scores, side="right") for column, scores in columns]
    worst = Runs(
        scores=np.max(ranks, axis=0).astype(np.float64)[:, np.newaxis],
        unit=runs.unit,
        defective=runs.defective,
        agree=runs.agree,
    )
    scores = unit_scores(worst, np.ones(len(runs.unit), bool), 0)
    return np.asarray(ordered[int(quantile_threshold(scores, share)) - 1])


def count_right(runs: Runs, thresholds: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Return the nominal units judged acceptable and the defective ones judged defective."""
    right = judged_right(runs, thresholds)
    return int(right[~runs.defective].sum()), int(right[runs.defective].sum())


def judged_right(runs: Runs, thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which units (U,) get their label from as many runs as have to agree."""
    accepted_runs = (runs.scores <= thresholds).all(axis=1)
    accepted = np.bincount(runs.unit, accepted_runs, len(runs.defective))
    rejected = np.bincount(runs.unit, ~accepted_runs, len(runs.defective))
    return np.where(runs.defective, rejected, accepted) >= runs.agree


def unit_scores(runs: Runs, others: npt.NDArray[np.bool_], region: int) -> npt.NDArray[np.float64]:
    """Return, per unit (U,), the score at which its verdict turns while a region's threshold moves.

    `others` (S,) says which runs the other regions accept; the rest are rejected whatever comes.
    A nominal unit is right when its `agree`-th smallest score is at or under the threshold, a
    defective one when its `agree`-th largest is above.
    """
    scores = np.where(others, runs.scores[:, region], np.inf)
    order = np.lexsort((scores, runs.unit))
    counts = np.bincount(runs.unit, minlength=len(runs.defective))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = first + np.where(runs.defective, counts - runs.agree, runs.agree - 1)
    return np.asarray(scores[order][place])


def _climb(runs: Runs, goal: Goal) -> npt.NDArray[np.float64]:
    """Return a good combination: the best of several climbs, one threshold at a time."""
    nominal_runs = ~runs.defective[runs.unit]
    best, best_merit = np.full(runs.scores.shape[1], -np.inf), -1
    for share in np.linspace(0.3, 1.0, _STARTS):
        thresholds = np.quantile(runs.scores[nominal_runs], share, axis=0, method="higher")
        thresholds = _centre(runs, goal, thresholds, rounds=8)
        accepted, rejected = count_right(runs, thresholds)
        merit = goal.accepted_weight * accepted + goal.rejected_weight * rejected
        feasible = accepted >= goal.accepted_minimum and rejected >= goal.rejected_minimum
        if feasible and merit > best_merit:
            best, best_merit = thresholds, merit
    return best


def _centre(
    runs: Runs, goal: Goal, thresholds: npt.NDArray[np.float64], rounds: int = 1
) -> npt.NDArray[np.float64]:
    """Set each threshold in turn to the best for the others as they are; never makes it worse."""
    thresholds = thresholds.copy()
    for _ in range(rounds):
        before = thresholds.copy()
        for region in range(len(thresholds)):
            within = runs.scores <= thresholds
            within[:, region] = True
            scores = unit_scores(runs, np.asarray(within.all(axis=1)), region)
            nominal, defective = scores[~runs.defective], scores[runs.defective]
            if not np.isfinite(scores).any() or not _reachable(goal, nominal, defective):
                continue
            thresholds[region] = best_threshold(nominal, defective, goal)
        if np.array_equal(before, thresholds):
            break
    return thresholds


def _reachable(
    goal: Goal, nominal: npt.NDArray[np.float64], defective: npt.NDArray[np.float64]
) -> bool:
    """Whether some threshold of this region meets the goal's minimums, the others being fixed."""
    accepted_at_most = int(np.isfinite(nominal).sum())
    if accepted_at_most < goal.accepted_minimum:
        return False
    highest = np.sort(nominal)[goal.accepted_minimum - 1] if goal.accepted_minimum else -np.inf
    return int((defective > highest).sum()) >= goal.rejected_minimum


class _SingleRuns:
    """Counts units of one run each: a bit per run."""

    def __init__(self, runs: Runs, values: list[npt.NDArray[np.float64]]) -> None:
        defective = runs.defective[runs.unit]
        self._defective = int(defective.sum())
        self._sets = [
            [
                _packed(runs.scores[chosen, region] <= column[:, np.newaxis])
                for chosen in (~defective, defective)
            ]
            for region, column in enumerate(values)
        ]

    def right(self, ranks: Indices) -> tuple[Indices, Indices]:
        """Return accepted nominal and rejected defective units for combinations (n,R)."""
        nominal, defective = (self._accepted(ranks, label) for label in (0, 1))
        return nominal, self._defective - defective

    def _accepted(self, ranks: Indices, label: int) -> Indices:
        bits = self._sets[0][label][ranks[:, 0]]
        for region in range(1, len(self._sets)):
            bits &= self._sets[region][label][ranks[:, region]]
        return np.asarray(np.bitwise_count(bits).sum(axis=1, dtype=np.int64))


class _SeveralRuns:
    """Counts units of several runs: words of bits per unit, a bit per run."""

    def __init__(self, runs: Runs, values: list[npt.NDArray[np.float64]]) -> None:
        self._runs = runs
        self._sizes = np.bincount(runs.unit, minlength=len(runs.defective))
        self._sets = [self._bits(region, column) for region, column in enumerate(values)]

    def right(self, ranks: Indices) -> tuple[Indices, Indices]:
        """Return accepted nominal and rejected defective units for combinations (n,R)."""
        bits = self._sets[0][ranks[:, 0]]
        for region in range(1, len(self._sets)):
            bits &= self._sets[region][ranks[:, region]]
        counts = np.bitwise_count(bits).sum(axis=2, dtype=np.int64)
        defective = self._runs.defective
        right = np.where(defective, self._sizes - counts, counts) >= self._runs.agree
        return right[:, ~defective].sum(axis=1), right[:, defective].sum(axis=1)

    def _bits(self, region: int, column: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
        """Return which runs each threshold accepts: (thresholds, U, words)."""
        runs = self._runs
        words = -(-int(self._sizes.max()) // _WORD_BITS)
        first = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        within = np.arange(len(runs.unit)) - first[runs.unit]
        accepted = np.zeros((len(column), len(self._sizes), words * _WORD_BITS), bool)
        accepted[:, runs.unit, within] = runs.scores[:, region] <= column[:, np.newaxis]
        return np.packbits(accepted, axis=2).view(np.uint16)


def _packed(accepted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Pack (n,S) into (n,words), filled up with zeros."""
    missing = -accepted.shape[1] % 64
    return np.packbits(np.pad(accepted, ((0, 0), (0, missing))), axis=1).view(np.uint64)


class _Search:
    """Branch-and-bound over ranks of the nominal runs' scores."""

    def __init__(self, runs: Runs, goal: Goal, box_limit: int) -> None:
        self._runs, self._goal, self._limit = runs, goal, box_limit
        nominal = runs.scores[~runs.defective[runs.unit]]
        self._values = [np.unique(column) for column in nominal.T]
        single = runs.agree == 1 and len(runs.unit) == len(runs.defective)
        self._right = (_SingleRuns if single else _SeveralRuns)(runs, self._values).right

    def run(self, start: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
        """Return the best combination and an upper bound of every combination's merit."""
        best, merit = start, self._merit_of(start)
        # Below every score in one region: everything is rejected.
        nothing = np.full(len(self._values), -np.inf)
        if self._goal.accepted_minimum == 0 and self._merit_of(nothing) > merit:
            best, merit = nothing, self._merit_of(nothing)
        low = np.zeros((1, len(self._values)), np.int64)
        high = np.array([[len(values) - 1 for values in self._values]])
        bounds, examined = self._bounds(low, high), 1
        while len(bounds) and examined < self._limit:
            # The most promising boxes first; a stable order makes every search the same.
            chosen = np.argsort(-bounds, kind="stable")[:_BATCH]
            rest = np.ones(len(bounds), bool)
            rest[chosen] = False
            new_low, new_high = _halves(low[chosen], high[chosen])
            new_bounds = self._bounds(new_low, new_high)
            examined += len(new_bounds)
            for corner in (new_low, new_high):
                merits = self._merits(corner)
                at = int(merits.argmax()) if len(merits) else 0
                if len(merits) and merits[at] > merit:
                    best, merit = self._thresholds(corner[at]), int(merits[at])
            low = np.concatenate([low[rest], new_low])
            high = np.concatenate([high[rest], new_high])
            bounds = np.concatenate([bounds[rest], new_bounds])
            left = bounds > merit
            low, high, bounds = low[left], high[left], bounds[left]
        return best, max([merit, *bounds.max(initial=merit, keepdims=True).tolist()])

    def _thresholds(self, ranks: Indices) -> npt.NDArray[np.float64]:
        return np.array([values[rank] for values, rank in zip(self._values, ranks, strict=True)])

    def _merit_of(self, thresholds: npt.NDArray[np.float64]) -> int:
        accepted, rejected = count_right(self._runs, thresholds)
        return int(self._weigh(np.array([accepted]), np.array([rejected]))[0])

    def _weigh(self, accepted: Indices, rejected: Indices) -> Indices:
        """Return merits; -1 where a minimum is not met."""
        goal = self._goal
        merit = goal.accepted_weight * accepted + goal.rejected_weight * rejected
        met = (accepted >= goal.accepted_minimum) & (rejected >= goal.rejected_minimum)
        return np.where(met, merit, -1)

    def _merits(self, ranks: Indices) -> Indices:
        return self._weigh(*self._right(ranks))

    def _bounds(self, low: Indices, high: Indices) -> Indices:
        return self._weigh(self._right(high)[0], self._right(low)[1])


def _halves(low: Indices, high: Indices) -> tuple[Indices, Indices]:
    """Cut each box in two along its longest side; boxes of one combination are used up."""
    wide = (high > low).any(axis=1)
    low, high = low[wide], high[wide]
    rows, side = np.arange(len(low)), (high - low).argmax(axis=1)
    middle = (low[rows, side] + high[rows, side]) // 2
    upper_low, lower_high = low.copy(), high.copy()
    upper_low[rows, side], lower_high[rows, side] = middle + 1, middle
    return np.concatenate([low, upper_low]), np.concatenate([lower_high, high])
