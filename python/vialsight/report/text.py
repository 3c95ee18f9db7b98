"""Numbers as the report writes them."""

from collections.abc import Sequence
from typing import Any, Final

from vialsight.statistics.intervals import Interval

NONE: Final = "–"
# A number and its unit, or a number and its range, stay on one line.
_SPACE: Final = "\N{NO-BREAK SPACE}"


def count(value: int | None) -> str:
    """Return an integer with thousands separated."""
    return NONE if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Return a share to four decimals, as the paper prints it."""
    return NONE if value is None else f"{value:.4f}"


def difference(value: float | None) -> str:
    """Return a difference of shares with its sign."""
    return NONE if value is None else f"{value:+.4f}".replace("-", "−")


def interval(value: Interval | None) -> str:
    """Return an interval of shares, or nothing."""
    return "" if value is None else f"[{value[0]:.4f},{_SPACE}{value[1]:.4f}]"


def difference_interval(value: Interval | None) -> str:
    """Return an interval of differences, or nothing."""
    if value is None:
        return ""
    return f"[{difference(value[0])},{_SPACE}{difference(value[1])}]"


def percent(value: float | None) -> str:
    """Return a share in per cent to one decimal; shares that are not 0 or 1 never look so."""
    if value is None:
        return NONE
    decimals = 1
    while 0 < value < 1 and float(f"{100 * value:.{decimals}f}") in (0.0, 100.0) and decimals < 6:
        decimals += 1
    return f"{100 * value:.{decimals}f}{_SPACE}%"


def percent_interval(value: Interval | None) -> str:
    """Return an interval of shares in per cent, in words, or nothing."""
    return "" if value is None else f"{percent(value[0])} to {percent(value[1])}"


def score(value: float | None) -> str:
    """Return φ or a threshold to six decimals, as the paper prints them."""
    return NONE if value is None else f"{value:.6f}".replace("-", "−")


def milliseconds(value: float) -> str:
    """Return a time without its unit, to three significant digits or whole milliseconds."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def probability(value: float | None) -> str:
    """Return a p-value; small ones as a bound."""
    if value is None:
        return NONE
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def words(name: str) -> str:
    """Return the name of a stage or class for people: `after_last_frame_s` and `chip_cap`."""
    return name.removesuffix("_s").replace("_", " ")


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted name, text) pairs, in the given order; lists joined."""
    if isinstance(value, dict):
        return [
            pair
            for key, inner in value.items()
            for pair in flat(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(prefix, ", ".join(str(item) for item in value) or NONE)]
    return [(prefix, NONE if value is None else str(value))]
