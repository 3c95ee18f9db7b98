"""Whether a record is as it was written: `vialsight record verify`, offline, on any machine."""

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vialsight.errors import DataError
from vialsight.station.record import database, pictures
from vialsight.station.record.database import DatabaseFile
from vialsight.station.record.findings import Findings
from vialsight.station.record.sealed import SealedFile
from vialsight.station.record.trail import Trail, TrailCheck

RecordFile = DatabaseFile | SealedFile


@dataclass(frozen=True)
class Verified:
    """What a check found, and what of: entries, strips, pictures; number and hash of the last."""

    findings: Findings
    entries: int
    strips: int
    rejects: int
    pictures: int
    pictures_deleted: int
    head: tuple[int, str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings.found

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "whole": self.is_whole,
            "entries": self.entries,
            "strips": self.strips,
            "rejects": self.rejects,
            "pictures": self.pictures,
            "pictures_deleted": self.pictures_deleted,
            "head": f"{self.head[0]}:{self.head[1]}",
            **self.findings.to_json(),
        }


def open_record(path: Path) -> RecordFile:
    """Open a record.sqlite or a sealed export. Raises DataError when it is neither."""
    try:
        is_database = database.reads(path)
    except OSError as error:
        raise DataError(f"{path}: expected a record, cannot read it: {error.strerror}") from None
    return DatabaseFile(path) if is_database else SealedFile(path)


def verify(file: RecordFile, *, head: tuple[int, bytes] | None = None) -> Verified:
    """Check file, chain, what follows from it, and pictures.

    `head` are number and hash of an entry, as a report or the page showed them: it must be in the
    record, which by that was not cut before it.
    """
    findings = Findings()
    noted = file.check_head(findings) if isinstance(file, DatabaseFile) else file.head
    known = [(where, value) for where, value in (("--head", head), ("head", noted)) if value]
    trail = _check(file, findings, [value[0] for _, value in known])
    for where, (id, digest) in known:
        if id and trail.hashes.get(id) != digest:
            findings.add(
                where,
                f"expected entry {id} with the hash {digest.hex()[:16]}…, got "
                f"{'another' if id in trail.hashes else 'none: the end is missing'}",
            )
    found, deleted = _check_pictures(file, trail, findings)
    return Verified(
        findings, trail.entries, trail.strips, trail.rejects, found, deleted,
        (trail.head[0], trail.head[1].hex()),
    )  # fmt: skip


def head_of_text(text: str) -> tuple[int, bytes]:
    """Return number and hash of `ID:HASH`. Raises DataError."""
    id, _, digest = text.partition(":")
    try:
        if not id.isdecimal() or len(digest) != 64:
            raise ValueError
        return int(id), bytes.fromhex(digest)
    except ValueError:
        raise DataError(
            f"--head: expected ID:HASH as reports show it, with 64 hex digits; got {text[:100]!r}"
        ) from None


def _check(file: RecordFile, findings: Findings, asked: list[int]) -> Trail:
    """Check file, chain and derived tables; a file that cannot be read on is a finding."""
    excerpt = {} if isinstance(file, DatabaseFile) else _excerpt(file)
    check = TrailCheck(findings, asked=asked, **excerpt)
    try:
        file.check_file(findings)
        for row in file.rows():
            check.take(row)
        if isinstance(file, DatabaseFile):
            file.check_derived(check, findings)
    except (sqlite3.Error, DataError, ValueError, OverflowError) as error:
        findings.add("record", f"cannot be read on after entry {check.trail.head[0]}: {error}")
    return check.trail


def _excerpt(file: SealedFile) -> dict[str, Any]:
    return {"first": file.first, "previous": file.previous}


def _check_pictures(file: RecordFile, trail: Trail, findings: Findings) -> tuple[int, int]:
    """Compare pictures with the hashes in the trail; return how many there are, and are deleted."""
    deleted = trail.deleted | (file.deleted if isinstance(file, SealedFile) else set())
    found = gone = 0
    for seq, expected in trail.pictures.items():
        content = file.picture(seq)
        name = pictures.file_name(seq)
        if content is None and seq in deleted:
            gone += 1
        elif content is None:
            findings.add(name, "expected pictures, whose hash is recorded, got no file")
        elif hashlib.sha256(content).hexdigest() != expected:
            findings.add(name, "expected the hash that is recorded, got another")
        else:
            found += 1
    known = {pictures.file_name(seq) for seq in trail.pictures}
    for name in file.picture_names():
        if name not in known:
            findings.note(f"{name} is beside the pictures and no part of the record")
    return found, gone
