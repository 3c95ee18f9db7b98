"""What the verbs share: messages and progress on stderr, plain tables and JSON on stdout."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console

from vialsight.progress import Show, shown

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
    """Print a note for people on stderr."""
    _stderr.print(text)


def error(text: str) -> None:
    """Print an error on stderr."""
    _stderr.print(f"error: {text}", style="red")


def print_json(value: Any) -> None:
    """Print one JSON document on stdout; NaN is refused."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with equal keys as aligned columns on stdout; None is a dash."""
    header = list(rows[0])
    cells = [header, *([_cell(row[name]) for name in header] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        columns = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(columns).rstrip())


def progress(title: str) -> AbstractContextManager[Show]:
    """Return a context of a function of done and total that shows progress on stderr."""
    return shown(title, log)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else str(value)
