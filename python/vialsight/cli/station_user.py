"""`vialsight station user`: accounts of a station."""

from typing import Annotated, Any

import typer

from vialsight.cli import console
from vialsight.cli.station_options import Login, NotDone, StationFolder, done, logged_in, password
from vialsight.station import local_accounts
from vialsight.station.accounts import OPERATOR, ROLES
from vialsight.station.client import RecorderClient
from vialsight.station.config import load_station

app = typer.Typer(
    help="Accounts of a station: through its recorder, or directly while that does not run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

User = Annotated[str, typer.Argument(metavar="USER", help="Name of the account.")]


@app.command()
def add(
    folder: StationFolder,
    user: User,
    *,
    role: Annotated[str, typer.Option(help=f"{', '.join(ROLES)}.")] = OPERATOR,
    full_name: Annotated[str, typer.Option(help="As signatures show it.")] = "",
    login: Login = None,
) -> None:
    """Add an account and print its first password, which its owner must change."""
    config = load_station(folder)
    try:
        with local_accounts.opened(config) as accounts:
            first = local_accounts.add(accounts, user, role, full_name)
    except local_accounts.RecorderRuns:
        client, _ = logged_in(config, login)
        first = done(client.request("add_user", user=user, role=role, full_name=full_name))[
            "password"
        ]
    console.say(f"account {user}, role {role}, first password {first}: it is shown this once only")


@app.command(name="list")
def list_users(folder: StationFolder, login: Login = None) -> None:
    """List the accounts."""
    config = load_station(folder)
    try:
        with local_accounts.opened(config) as accounts:
            shown = [account.shown() for account in accounts.all()]
    except local_accounts.RecorderRuns:
        client, _ = logged_in(config, login)
        shown = done(client.request("users"))["users"]
    if shown:
        console.print_table([_row(account) for account in shown])


@app.command()
def reset(folder: StationFolder, user: User, login: Login = None) -> None:
    """Give an account a new first password, unlock it, and print the password."""
    config = load_station(folder)
    try:
        with local_accounts.opened(config) as accounts:
            first = local_accounts.reset(accounts, user)
    except local_accounts.RecorderRuns:
        client, _ = logged_in(config, login)
        why = "reset from a terminal"
        first = done(client.request("reset_password", user=user, why=why))["password"]
    console.say(f"account {user}, first password {first}: it is shown this once only")


@app.command(name="password")
def change_password(folder: StationFolder, user: User) -> None:
    """Change your own password; the station must run."""
    config = load_station(folder)
    old = password(f"password of {user}")
    new = typer.prompt("new password", hide_input=True, confirmation_prompt=True, err=True)
    if old is None:
        raise NotDone("expected the old password; run it on a terminal")
    with RecorderClient(config.paths.recorder_socket) as client:
        done(client.login(user, old))
        done(client.request("change_password", old=old, new=new))
    console.say(f"{user} has a new password")


def _row(account: dict[str, Any]) -> dict[str, Any]:
    state = "disabled" if account["disabled"] else None
    state = state or ("must change the password" if account["must_change"] else "active")
    return {
        "user": account["user"],
        "role": account["role"],
        "name": account["full_name"] or None,
        "state": state,
    }
