"""Reads what a running station shows of itself, without the station ever noticing.

The station writes into shared memory and waits for nobody. Readers copy a block, and copy it
again when the station wrote into it meanwhile (a sequence lock, see `snapshot_layout`).
"""

import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from vialsight.station.snapshot_blocks import (
    Picture,
    PictureMap,
    Status,
    Strip,
    decode_picture,
    decode_status,
    decode_strip,
)
from vialsight.station.snapshot_layout import (
    PICTURE_HEAD,
    STATUS_BYTES,
    Header,
    Region,
    SnapshotGone,
    read_header,
)

__all__ = [
    "Picture",
    "PictureMap",
    "Snapshot",
    "SnapshotFollower",
    "SnapshotGone",
    "Status",
    "Strip",
    "snapshot_path",
]

Read = TypeVar("Read")
# A block is written in microseconds, a picture in a few ms. A lock that stays odd for so long is
# that of a station that was stopped or killed in the middle of writing.
_PATIENCE_S: Final = 0.25
_PAUSE_S: Final = 0.0005


class Snapshot:
    """A station's snapshot, mapped read-only. One thread at a time.

    Raises:
        SnapshotGone: there is none, it is not a snapshot, or it belongs to somebody else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._map, self._inode = _mapped(self._path)
        self._bytes = memoryview(self._map)
        self.header: Header = read_header(self._bytes, str(path))
        self._strip_type = self.header.strip_type()
        self._order = threading.Lock()
        self._heartbeat = -1

    def close(self) -> None:
        """Give the mapping back; arrays that were returned are copies and stay."""
        self._bytes.release()
        self._map.close()

    def status(self) -> Status:
        """Return the station's state.

        Raises:
            SnapshotGone: it has ended in the middle of writing, or its heartbeat stands still and
                the file is no longer the one at the path: another station has begun.
        """
        status = self._read(self.header.status, 0, STATUS_BYTES, decode_status)
        if status is None:
            raise SnapshotGone(f"the station of {self._path} stopped while it wrote its status")
        if status.heartbeat == self._heartbeat and self._inode != _inode(self._path):
            raise SnapshotGone(f"another station has taken the place of {self._path}")
        self._heartbeat = status.heartbeat
        return status

    def strips(self, after: int = -1) -> list[Strip]:
        """Return finished strips n > `after` that are still in the ring, oldest first."""
        written = self.status().strips_written
        first = max(after + 1, written - self.header.strips.blocks, 0)
        found = (self._strip(n) for n in range(first, written))
        return [strip for strip in found if strip is not None]

    def pictures(self) -> list[int]:
        """Numbers of the rejects whose pictures are still there, oldest first."""
        written, blocks = self.status().pictures_written, self.header.pictures.blocks
        # The oldest slot is the next to be overwritten: asking for it may give None.
        return list(range(max(0, written - blocks), written))

    def picture(self, n: int) -> Picture | None:
        """Frames and maps of reject `n`; None when they were overwritten or are not there yet."""
        if n >= self.status().pictures_written:
            return None
        return self._picture(self.header.pictures, n)

    def live(self) -> Picture | None:
        """Frames of the strip that was shown last, without maps; None before the first."""
        written = self.status().live_written
        numbers = range(written - 1, max(-1, written - 3), -1)
        shown = (self._picture(self.header.live, n) for n in numbers)
        return next((picture for picture in shown if picture is not None), None)

    def _strip(self, n: int) -> Strip | None:
        def decode(block: bytes) -> Strip:
            return decode_strip(block, self._strip_type)

        size = self._strip_type.itemsize
        strip = self._read(self.header.strips, n % self.header.strips.blocks, size, decode)
        return strip if strip is not None and strip.n == n else None

    def _picture(self, region: Region, n: int) -> Picture | None:
        if region.blocks == 0 or n < 0:
            return None
        slot = n % region.blocks

        # The number is looked at first: a slot that has gone on to another is not worth 5 MB.
        head = self._read(region, slot, PICTURE_HEAD.size, PICTURE_HEAD.unpack)
        if head is None or head[2] != n:
            return None
        maps = region is self.header.pictures
        size = region.size if maps else self.header.maps_offset

        def decode(block: bytes) -> Picture:
            return decode_picture(block, self.header, with_maps=maps)

        picture = self._read(region, slot, size, decode)
        return picture if picture is not None and picture.n == n else None

    def _read(
        self, region: Region, slot: int, size: int, decode: Callable[[bytes], Read]
    ) -> Read | None:
        """One block, as the station had it at one moment; None when it never finishes it.

        The lock is read before and after the copy. Each of the three steps is a critical section of
        one mutex, which keeps their order also on machines that let loads pass each other.
        """
        at = region.offset + slot * region.size
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            before = self._lock(at)
            if before % 2 == 0:
                with self._order:
                    block = bytes(self._bytes[at : at + size])
                if self._lock(at) == before:
                    return decode(block)
            if time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE_S)

    def _lock(self, at: int) -> int:
        with self._order:
            return int.from_bytes(self._bytes[at : at + 4], "little")


class SnapshotFollower:
    """Gives the snapshot of whatever station runs now, across restarts. One thread at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._open: Snapshot | None = None

    def current(self) -> tuple[Snapshot, Status]:
        """Return the snapshot to read from now on, and its status.

        Raises:
            SnapshotGone: no station has made one, or one was killed while it wrote and none came.
        """
        if self._open is not None:
            try:
                return self._open, self._open.status()
            except SnapshotGone:
                self.close()
        self._open = Snapshot(self.path)
        try:
            return self._open, self._open.status()
        except SnapshotGone:
            self.close()
            raise

    def close(self) -> None:
        """Give the mapping back."""
        if self._open is not None:
            self._open.close()
        self._open = None


def snapshot_path(name: str) -> Path:
    """Path of the snapshot of the station of this name."""
    return Path("/dev/shm") / f"vialsight-{name}"


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mapped(path: Path) -> tuple[mmap.mmap, tuple[int, int]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise SnapshotGone(f"no station shows itself at {path}: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        # Everybody may write to this folder; what a stranger left there is not a station's word.
        if os.geteuid() not in (0, found.st_uid):
            raise SnapshotGone(f"{path} belongs to user {found.st_uid}, not to the station's")
        content = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    except ValueError as error:
        raise SnapshotGone(f"{path} is empty: its station has not begun") from error
    finally:
        os.close(descriptor)
    return content, (found.st_dev, found.st_ino)
