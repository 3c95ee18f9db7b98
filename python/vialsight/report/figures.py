"""Figures of scores, defect classes, drift and latency, from the evidence, as SVG."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.data import DEFECTIVE as TRUTH_DEFECTIVE
from vialsight.data import UNKNOWN
from vialsight.data.defects import ALL_KINDS
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import ClassMeasures
from vialsight.report import svg
from vialsight.report.text import count, words
from vialsight.statistics.drift import running_median
from vialsight.statistics.ranking import roc_points

SLOT_MS: Final = 500.0
_BINS: Final = 48
# Above this ratio of largest to smallest value a linear axis hides the nominal scores.
_LOG_FROM: Final = 8.0
LEVEL_STYLES: Final = {"patch": "-", "strip": "--", "run": ":"}
_LEVEL_MARKERS: Final = {"patch": "o", "strip": "s", "run": "^"}

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def patch_scores(evidence: Evidence, region: int) -> tuple[Floats, Bools]:
    """Return φ (n,) and truth (n,), True for defective, of a region's patches of known truth.

    Scores that are not finite are left out.
    """
    scores = evidence.scores[..., region].astype(np.float64).ravel()
    truth = evidence.truth[..., region].ravel()
    kept = (truth != UNKNOWN) & np.isfinite(scores)
    return scores[kept], truth[kept] == TRUTH_DEFECTIVE


def strip_scores(evidence: Evidence, region: int) -> Floats:
    """Return a region's largest φ of every inspection, float64 (S,), NaN if one is not finite.

    NaN, too, where the product was not located: such patches were cut at a wrong place, if at all.
    """
    scores = evidence.scores[..., region].astype(np.float64)
    finite = np.where(np.isfinite(scores), scores, np.nan)
    finite[evidence.not_located] = np.nan
    return np.asarray(finite.max(axis=(1, 2)), np.float64)


def region_thresholds(evidence: Evidence, region: int) -> dict[str, float]:
    """Return the thresholds of one region by level, in the order of the levels."""
    return {
        level: evidence.thresholds[level][region]
        for level in LEVEL_STYLES
        if level in evidence.thresholds
    }


def histogram(evidence: Evidence, region: int) -> str:
    """Draw how often each φ came, nominal and defective, with the thresholds of all levels."""
    scores, defective = patch_scores(evidence, region)

    def paint(axes: Any) -> None:
        logarithmic = _is_wide(scores)
        edges = _edges(scores, logarithmic)
        for name, chosen, colour in (
            ("nominal", ~defective, svg.NOMINAL),
            ("defective", defective, svg.DEFECTIVE),
        ):
            if chosen.any():
                _outline(axes, scores[chosen], edges, colour, f"{name} ({count(chosen.sum())})")
        _thresholds(axes.axvline, region_thresholds(evidence, region))
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        svg.plain_log(axes.yaxis)
        if logarithmic:
            axes.set_xscale("log")
            svg.plain_log(axes.xaxis)
        axes.set(xlabel="φ", ylabel="patches")
        _legend_below(axes, columns=2)

    return svg.draw(f"Histogram of scores of {evidence.regions[region]}", paint, height=0.92)


def roc(evidence: Evidence, region: int) -> str | None:
    """Draw the ROC of a region's patches with the points of the thresholds; None of one class."""
    scores, defective = patch_scores(evidence, region)
    if not defective.any() or defective.all():
        return None

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=svg.MUTED, linewidth=0.6, linestyle=":")
        false_reject, detection = roc_points(scores, defective)
        axes.plot(false_reject, detection, color=svg.INK, linewidth=1.3)
        for level, threshold in region_thresholds(evidence, region).items():
            rejected = scores > threshold
            axes.plot(
                (rejected & ~defective).sum() / (~defective).sum(),
                (rejected & defective).sum() / defective.sum(),
                marker=_LEVEL_MARKERS[level],
                markersize=5,
                markerfacecolor="none",
                markeredgecolor=svg.DEFECTIVE,
                linestyle="none",
                label=f"{level} threshold",
            )
        axes.set(xlabel="false reject rate", ylabel="detection rate")
        axes.set(xlim=(-0.02, 1.0), ylim=(0.0, 1.03))
        axes.legend(loc="lower right")

    return svg.draw(f"ROC of {evidence.regions[region]}", paint, height=0.92)


def drift(evidence: Evidence, region: int) -> str:
    """Draw the largest φ of every inspection against the order of inspection."""
    values = strip_scores(evidence, region)
    order = np.arange(1, len(values) + 1)
    finite = np.isfinite(values)

    def paint(axes: Any) -> None:
        # Nominal last: their trend is the question, and most others score like them here.
        for name, chosen, colour in (
            ("defective", finite & evidence.defective, svg.DEFECTIVE),
            ("nominal", finite & ~evidence.defective, svg.NOMINAL),
        ):
            svg.dots(axes, order[chosen], values[chosen], colour=colour, label=name)
        nominal = finite & ~evidence.defective
        if nominal.sum() >= 5:
            median = running_median(values[nominal], _odd_width(int(nominal.sum())))
            axes.plot(order[nominal], median, color=svg.INK, linewidth=1.4, label="running median")
        threshold = region_thresholds(evidence, region).get("strip")
        if threshold is not None:
            _thresholds(axes.axhline, {"strip": threshold})
        if _is_wide(values[finite]):
            axes.set_yscale("log")
            svg.plain_log(axes.yaxis)
        axes.set(xlabel="inspection, in order of acquisition", ylabel="largest φ")
        _legend_below(axes, columns=2)

    return svg.draw(f"Scores of {evidence.regions[region]} over time", paint, height=0.88)


def class_rates(classes: Sequence[ClassMeasures]) -> str | None:
    """Draw detection rate and interval of each defect class over all severities."""
    rows = [row for row in classes if row.severity == ALL_KINDS]
    return _rates(rows, [words(row.kind) for row in rows], "Detection rate by defect class")


def severity_rates(classes: Sequence[ClassMeasures]) -> str | None:
    """Draw detection rate and interval of each band of severity over all defect classes."""
    rows = [row for row in classes if row.severity != ALL_KINDS]
    return _rates(rows, [row.severity for row in rows], "Detection rate by severity")


def _rates(rows: Sequence[ClassMeasures], names: Sequence[str], label: str) -> str | None:
    """Draw one dot and its interval per row; rows without samples stay empty."""
    if not rows:
        return None

    def paint(axes: Any) -> None:
        for place, row in enumerate(rows):
            if row.detection_rate_interval is not None:
                ends = row.detection_rate_interval
                axes.plot(ends, [place, place], color=svg.DEFECTIVE, linewidth=1.4)
            if row.detection_rate is not None:
                axes.plot(row.detection_rate, place, "o", color=svg.DEFECTIVE, markersize=4.5)
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set(xlim=(-0.02, 1.02), xlabel="detection rate")
        axes.grid(visible=False, axis="y")

    return svg.draw(label, paint, height=0.22 + 0.07 * len(rows))


def latency_histogram(evidence: Evidence) -> str:
    """Draw how long the inspections took in total, and where the slot ends."""
    total_ms = 1e3 * evidence.times["total_s"]

    def paint(axes: Any) -> None:
        axes.hist(total_ms, bins=_BINS, color=svg.NOMINAL, alpha=0.75)
        _slot(axes, inside=bool(total_ms.max() > 0.4 * SLOT_MS))
        axes.locator_params(axis="y", integer=True)
        axes.set(xlabel="total time in ms", ylabel="inspections")

    return svg.draw("Histogram of total time", paint, height=0.8)


def latency_tail(evidence: Evidence) -> str:
    """Draw the share of inspections that took longer than a time, for the stages that wait."""

    def paint(axes: Any) -> None:
        stages = (("total_s", svg.NOMINAL), ("after_last_frame_s", svg.DEFECTIVE))
        for stage, colour in stages:
            if stage in evidence.times:
                ordered = np.sort(1e3 * evidence.times[stage])
                slower = 1.0 - np.arange(len(ordered)) / len(ordered)
                x, y = _thinned(ordered, slower)
                axes.step(x, y, where="pre", color=colour, linewidth=1.3, label=words(stage))
        axes.set(xscale="log", yscale="log", xlabel="time in ms", ylabel="share that took longer")
        svg.plain_log(axes.xaxis)
        svg.plain_log(axes.yaxis)
        _slot(axes, inside=True)
        _legend_below(axes, columns=2)

    return svg.draw("Share of inspections slower than a time", paint, height=0.8)


def _is_wide(values: Floats) -> bool:
    return bool(len(values) and values.min() > 0 and values.max() > _LOG_FROM * values.min())


def _edges(scores: Floats, logarithmic: bool) -> Floats:
    if logarithmic:
        return np.geomspace(scores.min(), scores.max(), _BINS + 1)
    return np.asarray(np.histogram_bin_edges(scores, bins=_BINS), np.float64)


def _outline(axes: Any, scores: Floats, edges: Floats, colour: str, label: str) -> None:
    axes.hist(scores, bins=edges, histtype="stepfilled", color=colour, alpha=0.35, label=label)
    axes.hist(scores, bins=edges, histtype="step", color=colour, linewidth=1.1)


def _thresholds(line: Any, thresholds: dict[str, float]) -> None:
    for level, threshold in thresholds.items():
        style = LEVEL_STYLES[level]
        line(threshold, color=svg.INK, linestyle=style, linewidth=1.0, label=f"{level} threshold")


def _legend_below(axes: Any, *, columns: int) -> None:
    axes.figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2)


def _odd_width(size: int) -> int:
    # A tenth of the values: wide enough to be calm, narrow enough to follow a slow drift.
    return max(5, size // 10) | 1


def _slot(axes: Any, *, inside: bool) -> None:
    if inside:
        axes.axvline(SLOT_MS, color=svg.INK, linestyle="--", linewidth=1.0)
        text = {"rotation": 90, "ha": "right", "va": "top", "xytext": (-2, -2)}
        axes.annotate(
            "slot 500 ms",
            (SLOT_MS, 1.0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            **text,
        )
    else:
        place = {"ha": "right", "va": "top", "transform": axes.transAxes}
        axes.text(0.98, 0.98, "slot 500 ms: far right of this", **place)


def _thinned(x: Floats, y: Floats, limit: int = 400) -> tuple[Floats, Floats]:
    """Keep the slowest values and evenly spaced ones of the rest."""
    if len(x) <= limit:
        return x, y
    tail = limit // 2
    kept = np.linspace(0, len(x) - tail, limit - tail, endpoint=False).astype(np.int64)
    chosen = np.concatenate([kept, np.arange(len(x) - tail, len(x))])
    return x[chosen], y[chosen]
