"""Long work in numbered pieces that can be interrupted.

What was done is kept in one file beside the result to be made, written anew every half minute; a
later call for the same work goes on there.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Progress
from vialsight.files import atomic
from vialsight.files.npz import npz_arrays, npz_bytes

Arrays = dict[str, npt.NDArray[Any]]

_SAVE_EVERY_S: Final = 30.0
_IDENTITY: Final = "identity"
_DONE: Final = "done"


class Work(Protocol):
    """Pieces of work, numbered from 0, and the arrays that they fill."""

    def arrays(self) -> Arrays:
        """Return all that was done, as arrays that a later process can go on with."""

    def do(self, number: int) -> None:
        """Do one piece; it may be interrupted anywhere."""

    def undo(self, number: int) -> None:
        """Take back what an interrupted `do(number)` may have counted; it will be done again."""


class Unfinished:
    """Arrays of unfinished work in one file, valid for one identity only.

    Args:
        path: where; its folder exists.
        identity: what the work is, as text; what is there for another identity is not used.
        now: seconds, for the time between two writings.
    """

    def __init__(
        self, path: Path, identity: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._identity, self._now = path, identity, now
        self._saved = now()

    def resume(
        self,
        begin: Callable[[Arrays | None], Work],
        total: int,
        progress: Progress | None = None,
    ) -> Arrays:
        """Do what is left of `total` pieces; returns the arrays of all.

        `begin` makes the work from the arrays of an earlier process, None where there are none.
        `progress` counts pieces.
        """
        done, kept = self._load() or (0, None)
        work = begin(kept)
        try:
            for number in range(done, total):
                work.do(number)
                done = number + 1
                self._save_now_and_then(done, work)
                if progress is not None:
                    progress(done, total)
        except KeyboardInterrupt:
            work.undo(done)
            self._save(done, work.arrays())
            raise
        return work.arrays()

    def remove(self) -> None:
        """Forget the work; it is finished."""
        self._path.unlink(missing_ok=True)

    def _load(self) -> tuple[int, Arrays] | None:
        """Return how many pieces were done and the arrays; None when there is nothing to use."""
        try:
            arrays = npz_arrays(self._path.read_bytes())
        except (OSError, ValueError, EOFError, BadZipFile):
            return None
        if str(arrays.pop(_IDENTITY, "")) != self._identity:
            return None
        return int(arrays.pop(_DONE)), arrays

    def _save_now_and_then(self, done: int, work: Work) -> None:
        if self._now() - self._saved < _SAVE_EVERY_S:
            return
        self._save(done, work.arrays())
        self._saved = self._now()

    def _save(self, done: int, arrays: Mapping[str, Any]) -> None:
        """Write the arrays, complete or not at all."""
        named = {_IDENTITY: np.array(self._identity), _DONE: np.array(done)}
        atomic.write_bytes(self._path, npz_bytes({**named, **arrays}))


def partial_path(out: Path) -> Path:
    """Return where unfinished work for `out` is kept."""
    return atomic.beside(out, ".partial.npz")
