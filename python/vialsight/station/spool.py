"""Reads the spool: segments of entries that the inspector writes and nobody else changes.

The newest segment grows while it is read, and its last entry may be incomplete: it is read once it
is whole. Every other byte is checked; what cannot be read is told as Damage, and reading goes on
at the next entry that can.
"""

import itertools
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.errors import VialSightError

SUFFIX: Final = ".vss"
SEGMENT_MAGIC: Final = b"VSSPOOL1"
ENTRY_MAGIC: Final = 0x31455356
SEGMENT_HEADER: Final = struct.Struct("<8sQqII")
ENTRY_HEADER: Final = struct.Struct("<IIQqQII")
START, STRIP, PICTURES, GAP, COMMAND, EVENT = range(1, 7)
KIND_NAMES: Final = {
    START: "start", STRIP: "strip", PICTURES: "pictures", GAP: "gap", COMMAND: "command_done",
    EVENT: "event",
}  # fmt: skip
# More than the pictures of any strip; a length beyond it is damage.
_LARGEST_PAYLOAD: Final = 2**30


class SpoolReset(VialSightError):
    """The spool counts from an earlier number again than what is recorded."""


@dataclass(frozen=True)
class SpoolEntry:
    """An entry whose checksums are right; `unix_ns` is when it happened."""

    kind: int
    seq: int
    unix_ns: int
    payload: bytes


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that are no entries, before the entry that is read next."""

    segment: str
    offset: int
    size: int


@dataclass(frozen=True)
class _Header:
    kind: int
    seq: int
    unix_ns: int
    size: int
    payload_crc: int


class SpoolReader:
    """Reads entries of `folder` after number `after`, in order; None: from the first there is.

    `is_recorded(seq, unix_ns)` is asked of `start` entries up to `after`, to notice a spool that
    was emptied and counts from the beginning again. One thread.
    """

    def __init__(
        self, folder: Path, after: int | None, is_recorded: Callable[[int, int], bool]
    ) -> None:
        self._folder, self._after, self._is_recorded = folder, after, is_recorded
        self._first: int | None = None
        self._file = -1
        self._offset = 0

    def close(self) -> None:
        """Close the segment that is open."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._first = -1, None

    def read(self, *, entries: int, payload_bytes: int) -> list[SpoolEntry | Damage]:
        """Return what comes next, at most so much (one entry at least); nothing: none is whole.

        Raises SpoolReset, OSError.
        """
        found: list[SpoolEntry | Damage] = []
        taken = 0
        while len(found) < entries and taken < payload_bytes:
            item = self._next()
            if item is None:
                break
            found.append(item)
            taken += len(item.payload) if isinstance(item, SpoolEntry) else 0
        return found

    def waiting_bytes(self) -> int:
        """Return how many bytes of the spool have not been read."""
        waiting = 0
        for first in segments(self._folder):
            if self._first is None or first > self._first:
                waiting += segment_path(self._folder, first).stat().st_size
        if self._file >= 0:
            waiting += max(0, os.fstat(self._file).st_size - self._offset)
        return waiting

    def delete_recorded(self, recorded: int) -> list[str]:
        """Delete segments of which all is recorded and a newer one exists; return their names."""
        found, deleted = segments(self._folder), []
        for first, following in itertools.pairwise(found):
            if following <= recorded + 1 and first != self._first:
                path = segment_path(self._folder, first)
                path.unlink(missing_ok=True)
                deleted.append(path.name)
        return deleted

    def _next(self) -> SpoolEntry | Damage | None:
        while self._file >= 0 or self._open_first():
            newer = [first for first in segments(self._folder) if first > (self._first or 0)]
            # The size is taken after the look for a newer one: then it is final.
            item = self._entry_here()
            if isinstance(item, SpoolEntry) and not self._is_new(item):
                continue
            if item is not None:
                return item
            if not newer:
                return None
            self._open(newer[0])
        return None

    def _is_new(self, entry: SpoolEntry) -> bool:
        if self._after is None or entry.seq > self._after:
            self._after = entry.seq
            return True
        if entry.kind == START and not self._is_recorded(entry.seq, entry.unix_ns):
            raise SpoolReset(
                f"{self._folder}: expected entries after number {self._after}, which is recorded, "
                f"got another number {entry.seq}; the spool was emptied. Move {self._folder} and "
                "the record away together, or neither"
            )
        return False

    def _open_first(self) -> bool:
        found = segments(self._folder)
        if not found:
            return False
        wanted = 0 if self._after is None else self._after + 1
        self._open(max((first for first in found if first <= wanted), default=found[0]))
        return True

    def _open(self, first: int) -> None:
        self.close()
        path = segment_path(self._folder, first)
        self._file, self._first, self._offset = os.open(path, os.O_RDONLY | os.O_CLOEXEC), first, 0

    def _entry_here(self) -> SpoolEntry | Damage | None:
        """Return the entry at the offset, or the damage there; None: nothing whole is left."""
        if self._offset == 0 and not self._pass_segment_header():
            return None
        size = os.fstat(self._file).st_size
        header = self._header_at(self._offset)
        if header is not None and self._offset + ENTRY_HEADER.size + header.size <= size:
            payload = os.pread(self._file, header.size, self._offset + ENTRY_HEADER.size)
            if zlib.crc32(payload) == header.payload_crc:
                self._offset += ENTRY_HEADER.size + header.size
                return SpoolEntry(header.kind, header.seq, header.unix_ns, payload)
        elif header is not None or size - self._offset < ENTRY_HEADER.size:
            return None
        return self._resynchronised(size)

    def _pass_segment_header(self) -> bool:
        header = os.pread(self._file, SEGMENT_HEADER.size, 0)
        if len(header) < SEGMENT_HEADER.size:
            return False
        # Wrong fields are damage only if entries are: the name says the first number as well.
        self._offset = SEGMENT_HEADER.size
        return True

    def _header_at(self, offset: int) -> _Header | None:
        raw = os.pread(self._file, ENTRY_HEADER.size, offset)
        return _parsed(raw) if len(raw) == ENTRY_HEADER.size else None

    def _resynchronised(self, size: int) -> Damage | None:
        """Pass what is broken up to the next entry; None: there is none, it is an unfinished tail.

        What the inspector did not finish it cuts away when it starts again.
        """
        magic = ENTRY_MAGIC.to_bytes(4, "little")
        content = os.pread(self._file, size - self._offset, self._offset)
        place = content.find(magic, 1)
        while place >= 0:
            header = _parsed(content[place : place + ENTRY_HEADER.size])
            if header is not None and place + ENTRY_HEADER.size + header.size <= len(content):
                damage = Damage(self._name(), self._offset, place)
                self._offset += place
                return damage
            place = content.find(magic, place + 1)
        return None

    def _name(self) -> str:
        return segment_path(self._folder, self._first or 0).name


def segments(folder: Path) -> list[int]:
    """Return the first numbers of the segments in a folder, ascending."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def segment_path(folder: Path, first: int) -> Path:
    """Return the path of the segment whose first entry has this number."""
    return folder / f"{first:020}{SUFFIX}"


def segment_header(first: int, unix_ns: int) -> bytes:
    """Return the 32 bytes that a segment begins with."""
    head = SEGMENT_HEADER.pack(SEGMENT_MAGIC, first, unix_ns, 0, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def entry_bytes(kind: int, seq: int, unix_ns: int, payload: bytes) -> bytes:
    """Return an entry as it stands in a segment."""
    head = ENTRY_HEADER.pack(ENTRY_MAGIC, kind, seq, unix_ns, len(payload), zlib.crc32(payload), 0)[
        :-4
    ]
    return head + zlib.crc32(head).to_bytes(4, "little") + payload


def _parsed(raw: bytes) -> _Header | None:
    if len(raw) < ENTRY_HEADER.size:
        return None
    magic, kind, seq, unix_ns, size, payload_crc, crc = ENTRY_HEADER.unpack(raw)
    whole = magic == ENTRY_MAGIC and crc == zlib.crc32(raw[:-4]) and size <= _LARGEST_PAYLOAD
    return _Header(kind, seq, unix_ns, size, payload_crc) if whole else None
