"""What a process beside the inspector takes of the processor: what nobody else wants."""

import os
from contextlib import suppress


def take_what_is_left() -> None:
    """Let everything else go first, the inspector above all, as far as the system allows it."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
