"""Latency of inspection, described well enough to be repeated."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.errors import BundleError
from vialsight.line.standin import inspectable, is_calibrated
from vialsight.line.strips import Frames, made_strip

Isolation = Literal["in_process", "worker"]

# Of fewer than 1000 values, p99.9 lies between the two largest.
PERCENTILES: Final = (50, 90, 99, 99.9)
WARM_UP_STRIPS: Final = 5
# Where it is the images that are not as the bundle's layout says; else it is the bundle.
_WHAT_TO_DO: Final = {
    "frame_invalid": "give images whose size and pixel values fit the bundle's layout",
    "not_located": "give images in which the product can be found",
}


def measure_latency(
    bundle: _core.Bundle,
    strips: Sequence[Frames] | None,
    *,
    count: int,
    budget_ms: float,
    threads: int = 0,
    isolation: Isolation = "in_process",
    seed: int = 0,
) -> dict[str, Any]:
    """Inspect `count` strips and return percentiles per stage, in milliseconds.

    `strips` are frames (F,H,W) used in turn; None makes some, see `made_strip`. No deadline is set
    while measuring: a late strip shows its whole latency and counts as a miss of `budget_ms`.
    The first strips warm up and are left out. A bundle without thresholds is inspected like any
    other, but its verdicts mean nothing (`inspectable`), which `verdicts` says. `times_ms` holds
    every strip's. Raises BundleError when a strip could not be scored.
    """
    with inspectable(bundle) as usable:
        inspector = _core.Inspector(usable, threads=threads, isolation=isolation)
    inputs = strips or (made_strip(bundle, seed),)
    for number in range(WARM_UP_STRIPS):
        time_strip(inspector, inputs[number % len(inputs)])
    rows = [time_strip(inspector, inputs[number % len(inputs)]) for number in range(count)]
    times = {stage.removesuffix("_s"): [1e3 * row[stage] for row in rows] for stage in rows[0]}
    return {
        "strips": count,
        "warm_up_strips": WARM_UP_STRIPS,
        "patches_per_strip": bundle.layout.patches_per_strip,
        "input": "made" if strips is None else "images",
        "isolation": isolation,
        "verdicts": is_calibrated(bundle),
        "latency_ms": {stage: summary(values) for stage, values in times.items()},
        "budget_ms": budget_ms,
        "misses": sum(ms > budget_ms for ms in times["total"]),
        "times_ms": times,
    }


def summary(
    values: Sequence[float] | npt.NDArray[Any], percentiles: Sequence[float] = PERCENTILES
) -> dict[str, float]:
    """Return the smallest value, percentiles by name (p50, p99.9), and the largest."""
    named = {f"p{p:g}": float(np.percentile(values, p)) for p in percentiles}
    return {"min": float(np.min(values)), **named, "max": float(np.max(values))}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return smallest, median and largest."""
    return summary(values, (50,))


def time_strip(inspector: _core.Inspector, frames: Frames) -> dict[str, float]:
    """Inspect frames (F,H,W); return the seconds of each stage. BundleError: not all was scored."""
    verdict = inspector.inspect(frames)
    if not np.isfinite(verdict.scores).all():
        what_to_do = _WHAT_TO_DO.get(verdict.reason, "run `vialsight verify` on the bundle")
        raise BundleError(f"a strip ended with {verdict.reason!r} instead of scores; {what_to_do}")
    return dict(verdict.times)
