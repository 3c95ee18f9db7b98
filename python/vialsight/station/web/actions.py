"""What people may ask for by a form. The recorder decides on all of it, and records it.

The page does not hold rights against actions itself: a refusal that the recorder has not seen
would not be in the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# HTTP status by the recorder's code.
STATUS: Final = {
    "denied": 403, "invalid": 400, "locked": 403, "state": 409, "busy": 503, "unavailable": 503,
}  # fmt: skip
_LONGEST: Final = 512


@dataclass(frozen=True)
class Action:
    """An action: its fields (a final ! asks for a text, # for a number) and the view it returns to.

    `shows` are fields of the answer that only the person who asked must see, once.
    """

    fields: tuple[str, ...]
    back: str
    shows: tuple[str, ...] = ()


ACTIONS: Final[Mapping[str, Action]] = {
    "open_batch": Action(("product!", "number!", "comment"), "batch"),
    "run_challenge": Action((), "batch"),
    "start_batch": Action((), "batch"),
    "halt_batch": Action(("why!",), "batch"),
    "resume_batch": Action(("why!",), "batch"),
    "close_batch": Action(("password!", "meaning!", "why"), "batch"),
    "acknowledge_alarm": Action(("id#", "why!"), "alarms"),
    "note": Action(("text!",), "batch"),
    "review": Action(("password!", "meaning!", "up_to#"), "log"),
    "add_user": Action(("user!", "role!", "full_name!"), "users", ("password",)),
    "set_role": Action(("user!", "role!"), "users"),
    "disable_user": Action(("user!",), "users"),
    "reset_password": Action(("user!",), "users", ("password",)),
    "change_password": Action(("old!", "new!"), "account"),
}


class BadForm(Exception):
    """A form lacks a field, or a field is not what it must be."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def fields_of(action: Action, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a form that an action takes. Raises BadForm."""
    found: dict[str, Any] = {}
    for spec in action.fields:
        name = spec.rstrip("!#")
        text = form.get(name, "")
        text = text if name in ("password", "old", "new") else text.strip()
        if len(text) > _LONGEST or (spec != name and not text):
            raise BadForm(name)
        if spec.endswith("#"):
            if not (text.isdigit() and text.isascii() and len(text) < 19):
                raise BadForm(name)
            found[name] = int(text)
        else:
            found[name] = text
    return found
