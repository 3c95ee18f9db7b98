"""`vialsight station batch`: what an operator does at the page, from a terminal."""

import time
from typing import Annotated, Any, Final

import typer

from vialsight.cli import console
from vialsight.cli.options import Json
from vialsight.cli.station_options import Login, StationFolder, done, logged_in
from vialsight.errors import CheckFailed
from vialsight.station.client import RecorderClient
from vialsight.station.config import load_station

app = typer.Typer(
    help="Batches from a terminal: open, challenge, start, halt, resume, close.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Why = Annotated[str, typer.Option(help="The reason, for the record.")]
_LOOK_S: Final = 0.5


@app.command(name="open")
def open_batch(
    folder: StationFolder,
    *,
    product: Annotated[str, typer.Option(help="What is made.")],
    number: Annotated[str, typer.Option(help="Of the batch; each comes once.")],
    comment: Annotated[str, typer.Option(help="For the record.")] = "",
    login: Login = None,
) -> None:
    """Open a batch, of the bundle that inspects now."""
    answer = _asked(folder, login, "open_batch", product=product, number=number, comment=comment)
    console.say(f"batch {answer['batch']}, {product} {number}, is open; next: challenge")


@app.command()
def challenge(folder: StationFolder, login: Login = None) -> None:
    """Inspect the challenge kit; exit code 1 when a strip is not judged as expected."""
    client, _ = logged_in(load_station(folder), login)
    with client:
        before = done(client.request("challenge_status"))["last"]
        done(client.request("run_challenge"))
        while done(answer := client.request("challenge_status"))["running"]:
            time.sleep(_LOOK_S)
    _tell_challenge(answer["last"], before)


@app.command()
def start(folder: StationFolder, login: Login = None) -> None:
    """Start the batch whose challenge was passed."""
    _asked(folder, login, "start_batch")
    console.say("started")


@app.command()
def halt(folder: StationFolder, *, why: Why, login: Login = None) -> None:
    """Halt the batch: what comes is rejected."""
    _asked(folder, login, "halt_batch", why=why)
    console.say("halted")


@app.command()
def resume(folder: StationFolder, *, why: Why, login: Login = None) -> None:
    """Go on with a batch that was halted, or held after the inspector had died."""
    _asked(folder, login, "resume_batch", why=why)
    console.say("started")


@app.command()
def close(
    folder: StationFolder,
    *,
    meaning: Annotated[str, typer.Option(help="What the signature means.")] = "batch closed",
    why: Annotated[str, typer.Option(help="Needed when the balance does not agree.")] = "",
    login: Login = None,
) -> None:
    """Close the batch, with a signature: the password counts once more."""
    config = load_station(folder)
    client, secret = logged_in(config, login)
    with client:
        done(client.request("close_batch", password=secret, meaning=meaning, why=why))
    console.say("closed")


@app.command()
def status(folder: StationFolder, as_json: Json = False) -> None:
    """Tell where the batch stands; no log-in needed."""
    with RecorderClient(load_station(folder).paths.recorder_socket) as client:
        found = done(client.request("batch_status"))
    if as_json:
        console.print_json(found)
        return
    named = f"{found['product']} {found['number']}" if found["id"] else "no batch"
    console.say(f"{named}: {found['status']}")


def _asked(folder: Any, login: str | None, action: str, **fields: str) -> dict[str, Any]:
    client, _ = logged_in(load_station(folder), login)
    with client:
        return done(client.request(action, **fields))


def _tell_challenge(last: dict[str, Any] | None, before: dict[str, Any] | None) -> None:
    if last is None or last == before:
        raise CheckFailed("the challenge was not carried out to its end; the record says why")
    wrong = [row for row in last["results"] if not row["right"]]
    if not last["passed"]:
        raise CheckFailed("the challenge was not passed:", [_in_words(row) for row in wrong])
    console.say(f"the challenge was passed: {len(last['results'])} strips judged as expected")


def _in_words(row: dict[str, Any]) -> str:
    expected = f"{row['expected']} ({row['expected_reason'] or 'no reason'})"
    return f"{row['name']}: expected {expected}, got {row['verdict']} ({row['reason']})"
