"""A log that nobody can fill the disk with."""

import logging
import time
from collections.abc import Callable
from typing import Final

LINES_A_MINUTE: Final = 60


class Sparing(logging.Filter):
    """Lets so many lines a minute through, and then tells with the next how many were left out."""

    def __init__(
        self, lines: int = LINES_A_MINUTE, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._lines, self._now_s = lines, now_s
        self._minute, self._told, self._left_out = now_s(), 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        if self._now_s() - self._minute >= 60.0:
            self._minute, self._told = self._now_s(), 0
        if self._told >= self._lines:
            self._left_out += 1
            return False
        self._told += 1
        if self._left_out:
            record.msg = f"{record.getMessage()} ({self._left_out} lines were left out before)"
            record.args, self._left_out = None, 0
        return True
