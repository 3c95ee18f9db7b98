"""Reads a record while it is written: for pages, servers and reports."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.station.record import alarm_log, balance, pictures, store
from vialsight.station.record import counts as counting
from vialsight.station.record.alarm_log import Alarm, alarms_of
from vialsight.station.record.balance import Balance
from vialsight.station.record.chain import FIRST_PREVIOUS, Entry
from vialsight.station.record.counts import Counts
from vialsight.station.record.pictures import Pictures
from vialsight.station.record.strip_scores import of_region, scores_of

BATCH_KINDS: Final = (
    "batch_opened", "challenge_started", "challenge_passed", "challenge_failed", "batch_started",
    "batch_halted", "batch_held", "batch_resumed", "batch_closed",
)  # fmt: skip
_STATUS: Final = {
    "batch_opened": "prepared", "challenge_started": "challenge", "batch_started": "started",
    "batch_resumed": "started", "batch_halted": "halted", "batch_held": "held",
    "batch_closed": "closed",
}  # fmt: skip
_ENTRY: Final = "id, unix_ns, kind, actor, body, hash"
_STRIP: Final = (
    "s.entry, s.seq, s.batch, s.unix_ns, s.strip_id, s.verdict, s.reason, s.mode, s.latency_ms, "
    "e.body"
)
# Strips that a point of a trend is made of at most: a batch may have 10⁵.
_SAMPLED: Final = 20
_ALARM_ENTRIES: Final = 5000


@dataclass(frozen=True)
class Strip:
    """A recorded strip; `body` is what its entry says, see docs/record.md."""

    entry: int
    seq: int
    batch: int
    unix_ns: int
    strip_id: int
    verdict: str
    reason: str
    mode: str
    latency_ms: float | None
    body: dict[str, Any]

    @property
    def scores(self) -> npt.NDArray[np.float32] | None:
        """φ (F,V,R), NaN where none was made in time; None: nothing was scored."""
        return scores_of(self.body)

    @property
    def has_pictures(self) -> bool:
        """Whether pictures were recorded; they may have been deleted since."""
        return self.body.get("pictures_sha256") is not None


@dataclass(frozen=True)
class Batch:
    """A batch, where it stands, and what was recorded of it."""

    id: int
    entry: int
    product: str
    number: str
    bundle_sha256: str
    status: str
    opened_ns: int
    opened_by: str
    started_ns: int | None
    closed_ns: int | None
    closed_by: str | None
    balance: Balance
    history: tuple[Entry, ...]


@dataclass(frozen=True)
class TrendPoint:
    """φ of one region over some strips in a row: mean of their means, largest of all patches."""

    unix_ns: int
    strips: int
    mean: float
    largest: float


class RecordReader:
    """Reads `path`, a record.sqlite, beside its writer. One thread at a time.

    Raises DataError when there is no record; sqlite3.Error when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._connection = store.connect(path, read_only=True)
        self._frames = path.with_name("frames")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def head(self) -> tuple[int, str]:
        """Return number and hash (hex) of the last entry."""
        row = self._one("SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1")
        return (0, FIRST_PREVIOUS.hex()) if row is None else (row[0], row[1].hex())

    def entries(
        self,
        after: int = 0,
        kinds: Sequence[str] | None = None,
        limit: int = 200,
        newest: bool = False,
        *,
        before: int | None = None,
    ) -> list[Entry]:
        """Return entries numbered above `after`, below `before`: first ones, or newest first."""
        places = "" if kinds is None else f"AND kind IN ({', '.join('?' * len(kinds))})"
        order = "DESC" if newest else "ASC"
        rows = self._all(
            f"SELECT {_ENTRY} FROM entry WHERE id > ? AND id < ? {places} "
            f"ORDER BY id {order} LIMIT ?",
            (after, balance.LAST if before is None else before, *(kinds or ()), limit),
        )
        return [Entry(*row) for row in rows]

    def entry(self, id: int) -> Entry | None:
        """Return one entry."""
        row = self._one(f"SELECT {_ENTRY} FROM entry WHERE id = ?", (id,))
        return None if row is None else Entry(*row)

    def strips(
        self,
        batch: int | None = None,
        verdict: str | None = None,
        after: int = 0,
        limit: int = 100,
        newest: bool = True,
        *,
        before: int | None = None,
        reason: str | None = None,
        mode: str | None = None,
    ) -> list[Strip]:
        """Return strips whose entries are numbered above `after`, below `before`, in this order."""
        wanted = [
            ("s.entry > ?", after), ("s.entry < ?", before), ("s.batch = ?", batch),
            ("s.verdict = ?", verdict), ("s.reason = ?", reason), ("s.mode = ?", mode),
        ]  # fmt: skip
        used = [(text, value) for text, value in wanted if value is not None]
        rows = self._all(
            f"SELECT {_STRIP} FROM strip s JOIN entry e ON e.id = s.entry "
            f"WHERE {' AND '.join(text for text, _ in used)} "
            f"ORDER BY s.entry {'DESC' if newest else 'ASC'} LIMIT ?",
            (*(value for _, value in used), limit),
        )
        return [_strip(row) for row in rows]

    def strip(self, seq: int) -> Strip | None:
        """Return the strip of a number of the spool."""
        row = self._one(
            f"SELECT {_STRIP} FROM strip s JOIN entry e ON e.id = s.entry WHERE s.seq = ?", (seq,)
        )
        return None if row is None else _strip(row)

    def pictures(self, seq: int) -> Pictures | None:
        """Return the pictures of a strip; None: none were kept, or they were deleted.

        Raises DataError when the file is broken.
        """
        path = pictures.path_of(self._frames, seq)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return pictures.pictures_of_file(content, str(path))

    def batches(self, limit: int = 50) -> list[Batch]:
        """Return the last batches, the newest first."""
        rows = self._all("SELECT id FROM batch ORDER BY id DESC LIMIT ?", (limit,))
        found = [self.batch(row[0]) for row in rows]
        return [batch for batch in found if batch is not None]

    def batch(self, id: int) -> Batch | None:
        """Return a batch with its balance; None: there is none of this number."""
        row = self._one("SELECT * FROM batch WHERE id = ?", (id,))
        if row is None:
            return None
        history = self._history(row[1], id)
        of = {entry.kind: entry for entry in history}
        status = [_STATUS[e.kind] for e in history if e.kind in _STATUS]
        started, closed = of.get("batch_started"), of.get("batch_closed")
        _, opened, product, number, bundle_sha256 = row
        return Batch(
            id=id,
            entry=opened,
            product=product,
            number=number,
            bundle_sha256=bundle_sha256,
            status=status[-1] if status else "prepared",
            opened_ns=history[0].unix_ns,
            opened_by=history[0].actor,
            started_ns=None if started is None else started.unix_ns,
            closed_ns=None if closed is None else closed.unix_ns,
            closed_by=None if closed is None else closed.actor,
            balance=balance.recorded(self._connection, id),
            history=tuple(history),
        )

    def counts(self, batch: Batch) -> Counts:
        """Return what record, inspector and machine have counted of a batch until now."""
        return counting.count(self._connection, batch.id, batch.entry)

    def alarms(self, open_only: bool = True, limit: int = 100) -> list[Alarm]:
        """Return alarms, the newest first; with `open_only` those that need someone still.

        So many are looked at that thousands lie behind: pages ask often.
        """
        entries = self.entries(
            kinds=alarm_log.KINDS, limit=max(_ALARM_ENTRIES, 3 * limit), newest=True
        )
        found = alarms_of(reversed(entries))
        chosen = [alarm for alarm in found if alarm.is_open or not open_only]
        return sorted(chosen, key=lambda alarm: -alarm.id)[:limit]

    def trend(self, batch: int, region: int, points: int = 200) -> list[TrendPoint]:
        """Return at most so many points of the φ of a region over a batch, oldest first.

        Of long batches every so manieth strip is read, never more than 20 for a point.
        """
        entries = [
            row[0]
            for row in self._all(
                "SELECT entry FROM strip WHERE batch = ? AND mode != 'challenge' ORDER BY entry",
                (batch,),
            )
        ]
        per_point = max(1, -(-len(entries) // max(1, points)))
        groups = [entries[i : i + per_point] for i in range(0, len(entries), per_point)]
        found = (self._point(group, region) for group in groups)
        return [point for point in found if point is not None]

    def _point(self, entries: Sequence[int], region: int) -> TrendPoint | None:
        chosen = entries[:: max(1, -(-len(entries) // _SAMPLED))]
        places = ", ".join("?" * len(chosen))
        rows = self._all(
            f"SELECT unix_ns, body FROM entry WHERE id IN ({places}) ORDER BY id", chosen
        )
        found = [(when, scores_of(json.loads(body))) for when, body in rows]
        usable = [(when, of_region(scores, region)) for when, scores in found if scores is not None]
        usable = [(when, values) for when, values in usable if len(values)]
        if not usable:
            return None
        means = [float(values.mean()) for _, values in usable]
        largest = max(float(values.max()) for _, values in usable)
        return TrendPoint(usable[-1][0], len(entries), float(np.mean(means)), largest)

    def _history(self, opened: int, batch: int) -> list[Entry]:
        following = self._one(
            "SELECT id FROM entry WHERE kind = 'batch_opened' AND id > ? ORDER BY id LIMIT 1",
            (opened,),
        )
        end = balance.LAST if following is None else following[0] - 1
        found = self._of_kinds(BATCH_KINDS, after=opened - 1, up_to=end)
        return [entry for entry in found if entry.value().get("batch") == batch]

    def _of_kinds(
        self, kinds: Sequence[str], *, after: int = 0, up_to: int = balance.LAST
    ) -> list[Entry]:
        places = ", ".join("?" * len(kinds))
        rows = self._all(
            f"SELECT {_ENTRY} FROM entry WHERE kind IN ({places}) AND id > ? AND id <= ? "
            "ORDER BY id",
            (*kinds, after, up_to),
        )
        return [Entry(*row) for row in rows]

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        found: sqlite3.Cursor = self._connection.execute(sql, values)
        rows = found.fetchall()
        return rows[0] if rows else None


def _strip(row: Sequence[Any]) -> Strip:
    entry, seq, batch, unix_ns, _, verdict, reason, mode, latency_ms, text = row
    body = json.loads(text)
    return Strip(
        entry, seq, batch, unix_ns, body["strip_id"], verdict, reason, mode, latency_ms, body
    )
