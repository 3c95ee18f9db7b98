"""Accounts while no recorder runs: the first engineer's, and help for who lost a password.

Whoever may write the station's folder may do this; every change is an entry all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vialsight.errors import VialSightError
from vialsight.files import atomic
from vialsight.station.accounts import ENGINEER, Accounts, check_new_password
from vialsight.station.config import StationConfig
from vialsight.station.record.store import RecordStore

# The actor of entries that nobody had to log in for.
LOCAL: Final = "local"
_ORIGIN: Final = "cli"


class RecorderRuns(VialSightError):
    """The record has its writer already; ask that one."""


@contextmanager
def opened(config: StationConfig) -> Iterator[Accounts]:
    """Yield the accounts of a station's record, which is made where there is none.

    Raises RecorderRuns while a recorder does.
    """
    paths = config.paths
    paths.make()
    busy = RecorderRuns(f"{paths.folder}: its recorder runs; log in, or stop the station first")
    with atomic.held_folder(paths.frames, busy):
        store = RecordStore(paths.record)
        try:
            yield Accounts(store)
        finally:
            store.close()


def add(accounts: Accounts, user: str, role: str, full_name: str = "") -> str:
    """Add an account; return its first password. Raises Refusal."""
    return accounts.add(LOCAL, user, role, full_name, _ORIGIN)


def reset(accounts: Accounts, user: str) -> str:
    """Give an account a new first password, which is returned. Raises Refusal."""
    return accounts.reset_password(LOCAL, user, _ORIGIN, "reset on the machine itself")


def add_first_engineer(accounts: Accounts, user: str, password: str | None) -> str | None:
    """Add an engineer with a password of their own; without one, return the one that was made.

    Raises Refusal, and adds nobody, when the password is none.
    """
    if password is None:
        return add(accounts, user, ENGINEER)
    check_new_password(user, password)
    accounts.change_password(user, add(accounts, user, ENGINEER), password, _ORIGIN)
    return None
