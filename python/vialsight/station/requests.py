"""Requests to the recorder: their fields, who may ask, and answers that come later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.accounts import Account
from vialsight.station.batch_state import Command
from vialsight.station.refusal import DENIED, INVALID, Refusal
from vialsight.station.sessions import Session

_LONGEST: Final = 512


@dataclass(frozen=True)
class Request:
    """A request, and who sent it; `account` is None where nobody need be logged in."""

    fields: dict[str, Any]
    origin: str
    session: Session | None
    account: Account | None

    @property
    def who(self) -> Account:
        """The account; actions that need one are not reached without."""
        if self.account is None:
            raise Refusal(DENIED, "expected a session that is open; log in")
        return self.account

    def text(self, name: str, *, default: str | None = None, longest: int = _LONGEST) -> str:
        """Return a text of the request. Raises Refusal when it is none, or too long."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or len(value) > longest or not is_unicode(value):
            raise Refusal(INVALID, f"{name}: expected a text of at most {longest} characters")
        return value

    def number(self, name: str) -> int:
        """Return a whole number of the request."""
        value = self.fields.get(name)
        if type(value) is not int or not 0 <= value < 2**62:
            raise Refusal(INVALID, f"{name}: expected a whole number, got {str(value)[:80]!r}")
        return value


@dataclass(frozen=True)
class Deferred:
    """The answer comes with the inspector's word on this command."""

    command: Command


Answer = dict[str, Any]
Handler = Callable[[Request], "Answer | Deferred"]


@dataclass(frozen=True)
class Action:
    """An action: the roles that may, None: anyone; and whether it changes something."""

    handler: Handler
    roles: tuple[str, ...] | None
    changes: bool = True


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8: JSON's escapes allow halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
