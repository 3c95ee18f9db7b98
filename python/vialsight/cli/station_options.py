"""What the verbs of a station share: its folder, log-in, passwords on a terminal."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vialsight.errors import VialSightError
from vialsight.station.client import RecorderClient
from vialsight.station.config import StationConfig

PASSWORD: Final = "VIALSIGHT_STATION_PASSWORD"
USER: Final = "VIALSIGHT_STATION_USER"

StationFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of the station, with station.yaml.")
]
Login = Annotated[
    str | None,
    typer.Option("--login", envvar=USER, help="Your account; its password is asked for."),
]


class NotDone(VialSightError):
    """The recorder refused what was asked; the message is its answer."""


def password(prompt: str, *, confirm: bool = False) -> str | None:
    """Return a password: of the environment, or asked for; None where nobody can be asked."""
    given = os.environ.get(PASSWORD)
    if given:
        return given
    if not sys.stdin.isatty():
        return None
    asked = typer.prompt(
        prompt,
        hide_input=True,
        confirmation_prompt=confirm,
        default="",
        show_default=False,
        err=True,
    )
    return asked or None


def logged_in(config: StationConfig, user: str | None) -> tuple[RecorderClient, str]:
    """Return a client of the recorder that is logged in, and the password.

    Raises NotDone, and RecorderUnavailable.
    """
    name = user or (typer.prompt("user", err=True) if sys.stdin.isatty() else None)
    secret = password(f"password of {name}") if name else None
    if not name or not secret:
        raise NotDone(f"expected --login USER and its password; without a terminal, set {PASSWORD}")
    client = RecorderClient(config.paths.recorder_socket)
    answer = done(client.login(name, secret))
    if answer["must_change"]:
        raise NotDone(
            f"{name} still has the first password; change it on the page, or with "
            f"vialsight station user password {config.dir}"
        )
    return client, secret


def done(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of the recorder; raises NotDone with its sentence when it refused."""
    if not answer["ok"]:
        raise NotDone(str(answer["error"]))
    return answer
