"""What the verbs share: messages and progress on stderr, plain tables and JSON on stdout."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_S: Final = 30.0

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


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of done and total that moves a progress bar on stderr.

    Where stderr is no terminal, a line with the time left comes every half minute instead.
    """
    if not _stderr.is_terminal:
        yield ProgressLines(title)
        return
    bars = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *bars, console=_stderr, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class ProgressLines:
    """Progress for a log file: called with done and total, it says now and then how far things are.

    `now` returns seconds; the speed is taken from the first call on, so that what was done before
    it does not count.
    """

    def __init__(self, title: str, now: Callable[[], float] = time.monotonic) -> None:
        self._title, self._now = title, now
        self._first: tuple[float, int] | None = None
        self._said = now()

    def __call__(self, done: int, total: int) -> None:
        """Say how far things are, if it is time to."""
        moment = self._now()
        self._first = self._first or (moment, done)
        if moment < self._said + _LINE_EVERY_S:
            return
        self._said = moment
        began, done_before = self._first
        text = f"{self._title}: {done} of {total}"
        if done > done_before:
            left_s = (total - done) * (moment - began) / (done - done_before)
            text += f", about {timedelta(seconds=round(left_s))} left"
        log(text)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else str(value)
