"""Progress of long work: a bar on a terminal, a line now and then where stderr is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_S: Final = 30.0


class Show(Protocol):
    """Shows how far work is. What is done at the first call does not count for the speed."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are done, and a note beside it."""


@contextmanager
def shown(title: str, say: Callable[[str], None]) -> Iterator[Show]:
    """Yield what moves a bar on stderr with the time left.

    Where stderr is no terminal, `say` gets a line every half minute instead.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines(title, say)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    texts = (TextColumn("{task.description}"), TextColumn("{task.fields[note]}"))
    with Progress(texts[0], *columns, texts[1], console=console, transient=True) as progress:
        yield _Bar(progress, title)


class ProgressLines:
    """Progress for a log file: says now and then how far things are.

    `now` returns seconds; the speed is taken from the first call on.
    """

    def __init__(
        self, title: str, say: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._say, self._now = title, say, now
        self._first: tuple[float, int] | None = None
        self._said = now()

    def __call__(self, done: int, total: int, note: str = "") -> None:
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
        self._say(f"{text}: {note}" if note else text)


class _Bar:
    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._begun = progress, False
        self._task = progress.add_task(title, total=None, note="")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if not self._begun:
            self._begun = True
            self._progress.reset(self._task, completed=done, total=total)
        self._progress.update(self._task, completed=done, total=total, note=note)
