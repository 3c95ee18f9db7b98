"""How the products of an evaluation lay: spread, drift, and error where the truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.pose_evidence import Poses
from vialsight.statistics.drift import robust_slope
from vialsight.statistics.intervals import Interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CoordinateMeasures:
    """One of dx, dy (pixels), turn (radians) and residual (1 is from black to white).

    All are of inspections that were located. Mean, standard deviation and percentiles are of their
    frames; `apart` is the largest difference between frames of one inspection; `drift` is the
    change from the first inspection to the last, by a robust line through their means. Errors are
    against the truth where the data have it, less their median: a locator measures against its own
    template. What cannot be computed is None.
    """

    coordinate: str
    mean: float | None
    standard_deviation: float | None
    percentile_5: float | None
    percentile_95: float | None
    apart: float | None
    drift: float | None
    drift_interval: Interval | None
    error_median: float | None
    error_worst: float | None


@dataclass(frozen=True, kw_only=True)
class PoseMeasures:
    """Where the product lay, and in how many frames and inspections it was not found.

    An inspection is not located when a frame is not found or its frames do not agree.
    """

    frames: int
    frames_not_located: int
    inspections: int
    not_located: int
    coordinates: tuple[CoordinateMeasures, ...]


def pose_measures(evidence: Evidence) -> PoseMeasures | None:
    """Return the measures of the poses; None where products are not located."""
    poses = evidence.poses
    if poses is None:
        return None
    located = ~evidence.not_located & poses.found.all(axis=1)
    values = np.concatenate([poses.pose, poses.residual[..., np.newaxis]], axis=-1)
    errors = _errors(poses, located)
    names = ("dx", "dy", "turn", "residual")
    return PoseMeasures(
        frames=poses.found.size,
        frames_not_located=int((~poses.found).sum()),
        inspections=len(located),
        not_located=int(evidence.not_located.sum()),
        coordinates=tuple(
            _measured(name, values[..., place], located, errors.get(name))
            for place, name in enumerate(names)
        ),
    )


def not_located_notes(evidence: Evidence) -> Iterator[str]:
    """Say how inspections whose product was not located are counted."""
    lost = int(evidence.not_located.sum())
    if lost:
        patches = lost * evidence.truth[0].size
        yield (
            f"{lost} of {len(evidence.products)} inspections were rejected because the product was "
            f"not located: as strips they count as rejected, ranked above every score; their "
            f"{patches} patches are left out of regions, vials and pixels."
        )


def _measured(
    name: str,
    values: Floats,
    located: npt.NDArray[np.bool_],
    errors: Floats | None,
) -> CoordinateMeasures:
    """Measure one coordinate (S,F), of which `located` (S,) inspections are whole."""
    seen = values[located]
    low, high = np.percentile(seen, [5, 95]).tolist() if seen.size else (None, None)
    drift, interval = _drift(seen.mean(axis=1), np.flatnonzero(located), len(located))
    return CoordinateMeasures(
        coordinate=name,
        mean=float(seen.mean()) if seen.size else None,
        standard_deviation=float(seen.std(ddof=1)) if seen.size > 1 else None,
        percentile_5=low,
        percentile_95=high,
        apart=float(np.ptp(seen, axis=1).max()) if seen.size else None,
        drift=drift,
        drift_interval=interval,
        error_median=None if errors is None else float(np.median(errors)),
        error_worst=None if errors is None else float(errors.max()),
    )


def _drift(
    means: Floats, order: npt.NDArray[np.int64], count: int
) -> tuple[float | None, Interval | None]:
    """Return the change over `count` inspections, of which those at `order` have a mean."""
    slope = robust_slope(order, means)
    if slope is None:
        return None, None
    change, low, high = ((count - 1) * value for value in slope)
    return change, (low, high)


def _errors(poses: Poses, located: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """Return the distances (n,) from the truth by coordinate; nothing where it is not known."""
    if poses.truth is None:
        return {}
    known = located[:, np.newaxis] & np.isfinite(poses.truth).all(axis=-1)
    if not known.any():
        return {}
    difference = (poses.pose - poses.truth)[known]
    errors = np.abs(difference - np.median(difference, axis=0))
    return dict(zip(("dx", "dy", "turn"), errors.T, strict=True))
