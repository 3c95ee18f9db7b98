"""Runs the command line for tests: in this process, or in one of its own."""

import io
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from vialsight.quiet import LEVEL


class Done(NamedTuple):
    """What a command wrote."""

    stdout: str
    stderr: str


def run_process(*arguments: object, code: int = 0) -> Done:
    """Run the command line in a process of its own and check its exit code and its silence."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    environment.pop(LEVEL, None)
    done = subprocess.run(
        [sys.executable, "-m", "vialsight", *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    for noise in ("Traceback", "absl::", "oneDNN", "deprecated", "0000 00:00:"):
        assert noise not in done.stderr
    return Done(done.stdout, done.stderr)


def run(*arguments: object, code: int = 0) -> Done:
    """Run the command's entry point in this process, which spares its start-up; check its code."""
    stdout = io.StringIO()
    with redirect_stdout(stdout):
        returned, stderr = run_here(*arguments)
    assert returned == code, stdout.getvalue() + stderr
    return Done(stdout.getvalue(), stderr)


def run_here(*arguments: object) -> tuple[object, str]:
    """Run the entry point in this process; return its exit code and what it wrote to stderr."""
    from vialsight.cli import main

    logger = logging.getLogger("vialsight")
    level, handlers, propagate = logger.level, logger.handlers, logger.propagate
    finders, returned = list(sys.meta_path), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as stderr:
        patch.setenv("COLUMNS", "200")
        patch.setenv(LEVEL, os.environ.get(LEVEL, "2"))
        patch.setattr(sys, "argv", ["vialsight", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            returned = end.code or 0
        finally:
            sys.meta_path[:] = finders
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    return returned, stderr.getvalue()


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
