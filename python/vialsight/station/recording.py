"""From the spool into the record: every entry once, in order, whenever the recorder was killed.

Where reading goes on lies in the record's file and changes in the same transaction as the entries.
Pictures are on disk before that transaction: a strip's entry holds their hash. A strip whose
pictures have not come yet waits for them.
"""

import base64
import binascii
import hashlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.station import spool
from vialsight.station.batches import Batches
from vialsight.station.record import pictures
from vialsight.station.record.store import RecordStore
from vialsight.station.spool import Damage, SpoolEntry

INSPECTOR: Final = "inspector"
RECORDER: Final = "recorder"
POSITION: Final = "spool_seq"
_SCORES_BYTES: Final = 4


@dataclass
class Recorded:
    """What one step recorded: bodies by kind, and answers that someone may wait for."""

    entries: int = 0
    strips: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Group:
    """An entry with the file of its pictures, if it has one."""

    entry: SpoolEntry
    last_seq: int
    body: dict[str, Any] | None
    error: str | None = None
    pictures_sha256: str | None = None


class Recording:
    """Takes items of the spool in order and records them. One thread.

    What could not be recorded (disk full) stays, and is tried again by the next `step`.
    """

    def __init__(
        self, store: RecordStore, frames: Path, batches: Batches, is_reachable: Callable[[], bool]
    ) -> None:
        self._store, self._frames, self._batches = store, frames, batches
        self._is_reachable = is_reachable
        self._items: deque[SpoolEntry | Damage] = deque()

    @property
    def position(self) -> int | None:
        """Return the last number of the spool that is recorded; None: nothing yet."""
        found: int | None = self._store.get(POSITION)
        return found

    @property
    def waiting(self) -> int:
        """Return how many items were read and are not recorded."""
        return len(self._items)

    def add(self, items: list[SpoolEntry | Damage]) -> None:
        """Take items that were read."""
        self._items.extend(items)

    def step(self) -> Recorded:
        """Record what was taken, in one transaction. Raises OSError, sqlite3.Error."""
        self._drop_recorded()
        taken, groups = self._groups()
        recorded = Recorded()
        if taken == 0:
            return recorded
        with self._store.transaction():
            for item in groups:
                if isinstance(item, Damage):
                    self._note_damage(item, recorded)
                else:
                    self._record(item, recorded)
        for _ in range(taken):
            self._items.popleft()
        return recorded

    def _drop_recorded(self) -> None:
        """Drop what a commit that failed has recorded all the same."""
        position = self.position
        while self._items and position is not None:
            first = self._items[0]
            if isinstance(first, Damage) or first.seq > position:
                return
            self._items.popleft()

    def _groups(self) -> tuple[int, list[_Group | Damage]]:
        """Put strips and their pictures together, and the pictures on disk."""
        items, groups, place = list(self._items), list[_Group | Damage](), 0
        while place < len(items):
            item = items[place]
            if isinstance(item, Damage):
                groups.append(item)
                place += 1
                continue
            body, error = _parsed(item)
            kept = body is not None and item.kind == spool.STRIP and body["pictures"] == "kept"
            if kept and place + 1 == len(items) and self._is_reachable():
                break
            follower = items[place + 1] if kept and place + 1 < len(items) else None
            if isinstance(follower, SpoolEntry) and follower.kind == spool.PICTURES:
                digest, error = self._keep(item.seq, follower)
                groups.append(_Group(item, follower.seq, body, error, digest))
                place += 2
                continue
            error = "the pictures did not follow the strip" if kept else error
            groups.append(_Group(item, item.seq, body, error))
            place += 1
        return place, groups

    def _keep(self, seq: int, entry: SpoolEntry) -> tuple[str | None, str | None]:
        """Write the pictures of a strip; return the hash of the file, or why there is none."""
        try:
            of, found = pictures.pictures_of_payload(entry.payload)
        except DataError as error:
            return None, str(error)
        if of != seq:
            return None, f"pictures in the spool: expected those of strip {seq}, got {of}"
        content = pictures.file_bytes(found)
        atomic.write_bytes(pictures.path_of(self._frames, seq), content)
        return hashlib.sha256(content).hexdigest(), None

    def _record(self, group: _Group, recorded: Recorded) -> None:
        entry = group.entry
        position = self.position
        if position is not None and entry.seq != position + 1:
            self._event(
                recorded, "spool_gap", "entries of the spool are missing",
                from_seq=position + 1, to_seq=entry.seq - 1,
            )  # fmt: skip
        if group.body is None:
            self._event(
                recorded, "spool_invalid", group.error or "", seq=entry.seq, kind=entry.kind,
                sha256=hashlib.sha256(entry.payload).hexdigest(),
            )  # fmt: skip
        else:
            self._append(group, recorded)
        self._store.put(POSITION, group.last_seq)

    def _append(self, group: _Group, recorded: Recorded) -> None:
        entry, body = group.entry, dict(group.body or {})
        body["seq"] = entry.seq
        if entry.kind == spool.STRIP:
            body["pictures_sha256"] = group.pictures_sha256
            if group.error is not None:
                body["pictures"] = "lost"
        made = self._store.append(
            spool.KIND_NAMES[entry.kind], INSPECTOR, body, unix_ns=entry.unix_ns
        )
        recorded.entries += 1
        answer = None
        if entry.kind == spool.STRIP:
            recorded.strips.append(body)
        elif entry.kind == spool.START:
            recorded.starts.append(body)
            answer = self._batches.outcomes.began(body, made.id)
        elif entry.kind == spool.COMMAND:
            answer = self._batches.outcomes.done(body)
        elif entry.kind == spool.EVENT:
            recorded.events.append(body)
        if answer is not None:
            recorded.answers.append(answer)
        if entry.kind == spool.STRIP and group.error is not None:
            self._event(recorded, "pictures_lost", group.error, strip_seq=entry.seq)

    def _note_damage(self, damage: Damage, recorded: Recorded) -> None:
        self._event(
            recorded, "spool_damaged", f"{damage.size} bytes of {damage.segment} are no entries",
            segment=damage.segment, offset=damage.offset, size=damage.size,
        )  # fmt: skip

    def _event(self, recorded: Recorded, name: str, text: str, **facts: Any) -> None:
        body = {"event": name, "text": text, **facts}
        self._store.append("event", RECORDER, body)
        recorded.events.append(body)
        recorded.entries += 1


_FIELDS: Final[dict[int, dict[str, type | tuple[type, ...]]]] = {
    spool.START: {"session": str, "bundle": str, "bundle_sha256": str},
    spool.STRIP: {
        "strip_id": int, "batch": int, "mode": str, "verdict": str, "reason": str, "gate": str,
        "vials": str, "thresholds": list, "pictures": str,
    },
    spool.GAP: {"from_strip": int, "to_strip": int, "count": int, "batch": int, "reason": str},
    spool.COMMAND: {"command_id": int, "command": str, "ok": bool},
    spool.EVENT: {"event": str},
}  # fmt: skip


def _parsed(entry: SpoolEntry) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object of an entry, or what is wrong with it.

    Checksums were right: what is wrong was written so, and must not stop the record.
    """
    if entry.kind not in _FIELDS:
        return None, f"an entry of kind {entry.kind} by itself"
    try:
        body = json.loads(entry.payload, parse_constant=_refuse_constant)
        _check(body, entry.kind)
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        return None, f"expected the JSON of {spool.KIND_NAMES[entry.kind]}, got: {error}"
    return body, None


def _check(body: Any, kind: int) -> None:
    if not isinstance(body, dict):
        raise ValueError("no object")
    for name, wanted in _FIELDS[kind].items():
        value = body.get(name)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise ValueError(f"{name}: {str(value)[:80]!r}")
    json.dumps(body, ensure_ascii=False).encode()
    if kind == spool.STRIP:
        _check_strip(body)
    if kind == spool.COMMAND and body.get("balance") is not None:
        _check_balance(body["balance"])


def _check_strip(body: dict[str, Any]) -> None:
    if body["verdict"] not in ("accept", "reject"):
        raise ValueError(f"verdict: {body['verdict'][:80]!r}")
    if not 0 <= body["strip_id"] < 2**64 or not 0 <= body["batch"] < 2**32:
        raise ValueError("strip_id or batch out of range")
    if body.get("latency_ms") is not None and not isinstance(body["latency_ms"], int | float):
        raise ValueError("latency_ms is no number")
    text = body.get("scores")
    if text is None:
        return
    per_frame = max(1, len(body["vials"]) * len(body["thresholds"])) * _SCORES_BYTES
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"scores: {error}") from None
    if size % per_frame:
        raise ValueError(f"scores: expected a multiple of {per_frame} bytes, got {size}")


def _check_balance(value: Any) -> None:
    counts = [value["triggers"], value["accepted"], *value["rejected"].values()]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("balance: expected counts")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
