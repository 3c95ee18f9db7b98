"""What was recorded of a batch, counted: every strip that came in has a verdict and a record."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Refused strips of a gap are told with their number alone.
_COUNTED: Final = "mode != 'challenge'"
# Above any number of an entry.
LAST: Final = 2**62


@dataclass(frozen=True)
class Balance:
    """Strips that came in = accepted + the sum of rejected, by reason."""

    triggers: int = 0
    accepted: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "triggers": self.triggers,
            "accepted": self.accepted,
            "rejected": dict(sorted(self.rejected.items())),
        }

    @property
    def is_consistent(self) -> bool:
        """Whether the sum is right."""
        return self.triggers == self.accepted + sum(self.rejected.values())


def of_json(value: Mapping[str, Any]) -> Balance:
    """Return the balance that an entry holds; reasons that did not occur are left out."""
    rejected = {str(k): int(v) for k, v in value["rejected"].items() if v}
    return Balance(int(value["triggers"]), int(value["accepted"]), rejected)


def recorded(
    connection: sqlite3.Connection, batch: int, *, after: int = 0, up_to: int = LAST
) -> Balance:
    """Count the strips and gaps of a batch in entries `after` < id ≤ `up_to`, challenges apart."""
    rows = connection.execute(
        "SELECT verdict, reason, count(*) FROM strip WHERE batch = ? AND entry > ? AND "
        f"entry <= ? AND {_COUNTED} GROUP BY verdict, reason",
        (batch, after, up_to),
    ).fetchall()
    accepted = sum(count for verdict, _, count in rows if verdict == "accept")
    rejected = {reason: count for verdict, reason, count in rows if verdict != "accept"}
    for count, reason in gaps(connection, batch, after=after, up_to=up_to):
        rejected[reason] = rejected.get(reason, 0) + count
    return Balance(accepted + sum(rejected.values()), accepted, rejected)


def gaps(
    connection: sqlite3.Connection, batch: int, *, after: int = 0, up_to: int = LAST
) -> list[tuple[int, str]]:
    """Return count and reason of the gaps of a batch."""
    rows = connection.execute(
        "SELECT body FROM entry WHERE kind = 'gap' AND id > ? AND id <= ?", (after, up_to)
    ).fetchall()
    bodies = [json.loads(row[0]) for row in rows]
    return [(int(b["count"]), str(b["reason"])) for b in bodies if b["batch"] == batch]
