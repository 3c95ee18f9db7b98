"""A record as CSV tables, for people and spreadsheets; `verify` does not read them."""

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.files import atomic, tables
from vialsight.station.record import database
from vialsight.station.record.chain import Entry
from vialsight.station.record.reading import RecordReader
from vialsight.station.record.strip_scores import scores_of

_PAGE: Final = 1000
_FORMULA: Final = tuple("=+-@\t\r")
_TRAIL: Final = ("id", "time_utc", "kind", "who", "body", "sha256")
_STRIPS: Final = (
    "entry", "seq", "batch", "time_utc", "strip_id", "mode", "name", "verdict", "reason", "gate",
    "latency_ms", "slack_ms", "vials", "pictures_sha256",
)  # fmt: skip
_SCORES: Final = ("seq", "strip_id", "frame", "vial", "region", "score", "threshold", "defective")
_BATCHES: Final = (
    "batch", "product", "number", "bundle_sha256", "status", "opened_utc", "opened_by",
    "started_utc", "closed_utc", "closed_by", "strips", "accepted", "rejected",
)  # fmt: skip
_ALARMS: Final = (
    "id", "alarm", "text", "raised_utc", "cleared_utc", "acknowledged_utc", "acknowledged_by",
    "why",
)  # fmt: skip


def write_tables(record: Path, out: Path, *, batch: int | None = None) -> dict[str, int]:
    """Write trail, strips, scores of rejects, batches and alarms; return the rows of each table.

    With `batch` the strips, scores and entries from its opening to its closing. Raises DataError
    when `out` exists, or `record` is a sealed export or has no such batch.
    """
    if not database.reads(record):
        raise DataError(f"{record}: expected a record.sqlite; a sealed export holds JSON already")
    reader = RecordReader(record)
    try:
        first, last = _range(reader, batch)
        contents = {
            "entries.csv": [_TRAIL, *(_trail_row(e) for e in _entries(reader, first, last))],
            "strips.csv": [_STRIPS, *(_strip_row(e, b) for e, b in _strips(reader, first, last))],
            "scores.csv": [_SCORES, *_score_rows(reader, first, last)],
            "batches.csv": [_BATCHES, *_batch_rows(reader, batch)],
            "alarms.csv": [_ALARMS, *_alarm_rows(reader, first, last)],
        }
        with atomic.new_folder(out) as folder:
            for name, rows in contents.items():
                (folder / name).write_text(tables.table_text(rows), encoding="utf-8")
    finally:
        reader.close()
    return {name: len(rows) - 1 for name, rows in contents.items()}


def utc(unix_ns: int | None) -> str | None:
    """Return a time as text, to the millisecond."""
    if unix_ns is None:
        return None
    moment = datetime.fromtimestamp(unix_ns // 10**9, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ns // 10**6 % 1000:03}Z"


def inert(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before such."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def _range(reader: RecordReader, batch: int | None) -> tuple[int, int]:
    if batch is None:
        return 1, reader.head()[0]
    found = reader.batch(batch)
    if found is None:
        raise DataError(f"expected a batch of the record, got {batch}")
    closed = [entry.id for entry in found.history if entry.kind == "batch_closed"]
    return found.entry, closed[-1] if closed else reader.head()[0]


def _entries(
    reader: RecordReader, first: int, last: int, kinds: tuple[str, ...] | None = None
) -> Iterator[Entry]:
    after = first - 1
    while entries := reader.entries(after, kinds, _PAGE, before=last + 1):
        yield from entries
        after = entries[-1].id


def _strips(reader: RecordReader, first: int, last: int) -> Iterator[tuple[Entry, dict[str, Any]]]:
    for entry in _entries(reader, first, last, ("strip",)):
        yield entry, entry.value()


def _trail_row(entry: Entry) -> tuple[Any, ...]:
    return entry.id, utc(entry.unix_ns), entry.kind, entry.actor, entry.body, entry.hash.hex()


def _strip_row(entry: Entry, body: dict[str, Any]) -> tuple[Any, ...]:
    names = ("strip_id", "mode", "name", "verdict", "reason", "gate", "latency_ms", "slack_ms")
    values = [inert(body.get(name)) for name in names]
    return (
        entry.id, body["seq"], body["batch"], utc(entry.unix_ns), *values, body["vials"],
        body.get("pictures_sha256"),
    )  # fmt: skip


def _score_rows(reader: RecordReader, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield φ of every patch of rejected strips, as float32 is written shortest."""
    for _, body in _strips(reader, first, last):
        scores = None if body["verdict"] == "accept" else scores_of(body)
        if scores is None:
            continue
        thresholds = body["thresholds"]
        for frame, vial, region in ((f, v, r) for f, s in enumerate(scores)
                                    for v, t in enumerate(s) for r in range(len(t))):  # fmt: skip
            score, threshold = scores[frame, vial, region], thresholds[region]
            yield (
                body["seq"], body["strip_id"], frame + 1, vial + 1, region + 1, str(score),
                threshold, int(not float(score) <= threshold),
            )  # fmt: skip


def _batch_rows(reader: RecordReader, batch: int | None) -> Iterator[tuple[Any, ...]]:
    for found in reversed(reader.batches(limit=2**31)):
        if batch in (None, found.id):
            yield (
                found.id, inert(found.product), inert(found.number), found.bundle_sha256,
                found.status, utc(found.opened_ns), found.opened_by, utc(found.started_ns),
                utc(found.closed_ns), found.closed_by, found.balance.triggers,
                found.balance.accepted, json.dumps(dict(sorted(found.balance.rejected.items()))),
            )  # fmt: skip


def _alarm_rows(reader: RecordReader, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    for alarm in reversed(reader.alarms(open_only=False, limit=2**31)):
        if first <= alarm.id <= last:
            yield (
                alarm.id, alarm.key, inert(alarm.text), utc(alarm.raised_ns), utc(alarm.cleared_ns),
                utc(alarm.acknowledged_ns), alarm.acknowledged_by, inert(alarm.why),
            )  # fmt: skip
