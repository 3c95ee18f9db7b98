"""The record, read in a thread of its own: batches, results, alarms, the head of its chain."""

import asyncio
import bisect
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from vialsight.errors import VialSightError
from vialsight.station.opcua.results import UNKNOWN, Recipe, Result, of_record
from vialsight.station.record.alarm_log import Alarm
from vialsight.station.record.reading import BATCH_KINDS, RecordReader, Strip

Answer = TypeVar("Answer")
# Strips that one request may look through: a day has 170,000.
SEARCHED: Final = 10_000
# Where a batch stands after an entry of this kind; a challenge leaves it where it was.
_STATES: Final = {
    "batch_opened": "prepared",
    "challenge_started": "challenging",
    "challenge_passed": "passed",
    "challenge_failed": "failed",
    "batch_started": "running",
    "batch_resumed": "running",
    "batch_halted": "halted",
    "batch_held": "held",
    "batch_closed": "closed",
}
_ALARM_KINDS: Final = ("alarm", "alarm_acknowledged")


class RecordGone(VialSightError):
    """There is no record, or it cannot be read now."""


@dataclass(frozen=True)
class BatchState:
    """Where the last batch stands."""

    batch: int = 0
    product: str = ""
    number: str = ""
    state: str = "none"
    started: bool = False
    """It was started before, so that it is resumed, not started."""

    @property
    def is_open(self) -> bool:
        """Whether something can be started."""
        return self.state not in ("none", "closed")


@dataclass(frozen=True)
class Recorded:
    """What the record says now."""

    head: int = 0
    hash: str = ""
    batch: BatchState = BatchState()
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Results that are asked for; None or an empty text: any."""

    batch: int | None = None
    strip_id: int | None = None
    state: int | None = None
    product: str = ""
    recipe: str = ""
    configuration: str = ""


class Archive:
    """Reads `path`, which may come, go and be replaced at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._reader: RecordReader | None = None
        self._starts: list[tuple[int, Recipe]] = []
        self._products: dict[int, str] = {}
        self._alarms: tuple[Alarm, ...] = ()
        self._alarm_entry = 0

    def close(self) -> None:
        """Close the record."""
        self._thread.submit(self._forget).result()
        self._thread.shutdown()

    async def recorded(self) -> Recorded:
        """Return head, batch and alarms.

        Raises:
            RecordGone: also of all that follows.
        """
        return await self._in_thread(self._recorded)

    async def result(self, seq: int) -> Result | None:
        """Return the result of a strip; None: it is not recorded."""

        def find(reader: RecordReader) -> Result | None:
            strip = reader.strip(seq)
            return None if strip is None else self._result(reader, strip)

        return await self._in_thread(find)

    async def results(self, wanted: Wanted, first: int, most: int) -> tuple[list[Result], bool]:
        """Return `most` results at most from number `first`, newest first; and if these are all."""

        def find(reader: RecordReader) -> tuple[list[Result], bool]:
            reach = _reach(wanted, first + most + 1)
            strips = reader.strips(batch=wanted.batch, limit=reach)
            found = [strip for strip in strips if _fits(strip, wanted)]
            results = [self._result(reader, strip) for strip in found]
            chosen = [result for result in results if _matches(result, wanted)]
            complete = len(chosen) <= first + most and len(strips) < reach
            return chosen[first : first + most], complete

        return await self._in_thread(find)

    async def recipes(self) -> list[tuple[Recipe, int]]:
        """Return bundles that the station has run with when, in ns since 1970, it first did."""

        def find(reader: RecordReader) -> list[tuple[Recipe, int]]:
            first: dict[Recipe, int] = {}
            for entry in reader.entries(kinds=["start"], limit=SEARCHED):
                body = entry.value()
                recipe = Recipe(str(body.get("bundle", "")), str(body.get("bundle_sha256", "")))
                first.setdefault(recipe, entry.unix_ns)
            return list(first.items())

        return await self._in_thread(find)

    async def _in_thread(self, find: Callable[[RecordReader], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._with_reader, find)

    def _with_reader(self, find: Callable[[RecordReader], Answer]) -> Answer:
        try:
            if self._reader is None:
                self._reader = RecordReader(self._path)
            return find(self._reader)
        except (sqlite3.Error, VialSightError, OSError, ValueError, KeyError) as error:
            self._forget()
            raise RecordGone(f"{self._path} cannot be read: {error}") from error

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._starts, self._products = None, [], {}
        self._alarms, self._alarm_entry = (), 0

    def _recorded(self, reader: RecordReader) -> Recorded:
        head, digest = reader.head()
        if reader.entries(after=self._alarm_entry, kinds=_ALARM_KINDS, limit=1):
            self._alarms, self._alarm_entry = tuple(reader.alarms(open_only=True)), head
        return Recorded(head, digest, self._batch(reader), self._alarms)

    def _batch(self, reader: RecordReader) -> BatchState:
        opened = reader.entries(kinds=["batch_opened"], limit=1, newest=True)
        if not opened:
            return BatchState()
        body = opened[0].value()
        kinds = [
            entry.kind
            for entry in reader.entries(after=opened[0].id - 1, kinds=BATCH_KINDS, limit=SEARCHED)
        ]
        return BatchState(
            batch=int(body["batch"]),
            product=str(body.get("product", "")),
            number=str(body.get("number", "")),
            state=_STATES[kinds[-1]],
            started="batch_started" in kinds,
        )

    def _result(self, reader: RecordReader, strip: Strip) -> Result:
        return of_record(
            strip, self._recipe(reader, strip.entry), self._product(reader, strip.batch)
        )

    def _recipe(self, reader: RecordReader, entry: int) -> Recipe:
        """Return the bundle that the station said it had when it last started before an entry."""
        known = self._starts[-1][0] if self._starts else 0
        for start in reader.entries(after=known, kinds=["start"], limit=SEARCHED):
            body = start.value()
            bundle = Recipe(str(body.get("bundle", "")), str(body.get("bundle_sha256", "")))
            self._starts.append((start.id, bundle))
        at = bisect.bisect_left(self._starts, entry, key=lambda start: start[0])
        return self._starts[at - 1][1] if at else UNKNOWN

    def _product(self, reader: RecordReader, batch: int) -> str:
        if batch and batch not in self._products:
            found = reader.batch(batch)
            self._products[batch] = "" if found is None else found.product
        return self._products.get(batch, "")


def _reach(wanted: Wanted, least: int) -> int:
    """Return how many strips are read: more than are wanted when some do not fit."""
    return min(least if wanted == Wanted(batch=wanted.batch) else SEARCHED, SEARCHED)


def _fits(strip: Strip, wanted: Wanted) -> bool:
    return wanted.strip_id is None or strip.strip_id == wanted.strip_id


def _matches(result: Result, wanted: Wanted) -> bool:
    return (
        (wanted.state is None or result.state == wanted.state)
        and (not wanted.product or result.product == wanted.product)
        and (not wanted.recipe or result.recipe.name == wanted.recipe)
        and (not wanted.configuration or result.recipe.configuration == wanted.configuration)
    )
