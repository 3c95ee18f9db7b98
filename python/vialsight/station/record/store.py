"""The record's only writer: entries in transactions, each durable before anyone is answered."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.station.record import chain, schema
from vialsight.station.record.chain import Entry

HEAD_NAME: Final = "record.head"
_BUSY_S: Final = 10.0


class RecordStore:
    """The tables of one `record.sqlite`, made where there are none.

    One process writes at a time (`recorder.lock`); one thread. Whatever is appended inside
    `transaction` is there as a whole or not at all, whenever the process is killed.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.path, self.now_ns = path, now_ns
        # Descriptors and journals of the file are the owner's alone.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        self._connection = connect(path)
        self._head_file = os.open(
            path.with_name(HEAD_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._id, self._hash = 0, chain.FIRST_PREVIOUS
        self._make()
        self._id, self._hash = self._read_head()

    def close(self) -> None:
        """Put the journal into the file and close both."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        os.close(self._head_file)

    @property
    def head(self) -> tuple[int, bytes]:
        """Number and hash of the last entry; (0, zeros) of an empty record."""
        return self._id, self._hash

    @property
    def connection(self) -> sqlite3.Connection:
        """For reading, and for the tables outside the trail inside a `transaction`."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing when it raises. Inside another: part of that."""
        if self._connection.in_transaction:
            yield
            return
        before = self._id
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            # Not what it was before: a commit that failed may have been done all the same.
            self._id, self._hash = self._read_head()
            raise
        if self._id != before:
            self._note_head()

    def append(
        self, kind: str, actor: str, body: dict[str, Any], *, unix_ns: int | None = None
    ) -> Entry:
        """Append an entry, by itself or as part of the transaction. `unix_ns`: None means now.

        Raises ValueError for a body that is no JSON, sqlite3.Error when it cannot be written.
        """
        with self.transaction():
            when = self.now_ns() if unix_ns is None else unix_ns
            text = chain.canonical(body)
            entry = chain.made(
                self._hash, id=self._id + 1, unix_ns=when, kind=kind, actor=actor, body=text
            )
            self._connection.execute(
                "INSERT INTO entry VALUES(?, ?, ?, ?, ?, ?)",
                (entry.id, entry.unix_ns, entry.kind, entry.actor, entry.body, entry.hash),
            )
            self._id, self._hash = entry.id, entry.hash
            derive(self._connection, entry, body)
        return entry

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the state, any JSON."""
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Set a value of the state, any JSON."""
        text = json.dumps(value, sort_keys=True)
        self._connection.execute(
            "INSERT OR REPLACE INTO state VALUES(?, ?, ?)",
            (key, text, schema.row_digest(key, text)),
        )

    def _make(self) -> None:
        found = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found == 0:
            with self.transaction():
                for statement in schema.statements():
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {schema.FORMAT}")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != schema.FORMAT:
            raise DataError(
                f"{self.path}: expected a record of format {schema.FORMAT}, got {version}; "
                "use the vialsight that wrote it"
            )

    def _read_head(self) -> tuple[int, bytes]:
        row = self._connection.execute(
            "SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return (0, chain.FIRST_PREVIOUS) if row is None else (row[0], row[1])

    def _note_head(self) -> None:
        # Written after the commit and never synced: it may lag behind the record, never lead it.
        text = f"{self._id}:{self._hash.hex()}\n".encode()
        with suppress(OSError):
            os.pwrite(self._head_file, text, 0)
            os.ftruncate(self._head_file, len(text))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a record. Raises DataError when there is none or it is no SQLite file."""
    mode = "ro" if read_only else "rw"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(
            address, uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, ValueError) as error:
        raise DataError(f"{path}: expected a record (SQLite), cannot read it: {error}") from None
    return connection


def derive(connection: sqlite3.Connection, entry: Entry, body: dict[str, Any]) -> None:
    """Add the row of `strip` or `batch` that an entry implies, if any."""
    row = derived_row(entry, body)
    if row is not None:
        table, values = row
        places = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES({places})", values)


def derived_row(entry: Entry, body: dict[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Return table and row that an entry implies; None where it implies none."""
    if entry.kind == "strip":
        latency = body.get("latency_ms")
        return "strip", (
            entry.id, body["seq"], body["batch"], entry.unix_ns, signed(body["strip_id"]),
            body["verdict"], body["reason"], body["mode"],
            None if latency is None else float(latency),
        )  # fmt: skip
    if entry.kind == "batch_opened":
        return "batch", (
            body["batch"], entry.id, body["product"], body["number"], body["bundle_sha256"],
        )  # fmt: skip
    return None


def signed(number: int) -> int:
    """Return a u64 as SQLite keeps it: as the i64 of the same bits."""
    return number - 2**64 if number >= 2**63 else number
