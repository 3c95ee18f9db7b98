"""Where the products lay: what the page says and draws of poses."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.pose_measures import CoordinateMeasures, PoseMeasures
from vialsight.report import svg
from vialsight.report.text import NONE, count
from vialsight.statistics.drift import running_median
from vialsight.statistics.intervals import Interval

Floats = npt.NDArray[np.float64]

# Factor from the unit of the files to that of the page, the latter's name, decimals.
_UNITS: Final = {
    "dx": (1.0, "px", 2),
    "dy": (1.0, "px", 2),
    "turn": (1e3, "mrad", 2),
    "residual": (1e3, "‰", 2),
}
_NAMES: Final = {"dx": "to the right", "dy": "down", "turn": "turn", "residual": "residual"}


@dataclass(frozen=True, kw_only=True)
class PoseRow:
    """One coordinate as the table shows it."""

    name: str
    unit: str
    mean: str
    standard_deviation: str
    percentiles: str
    apart: str
    drift: str
    drift_interval: str
    error_median: str
    error_worst: str


@dataclass(frozen=True, kw_only=True)
class PosePart:
    """The section of the page: sentences, rows and drawings; `checked` where the truth is known."""

    sentences: tuple[str, ...]
    rows: tuple[PoseRow, ...]
    checked: bool
    scatter: str
    over_time: tuple[tuple[str, str], ...]


def pose_part(evidence: Evidence, findings: Findings) -> PosePart | None:
    """Return the section on poses; None where products are not located."""
    measures = findings.poses
    if measures is None:
        return None
    return PosePart(
        sentences=tuple(_sentences(measures)),
        rows=tuple(_row(row) for row in measures.coordinates),
        checked=any(row.error_median is not None for row in measures.coordinates),
        scatter=scatter(evidence),
        over_time=tuple(
            (f"{_NAMES[row.coordinate].capitalize()}: {_trend(row)}", over_time(evidence, place))
            for place, row in enumerate(measures.coordinates)
        ),
    )


def scatter(evidence: Evidence) -> str:
    """Draw how far right and down the product lay in every frame where it was found."""
    found, pose = _located(evidence)

    def paint(axes: Any) -> None:
        axes.axhline(0.0, color=svg.MUTED, linewidth=0.6)
        axes.axvline(0.0, color=svg.MUTED, linewidth=0.6)
        for name, chosen, colour in _labels(evidence):
            shown = found & chosen
            svg.dots(axes, pose[shown, 0], pose[shown, 1], colour=colour, label=name)
        axes.set_aspect("equal", adjustable="datalim")
        axes.invert_yaxis()
        axes.set(xlabel="dx in pixels, to the right", ylabel="dy in pixels, down")
        axes.figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)

    return svg.draw("Where the products lay", paint, height=0.92)


def over_time(evidence: Evidence, place: int) -> str:
    """Draw one coordinate of every inspection that was located against their order."""
    coordinate = tuple(_UNITS)[place]
    factor, unit, _ = _UNITS[coordinate]
    found, pose = _located(evidence)
    values, order = factor * pose[:, place], np.arange(1, len(pose) + 1)

    def paint(axes: Any) -> None:
        for name, chosen, colour in _labels(evidence):
            shown = found & chosen
            svg.dots(axes, order[shown], values[shown], colour=colour, label=name)
        if found.sum() >= 5:
            width = max(5, int(found.sum()) // 10) | 1
            median = running_median(values[found], width)
            axes.plot(order[found], median, color=svg.INK, linewidth=1.4, label="running median")
        axes.set(
            xlabel="inspection, in order of acquisition", ylabel=f"{_NAMES[coordinate]} in {unit}"
        )
        axes.figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)

    return svg.draw(f"{_NAMES[coordinate].capitalize()} over time", paint, height=0.88)


def _located(evidence: Evidence) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Return which inspections (S,) were located, and the means of their frames (S,4)."""
    poses = evidence.poses
    assert poses is not None
    values = np.concatenate([poses.pose, poses.residual[..., np.newaxis]], axis=-1)
    return poses.found.all(axis=1) & ~evidence.not_located, values.mean(axis=1)


def _labels(evidence: Evidence) -> tuple[tuple[str, npt.NDArray[np.bool_], str], ...]:
    """Return name, choice and colour of both labels, the nominal on top."""
    return (
        ("defective", evidence.defective, svg.DEFECTIVE),
        ("nominal", ~evidence.defective, svg.NOMINAL),
    )


def _sentences(measures: PoseMeasures) -> list[str]:
    lost = measures.not_located
    if not lost:
        return [f"The product was found in all {count(measures.frames)} frames."]
    return [
        f"{count(lost)} of {count(measures.inspections)} inspections were rejected because the "
        f"product was not located: it was not found in {count(measures.frames_not_located)} of "
        f"{count(measures.frames)} frames, or the frames of a strip did not agree. They are in "
        "neither the figures nor the table below."
    ]


def _row(row: CoordinateMeasures) -> PoseRow:
    factor, unit, decimals = _UNITS[row.coordinate]

    def shown(value: float | None) -> str:
        return NONE if value is None else f"{factor * value:.{decimals}f}".replace("-", "−")

    return PoseRow(
        name=_NAMES[row.coordinate],
        unit=unit,
        mean=shown(row.mean),
        standard_deviation=shown(row.standard_deviation),
        percentiles=f"{shown(row.percentile_5)} to {shown(row.percentile_95)}",
        apart=shown(row.apart),
        drift=_signed(row, row.drift),
        drift_interval=_interval(row, row.drift_interval),
        error_median=shown(row.error_median),
        error_worst=shown(row.error_worst),
    )


def _signed(row: CoordinateMeasures, value: float | None) -> str:
    factor, _, decimals = _UNITS[row.coordinate]
    return NONE if value is None else f"{factor * value:+.{decimals}f}".replace("-", "−")


def _interval(row: CoordinateMeasures, ends: Interval | None) -> str:
    if ends is None:
        return ""
    return f"[{_signed(row, ends[0])},\N{NO-BREAK SPACE}{_signed(row, ends[1])}]"


def _trend(row: CoordinateMeasures) -> str:
    if row.drift is None or row.drift_interval is None:
        return "too few inspections for a trend."
    unit = _UNITS[row.coordinate][1]
    return (
        f"{_signed(row, row.drift)}\N{NO-BREAK SPACE}{unit} {_interval(row, row.drift_interval)} "
        f"from the first to the last inspection."
    )
