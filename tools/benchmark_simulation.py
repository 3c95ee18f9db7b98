#!/usr/bin/env python3
"""Measures how fast strips are rendered, written and shown live.

usage: tools/benchmark_simulation.py [--runs N] [--workers W…] [--json]

  --runs N      runs per measurement, of as many strips; default 12
  --workers W…  numbers of worker processes to measure with; default 1 2
  --json        print JSON instead of a table

rendered: one process, no disk: runs of 3 inspected frames, and of 16 frames with rank images;
          frames_per_cpu_s tells what a core does that does nothing else.
written:  `vialsight simulate kit --runs 1` into a temporary folder, as PNG, masks included; from
          when every worker has written its first run, so that starting processes does not count.
live:     seconds per strip that a live line sustains when its slots are too short for it.
The peak of memory is that of the largest process of each kind.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vialsight.line.machine import machine
from vialsight.simulation.live import LiveLine
from vialsight.simulation.plan import SetPlan, plan_set
from vialsight.simulation.runs import RunTask, render_pictures, run_tasks
from vialsight.simulation.writing import write_set


def rendered(tasks: tuple[RunTask, ...]) -> dict[str, float]:
    """Frames per second of rendering `tasks` in this process; the first one warms up."""
    render_pictures(tasks[0])
    seconds, cpu_began = [], time.process_time()
    for task in tasks:
        began = time.perf_counter()
        render_pictures(task)
        seconds.append(time.perf_counter() - began)
    frames = len(tasks[0].frames)
    return {
        "runs": len(tasks),
        "frames_per_run": frames,
        "frames_per_s": len(tasks) * frames / sum(seconds),
        "frames_per_cpu_s": len(tasks) * frames / (time.process_time() - cpu_began),
        "run_s_min": min(seconds),
        "run_s_max": max(seconds),
    }


def written(plan: SetPlan, workers: int) -> dict[str, float]:
    """Frames per second of writing a set with this many workers, once all of them work."""
    moments: list[tuple[float, int]] = []

    def note(done: int, total: int) -> None:
        moments.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kit"
        write_set(plan, out, workers=workers, say=lambda _: None, progress=note)
        sizes = [path.stat().st_size for path in out.rglob("*.png")]
    # The parent writes the first run, then each worker starts with one.
    (began, before), (ended, done) = moments[workers], moments[-1]
    return {
        "workers": workers,
        "runs": len(run_tasks(plan)),
        "frames_per_s": (done - before) / (ended - began),
        "bytes_per_image": sum(sizes) / plan.images,
    }


def live(plan: SetPlan, workers: int) -> dict[str, float]:
    """Seconds per strip of a line that is always late, once all workers work."""
    with LiveLine(plan, slot_s=1e-3, workers=workers) as line:
        starts = [strip.start_s for strip in line][workers:]
    return {
        "workers": workers,
        "strips": len(starts),
        "strip_s": (starts[-1] - starts[0]) / (len(starts) - 1),
    }


def measure(runs: int, workers: list[int]) -> dict[str, Any]:
    """Take all measurements, saying on stderr which."""
    kit, train = plan_set("kit", strips=runs, runs=1), plan_set("train", strips=2, runs=1)
    result: dict[str, Any] = {"machine": machine(1)}
    print("rendering…", file=sys.stderr)
    result["rendered"] = [rendered(run_tasks(kit)), rendered(run_tasks(train))]
    for name, function in (("written", written), ("live", live)):
        result[name] = []
        for count in workers:
            print(f"{name}, {count} workers…", file=sys.stderr)
            result[name].append(function(kit, count))
    usage = {"parent": resource.RUSAGE_SELF, "worker": resource.RUSAGE_CHILDREN}
    result["peak_rss_mib"] = {
        name: resource.getrusage(who).ru_maxrss / 1024 for name, who in usage.items()
    }
    return result


def print_table(result: dict[str, Any]) -> None:
    for key, value in result["machine"].items():
        print(f"{key:<12} {value}")
    for name in ("rendered", "written", "live"):
        for row in result[name]:
            print(name.ljust(12), *(f"{key} {value:.4g}" for key, value in row.items()), sep="  ")
    peaks = result["peak_rss_mib"].items()
    print("peak RSS".ljust(12), *(f"{who} {value:.0f} MiB" for who, value in peaks), sep="  ")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.runs < max(arguments.workers) + 3 or min(arguments.workers) < 1:
        parser.error("expected workers from 1, and at least 3 more runs than workers")
    result = measure(arguments.runs, arguments.workers)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


if __name__ == "__main__":
    main()
