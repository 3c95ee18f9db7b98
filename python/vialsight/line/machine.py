"""The machine and the software a measurement was made with."""

import os
import platform
from pathlib import Path
from typing import Any

from vialsight import _core
from vialsight.bundle import tensorflow_version


def machine(threads: int) -> dict[str, Any]:
    """Describe the machine and the software a measurement was made with."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads or len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "vialsight": _core.__version__,
        "tensorflow": tensorflow_version(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
