"""What other thresholds would have said of the strips of a batch. Nothing is changed by it.

A strip is rejected for a defect when any of its patches is above the threshold of its region, so
the largest φ of each region is all that is needed of a strip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.station.record.reading import RecordReader, Strip
from vialsight.station.web.texts import MINUS, NARROW_SPACE

# The newest of a batch: about two and a half hours of a line.
MOST_STRIPS: Final = 20_000
_CHUNK: Final = 500
_LISTED: Final = 60
_COMPARED: Final = ("none", "defect")


@dataclass(frozen=True)
class Answer:
    """How verdicts would change; `thresholds` are those asked about, `actual` those of the line."""

    actual: list[float]
    thresholds: list[float]
    strips: int
    left_out: int
    """strips rejected for another reason than a defect: no threshold changes them"""
    accepted: int
    would_accept: int
    newly_rejected: list[dict[str, Any]]
    newly_accepted: list[dict[str, Any]]
    count_rejected: int
    count_accepted: int
    wrong: list[int]
    """regions whose threshold was no number: the actual one was taken"""
    by_region: list[int]
    """strips above the asked threshold, by region"""


@dataclass
class _Batch:
    after: int
    seqs: list[int]
    ids: list[int]
    rejected: list[bool]
    largest: list[npt.NDArray[np.float32]]
    thresholds: list[float]
    left_out: int


class WhatIf:
    """Answers for batches; what was read of the last one is kept. Any thread, one at a time."""

    def __init__(self) -> None:
        self._kept: dict[int, _Batch] = {}

    def ask(self, reader: RecordReader, batch: int, given: Sequence[str]) -> Answer | None:
        """Return the answer for thresholds as typed, "" for the actual; None: nothing recorded."""
        known = self._followed(reader, batch)
        if not known.seqs or len(known.thresholds) != len(given):
            return None
        thresholds, wrong = _thresholds(known.thresholds, given)
        largest = np.stack(known.largest)
        above = np.asarray(largest > np.array(thresholds, np.float32))
        would_reject, rejected = np.any(above, axis=1), np.array(known.rejected)
        changed = np.flatnonzero(would_reject != rejected)
        newly_rejected = [i for i in changed.tolist() if would_reject[i]]
        newly_accepted = [i for i in changed.tolist() if not would_reject[i]]
        return Answer(
            actual=known.thresholds,
            thresholds=thresholds,
            strips=len(known.seqs),
            left_out=known.left_out,
            accepted=int((~rejected).sum()),
            would_accept=int((~would_reject).sum()),
            newly_rejected=[_listed(known, i) for i in newly_rejected[-_LISTED:][::-1]],
            newly_accepted=[_listed(known, i) for i in newly_accepted[-_LISTED:][::-1]],
            count_rejected=len(newly_rejected),
            count_accepted=len(newly_accepted),
            wrong=wrong,
            by_region=above.sum(axis=0).tolist(),
        )

    def _followed(self, reader: RecordReader, batch: int) -> _Batch:
        known = self._kept.get(batch)
        if known is None:
            known = _Batch(_first(reader, batch), [], [], [], [], [], 0)
            self._kept = {batch: known}
        while strips := reader.strips(batch=batch, after=known.after, limit=_CHUNK, newest=False):
            for strip in strips:
                _take(known, strip)
            known.after = strips[-1].entry
        return known


def _first(reader: RecordReader, batch: int) -> int:
    """Entry after which the newest strips of a batch begin."""
    newest = reader.strips(batch=batch, limit=MOST_STRIPS)
    return newest[-1].entry - 1 if newest else 0


def _take(known: _Batch, strip: Strip) -> None:
    scores = strip.scores
    if strip.mode == "challenge":
        return
    if scores is None or strip.reason not in _COMPARED or not np.isfinite(scores).all():
        known.left_out += 1
        return
    known.seqs.append(strip.seq)
    known.ids.append(strip.strip_id)
    known.rejected.append(strip.verdict == "reject")
    known.largest.append(scores.max(axis=(0, 1)))
    known.thresholds = [float(value) for value in strip.body["thresholds"]]


def _thresholds(actual: Sequence[float], given: Sequence[str]) -> tuple[list[float], list[int]]:
    chosen, wrong = list(actual), []
    for region, text in enumerate(given):
        if not text.strip():
            continue
        plain = text.strip().replace(NARROW_SPACE, "").replace(MINUS, "-").replace(",", ".")
        try:
            value = float(plain)
        except ValueError:
            value = float("nan")
        if abs(value) < 1e6:
            chosen[region] = value
        else:
            wrong.append(region)
    return chosen, wrong


def _listed(known: _Batch, number: int) -> dict[str, Any]:
    return {
        "seq": known.seqs[number],
        "id": known.ids[number],
        "rejected": known.rejected[number],
        "largest": known.largest[number].tolist(),
    }
