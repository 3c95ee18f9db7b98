"""Tables of the record, as `sqlite_master` must hold them to the letter."""

import hashlib
from typing import Any, Final

FORMAT: Final = 1

_TRAIL: Final = ("entry", "strip", "batch")
_TABLES: Final = {
    "entry": (
        "CREATE TABLE entry(id INTEGER PRIMARY KEY, unix_ns INTEGER NOT NULL, kind TEXT NOT NULL, "
        "actor TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL)"
    ),
    "strip": (
        "CREATE TABLE strip(entry INTEGER PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, "
        "batch INTEGER NOT NULL, unix_ns INTEGER NOT NULL, strip_id INTEGER NOT NULL, "
        "verdict TEXT NOT NULL, reason TEXT NOT NULL, mode TEXT NOT NULL, latency_ms REAL)"
    ),
    "batch": (
        "CREATE TABLE batch(id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, product TEXT NOT NULL, "
        "number TEXT NOT NULL, bundle_sha256 TEXT NOT NULL)"
    ),
    "account": (
        "CREATE TABLE account(user TEXT PRIMARY KEY, full_name TEXT NOT NULL, role TEXT NOT NULL, "
        "password TEXT NOT NULL, must_change INTEGER NOT NULL, disabled INTEGER NOT NULL, "
        "failures INTEGER NOT NULL, locked_until_ns INTEGER NOT NULL, digest BLOB NOT NULL)"
    ),
    "session": (
        "CREATE TABLE session(token_sha256 TEXT PRIMARY KEY, user TEXT NOT NULL, "
        "origin TEXT NOT NULL, created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, "
        "used_ns INTEGER NOT NULL, digest BLOB NOT NULL)"
    ),
    "state": (
        "CREATE TABLE state(key TEXT PRIMARY KEY, value TEXT NOT NULL, digest BLOB NOT NULL)"
    ),
}
_INDEXES: Final = {
    "entry_kind": "CREATE INDEX entry_kind ON entry(kind, id)",
    # Batches are counted from it alone: one may have 10⁵ strips, and pages ask often.
    "strip_batch": "CREATE INDEX strip_batch ON strip(batch, entry, mode, verdict, reason)",
    "strip_verdict": "CREATE INDEX strip_verdict ON strip(verdict, entry)",
}
# Made by SQLite for UNIQUE and for keys that are no integers.
_AUTOMATIC: Final = ("strip", "account", "session", "state")


def _trigger(table: str, event: str) -> tuple[str, str]:
    name = f"{table}_no_{event.lower()}"
    return name, (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the record is never changed: no {event} on {table}'); END"
    )


def statements() -> list[str]:
    """Return what makes the tables, in order."""
    triggers = [_trigger(table, event)[1] for table in _TRAIL for event in ("UPDATE", "DELETE")]
    return [*_TABLES.values(), *_INDEXES.values(), *triggers]


def master() -> set[tuple[str, str, str, str | None]]:
    """Return (type, name, table, SQL) of everything that `sqlite_master` must hold."""
    found: set[tuple[str, str, str, str | None]] = {
        ("table", name, name, sql) for name, sql in _TABLES.items()
    }
    found |= {
        ("index", name, sql.split(" ON ")[1].split("(")[0], sql) for name, sql in _INDEXES.items()
    }
    found |= {("index", f"sqlite_autoindex_{table}_1", table, None) for table in _AUTOMATIC}
    for table in _TRAIL:
        for event in ("UPDATE", "DELETE"):
            name, sql = _trigger(table, event)
            found.add(("trigger", name, table, sql))
    return found


def row_digest(*values: Any) -> bytes:
    """Return what the `digest` column of a row with these values must be: it shows a flipped bit.

    Rows outside the trail are not in the chain; who can write the file can write this as well.
    """
    return hashlib.sha256(repr(values).encode()).digest()
