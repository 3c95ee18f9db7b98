"""One start, in a process of its own: `python -m … BUNDLE ISOLATION THREADS STARTED`.

STARTED is when the process was started, by the monotonic clock, in seconds. Prints one JSON object.
"""

import json
import sys
import time
from pathlib import Path

from vialsight import _core
from vialsight.line.bench import time_strip
from vialsight.line.strips import made_strip

_STRIPS = 10


def main() -> None:
    """Start, inspect, and say when what was done."""
    path, isolation, threads, started = sys.argv[1:]
    moments = {"imported_ms": time.monotonic()}
    bundle = _core.Bundle.load(path)
    moments["loaded_ms"] = time.monotonic()
    inspector = _core.Inspector(
        bundle, threads=int(threads), isolation="worker" if isolation == "worker" else "in_process"
    )
    moments["ready_ms"] = time.monotonic()
    result = {name: 1e3 * (moment - float(started)) for name, moment in moments.items()}
    # Made between ready and the first strip: a line has its frames from a camera.
    frames = made_strip(bundle, 0)
    totals = [1e3 * time_strip(inspector, frames)["total_s"] for _ in range(_STRIPS)]
    result |= {"first_verdict_ms": result["ready_ms"] + totals[0]}
    result |= {"first_strip_ms": totals[0], "second_strip_ms": totals[1]}
    result["process_mib"] = peak_mib("self")
    if isolation == "worker":
        result["worker_mib"] = peak_mib(str(inspector.health.worker_pid))
    json.dump(result, sys.stdout)


def peak_mib(process: str) -> float:
    """Return the largest resident size that a process has had, in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024.0


if __name__ == "__main__":
    main()
