"""Scoring the strips of a dataset through the C++ core, long work that can be interrupted.

What was scored is kept in one file beside the result to be made, written anew every half minute; a
later call with the same bundle and data goes on there.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vialsight.files import atomic
from vialsight.files.npz import npz_arrays, npz_bytes

Arrays = dict[str, npt.NDArray[Any]]

_SAVE_EVERY_S: Final = 30.0
_IDENTITY: Final = "identity"
_DONE: Final = "done"


class Checkpoint:
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

    def load(self) -> tuple[int, Arrays] | None:
        """Return how many strips were done and the arrays; None when there is nothing to use."""
        try:
            arrays = npz_arrays(self._path.read_bytes())
        except (OSError, ValueError, EOFError, BadZipFile):
            return None
        if str(arrays.pop(_IDENTITY, "")) != self._identity:
            return None
        return int(arrays.pop(_DONE)), arrays

    def save_now_and_then(self, done: int, arrays: Callable[[], Mapping[str, Any]]) -> None:
        """Write `arrays()` if half a minute has gone by since the last time."""
        if self._now() - self._saved < _SAVE_EVERY_S:
            return
        self.save(done, arrays())
        self._saved = self._now()

    def save(self, done: int, arrays: Mapping[str, Any]) -> None:
        """Write the arrays, complete or not at all."""
        named = {_IDENTITY: np.array(self._identity), _DONE: np.array(done)}
        atomic.write_bytes(self._path, npz_bytes({**named, **arrays}))

    def remove(self) -> None:
        """Forget the work; it is finished."""
        self._path.unlink(missing_ok=True)


def partial_path(out: Path) -> Path:
    """Return where unfinished work for `out` is kept."""
    return out.with_name(f".{out.name}.partial.npz")
