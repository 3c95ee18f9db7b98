"""What the verbs share: messages and progress on stderr, plain tables and JSON on stdout."""

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console

from vialsight import progress as progresses
from vialsight.cli import streams
from vialsight.progress import Show

_stderr = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log(self.format(record))


def show_logs() -> None:
    """Print what the package logs, from INFO up, on stderr."""
    logger = logging.getLogger("vialsight")
    logger.setLevel(logging.INFO)
    logger.handlers = [_ConsoleHandler()]
    logger.propagate = False


def log(text: str) -> None:
    """Print a note for people on stderr, on one line."""
    _tell(streams.shown(text))


def error(message: str, items: Sequence[str] = ()) -> None:
    """Print an error on stderr: on one line, or where it has several items, each on its own."""
    shown = [streams.shown(item) for item in items]
    first = f"error: {streams.shown(message)}"
    text = f"{first.removesuffix(':')}: {shown[0]}" if len(shown) == 1 else first
    _tell(text, style="red")
    for item in shown if len(shown) > 1 else ():
        _tell(f"  {item}", style="red")


def say(text: str = "", *, end: str = "\n") -> None:
    """Print what was found on stdout."""
    streams.write(text + end)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, which any parser reads; NaN is refused."""
    plain = streams.decodable(value)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    if not streams.has_all_of(text):
        text = json.dumps(plain, indent=2, allow_nan=False)
    say(text)


def print_json_text(text: str) -> None:
    """Print a JSON document as it is, or where stdout lacks one of its characters, with escapes."""
    if not streams.has_all_of(text):
        text = json.dumps(json.loads(text), indent=2)
    say(text.removesuffix("\n"))


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with equal keys as aligned columns on stdout, a line each; None is a dash."""
    header = list(rows[0])
    cells = [header, *([_cell(row[name]) for name in header] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        columns = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        say("  ".join(columns).rstrip())


def progress(title: str) -> AbstractContextManager[Show]:
    """Return a context of a function of done and total that shows progress on stderr."""
    return progresses.shown(title, log)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else streams.shown(str(value))


def _tell(text: str, style: str | None = None) -> None:
    # A stderr that is full or gone is no reason to end: nobody could be told.
    with contextlib.suppress(OSError):
        _stderr.print(text, style=style)
