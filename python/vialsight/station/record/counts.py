"""Whether the counts of a batch agree: the record's, the inspector's own and the machine's."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.record import balance
from vialsight.station.record.balance import Balance

# A source triggers itself, or the machine does: a few strips tell which.
_LOOKED_AT: Final = 20


@dataclass(frozen=True)
class Counts:
    """What each has counted of a batch, and in what they differ, a sentence each.

    `inspector` is summed over the inspector's processes, None where one of them ended before it
    could tell; `machine_triggers` is None where the source triggers itself.
    """

    recorded: Balance
    inspector: Balance | None
    machine_triggers: int | None
    findings: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values for the entry and the page."""
        return {
            "recorded": self.recorded.to_json(),
            "inspector": None if self.inspector is None else self.inspector.to_json(),
            "machine_triggers": self.machine_triggers,
            "agree": self.agree,
            "findings": list(self.findings),
        }


def count(connection: sqlite3.Connection, batch: int, opened: int) -> Counts:
    """Compare the counts of a batch whose entry of opening has the number `opened`."""
    recorded = balance.recorded(connection, batch)
    inspector, findings = _inspector(connection, batch, opened)
    machine = _machine(connection, batch, opened, recorded)
    if not recorded.is_consistent:
        findings.append("recorded strips are not the sum of accepted and rejected ones")
    if inspector is not None and inspector != recorded:
        findings.append(f"the inspector counted {_text(inspector)}, recorded are {_text(recorded)}")
    if machine is not None and machine != recorded.triggers:
        findings.append(f"the machine counted {machine} strips, recorded are {recorded.triggers}")
    return Counts(recorded, inspector, machine, tuple(findings))


def _inspector(
    connection: sqlite3.Connection, batch: int, opened: int
) -> tuple[Balance | None, list[str]]:
    """Add up what the inspector's processes said last of the batch."""
    findings: list[str] = []
    total, known = Balance(), True
    for first, last in _sessions(connection, opened):
        records = balance.recorded(connection, batch, after=first, up_to=last)
        told = _last_told(connection, batch, first, last)
        if told is None:
            if records.triggers:
                known = False
                findings.append(
                    f"the inspector's process that began in entry {first} ended without a count; "
                    f"{records.triggers} strips of it are recorded"
                )
            continue
        entry, said = told
        before = balance.recorded(connection, batch, after=first, up_to=entry)
        if before != said:
            findings.append(
                f"entry {entry}: the inspector counted {_text(said)}, recorded until then are "
                f"{_text(before)}"
            )
        if before != records:
            known = False
            findings.append(
                f"the inspector's process that began in entry {first} ended without a last count"
            )
        total = _added(total, said)
    return (total if known else None), findings


def _sessions(connection: sqlite3.Connection, opened: int) -> list[tuple[int, int]]:
    """Return the entry after which each process of the inspector wrote, and its last."""
    rows = connection.execute(
        "SELECT id FROM entry WHERE kind = 'start' AND id >= "
        "coalesce((SELECT max(id) FROM entry WHERE kind = 'start' AND id < ?), 0) ORDER BY id",
        (opened,),
    ).fetchall()
    starts = [row[0] for row in rows]
    ends = [*(start - 1 for start in starts[1:]), balance.LAST]
    return list(zip(starts, ends, strict=True))


def _last_told(
    connection: sqlite3.Connection, batch: int, first: int, last: int
) -> tuple[int, Balance] | None:
    rows = connection.execute(
        "SELECT id, body FROM entry WHERE kind = 'command_done' AND id > ? AND id <= ? "
        "ORDER BY id DESC",
        (first, last),
    ).fetchall()
    for id, text in rows:
        body = json.loads(text)
        if body.get("batch") == batch and body.get("balance") is not None:
            return id, balance.of_json(body["balance"])
    return None


def _machine(
    connection: sqlite3.Connection, batch: int, opened: int, recorded: Balance
) -> int | None:
    """Return what the machine counted: what came here, and what it says did not."""
    last = connection.execute(
        "SELECT e.body FROM strip s JOIN entry e ON e.id = s.entry WHERE s.batch = ? AND "
        "s.mode != 'challenge' ORDER BY s.entry DESC LIMIT ?",
        (batch, _LOOKED_AT),
    ).fetchall()
    if all(json.loads(row[0]).get("machine_count") is None for row in last):
        return None
    rows = connection.execute(
        "SELECT body FROM entry WHERE kind = 'event' AND id > ?", (opened,)
    ).fetchall()
    bodies = [json.loads(row[0]) for row in rows]
    lost = sum(
        int(body.get("lost", 0))
        for body in bodies
        if body.get("event") == "lost_triggers" and body.get("batch") == batch
    )
    return recorded.triggers + lost


def _added(one: Balance, other: Balance) -> Balance:
    reasons = {*one.rejected, *other.rejected}
    rejected = {r: one.rejected.get(r, 0) + other.rejected.get(r, 0) for r in reasons}
    return Balance(one.triggers + other.triggers, one.accepted + other.accepted, rejected)


def _text(value: Balance) -> str:
    reasons = ", ".join(f"{count} {name}" for name, count in sorted(value.rejected.items()))
    return f"{value.triggers} strips ({value.accepted} accepted; {reasons or 'none rejected'})"
