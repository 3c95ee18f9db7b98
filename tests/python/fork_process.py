"""A program with an Inspector and children that use it and end in every way.

usage: python fork_process.py BUNDLE FRAMES.npy ISOLATION; stdout gets what came of it, as JSON:
{scenario: {"child": text, "ended": wait status, "parent": state of the parent's Inspector}}.
"""

import gc
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import vialsight

# No machine is that slow: what takes longer hangs.
LIMIT_S = 60.0

Report = Callable[[str], None]
Body = Callable[["Program", Report], None]


class Program:
    """What a parent and its children have: an Inspector in a variable that children may drop."""

    def __init__(self, bundle: str, frames: np.ndarray, isolation: str) -> None:
        self.bundle, self.frames, self.isolation = bundle, frames, isolation
        self.inspector: Any = None

    def create(self) -> Any:
        return vialsight.Inspector(self.bundle, threads=1, isolation=self.isolation)

    def inspect(self) -> str:
        verdict = self.inspector.inspect(self.frames)
        return f"{verdict.verdict} {verdict.reason}"

    def state(self) -> dict[str, Any]:
        verdict = self.inspect()
        health = self.inspector.health
        return {
            "verdict": verdict,
            "ready": health.ready,
            "restarts": health.restarts,
            "worker": health.worker_pid,
            "fault": health.last_fault,
        }


def told(call: Callable[[], Any]) -> str:
    try:
        return f"returned {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def uses(program: Program, report: Report) -> None:
    """Every method and property, one after another."""
    inspector, frames = program.inspector, program.frames
    patch = np.zeros((1, 32, 32), np.float32)
    calls: dict[str, Callable[[], Any]] = {
        "inspect": lambda: inspector.inspect(frames),
        "inspect in time": lambda: inspector.inspect(frames, budget_s=1.0),
        "open": lambda: inspector.open(1),
        "submit": lambda: inspector.submit(0, frames[0]),
        "close": inspector.close,
        "score_patches": lambda: inspector.score_patches(patch),
        "score_with_outputs": lambda: inspector.score_with_outputs(patch),
        "map": lambda: inspector.map(0, 0, 0),
        "images": lambda: inspector.images(0, 0, 0),
        "statistics": lambda: inspector.statistics,
        "health": lambda: inspector.health,
        "bundle": lambda: inspector.bundle.name,
    }
    report(json.dumps({name: told(call) for name, call in calls.items()}))


def use(program: Program, report: Report) -> None:
    report(told(program.inspect))


def ordinary_end(program: Program, report: Report) -> None:
    report("told")
    raise SystemExit(0)


def ordinary_end_after_use(program: Program, report: Report) -> None:
    use(program, report)
    raise SystemExit(0)


def uncaught_error(program: Program, report: Report) -> None:
    report("told")
    program.inspect()
    raise AssertionError("not refused")


def dropped(program: Program, report: Report) -> None:
    program.inspector = None
    gc.collect()
    report("told")


def killed(program: Program, report: Report) -> None:
    report("told")
    os.kill(os.getpid(), signal.SIGKILL)


def own(program: Program, report: Report) -> None:
    program.inspector = program.create()
    report(program.inspect())
    raise SystemExit(0)


def daemon(program: Program, report: Report) -> None:
    """The child ends at once; what it leaves behind is in a session of its own."""
    if os.fork() != 0:
        return
    os.setsid()
    use(program, report)
    raise SystemExit(0)


def in_multiprocessing(program: Program, report: Report) -> None:
    child = multiprocessing.get_context("fork").Process(target=use, args=(program, report))
    child.start()
    child.join()


def in_a_pool(program: Program, report: Report) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        report("; ".join(pool.map(pooled, range(3))))


def pooled(_: int) -> str:
    return told(PROGRAM.inspect)


def in_a_thread(program: Program, report: Report) -> None:
    thread = threading.Thread(target=forked, args=(program, use, report))
    thread.start()
    thread.join()


def started_with_exec(program: Program, report: Report) -> None:
    command = [sys.executable, "-c", "print('told', end='')"]
    report(
        subprocess.run(command, capture_output=True, text=True, check=True, close_fds=False).stdout
    )


FORKED: dict[str, Body] = {
    body.__name__: body
    for body in (
        uses,
        use,
        ordinary_end,
        ordinary_end_after_use,
        uncaught_error,
        dropped,
        killed,
        own,
        daemon,
    )
}
# These fork by themselves.
CALLED: dict[str, Body] = {
    body.__name__: body for body in (in_multiprocessing, in_a_pool, in_a_thread, started_with_exec)
}


def forked(program: Program, body: Body, report: Report) -> int:
    """Run `body` in a forked child to the child's end; its wait status, or SIGKILL's if it hung."""
    child = os.fork()
    if child == 0:
        body(program, report)
        os._exit(0)
    ended = os.pidfd_open(child)
    if not select.select([ended], [], [], LIMIT_S)[0]:
        report(" hung")
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return os.waitpid(child, 0)[1]


def run(program: Program, body: Body, *, fork: bool) -> dict[str, Any]:
    reading, writing = os.pipe()

    def report(text: str) -> None:
        os.write(writing, text.encode())

    status = 0
    if fork:
        status = forked(program, body, report)
    else:
        body(program, report)
    os.close(writing)
    # To the end: of whoever is left that could write.
    text = b""
    while select.select([reading], [], [], LIMIT_S)[0] and (came := os.read(reading, 65536)):
        text += came
    os.close(reading)
    return {"child": text.decode(), "ended": status}


def main() -> int:
    before = run(PROGRAM, own, fork=True)
    PROGRAM.inspector = PROGRAM.create()
    results: dict[str, Any] = {"fork_before": before | {"parent": PROGRAM.state()}}
    for bodies, fork in ((FORKED, True), (CALLED, False)):
        for name, body in bodies.items():
            results[name] = run(PROGRAM, body, fork=fork) | {"parent": PROGRAM.state()}
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    PROGRAM = Program(sys.argv[1], np.load(sys.argv[2]), sys.argv[3])
    sys.exit(main())
