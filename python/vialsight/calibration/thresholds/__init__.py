"""Fitting thresholds to scores: exact, deterministic, in integers where anything is counted."""

from vialsight.calibration.thresholds.joint import (
    JointFit,
    Runs,
    count_right,
    fit_joint,
    fit_joint_quantile,
)
from vialsight.calibration.thresholds.nominal import (
    quantile_bound,
    quantile_threshold,
    tail_threshold,
)
from vialsight.calibration.thresholds.objectives import (
    Goal,
    Objective,
    RunRule,
    goal_of,
    parse_objective,
    parse_run_rule,
    span_text,
)
from vialsight.calibration.thresholds.single import best_threshold

__all__ = [
    "Goal",
    "JointFit",
    "Objective",
    "RunRule",
    "Runs",
    "best_threshold",
    "count_right",
    "fit_joint",
    "fit_joint_quantile",
    "goal_of",
    "parse_objective",
    "parse_run_rule",
    "quantile_bound",
    "quantile_threshold",
    "span_text",
    "tail_threshold",
]
