"""Throughput over batch sizes and threads.

Each number of threads has a process of its own: TensorFlow keeps for a whole process how many
threads its first session asked for, whatever later ones do.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Patches, Progress
from vialsight.errors import BundleError
from vialsight.line.bench import spread
from vialsight.line.benchmark.probe import last_line
from vialsight.line.benchmark.turns import LEAST_TURNS, Contender, alternate
from vialsight.line.machine import cores

BATCHES: Final = (1, 4, 20, 60)
_PROBE: Final = "vialsight.line.benchmark.sweep_probe"


def measure_throughput(
    bundle: _core.Bundle,
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] | None = None,
    turns: int = LEAST_TURNS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score patches in batches of each size with each number of threads, turn by turn.

    The network and the scores, without locating and cutting. `threads` None: 1, 2, 4 … up to the
    cores. Times are milliseconds a patch. Raises BundleError when a process fails.
    """
    counts = list(threads or thread_counts(cores()))
    cells = [(count, batch) for count in counts for batch in batches]
    with ExitStack() as stack:
        scoring = {count: stack.enter_context(_process(bundle, count)) for count in counts}
        contenders = {
            f"{count} {batch}": _batch(scoring[count], count, batch) for count, batch in cells
        }
        times = alternate(contenders, turns, progress=progress)
    rows = []
    for count, batch in cells:
        per_patch = spread([ms / batch for ms in times[f"{count} {batch}"]["batch"]])
        rows.append(
            {
                "threads": count,
                "batch": batch,
                "ms_per_patch": per_patch,
                "patches_per_s": 1e3 / per_patch["p50"],
            }
        )
    return {"turns": turns, "rows": rows}


def thread_counts(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4 … below `most`, and `most`."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return (*powers, most)


def real_patches(bundle: _core.Bundle, count: int) -> Patches:
    """Return `count` patches (n,P,P): the golden ones, of regions in turn, repeated."""
    golden = bundle.golden_inputs
    in_turn = golden.transpose(1, 0, 2, 3).reshape(-1, *golden.shape[2:])
    chosen: npt.NDArray[np.float32] = in_turn[np.arange(count) % len(in_turn)]
    return np.ascontiguousarray(chosen)


@contextmanager
def _process(bundle: _core.Bundle, threads: int) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", _PROBE, str(bundle.path), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.communicate()


def _batch(process: "subprocess.Popen[str]", threads: int, batch: int) -> Contender:
    def run() -> dict[str, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(f"{batch}\n")
            process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = process.stdout.readline()
        if not answer:
            last = last_line(process.stderr.read())
            raise BundleError(f"--sweep: the process with {threads} threads ended: {last}")
        return {"batch": float(answer)}

    return run
