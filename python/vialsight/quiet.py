"""Keeps TensorFlow's notes away from users, and nothing else.

Its libraries write them to file descriptor 2 before anyone can ask them not to. Meanwhile that is
kept in memory; if loading fails or the process crashes, all of it is shown, and otherwise all but
the notes. With TF_CPP_MIN_LOG_LEVEL set to 0 or 1 nothing is kept: someone wants to see the notes.
"""

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from vialsight import _core

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
_NO_NOTES: Final = "2"


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what is written to stderr; show it all when the block fails, else all but notes."""
    if os.environ.get(LEVEL, _NO_NOTES) in ("0", "1"):
        yield
        return
    with suppress(OSError):
        sys.stderr.flush()
    kept = _core.KeptStderr()
    try:
        yield
    except KeyboardInterrupt:
        kept.end(everything=False)
        raise
    except BaseException:
        kept.end(everything=True)
        raise
    kept.end(everything=False)


def install() -> None:
    """From now on `import tensorflow` is quiet, wherever it happens in this process."""
    # Notes that come later, from sessions, TensorFlow drops itself; its errors still appear.
    os.environ.setdefault(LEVEL, _NO_NOTES)
    if not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


def load_backend(bundle: _core.Bundle) -> None:
    """Load the core's backend of a bundle, and its runtime, quietly, before an Inspector does.

    Where that fails nothing is said: the Inspector will fail likewise, and knows what to do.
    """
    with suppress(OSError), quietly():
        ctypes.CDLL(str(Path(_core.__file__).with_name(f"vialsight_{bundle.runtime}.so")))


class _QuietImport(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as Python would, and makes its import quiet."""

    def __init__(self) -> None:
        self._finding = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow" or self._finding:
            return None
        self._finding = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._finding = False
        if spec is not None and spec.loader is not None:
            _make_quiet(spec.loader)
        return spec


def _make_quiet(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with quietly():
            execute(module)

    loader.exec_module = exec_module
