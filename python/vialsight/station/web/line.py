"""What the line does now, followed through its snapshot. Any thread: methods share a lock."""

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from vialsight.station.snapshot import (
    Picture,
    Snapshot,
    SnapshotFollower,
    SnapshotGone,
    Status,
    Strip,
)

# Strips that live rates and charts are over: all that the snapshot keeps.
RECENT: Final = 256
# The station writes every 100 ms. Standing still for longer than this is no sign of life.
_ALIVE_S: Final = 1.5


@dataclass(frozen=True)
class Now:
    """The line at one moment; all but `alive` is of the last sign of life."""

    alive: bool
    silent_s: float
    status: Status | None
    last: Strip | None
    reject: Strip | None
    """the last reject, with or without pictures"""
    picture: Picture | None
    """its pictures, once they are there"""
    bundle: str
    bundle_sha256: str


class Line:
    """Follows the station of a snapshot, across its restarts."""

    def __init__(self, path: Path) -> None:
        self._follower = SnapshotFollower(path)
        self._lock = Lock()
        self._session: str | None = None
        self._status: Status | None = None
        self._bundle = ("", "")
        self._recent: deque[Strip] = deque(maxlen=RECENT)
        self._reject: Strip | None = None
        self._picture: Picture | None = None
        self._pictures_seen = 0
        self._seen_alive_ns = time.monotonic_ns()

    def update(self) -> Now:
        """Read the snapshot; takes microseconds, and 0.3 s when the station died while writing."""
        with self._lock:
            now = time.monotonic_ns()
            try:
                snapshot, status = self._follower.current()
            except SnapshotGone:
                return self._now(alive=False, at_ns=now)
            self._take(snapshot, status)
            alive = status.age_s(now) < _ALIVE_S
            if alive:
                self._seen_alive_ns = now
            return self._now(alive=alive, at_ns=now)

    def recent(self) -> list[Strip]:
        """Return the last strips, oldest first."""
        with self._lock:
            return list(self._recent)

    def picture(self, session: str, n: int) -> Picture | None:
        """Return the pictures of reject number `n` of a run of the station, if still there."""
        with self._lock:
            if session == self._session and self._picture is not None and self._picture.n == n:
                return self._picture
            try:
                snapshot, status = self._follower.current()
            except SnapshotGone:
                return None
            return snapshot.picture(n) if status.session == session else None

    def close(self) -> None:
        """Give the snapshot back."""
        with self._lock:
            self._follower.close()

    def _take(self, snapshot: Snapshot, status: Status) -> None:
        if status.session != self._session:
            self._session, self._reject, self._picture = status.session, None, None
            self._recent.clear()
            self._pictures_seen = 0
        self._status = status
        self._bundle = (snapshot.header.bundle, snapshot.header.bundle_sha256)
        after = self._recent[-1].n if self._recent else -1
        for strip in snapshot.strips(after):
            self._recent.append(strip)
            if strip.verdict == "reject" and strip.mode != "challenge":
                self._reject = strip
        self._take_picture(snapshot, status.pictures_written)

    def _take_picture(self, snapshot: Snapshot, written: int) -> None:
        """Keep the pictures of the last reject: they come a moment after its verdict."""
        if written > self._pictures_seen:
            self._picture = snapshot.picture(written - 1) or self._picture
            self._pictures_seen = written

    def _now(self, *, alive: bool, at_ns: int) -> Now:
        picture, reject = self._picture, self._reject
        shown = picture is not None and reject is not None and picture.seq == reject.seq
        return Now(
            alive=alive,
            silent_s=(at_ns - self._seen_alive_ns) / 1e9,
            status=self._status,
            last=self._recent[-1] if self._recent else None,
            reject=reject,
            picture=picture if shown else None,
            bundle=self._bundle[0],
            bundle_sha256=self._bundle[1],
        )
