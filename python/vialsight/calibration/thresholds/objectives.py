"""What thresholds are fitted for, as text from a command line and as integers to maximise."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

BALANCED_ACCURACY: Final = "balanced_accuracy"
ACCURACY: Final = "accuracy"
MAX_DETECTION: Final = "max_detection_at_false_reject"
MAX_ACCURACY: Final = "max_accuracy_at_detection"
NOMINAL_QUANTILE: Final = "nominal_quantile"
NOMINAL_TAIL: Final = "nominal_tail"
# 1e-999999999 as an exact fraction would fill the memory.
_EXPONENT_LETTERS: Final = 4
_PLAIN: Final = (BALANCED_ACCURACY, ACCURACY)
_VALUED: Final = (MAX_DETECTION, MAX_ACCURACY, NOMINAL_QUANTILE, NOMINAL_TAIL)


@dataclass(frozen=True, kw_only=True)
class RunRule:
    """A strip is classified right over `runs` runs when at least `agree` get its label."""

    agree: int = 7
    runs: int = 10

    def __str__(self) -> str:
        return f"{self.agree} of {self.runs}"


@dataclass(frozen=True)
class Objective:
    """A kind of objective and its value in [0, 1], exact; None for the kinds without one."""

    kind: str
    value: Fraction | None = None

    @property
    def nominal_only(self) -> bool:
        """Whether defective samples play no part in the fit."""
        return self.kind in (NOMINAL_QUANTILE, NOMINAL_TAIL)

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind}={float(self.value)!r}"


@dataclass(frozen=True)
class Goal:
    """Maximise `accepted_weight`·accepted nominal + `rejected_weight`·rejected defective units.

    At least `accepted_minimum` nominal units must be accepted, `rejected_minimum` defective ones
    rejected. The weights are whole numbers, so that equal is equal, and hold the tie-break: among
    equals the one that detects more.
    """

    accepted_weight: int
    rejected_weight: int
    accepted_minimum: int = 0
    rejected_minimum: int = 0


def parse_objective(text: str) -> Objective:
    """Read `balanced_accuracy`, `accuracy` or `KIND=X`; raises DataError for anything else."""
    kind, separator, value = text.partition("=")
    if kind in _PLAIN and not separator:
        return Objective(kind)
    if kind not in _VALUED:
        names = ", ".join([*_PLAIN, *(f"{name}=X" for name in _VALUED)])
        raise DataError(f"objective must be one of {names}; got {text!r}")
    return Objective(kind, _share(kind, value))


def parse_run_rule(text: str) -> RunRule:
    """Read `AGREE/RUNS`, for instance 7/10; raises DataError for anything else."""
    agree, _, runs = text.partition("/")
    numbers = [int(part) for part in (agree, runs) if _is_number_of_runs(part)]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise DataError(f"run rule: expected AGREE/RUNS, for instance 7/10; got {text!r}")
    return RunRule(agree=numbers[0], runs=numbers[1])


def span_text(counts: npt.NDArray[np.int64]) -> str:
    """Return the smallest and largest of some counts for people: "9 to 10", or "9" where equal."""
    return " to ".join(str(n) for n in sorted({int(counts.min()), int(counts.max())}))


def goal_of(objective: Objective, nominal: int, defective: int) -> Goal:
    """Return what to maximise on `nominal` and `defective` units, both above 0."""
    n, m = nominal, defective
    if objective.kind == BALANCED_ACCURACY:
        # (N/n + D/m) times n·m·(m+1), plus D: the sum decides, D only among equals.
        return Goal(m * (m + 1), n * (m + 1) + 1)
    accuracy = Goal(m + 1, m + 2)
    if objective.kind == ACCURACY or objective.value is None:
        return accuracy
    if objective.kind == MAX_DETECTION:
        return Goal(1, n + 1, accepted_minimum=n - int(objective.value * n))
    required = -int(-objective.value * m // 1)
    return Goal(accuracy.accepted_weight, accuracy.rejected_weight, rejected_minimum=required)


def _is_number_of_runs(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _share(kind: str, text: str) -> Fraction:
    try:
        if len(text.lower().partition("e")[2]) > _EXPONENT_LETTERS:
            raise ValueError(text)
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(f"{kind}: expected a number after '=', got {text!r}") from error
    inside = 0 < value < 1 if kind == NOMINAL_TAIL else 0 <= value <= 1
    if not inside or (kind == NOMINAL_QUANTILE and value == 0):
        raise DataError(f"{kind}: expected a share between 0 and 1, got {text}")
    return value
