"""Checks `record.sqlite` as a file: what SQLite says, its tables, what follows from the trail."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.station.accounts import account_of_row
from vialsight.station.record import pictures, schema, store
from vialsight.station.record.findings import Findings
from vialsight.station.record.trail import Row, TrailCheck

_HEAD: Final = re.compile(rb"(0|[1-9][0-9]*):([0-9a-f]{64})\n")
_ROWS: Final = 1000
_SIDE_TABLES: Final = ("account", "session", "state")


class DatabaseFile:
    """A record.sqlite with its pictures in `frames` beside it, opened to be read only."""

    def __init__(self, path: Path) -> None:
        self._path, self._frames = path, path.with_name("frames")
        self._connection = _opened(path)
        # Of a record that is being written, all is read as it stands now.
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def check_file(self, findings: Findings) -> None:
        """Check what SQLite can say of the file, and that it holds our tables and no others."""
        for row in self._connection.execute("PRAGMA integrity_check").fetchall():
            if row[0] != "ok":
                findings.add(self._path.name, str(row[0]))
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != schema.FORMAT:
            findings.add(self._path.name, f"expected format {schema.FORMAT}, got {version}")
        found = self._connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        self._check_master(set(found.fetchall()), findings)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the trail in order."""
        cursor = self._connection.execute(
            "SELECT id, unix_ns, kind, actor, body, hash FROM entry ORDER BY id"
        )
        while rows := cursor.fetchmany(_ROWS):
            yield from rows

    def check_derived(self, check: TrailCheck, findings: Findings) -> None:
        """Compare the tables that follow from the trail with what follows from it."""
        for table, expected in check.trail.derived.items():
            found = self._connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            if _typed(found) != _typed(sorted(expected)):
                findings.add(
                    self._path.name,
                    f"table {table}: expected the {len(expected)} rows that its entries make, got "
                    f"{len(found)} rows that differ",
                )
        self._check_sides(findings)
        self._check_accounts(check.trail.accounts, findings)
        self._check_position(findings)

    def check_head(self, findings: Findings) -> tuple[int, bytes] | None:
        """Return what `record.head` says the last entry was; None where there is no such file."""
        path = self._path.with_name(store.HEAD_NAME)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            findings.note(f"{path.name} is missing: a removed end is found by --head only")
            return None
        match = _HEAD.fullmatch(content)
        if match is None:
            findings.add(path.name, "expected the number and the hash of an entry")
            return None
        return int(match[1]), bytes.fromhex(match[2].decode())

    def picture(self, seq: int) -> bytes | None:
        """Return the content of the file with a strip's pictures; None: there is none."""
        try:
            return pictures.path_of(self._frames, seq).read_bytes()
        except FileNotFoundError:
            return None

    def picture_names(self) -> list[str]:
        """Return the names in the folder of pictures."""
        try:
            return sorted(path.name for path in self._frames.iterdir())
        except FileNotFoundError:
            return []

    def _check_master(self, found: set[Any], findings: Findings) -> None:
        for kind, name, _, _ in found ^ schema.master():
            findings.add(
                self._path.name, f"{kind} {name}: expected the tables of a record and no others"
            )

    def _check_sides(self, findings: Findings) -> None:
        for table in _SIDE_TABLES:
            for row in self._connection.execute(f"SELECT * FROM {table}").fetchall():
                if row[-1] != schema.row_digest(*row[:-1]):
                    findings.add(self._path.name, f"table {table}: the row {row[0]!r} was changed")

    def _check_accounts(self, traced: dict[str, dict[str, Any]], findings: Findings) -> None:
        rows = self._connection.execute("SELECT * FROM account").fetchall()
        found = {row[0]: account_of_row(row[:-1]).traced() for row in rows}
        for user in sorted({*found, *traced}):
            if found.get(user) != traced.get(user):
                findings.add(self._path.name, f"account {user}: expected it as its last entry says")

    def _check_position(self, findings: Findings) -> None:
        """Check that the spool is read on from behind what is recorded."""
        row = self._connection.execute("SELECT max(seq) FROM strip").fetchone()
        position = self._connection.execute(
            "SELECT value FROM state WHERE key = 'spool_seq'"
        ).fetchone()
        if row[0] is not None and (position is None or int(position[0]) < row[0]):
            findings.add(self._path.name, f"expected to read the spool on after number {row[0]}")


def reads(path: Path) -> bool:
    """Return whether a file begins as SQLite's do, or should by its name."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0" or path.suffix == ".sqlite"


def _opened(path: Path) -> sqlite3.Connection:
    """Open a record, from a disk that cannot be written as well, without leaving a file beside it.

    A journal beside it is read, too.
    """
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size > 0:
        return store.connect(path, read_only=True)
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, ValueError) as error:
        raise DataError(f"{path}: expected a record (SQLite), cannot read it: {error}") from None
    return connection


def _typed(rows: list[Any]) -> list[Any]:
    """Return rows with the type of each value: 1 and 1.0 are not the same here."""
    return [tuple((type(value), value) for value in row) for row in rows]
