"""Where pages get what they show and ask for: in threads of a bounded number, never in the loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from vialsight.errors import DataError
from vialsight.station.client import RecorderClient, RecorderUnavailable
from vialsight.station.record.reading import RecordReader

Got = TypeVar("Got")
# Beyond so many that wait, people are told to try again.
_MOST_WAITING: Final = 64


class Overloaded(Exception):
    """Too much is asked for at once."""


class Threads:
    """A pool of threads that work may wait for, up to a limit."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, work: Callable[[], Got]) -> Got:
        """Return what `work` returns. Raises Overloaded, and whatever it raises."""
        if self._waiting >= _MOST_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads when what they do is done."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class RecorderDesk:
    """Asks the recorder; a connection to each thread."""

    def __init__(self, path: Path, *, timeout_s: float = 15.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        # One may wait for a slow action while others ask who is there.
        self._threads, self._own = Threads("recorder", 3), threading.local()

    async def request(self, action: str, **fields: Any) -> dict[str, Any]:
        """Return the recorder's answer; the code is "unavailable" when there is none."""
        try:
            return await self._threads.run(lambda: self._ask(action, fields))
        except Overloaded:
            return {"ok": False, "code": "busy", "error": "too many requests at once; try again"}
        except RecorderUnavailable as error:
            return {"ok": False, "code": "unavailable", "error": str(error)}

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    def _ask(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        client = getattr(self._own, "client", None)
        if client is None:
            client = RecorderClient(self._path, timeout_s=self._timeout_s, origin="web")
            self._own.client = client
        answer: dict[str, Any] = client.request(action, **fields)
        return answer


class RecordDesk:
    """Reads the record; a connection to each thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads, self._own = Threads("record", 2), threading.local()

    async def read(self, reading: Callable[[RecordReader], Got]) -> Got:
        """Return what `reading` gets of the record. Raises Overloaded, DataError, sqlite3.Error."""
        return await self._threads.run(lambda: reading(self.reader()))

    def reader(self) -> RecordReader:
        """Return this thread's reader. Raises DataError while there is no record."""
        reader = getattr(self._own, "reader", None)
        if reader is None:
            if not self._path.exists():
                raise DataError(f"{self._path}: there is no record yet; start the recorder")
            reader = self._own.reader = RecordReader(self._path)
        found: RecordReader = reader
        return found

    def close(self) -> None:
        """End the threads."""
        self._threads.close()
