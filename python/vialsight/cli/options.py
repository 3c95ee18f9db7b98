"""Options that more than one verb has, with the ranges that they check themselves."""

import math
from typing import Annotated, Final

import typer

# A day: as long as the core lets a slot be.
LONGEST_MS: Final = 86_400_000.0
MOST_THREADS: Final = 1024
# What a month of a line lasts; nobody soaks longer, and clocks can count it.
LONGEST_SOAK_S: Final = 31 * 86_400.0
# Seeds are kept in 64 bits, with a sign in JSON.
LARGEST_SEED: Final = 2**63 - 1

LOCATOR: Final = typer.Option(
    "--locator",
    metavar="PATH",
    help="Run, NAME.vsb, shards or `locate --out` folder whose locator is used; default: fit one.",
)


def finite(value: float | None) -> float | None:
    """Refuse what is no number: a comparison with the ends of a range lets it pass."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value:g}")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Threads = Annotated[
    int, typer.Option(min=0, max=MOST_THREADS, help="Of the backend; 0: one per core.")
]
