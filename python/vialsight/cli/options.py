"""Options that more than one verb has."""

from typing import Final

import typer

LOCATOR: Final = typer.Option(
    "--locator",
    metavar="PATH",
    help="Run, NAME.vsb, shards or `locate --out` folder whose locator is used; default: fit one.",
)
