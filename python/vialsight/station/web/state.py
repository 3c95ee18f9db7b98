"""The line at one moment, as the *now* view shows it: plain JSON, the same for everybody."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vialsight import _core
from vialsight.station.record.reading import Batch, RecordReader
from vialsight.station.snapshot import Status, Strip
from vialsight.station.web.line import Now
from vialsight.station.web.scene import Heat, Shown, scene

_CHUNK = 500


@dataclass(frozen=True)
class Recorded:
    """What the record holds of the station's run that goes on."""

    head: int
    session: str
    strips: int
    newest_seq: int
    open_alarms: int
    batch: Batch | None


class RecordWatch:
    """Follows the record: each look reads only what came since the one before. One thread."""

    def __init__(self) -> None:
        self._start, self._session = 0, ""
        self._after, self._gaps_after, self._strips, self._newest_seq = 0, 0, 0, 0
        self._alarms_head, self._alarms = -1, 0

    def look(self, reader: RecordReader) -> Recorded:
        """Return what there is now. Raises DataError, sqlite3.Error."""
        head, _ = reader.head()
        self._follow_start(reader)
        self._count(reader)
        if reader.entries(self._alarms_head, kinds=("alarm", "alarm_acknowledged"), limit=1):
            self._alarms = len(reader.alarms())
        self._alarms_head = head
        batches = reader.batches(limit=1)
        batch = batches[0] if batches and batches[0].closed_ns is None else None
        return Recorded(head, self._session, self._strips, self._newest_seq, self._alarms, batch)

    def _follow_start(self, reader: RecordReader) -> None:
        starts = reader.entries(self._start, kinds=("start",), limit=1, newest=True)
        if starts:
            body = starts[0].value()
            self._start, self._session = starts[0].id, str(body.get("session", ""))
            self._after = self._gaps_after = starts[0].id
            self._strips, self._newest_seq = 0, int(body.get("seq", 0))

    def _count(self, reader: RecordReader) -> None:
        while strips := reader.strips(after=self._after, limit=_CHUNK, newest=False):
            self._strips += sum(1 for strip in strips if strip.mode != "challenge")
            self._after, self._newest_seq = strips[-1].entry, strips[-1].seq
        for entry in reader.entries(self._gaps_after, kinds=("gap",), limit=_CHUNK):
            self._strips += int(entry.value()["count"])
            self._gaps_after = entry.id


def describe(
    now: Now, recorded: Recorded | None, *, recent: Sequence[Strip], slot_ms: float
) -> dict[str, Any]:
    """Return all of the *now* view but the pictures of the last reject."""
    status = now.status
    return {
        "alive": now.alive,
        "silent_s": round(now.silent_s, 1),
        "shown": shown(now),
        "why": why_not_ready(now),
        "fault": status.last_fault if status else "",
        "mode": status.mode if status else "halted",
        "heartbeat": status.heartbeat if status else 0,
        "busy": bool(status and status.busy),
        "bundle": now.bundle,
        "slot_ms": slot_ms,
        "budget_ms": status.budget_ms if status else 0.0,
        "strip": None if now.last is None else strip_facts(now.last),
        "counts": None if status is None else counts_of(status),
        "batch_counts": None if status is None or not status.batch else batch_counts_of(status),
        "records": records_of(status, recorded),
        "batch": None if recorded is None else _batch(recorded.batch),
        "alarms": None if recorded is None else recorded.open_alarms,
        "rate": rates(recent),
    }


def shown(now: Now) -> str:
    """Return what stands large: silent, not_ready, waiting, or the last verdict."""
    status = now.status
    if not now.alive or status is None:
        return "silent"
    if status.mode != "production" or status.hindrance:
        return "not_ready"
    if now.last is None or now.last.mode != "production":
        return "waiting"
    return now.last.verdict


def why_not_ready(now: Now) -> list[str]:
    """Return what keeps the line from being ready, the most telling first."""
    status = now.status
    if status is None or not now.alive:
        return ["silent"]
    why = list(status.hindrances)
    return why if status.mode == "production" else [*why, f"mode_{status.mode}"]


def strip_facts(strip: Strip) -> dict[str, Any]:
    """Return what is told of a strip."""
    return {
        "n": strip.n,
        "seq": strip.seq,
        "id": strip.strip_id,
        "verdict": strip.verdict,
        "reason": strip.reason,
        "unix_ms": strip.unix_ns // 1_000_000,
        "latency_ms": round(strip.latency_ms, 1) if math.isfinite(strip.latency_ms) else None,
        "batch": strip.batch,
        "mode": strip.mode,
    }


def counts_of(status: Status) -> dict[str, Any]:
    """Return the counters since the station began, and whether they add up."""
    return _counts(status.triggers, status.accepted, status.rejected, status.in_flight)


def batch_counts_of(status: Status) -> dict[str, Any]:
    """Return the counters of the batch; what is in flight is of the batch that runs."""
    total = status.batch_accepted + sum(status.batch_rejected.values())
    in_flight = max(0, status.batch_triggers - total) if status.in_flight else 0
    return _counts(status.batch_triggers, status.batch_accepted, status.batch_rejected, in_flight)


def _counts(
    triggers: int, accepted: int, rejected: dict[str, int], in_flight: int
) -> dict[str, Any]:
    total = sum(rejected.values())
    return {
        "triggers": triggers,
        "accepted": accepted,
        "rejected": total,
        "by_reason": {reason: count for reason, count in rejected.items() if count},
        "in_flight": in_flight,
        "agree": triggers == accepted + total + in_flight,
    }


def records_of(status: Status | None, recorded: Recorded | None) -> dict[str, Any]:
    """Return how many strips are in the record and on their way; `agree` None: not known yet.

    Both are read at moments a little apart: as long as something is on its way, they may differ.
    """
    if status is None or recorded is None or recorded.session != status.session:
        return {"strips": None, "waiting": None, "agree": None}
    waiting = max(0, status.last_seq - recorded.newest_seq)
    done = status.accepted + sum(status.rejected.values())
    missing = done - recorded.strips
    agree = True if missing == 0 else (None if 0 < missing <= max(waiting, 1) else False)
    return {"strips": recorded.strips, "waiting": max(0, missing), "agree": agree}


def rates(recent: Sequence[Strip]) -> dict[str, Any]:
    """Return strips a minute and the share of rejects of the strips that the snapshot holds."""
    counted = [strip for strip in recent if strip.mode != "challenge"]
    span_s = (counted[-1].unix_ns - counted[0].unix_ns) / 1e9 if len(counted) > 1 else 0.0
    rejected = sum(1 for strip in counted if strip.verdict == "reject")
    return {
        "strips": len(counted),
        "rejected": rejected,
        "a_minute": round(60.0 * (len(counted) - 1) / span_s, 1) if span_s > 0 else None,
    }


def reject_facts(now: Now) -> dict[str, Any] | None:
    """Return the last reject; `pictures` is where they are, once there are any."""
    strip, picture = now.reject, now.picture
    if strip is None or now.status is None:
        return None
    place = None if picture is None else f"/snap/{now.status.session}/{picture.n}"
    return {**strip_facts(strip), "kept": strip.pictures_kept, "pictures": place}


def reject_scene(now: Now, layout: _core.Layout) -> dict[str, Any] | None:
    """Return what to draw of the last reject; None while there is nothing."""
    strip, picture = now.reject, now.picture
    if strip is None or picture is None or now.status is None:
        return None
    return scene(
        layout,
        Shown(
            picture.frames, [Heat(m.frame, m.vial, m.region, m.phi, m.heat) for m in picture.maps]
        ),
        address=f"/snap/{now.status.session}/{picture.n}",
        scores=strip.scores,
        thresholds=strip.thresholds.tolist(),
        locations=strip.locations.tolist() if layout.locate != "none" else (),
    )


def _batch(batch: Batch | None) -> dict[str, Any] | None:
    if batch is None:
        return None
    return {
        "id": batch.id,
        "product": batch.product,
        "number": batch.number,
        "status": batch.status,
    }
