"""The trail as auditors read it: filtered on the page, whole and with its hashes as a file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.record.chain import Entry
from vialsight.station.record.reading import RecordReader

PAGE: Final = 100
_CHUNK: Final = 500
_MOST_LOOKED_AT: Final = 20_000
# What the filter offers; "" is all but strips, which would hide the rest.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "people": (
        "login", "login_failed", "logout", "account", "change", "command", "note", "review",
        "refused", "alarm_acknowledged", "verified",
    ),
    "batches": (
        "batch_opened", "challenge_started", "challenge_passed", "challenge_failed",
        "batch_started", "batch_halted", "batch_held", "batch_resumed", "batch_closed",
    ),
    "machine": (
        "start", "gap", "command_done", "event", "alarm", "clock_changed", "recorder_started",
        "pictures_deleted",
    ),
    "strips": ("strip",),
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Which entries: a group, whose, with a word in them, below a number (0: from the newest)."""

    group: str
    actor: str
    word: str
    before: int

    def query(self, **changes: Any) -> dict[str, Any]:
        """Return it as a query, with changes."""
        values = {"group": self.group, "actor": self.actor, "word": self.word, **changes}
        return {name: value for name, value in values.items() if value}


def wanted(query: Mapping[str, str]) -> Wanted:
    """Return what a query asks for; what it cannot ask for is left out."""
    group, before = query.get("group", ""), query.get("before", "")
    return Wanted(
        group=group if group in GROUPS else "",
        actor=query.get("actor", "")[:64],
        word=query.get("word", "")[:64],
        before=int(before) if before.isdigit() and len(before) < 19 else 0,
    )


def entries(reader: RecordReader, wish: Wanted) -> list[Entry]:
    """Return at most a page of entries, the newest first."""
    kinds = GROUPS[wish.group] if wish.group else _all_but_strips()
    found: list[Entry] = []
    before, looked_at = wish.before or None, 0
    while len(found) < PAGE and looked_at < _MOST_LOOKED_AT:
        read = reader.entries(kinds=kinds, before=before, limit=_CHUNK, newest=True)
        found += [entry for entry in read if _matches(entry, wish)]
        looked_at += len(read)
        if len(read) < _CHUNK:
            break
        before = read[-1].id
    return found[:PAGE]


def lines(reader: RecordReader, after: int) -> tuple[str, int]:
    """Return the next entries as lines of JSON, and the number of the last; "" at the end.

    A line holds what its hash is made of: SHA-256 of the hash before and id, unix_ns, kind, actor,
    body, each of these on a line of its own.
    """
    read = reader.entries(after=after, limit=_CHUNK)
    text = "".join(
        json.dumps(
            {
                "id": entry.id,
                "unix_ns": entry.unix_ns,
                "kind": entry.kind,
                "actor": entry.actor,
                "body": entry.body,
                "hash": entry.hash.hex(),
            }
        )
        + "\n"
        for entry in read
    )
    return text, read[-1].id if read else after


def facts(entry: Entry) -> list[tuple[str, str]]:
    """Return what an entry says, a name and a short text each; what is inside as "outer.inner"."""
    return list(_flat("", entry.value()))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(f"{prefix}{name}.", value)
        elif value not in (None, "", {}, []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield prefix + name, text if len(text) <= 160 else f"{text[:120]}… ({len(text)})"


def _all_but_strips() -> tuple[str, ...]:
    return tuple(kind for name, kinds in GROUPS.items() if name != "strips" for kind in kinds)


def _matches(entry: Entry, wish: Wanted) -> bool:
    actor = not wish.actor or entry.actor == wish.actor
    word = not wish.word or wish.word.lower() in f"{entry.kind} {entry.body}".lower()
    return actor and word
