"""Figures of recorded strips, as views and charts need them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.station.record.reading import RecordReader, Strip
from vialsight.station.snapshot import Strip as LiveStrip
from vialsight.station.snapshot_layout import REASONS as ALL_REASONS

REASONS: Final = ALL_REASONS[1:]
# Of a batch, for its latencies.
_MOST_LOOKED_AT: Final = 20_000
_POINTS: Final = 400


def rejects(reader: RecordReader, *, before: int | None, reason: str, limit: int) -> list[Strip]:
    """Return the newest recorded rejects whose entries have numbers below `before`."""
    return reader.strips(verdict="reject", before=before, reason=reason or None, limit=limit)


def score_table(
    scores: npt.NDArray[np.float32] | None, thresholds: Sequence[float], layout: _core.Layout
) -> list[dict[str, Any]]:
    """Return a row for each frame and vial: φ, its threshold and their ratio by region."""
    if scores is None:
        return []
    rows = []
    for frame in range(layout.frames):
        for vial in range(layout.vials):
            cells = []
            for region, limit in enumerate(thresholds):
                phi = float(scores[frame, vial, region])
                finite = bool(np.isfinite(phi))
                cells.append(
                    {
                        "phi": phi if finite else None,
                        "limit": limit,
                        "share": min(1.5, phi / limit) if finite and limit > 0 else 0.0,
                        "bad": not finite or phi > limit,
                    }
                )
            rows.append({"frame": frame + 1, "vial": vial + 1, "cells": cells})
    return rows


def live_trend(strips: Sequence[LiveStrip], layout: _core.Layout) -> dict[str, Any]:
    """Return the curves of the strips that the snapshot holds."""
    with np.errstate(invalid="ignore"):
        largest = [_largest(strip.scores) for strip in strips]
    return {
        "live": True,
        "time": [strip.unix_ns / 1e9 for strip in strips],
        "regions": layout.regions,
        "largest": [[row[region] for row in largest] for region in range(len(layout.regions))],
        "thresholds": [float(value) for value in strips[-1].thresholds] if strips else [],
        "latency": [_number(strip.latency_ms) for strip in strips],
        "rejected": [strip.verdict == "reject" for strip in strips],
    }


def batch_trend(reader: RecordReader, batch: int, layout: _core.Layout) -> dict[str, Any] | None:
    """Return the curves of a batch: 400 points at most, each the largest φ of strips in a row.

    None: there is no such batch.
    """
    if reader.batch(batch) is None:
        return None
    trends = [reader.trend(batch, region, _POINTS) for region in range(len(layout.regions))]
    times = sorted({point.unix_ns for trend in trends for point in trend})
    curves = []
    for trend in trends:
        at = {point.unix_ns: point.largest for point in trend}
        curves.append([_number(at.get(when)) for when in times])
    last = reader.strips(batch=batch, limit=1)
    latency = latencies(reader, batch, times)
    return {
        "live": False,
        "time": [when / 1e9 for when in times],
        "regions": layout.regions,
        "largest": curves,
        "thresholds": last[0].body["thresholds"] if last else [],
        "latency": latency,
        "rejected": [],
    }


def latencies(reader: RecordReader, batch: int, times: Sequence[int]) -> list[float | None]:
    """Return the largest latency (ms) of the newest strips up to each moment and after the last."""
    strips = reader.strips(batch=batch, limit=_MOST_LOOKED_AT)
    places = np.searchsorted(np.array(times, np.int64), [s.unix_ns for s in strips])
    largest: list[float | None] = [None] * len(times)
    for place, strip in zip(places.tolist(), strips, strict=True):
        if place < len(times) and strip.latency_ms is not None:
            known = largest[place]
            largest[place] = strip.latency_ms if known is None else max(known, strip.latency_ms)
    return largest


def _largest(scores: npt.NDArray[np.float32]) -> list[float | None]:
    by_region = np.where(np.isfinite(scores), scores, -np.inf).max(axis=(0, 1))
    return [_number(float(value)) for value in by_region]


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)
