r"""The standard streams of the command line: open, never the cause of a traceback, one escape.

What a name holds that cannot be shown (bytes that are no UTF-8, control characters, what the stream
has no character for) is written as an escape such as `\xe9`, in tables, JSON and messages alike.
"""

import codecs
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any, Final, TextIO

from vialsight.errors import DataError

_ERRORS: Final = "vialsight_escape"
# Bytes of a name that are no UTF-8 reach Python as these surrogates (PEP 383).
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class StdoutFailed(DataError):
    """What was found cannot be written to stdout: it is full or closed."""


def shown(text: str) -> str:
    """Return text on one line: control characters and undecodable bytes are escaped."""
    return _CONTROL.sub(lambda found: _SHORT.get(found[0]) or _escape(found[0]), text)


def undecoded(text: str) -> bool:
    """Say whether text holds bytes of a name that are no UTF-8."""
    return _UNDECODED.search(text) is not None


def decodable(value: Any) -> Any:
    """Return JSON values whose texts any parser reads: undecodable bytes are escaped."""
    if isinstance(value, str):
        return _UNDECODED.sub(lambda found: _escape(found[0]), value)
    if isinstance(value, dict):
        return {decodable(key): decodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [decodable(inner) for inner in value]
    return value


def open_all() -> None:
    """Give the process three standard descriptors, and streams that can write any text.

    A closed one is opened so that a file of ours never gets its number, which libraries write to:
    writing to stdout still fails then, writing to stderr goes nowhere.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        _open_if_closed(descriptor, mode)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    codecs.register_error(_ERRORS, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def has_all_of(text: str) -> bool:
    """Say whether stdout has every character of `text`."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write(text: str) -> None:
    """Write text to stdout; a reader that has gone is no error: what is left goes nowhere.

    Raises StdoutFailed when it cannot be written.
    """
    _attempt(lambda: sys.stdout.write(text))


def flush() -> None:
    """Write what stdout still holds; see `write`."""
    _attempt(sys.stdout.flush)


def note(text: str) -> None:
    """Write a line to stderr, if it can be written: nobody could be told otherwise."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def silence(stream: TextIO) -> None:
    """Let what a stream holds and will get go nowhere: Python tries to write it at its exit."""
    with Path(os.devnull).open("wb") as nothing, contextlib.suppress(OSError, ValueError):
        os.dup2(nothing.fileno(), stream.fileno())


def _attempt(write_it: Any) -> None:
    try:
        write_it()
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        raise StdoutFailed(
            f"stdout: expected to write what was found, got {error.strerror!r}; give it a file "
            "with room, or a pipe"
        ) from None


def _open_if_closed(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, mode)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _escape(character: str) -> str:
    code = ord(character)
    if undecoded(character):
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_escape(character) for character in text), error.end
