"""Tells every open page what the line does, as it happens.

One loop reads the snapshot and makes one text for all. A page gets the newest text when it is ready
for one: what it missed meanwhile is not kept for it.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

from vialsight import _core
from vialsight.errors import DataError
from vialsight.station.web import state
from vialsight.station.web.desk import Overloaded, RecordDesk, Threads
from vialsight.station.web.guard import Notes
from vialsight.station.web.line import Line, Now

_TICK_S: Final = 0.1
# With nobody watching, often enough that no strip of the snapshot's ring is missed.
_IDLE_TICK_S: Final = 1.0
_RECORD_S: Final = 1.0
# Between two texts to one page: an eye follows no more.
_PACE_S: Final = 0.2
_SILENCE_S: Final = 10.0


class Hub:
    """The newest state, and who waits for it."""

    def __init__(
        self,
        line: Line,
        record: RecordDesk,
        layout: _core.Layout,
        bundle_sha256: str,
        *,
        slot_ms: float,
        most: int,
    ) -> None:
        self.line, self._record = line, record
        self._layout, self._sha256, self._slot_ms = layout, bundle_sha256, slot_ms
        self._threads, self._watch = Threads("line", 1), state.RecordWatch()
        self._recorded: state.Recorded | None = None
        self._most, self.clients = most, 0
        self._is_ending = False
        self._notes = Notes(a_minute=2)
        self._text, self._version = "{}", 0
        self._now: Now | None = None
        self._change = asyncio.Event()
        self._shown: tuple[Any, ...] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow line and record, in the running loop."""
        self._tasks = [
            asyncio.create_task(self._follow_line()),
            asyncio.create_task(self._follow_record()),
        ]

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.close()
        self.line.close()

    @property
    def recorded(self) -> state.Recorded | None:
        """What the record said last; None while it cannot be read."""
        return self._recorded

    async def now(self) -> dict[str, Any]:
        """Return the newest state."""
        await self._tick()
        found: dict[str, Any] = json.loads(self._text)
        return found

    def scene(self, session: str, n: int) -> dict[str, Any] | None:
        """Return what to draw of the last reject, if it is this one and of our bundle."""
        now = self._now
        if now is None or now.status is None or now.picture is None:
            return None
        is_last = (now.status.session, now.picture.n) == (session, n)
        if not is_last or now.bundle_sha256 != self._sha256:
            return None
        return state.reject_scene(now, self._layout)

    @property
    def is_full(self) -> bool:
        """Whether as many pages are open as may be."""
        return self.clients >= self._most

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield the newest state whenever it has changed, and a sign of life when it has not."""
        self.clients += 1
        seen = -1
        try:
            while not self._is_ending:
                if seen == self._version:
                    change = self._change
                    try:
                        await asyncio.wait_for(change.wait(), _SILENCE_S)
                    except TimeoutError:
                        yield ": still here\n\n"
                        continue
                seen = self._version
                yield f"data: {self._text}\n\n"
                await asyncio.sleep(_PACE_S)
        finally:
            self.clients -= 1

    def end_streams(self) -> None:
        """End all streams, now and later: the page ends."""
        self._is_ending = True
        self._change.set()

    async def _follow_line(self) -> None:
        while True:
            try:
                await self._tick()
            except Exception as error:
                # Pages that get nothing new say that they are offline; the next strip may do.
                self._notes.write(f"the line cannot be followed: {error!r}")
            await asyncio.sleep(_TICK_S if self.clients else _IDLE_TICK_S)

    async def _tick(self) -> None:
        now = await self._threads.run(self.line.update)
        status = now.status
        # The heartbeat alone is worth a text a second, not ten.
        shown = (
            int(time.monotonic()),
            now.alive,
            status and (status.mode, status.hindrance, status.strips_written, status.batch),
            now.picture and now.picture.n,
            self._recorded,
        )
        if shown != self._shown:
            self._shown = shown
            self._publish(now)

    def _publish(self, now: Now) -> None:
        described = state.describe(
            now, self._recorded, recent=self.line.recent(), slot_ms=self._slot_ms
        )
        described["reject"] = state.reject_facts(now)
        self._now = now
        self._text = json.dumps(described, separators=(",", ":"), allow_nan=False)
        self._version += 1
        self._change.set()
        self._change = asyncio.Event()

    async def _follow_record(self) -> None:
        while True:
            try:
                self._recorded = await self._record.read(self._watch.look)
            except (DataError, sqlite3.Error, Overloaded):
                self._recorded = None
            await asyncio.sleep(_RECORD_S)
