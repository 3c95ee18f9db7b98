"""Errors a user can cause; every message says what was expected, what came, what to do."""

from collections.abc import Sequence


class VialSightError(Exception):
    """Base of all errors raised on purpose; the command line prints them without a traceback.

    `items` are details that stand on a line each, such as the files concerned; `str` has them all.
    """

    def __init__(self, message: str = "", items: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {item}" for item in items)]))
        self.message, self.items = message, tuple(items)


class ConfigError(VialSightError):
    """The configuration is not valid: unknown key, wrong type, value out of range."""


class DataError(VialSightError):
    """Images, tables or splits are not usable as given."""


class BundleError(VialSightError):
    """A bundle is broken, incomplete or does not fit what is asked of it."""


class SimulationError(VialSightError):
    """A simulated set cannot be rendered, written or shown as asked."""


class TrainingError(VialSightError):
    """A run cannot start, resume or continue."""


class CheckFailed(VialSightError):
    """A check ran to its end and its answer is no (CLI exit code 1)."""
