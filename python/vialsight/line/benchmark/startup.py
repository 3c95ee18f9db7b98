"""Cold start to ready, the first verdict, and memory: each measured in processes of their own."""

import time
from pathlib import Path
from typing import Any, Final

from vialsight import _core
from vialsight.aliases import Progress
from vialsight.line.bench import Isolation, spread
from vialsight.line.benchmark.probe import run_probe
from vialsight.line.standin import inspectable, is_calibrated

STARTS: Final = 5
_PROBE: Final = "vialsight.line.benchmark.startup_probe"


def measure_startup(
    bundle: _core.Bundle,
    *,
    threads: int = 0,
    starts: int = STARTS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Start `starts` fresh processes for each isolation, in turn; return medians and ranges.

    From the start of the process, in milliseconds: the package is imported, the bundle is loaded
    and checked, the Inspector is ready (warmed up, golden patches scored), the first verdict is
    there; and how long the first and the second strip took. Memory is the largest resident size of
    process and worker after ten strips, in MiB. The bundle's files and the libraries are in the
    page cache, but for what the first start reads. Raises BundleError when a process fails.
    """
    rows: dict[Isolation, list[dict[str, float]]] = {"in_process": [], "worker": []}
    with inspectable(bundle) as usable:
        for number in range(starts):
            for isolation, found in rows.items():
                found.append(_start(Path(usable.path), isolation, threads))
            if progress is not None:
                progress(number + 1, starts)
    return {
        "starts": starts,
        "verdicts": is_calibrated(bundle),
        **{
            isolation: {what: spread([row[what] for row in found]) for what in found[0]}
            for isolation, found in rows.items()
        },
    }


def _start(bundle: Path, isolation: Isolation, threads: int) -> dict[str, float]:
    # CLOCK_MONOTONIC is the same in all processes of a machine.
    row: dict[str, float] = run_probe(
        _PROBE,
        [str(bundle), isolation, str(threads), repr(time.monotonic())],
        failure=f"a fresh process could not inspect ({isolation})",
    )
    return row
