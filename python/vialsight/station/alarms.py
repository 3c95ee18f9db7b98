"""Alarms: raised once, cleared when their cause is gone, acknowledged by a person; all entries.

Rates and means are over the last strips that the inspector inspected in production. After a start
of the recorder they are taken from the record again.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.station.config import LimitsSection
from vialsight.station.record.store import RecordStore
from vialsight.station.record.strip_scores import scores_of
from vialsight.station.refusal import INVALID, Refusal

# A rate must fall to this part of its limit before its alarm is cleared, or it would flicker.
_CLEARED: Final = 0.8
# A rate over fewer strips says nothing.
_FEWEST: Final = 20
# Events of the inspector that raise an alarm, and those that clear it.
_RAISING: Final = {
    "camera_lost": "camera", "machine_lost": "machine", "spool_lag": "inspector_spool",
}  # fmt: skip
_CLEARING: Final = {
    "camera_found": "camera", "machine_found": "machine", "spool_caught_up": "inspector_spool",
}  # fmt: skip
# Events that are over when they are told: someone acknowledges them.
_MOMENTARY: Final = {
    "worker_restarted", "lost_triggers", "not_acknowledged", "clock_changed", "spool_gap",
    "spool_damaged", "spool_invalid", "pictures_lost",
}  # fmt: skip


class Alarms:
    """The alarms of a record; `regions` are their names in the bundle. Methods append entries."""

    def __init__(
        self, store: RecordStore, limits: LimitsSection, regions: Sequence[str] = ()
    ) -> None:
        self._store, self._limits, self._regions = store, limits, tuple(regions)
        self._batch: int | None = None
        self._budget_ms = math.inf
        self._window: deque[tuple[str, bool]] = deque(maxlen=limits.last)
        self._drift = Drift(limits.drift.strips)
        self._rebuild()

    @property
    def active(self) -> dict[str, int]:
        """Return the entries that raised what has not been cleared, by key."""
        found: dict[str, int] = self._store.get("alarms", {})
        return found

    def check(
        self,
        key: str,
        raised: bool,
        text: str,
        *,
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        """Raise or clear an alarm by its key; nothing where it is so already."""
        active = self.active
        if raised == (key in active):
            return
        body: dict[str, Any] = {
            "alarm": key, "state": "raised" if raised else "cleared", "text": text,
            "value": value, "limit": limit,
        }  # fmt: skip
        with self._store.transaction():
            if not raised:
                body["raised"] = active.pop(key)
            entry = self._store.append("alarm", "recorder", body)
            if raised:
                active[key] = entry.id
            self._store.put("alarms", active)

    def tell(self, key: str, text: str) -> None:
        """Raise an alarm about something that is over: it stays open until acknowledged.

        Nothing while one of this key is open: what happens at every strip would flood the record.
        """
        told: dict[str, int] = self._store.get("told", {})
        if key in told:
            return
        with self._store.transaction():
            self.check(key, True, text)
            self._store.put("told", {**told, key: self.active[key]})
            self.check(key, False, "over when it was told")

    def acknowledge(self, actor: str, raised: int, why: str) -> None:
        """Record that a person has seen an alarm, by the entry that raised it."""
        row = self._store.connection.execute(
            "SELECT body FROM entry WHERE id = ? AND kind = 'alarm'", (raised,)
        ).fetchone()
        body = None if row is None else json.loads(row[0])
        if body is None or body["state"] != "raised":
            raise Refusal(INVALID, f"expected the number of an alarm, got {raised}")
        for (text,) in self._store.connection.execute(
            "SELECT body FROM entry WHERE kind = 'alarm_acknowledged' AND id > ?", (raised,)
        ).fetchall():
            if json.loads(text)["raised"] == raised:
                raise Refusal(INVALID, f"the alarm {raised} is acknowledged already")
        told: dict[str, int] = self._store.get("told", {})
        with self._store.transaction():
            self._store.append(
                "alarm_acknowledged", actor, {"raised": raised, "alarm": body["alarm"], "why": why}
            )
            self._store.put("told", {key: id for key, id in told.items() if id != raised})

    def began(self, start: dict[str, Any]) -> None:
        """Take in what the inspector says when it begins: latencies are held against its budget."""
        self._budget_ms = float(start.get("budget_ms") or math.inf)

    def strips(self, bodies: Iterable[dict[str, Any]]) -> None:
        """Take in recorded strips, then hold all rates and means against their limits."""
        count = 0
        for body in bodies:
            count += self._take(body)
        if count:
            self._check_rates()
            self._check_drift()

    def event(self, body: dict[str, Any]) -> None:
        """Take in an event of the inspector's or the recorder's."""
        name, text = str(body.get("event")), str(body.get("text") or body.get("event"))
        if name in _RAISING:
            self.check(_RAISING[name], True, text)
        elif name in _CLEARING:
            self.check(_CLEARING[name], False, text)
        elif name in _MOMENTARY:
            self.tell(name, text)

    def _take(self, body: dict[str, Any]) -> bool:
        if body["mode"] != "production":
            return False
        if body["batch"] != self._batch:
            self._batch = body["batch"]
            self._window.clear()
            self._drift = Drift(self._limits.drift.strips)
        self._window.append(self._outcome(body))
        self._drift.take(body)
        return True

    def _outcome(self, body: dict[str, Any]) -> tuple[str, bool]:
        """Return a strip's reason, and whether it took too long."""
        reason = "none" if body["verdict"] == "accept" else body["reason"]
        latency = body.get("latency_ms")
        return reason, latency is not None and latency > self._budget_ms

    def _check_rates(self) -> None:
        strips = len(self._window)
        if strips < _FEWEST:
            return
        counts = Counter(reason for reason, _ in self._window)
        rejected = strips - counts["none"]
        self._check_rate("reject_rate", "of the last strips were rejected", rejected,
                         self._limits.reject_rate)  # fmt: skip
        for reason, limit in self._limits.by_reason.items():
            text = f"of the last strips were rejected: {reason}"
            self._check_rate(f"reject_rate.{reason}", text, counts[reason], limit)
        late = sum(is_late for _, is_late in self._window)
        text = f"{late} of the last {strips} strips took longer than {self._budget_ms:g} ms"
        self.check("latency", late > 0, text, value=float(late), limit=0.0)

    def _check_rate(self, key: str, text: str, count: int, limit: float) -> None:
        rate = count / len(self._window)
        bound = limit * _CLEARED if key in self.active else limit
        self.check(key, rate > bound, f"{rate:.1%} {text} (limit {limit:.1%})", value=rate,
                   limit=limit)  # fmt: skip

    def _check_drift(self) -> None:
        shifts = self._drift.shifts()
        for region, shift in enumerate([] if shifts is None else shifts.tolist()):
            limit = self._limits.drift.deviations
            name = self._regions[region] if region < len(self._regions) else str(region)
            key = f"drift.{name}"
            bound = limit * _CLEARED if key in self.active else limit
            text = (
                f"mean φ of region {name} over the last accepted strips has moved by "
                f"{shift:+.2f} standard deviations since the batch began (limit {limit:g})"
            )
            self.check(key, abs(shift) > bound, text, value=shift, limit=limit)

    def _rebuild(self) -> None:
        """Take the last strips from the record."""
        self.began(self._store.get("session") or {})
        row = self._store.connection.execute(
            "SELECT batch FROM strip WHERE mode = 'production' ORDER BY entry DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return
        self._batch = row[0]
        last = self._of_batch(row[0], "DESC", "", self._limits.last)
        self._window.extend(self._outcome(body) for body in reversed(last))
        accepted, strips = "AND s.verdict = 'accept'", self._drift.strips
        first = self._of_batch(row[0], "ASC", accepted, strips)
        last = self._of_batch(row[0], "DESC", accepted, strips)
        seen = {body["seq"] for body in first}
        for body in [*first, *(b for b in reversed(last) if b["seq"] not in seen)]:
            self._drift.take(body)

    def _of_batch(self, batch: int, order: str, and_: str, limit: int) -> list[dict[str, Any]]:
        rows: Iterable[tuple[str]] = self._store.connection.execute(
            "SELECT e.body FROM strip s JOIN entry e ON e.id = s.entry WHERE s.batch = ? AND "
            f"s.mode = 'production' {and_} ORDER BY s.entry {order} LIMIT ?",
            (batch, limit),
        ).fetchall()
        return [json.loads(row[0]) for row in rows]


class Drift:
    """How far the mean φ of each region has moved from the first `strips` to the last.

    Counted in standard deviations that single strips' means had among the first.
    """

    def __init__(self, strips: int) -> None:
        self.strips = strips
        self._first: list[npt.NDArray[np.float64]] = []
        self._last: deque[npt.NDArray[np.float64]] = deque(maxlen=strips)

    def take(self, body: dict[str, Any]) -> None:
        """Take in a strip; only accepted ones count, whose φ (F,V,R) are all finite."""
        scores = scores_of(body) if body["verdict"] == "accept" else None
        if scores is None:
            return
        means = scores.astype(np.float64).mean(axis=(0, 1))
        if len(self._first) < self.strips:
            self._first.append(means)
        else:
            self._last.append(means)

    def shifts(self) -> npt.NDArray[np.float64] | None:
        """Return the shift of each region (R,); None until there are twice as many strips."""
        if len(self._last) < self.strips:
            return None
        first, last = np.array(self._first), np.array(self._last)
        spread = np.maximum(first.std(axis=0, ddof=1), np.finfo(np.float32).eps)
        shifts: npt.NDArray[np.float64] = (last.mean(axis=0) - first.mean(axis=0)) / spread
        return shifts
