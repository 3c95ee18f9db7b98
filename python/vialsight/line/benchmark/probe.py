"""Measurements in processes of their own: `python -m MODULE ARGUMENTS…`, which print JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vialsight.errors import BundleError

# A probe takes seconds; one that takes longer than this hangs.
_LONGEST_S: Final = 300.0


def run_probe(
    module: str,
    arguments: Sequence[str],
    *,
    failure: str,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Return the JSON that `module` prints; `environment` is set besides this process's own.

    Raises BundleError, `failure` and the last line of its stderr, when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_S,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        raise BundleError(f"{failure}: {last_line(done.stderr)}")
    return json.loads(done.stdout)


def last_line(text: str) -> str:
    """Return the last line of what a process wrote to stderr: of a traceback, its message."""
    return (text.strip().splitlines() or ["no message"])[-1]
