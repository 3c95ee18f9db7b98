"""A line run slot by slot against the clock, and what it costs to isolate TensorFlow."""

import itertools
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight import _core
from vialsight.errors import BundleError
from vialsight.line.bench import WARM_UP_STRIPS, summary, time_strip
from vialsight.line.strips import Frames, made_strip

# Of fewer than 1000 values, p99.9 lies between the two largest.
TAIL: Final = (50, 99, 99.9)
# One thread that wakes every millisecond, before all but the kernel's own; a histogram to 20 ms.
CYCLICTEST: Final = ("-q", "-t1", "-i1000", "-m", "-p80", "-h20000")


def run_slots(
    inspector: _core.Inspector,
    *,
    seconds: float,
    budget_s: float,
    interval_s: float = 0.0,
    seed: int = 0,
    progress: Callable[[float, float], None] | None = None,
) -> dict[str, Any]:
    """Open a slot every `budget_s`, hand over its frames `interval_s` apart, close it; for a while.

    Frames are made (`made_strip`), no two of them equal; the deadline is `budget_s` after a slot
    opens, and the next slot opens at that moment. Returns percentiles per stage in milliseconds,
    verdicts by reason, in how many frames the product was not found, the largest lateness of a
    verdict behind its deadline, and the growth of memory.
    """
    strips = _distinct_strips(inspector.bundle, seed)
    rows: list[dict[str, float]] = []
    reasons: Counter[str] = Counter()
    for _ in range(WARM_UP_STRIPS):  # memory that is touched once
        _slot(inspector, next(strips), 0, budget_s, interval_s)
    memory, started = _resident_bytes(), time.monotonic()
    not_located = inspector.statistics.frames_not_located
    for number in itertools.count(1):
        opened = time.monotonic()
        if opened - started >= seconds:
            break
        verdict, row = _slot(inspector, next(strips), number, budget_s, interval_s)
        rows.append(row)
        reasons[verdict.reason] += 1
        if progress is not None:
            progress(min(opened - started, seconds), seconds)
        time.sleep(max(0.0, opened + budget_s - time.monotonic()))
    return {
        "slots": len(rows),
        "seconds": seconds,
        "budget_ms": 1e3 * budget_s,
        "frame_interval_ms": 1e3 * interval_s,
        "latency_ms": {
            stage: summary([1e3 * row[stage] for row in rows], TAIL)
            for stage in rows[0]
            if stage != "late"
        },
        "latest_verdict_ms": 1e3 * max(row["late"] for row in rows),
        "verdicts": dict(sorted(reasons.items())),
        "frames_not_located": inspector.statistics.frames_not_located - not_located,
        "memory_growth_bytes": _resident_bytes() - memory,
    }


def compare_isolation(
    bundle: _core.Bundle, *, strips: int, threads: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Inspect strips in this process and in a worker, turn by turn; milliseconds per strip.

    Raises BundleError when a strip could not be scored.
    """
    inspectors = {
        isolation: _core.Inspector(bundle, threads=threads, isolation=isolation)
        for isolation in ("in_process", "worker")
    }
    frames = made_strip(bundle, seed)
    totals: dict[str, list[float]] = {name: [] for name in inspectors}
    for number in range(strips + 2):
        # Whoever comes first in a turn comes second in the next.
        for name in sorted(inspectors, reverse=bool(number % 2)):
            totals[name].append(1e3 * time_strip(inspectors[name], frames)["total_s"])
    in_process, worker = (np.array(totals[name][2:]) for name in ("in_process", "worker"))
    return {
        "strips": strips,
        "in_process_ms": summary(in_process, TAIL),
        "worker_ms": summary(worker, TAIL),
        "worker_minus_in_process_ms": summary(worker - in_process, TAIL),
    }


@contextmanager
def scheduling_jitter(seconds: float) -> Iterator[dict[str, Any]]:
    """Run `cyclictest` meanwhile; then the dictionary says how late its thread woke.

    It wakes every millisecond with SCHED_FIFO priority 80, which takes privileges. Raises
    BundleError when the program is missing or refused.
    """
    program = shutil.which("cyclictest")
    if program is None:
        raise BundleError(
            "--jitter: expected cyclictest on the PATH; run: apt-get install rt-tests"
        )
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "cyclictest.json"
        command = [program, *CYCLICTEST, f"-D{max(1, round(seconds))}", f"--json={report}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as running:
            yield result
            _, error = running.communicate()
        if running.returncode != 0 or not report.exists():
            raise BundleError(f"--jitter: cyclictest failed: {error.strip() or 'no report'}")
        result.update(read_jitter(json.loads(report.read_text(encoding="utf-8"))))


def read_jitter(report: dict[str, Any]) -> dict[str, Any]:
    """Return percentiles of the one thread of a report of cyclictest, in microseconds."""
    thread = report["thread"]["0"]
    latencies = {int(us): count for us, count in thread["histogram"].items()}
    known = np.repeat(list(latencies), list(latencies.values()))
    # What lay beyond the histogram is at least as late as its end.
    late = max(0, int(thread["cycles"]) - known.size)
    values = np.concatenate([known, np.full(late, int(thread["max"]))])
    return {"wake_ups": int(thread["cycles"]), "late_us": summary(values, TAIL)}


def _distinct_strips(bundle: _core.Bundle, seed: int) -> Iterator[Frames]:
    """Yield made strips for ever, of which no two share a frame within any line's memory."""
    frames = made_strip(bundle, seed)
    for number in itertools.count():
        for index in range(len(frames)):
            serial = number * len(frames) + index
            frames[index].flat[:4] = [serial >> shift & 255 for shift in (0, 8, 16, 24)]
        yield frames


def _slot(
    inspector: _core.Inspector, frames: Frames, strip_id: int, budget_s: float, interval_s: float
) -> tuple[_core.StripVerdict, dict[str, float]]:
    opened = time.perf_counter()
    inspector.open(strip_id, budget_s=budget_s)
    handed_over = []
    for index, frame in enumerate(frames):
        time.sleep(max(0.0, opened + index * interval_s - time.perf_counter()))
        begun = time.perf_counter()
        inspector.submit(index, frame)
        handed_over.append(time.perf_counter() - begun)
    verdict = inspector.close()
    ended = time.perf_counter()
    row = {"submit": max(handed_over)}
    row.update({stage.removesuffix("_s"): value for stage, value in verdict.times.items()})
    row["late"] = ended - opened - budget_s
    return verdict, row


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
