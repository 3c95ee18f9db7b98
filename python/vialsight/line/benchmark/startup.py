"""Cold start to ready, the first verdict, and memory: each measured in processes of their own."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from vialsight import _core
from vialsight.aliases import Progress
from vialsight.errors import BundleError
from vialsight.line.bench import Isolation, spread
from vialsight.line.standin import inspectable, is_calibrated

STARTS: Final = 5
_PROBE: Final = "vialsight.line.benchmark.startup_probe"
# A start takes seconds; one that takes longer than this hangs.
_LONGEST_S: Final = 300.0


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
    command = [sys.executable, "-m", _PROBE, str(bundle), isolation, str(threads)]
    done = subprocess.run(
        [*command, repr(time.monotonic())],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_S,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BundleError(f"a fresh process could not inspect ({isolation}): {last}")
    row: dict[str, float] = json.loads(done.stdout)
    return row
