"""The machine and the software a measurement was made with."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from vialsight import _core
from vialsight.bundle import tensorflow_version

# What decides how fast convolutions can be; others are left out.
_INSTRUCTION_SETS: Final = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
)
_LIBRARIES: Final = (
    "numpy",
    "scipy",
    "scikit-image",
    "tensorflow-cpu",
    "tensorflow",
    "openvino",
    "onnxruntime",
    "tf2onnx",
)
_GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def machine(threads: int) -> dict[str, Any]:
    """Describe the machine and the software a measurement was made with."""
    cpu = _cpu_fields()
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine() or "unknown",
        "cores": cores(),
        "threads": threads or cores(),
        "instruction_sets": instruction_sets(cpu.get("flags", "")),
        "governor": _governor(),
        "load_1min": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "vialsight": _core.__version__,
        "tensorflow": tensorflow_version(),
        "libraries": installed(_LIBRARIES),
    }


def cores() -> int:
    """Return how many logical CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def instruction_sets(flags: str) -> list[str]:
    """Return those of a line of flags in /proc/cpuinfo that matter to a network."""
    return sorted(set(flags.split()) & set(_INSTRUCTION_SETS))


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those distributions that are installed; none is imported."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def described(value: Any) -> str:
    """Return one entry of `machine` in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "none"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _cpu_fields() -> dict[str, str]:
    """Return what /proc/cpuinfo says of the first CPU."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = text.partition("\n\n")[0].splitlines()
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def _governor() -> str:
    try:
        return _GOVERNOR.read_text(encoding="ascii").strip()
    except OSError:
        return "not told (virtual machine, or no frequency scaling)"
