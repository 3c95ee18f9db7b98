"""What the tests of `vialsight simulate` share: small sets, the command line, folders compared."""

import os
import subprocess
import sys
from pathlib import Path

from vialsight.simulation.plan import SetPlan, plan_set
from vialsight.simulation.writing import write_set


def small_kit() -> SetPlan:
    """One nominal and two defective strips, one run each."""
    return plan_set("kit", strips=3, runs=1)


SMALL_KIT = ("kit", "--strips", "3", "--runs", "1")


def write_quietly(plan: SetPlan, out: Path, **options: int) -> bool:
    return write_set(plan, out, say=lambda _: None, progress=lambda *_: None, **options)


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """Start `vialsight simulate` with pipes to its outputs."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "vialsight", "simulate", *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options},
    )  # fmt: skip


def finish(process: subprocess.Popen[bytes], code: int = 0) -> str:
    """Wait for the exit code; return stderr, which is never a traceback."""
    with process:
        _, stderr = process.communicate(timeout=300)
    text = stderr.decode()
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def simulate(*arguments: object, code: int = 0, **options: object) -> str:
    return finish(start(*arguments, **options), code)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
