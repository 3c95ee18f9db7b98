"""Which components of a bundle's score decide, and how they are combined (SPEC §5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vialsight.bundle import Definition
from vialsight.errors import DataError

LARGEST: Final = "largest"
SUM: Final = "sum"
COMBINATIONS: Final = (LARGEST, SUM)


@dataclass(frozen=True)
class Choice:
    """Names of the components that decide; `combine` is one of COMBINATIONS, None for one name."""

    names: tuple[str, ...]
    combine: str | None


def choose(score: Definition, names: Sequence[str] = (), combine: str | None = None) -> Choice:
    """Return what is asked of the manifest's `score`; without names, those that decide now stay.

    Several names are combined by LARGEST, if nothing else is said. Raises DataError for a name that
    the bundle does not offer or that comes twice, for an unknown `combine`, and for one that has
    nothing to combine.
    """
    chosen = tuple(names or score["decide"])
    _check_names(chosen, [component["name"] for component in score["components"]])
    if combine not in (None, *COMBINATIONS):
        raise DataError(f"combine: expected one of {', '.join(COMBINATIONS)}; got {combine!r}")
    if len(chosen) > 1:
        kept = None if names else score["combine"]
        return Choice(chosen, combine or kept or LARGEST)
    if combine is not None:
        raise DataError(
            f"combine: expected several components to combine by {combine!r}, got {chosen[0]!r} "
            "alone; name them, or leave it out"
        )
    return Choice(chosen, None)


def _check_names(chosen: Sequence[str], offered: Sequence[str]) -> None:
    for name in chosen:
        if name not in offered:
            raise DataError(
                f"score: expected components that the bundle offers ({', '.join(offered)}); "
                f"got {name!r}"
            )
        if chosen.count(name) > 1:
            raise DataError(f"score: expected each component once, got {name!r} twice")
