"""Fitting thresholds to scores: exact, deterministic, in integers where anything is counted."""

from vialsight.thresholds.joint import JointFit, fit_joint
from vialsight.thresholds.nominal import quantile_bound, quantile_threshold, tail_threshold
from vialsight.thresholds.objectives import Goal, Objective, parse_objective
from vialsight.thresholds.single import best_threshold

__all__ = [
    "Goal",
    "JointFit",
    "Objective",
    "best_threshold",
    "fit_joint",
    "parse_objective",
    "quantile_bound",
    "quantile_threshold",
    "tail_threshold",
]
