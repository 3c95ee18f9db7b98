"""Contenders measured turn by turn in one run, so that a busy machine hits all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vialsight.aliases import Progress
from vialsight.line.bench import spread

LEAST_TURNS: Final = 9
# Runtimes keep their threads spinning for a while after a call; the next one shall not pay for it.
PAUSE_S: Final = 0.05

# A contender runs once and returns milliseconds by what they are of.
Contender = Callable[[], Mapping[str, float]]


def alternate(
    contenders: Mapping[str, Contender],
    turns: int,
    *,
    pause_s: float = PAUSE_S,
    progress: Progress | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Run every contender once a turn, after one turn that is not counted; return all times.

    Each turn begins with another contender. Times are by contender and what they are of.
    """
    names = list(contenders)
    times: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for turn in range(turns + 1):
        first = turn % len(names) if names else 0
        for name in names[first:] + names[:first]:
            time.sleep(pause_s)
            for what, ms in contenders[name]().items():
                if turn:
                    times[name].setdefault(what, []).append(ms)
        if progress is not None:
            progress(turn + 1, turns + 1)
    return times


def timed(what: str, call: Callable[[], object]) -> Contender:
    """Return a contender that times `call`."""

    def run() -> dict[str, float]:
        return {what: milliseconds(call)}

    return run


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call took."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return smallest, median and largest of ours divided by theirs, each within its turn."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])
