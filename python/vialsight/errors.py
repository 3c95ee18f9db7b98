"""Errors a user can cause; every message says what was expected, what came, what to do."""


class VialSightError(Exception):
    """Base of all errors raised on purpose; the command line prints them without a traceback."""


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
