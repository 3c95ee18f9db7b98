"""Options that more than one verb has, with the ranges that they check themselves."""

import math
from typing import Annotated, Final, Literal

import typer

from vialsight.errors import DataError

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
    int,
    typer.Option(
        min=0, max=MOST_THREADS, help="Of network and core; 0: one for each core it may use."
    ),
]
Isolation = Annotated[
    str, typer.Option(help="in_process, or worker: the network in a process of its own.")
]


def isolation_of(name: str) -> Literal["in_process", "worker"]:
    """Return what --isolation chose. Raises DataError for anything else."""
    if name in ("in_process", "worker"):
        return "worker" if name == "worker" else "in_process"
    raise DataError(f"--isolation: expected in_process or worker, got {name!r}")
