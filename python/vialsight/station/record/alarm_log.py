"""Alarms as the trail tells of them: raised, cleared, acknowledged."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.record.chain import Entry

KINDS: Final = ("alarm", "alarm_acknowledged")


@dataclass(frozen=True)
class Alarm:
    """An alarm: `id` is the entry that raised it. Open: not cleared, or not acknowledged."""

    id: int
    key: str
    text: str
    raised_ns: int
    value: float | None
    limit: float | None
    cleared_ns: int | None
    acknowledged_ns: int | None
    acknowledged_by: str | None
    why: str | None

    @property
    def is_open(self) -> bool:
        """Whether someone must still look at it."""
        return self.cleared_ns is None or self.acknowledged_ns is None


def alarms_of(entries: Iterable[Entry]) -> list[Alarm]:
    """Return the alarms that entries of KINDS tell of, in the order in which they were raised."""
    found: dict[int, Alarm] = {}
    for entry in entries:
        _apply(found, entry)
    return list(found.values())


def _apply(found: dict[int, Alarm], entry: Entry) -> None:
    body = entry.value()
    if entry.kind == "alarm" and body["state"] == "raised":
        found[entry.id] = Alarm(
            id=entry.id, key=body["alarm"], text=body["text"], raised_ns=entry.unix_ns,
            value=body.get("value"), limit=body.get("limit"), cleared_ns=None,
            acknowledged_ns=None, acknowledged_by=None, why=None,
        )  # fmt: skip
        return
    raised = found.get(body["raised"])
    if raised is None:
        return
    if entry.kind == "alarm":
        changes: dict[str, Any] = {"cleared_ns": entry.unix_ns}
    else:
        changes = {
            "acknowledged_ns": entry.unix_ns, "acknowledged_by": entry.actor, "why": body["why"],
        }  # fmt: skip
    found[raised.id] = dataclasses.replace(raised, **changes)
