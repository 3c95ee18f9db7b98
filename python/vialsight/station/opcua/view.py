"""What the server knows of its station at a moment: snapshot, record, and the states from both."""

import dataclasses
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.station.opcua.archive import Recorded
from vialsight.station.opcua.results import UNKNOWN, Recipe, Result, of_snapshot
from vialsight.station.opcua.states import Automatic, Position, Situation, position
from vialsight.station.snapshot import SnapshotFollower, SnapshotGone, Status, Strip

# The station writes every 100 ms, but not while it waits for a verdict, which is due in its budget.
_STANDS_STILL_S: Final = 1.0
# While it loads its network it writes nothing.
_STARTS_S: Final = 120.0
_RECENT: Final = 512
WORDS: Final = {
    "camera_lost": "the camera is lost",
    "machine_lost": "the machine does not answer",
    "spool_lag": "the disk is too slow: strips wait to be written",
    "inspector_not_ready": "the inspector is being started again",
    "starting": "the station starts",
}
_GONE: Final = "the inspection does not run"


@dataclass(frozen=True)
class Look:
    """One look at the snapshot; without `status` there is none."""

    recipe: Recipe = UNKNOWN
    status: Status | None = None
    running: bool = False
    strips: tuple[Strip, ...] = ()


class Watcher:
    """Looks at the snapshot, in a thread: a station killed in a write holds its reader up."""

    def __init__(self, path: Path) -> None:
        self._follower = SnapshotFollower(path)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._session = ""
        self._last = -1

    def close(self) -> None:
        """Give the mapping back."""
        self.thread.shutdown()
        self._follower.close()

    def look(self) -> Look:
        """Return the station's status and the strips that were finished since the last look.

        Of a station that ran before the first look only later strips are told: what came before
        is in the record.
        """
        try:
            snapshot, status = self._follower.current()
            if status.session != self._session:
                first = not self._session
                self._session = status.session
                self._last = status.strips_written - 1 if first else -1
            strips = snapshot.strips(self._last)
        except SnapshotGone:
            return Look()
        if strips:
            self._last = strips[-1].n
        recipe = Recipe(snapshot.header.bundle, snapshot.header.bundle_sha256)
        return Look(recipe, status, status.age_s() < _patience_s(status), tuple(strips))


def _patience_s(status: Status) -> float:
    if "starting" in status.hindrances:
        return _STARTS_S
    return _STANDS_STILL_S + status.budget_ms / 1e3


class View:
    """The station as clients are to see it."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.running = False
        self.recipe: Recipe = UNKNOWN
        self.recorded = Recorded()
        self.record_readable = False
        self.caused_by: str | None = None
        self.position: Position = position(Situation(running=False, seen=False))
        self._halted = False
        self._recent: OrderedDict[int, Result] = OrderedDict()

    @property
    def executing(self) -> bool:
        """Whether strips are inspected, on the line or of a challenge kit."""
        return self.position.automatic in (Automatic.SINGLE, Automatic.CONTINUOUS)

    @property
    def started_ns(self) -> int:
        """When the station started; 0: not known."""
        return 0 if self.status is None else self.status.started_unix_ns

    @property
    def hindrances(self) -> tuple[str, ...]:
        """Names of what keeps the station from working."""
        return self.status.hindrances if self.status is not None and self.running else ()

    @property
    def hindrance_text(self) -> str:
        """The same for people; empty: nothing."""
        if not self.running:
            return _GONE
        return "; ".join(WORDS.get(name, name) for name in self.hindrances)

    def halt(self) -> None:
        """Stay in Halted until `reset`, unless the station is set to work by somebody else."""
        self._halted = True

    def reset(self) -> None:
        """Leave Halted."""
        self._halted = False

    def recent(self, seq: int) -> Result | None:
        """Return a strip that the snapshot showed lately."""
        return self._recent.get(seq)

    def take(self, look: Look) -> list[Result]:
        """Take in a look and return its strips as results."""
        self.running = look.running
        if look.status is not None:
            self.status, self.recipe = look.status, look.recipe
        results = [of_snapshot(strip, look.recipe, self._product(strip)) for strip in look.strips]
        for result in results:
            self._recent[result.seq] = result
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return results

    def place(self) -> Position:
        """Return the states that follow from all that is known now, and keep them."""
        situation = Situation(
            running=self.running,
            seen=self.status is not None,
            mode="halted" if self.status is None else self.status.mode,
            hindrances=self.hindrances,
            batch_open=self.recorded.batch.is_open,
        )
        now = position(dataclasses.replace(situation, halted=self._halted))
        if now.automatic in (Automatic.SINGLE, Automatic.CONTINUOUS):
            self._halted = False
        self.position = now
        return now

    def _product(self, strip: Strip) -> str:
        batch = self.recorded.batch
        return batch.product if strip.batch and strip.batch == batch.batch else ""
