"""Starts the processes of a station, starts again what dies, and stops them in order.

One thread, which sleeps until a child ends or a signal comes. Children are told of its own death by
the kernel (PR_SET_PDEATHSIG), so that none is left behind; they are in sessions of their own, so
that Ctrl-C reaches them through us and in order. Their output goes to files directly: a pipe that
we were slow to empty would hold up who writes into it.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from vialsight.errors import VialSightError

_PR_SET_PDEATHSIG: Final = 1
# Looks for what no signal tells of: whether a process is up, how long its log is.
_LOOK_S: Final = 0.1
_LOOK_SELDOM_S: Final = 1.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Of a process that says that what it was given is wrong.
_EXIT_USAGE: Final = 2
# A log is turned over when it is longer, and so many older ones are kept.
_LOG_BYTES: Final = 8 * 2**20
_LOGS_KEPT: Final = 4
_SHOWN_LINES: Final = 5
_SIGNALS_AT_ONCE: Final = 4096


class StationError(VialSightError):
    """A station cannot be run as asked."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A process of the station.

    `stop_rank`: lower ones are stopped first, equal ones together. `patience_s` is how long one may
    take to stop before it is killed. `background`: it runs only on what the others leave of the
    CPUs. `is_up` tells whether it does its work; asked until it has once said so.
    """

    name: str
    command: tuple[str, ...]
    stop_rank: int = 0
    patience_s: float = 10.0
    background: bool = True
    is_up: Callable[[], bool] = lambda: True


@dataclass
class Backoff:
    """How long to wait before a process that died is started again, in seconds.

    At once after a good while; else twice as long each time, so that one that cannot start does
    not keep the machine busy.
    """

    shortest_s: float = 0.1
    longest_s: float = 10.0
    good_while_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def after(self, ran_s: float) -> float:
        """Return the pause after a process that ran for so long."""
        grown = min(2 * self._next_s, self.longest_s)
        self._next_s = max(self.shortest_s, 0.0 if ran_s >= self.good_while_s else grown)
        return self._next_s


class _Child:
    """A service and its process, where it has one."""

    def __init__(self, service: Service, logs: Path) -> None:
        self.service = service
        self.log = logs / f"{service.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.was_up = False
        self.starts = 0
        self.start_at = 0.0
        self._started = 0.0
        self._backoff = Backoff()

    def start(self) -> None:
        turn_over(self.log)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self.process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                # Of one thread, so that nothing can hold a lock in the child.
                preexec_fn=_child_setup(  # noqa: PLW1509
                    os.getpid(), background=self.service.background
                ),
            )
        finally:
            os.close(descriptor)
        self.starts += 1
        self._started = time.monotonic()

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended since the last call, and let it go."""
        code = None if self.process is None else self.process.poll()
        if code is not None:
            self.process = None
            self.start_at = time.monotonic() + self._backoff.after(time.monotonic() - self._started)
        return code

    def check_up(self) -> None:
        if not self.was_up and self.process is not None:
            self.was_up = self.service.is_up()


class Supervisor:
    """Runs services until told to stop; `say` is told what a person should know.

    `logs` is the folder of their output, NAME.log each.
    """

    def __init__(
        self, services: Sequence[Service], logs: Path, *, say: Callable[[str], None]
    ) -> None:
        self._children = [_Child(service, logs) for service in services]
        self._say = say

    def run(self, *, seconds: float | None = None, on_up: Callable[[], None] | None = None) -> None:
        """Run until SIGINT, SIGTERM, SIGHUP, or for so many seconds once all are up.

        `on_up` is called when every service was up once. Raises StationError when, before that, one
        says (exit code 2) that what it was given is wrong.
        """
        with _signals_caught() as wait:
            try:
                self._run(wait, seconds, on_up)
            finally:
                self._stop(wait)

    def _run(
        self,
        wait: Callable[[float], int | None],
        seconds: float | None,
        on_up: Callable[[], None] | None,
    ) -> None:
        end = float("inf")
        told = False
        while time.monotonic() < end:
            self._start_due()
            if not told and all(child.was_up for child in self._children):
                told = True
                end = end if seconds is None else time.monotonic() + seconds
                if on_up is not None:
                    on_up()
            if wait(self._pause(told)) in _STOPPING:
                return
            self._see_ended(told)
            for child in self._children:
                child.check_up()
                turn_over(child.log)

    def _pause(self, all_were_up: bool) -> float:
        due = [child.start_at for child in self._children if child.process is None]
        longest = _LOOK_SELDOM_S if all_were_up else _LOOK_S
        return max(0.0, min([longest, *(at - time.monotonic() for at in due)]))

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and now >= child.start_at:
                child.start()

    def _see_ended(self, all_were_up: bool) -> None:
        for child in self._children:
            code = child.ended()
            if code is None:
                continue
            how = _in_words(code)
            if code == _EXIT_USAGE and not all_were_up:
                raise StationError(
                    f"{child.service.name} cannot run, and said in {child.log}:",
                    _last_lines(child.log),
                )
            said = _last_lines(child.log)[-1:] if code > 0 else []
            told = ": ".join([f"{child.service.name} {how}", *said])
            pause = max(child.start_at - time.monotonic(), 0.0)
            self._say(f"{told}; started again in {pause:.1f} s")

    def _stop(self, wait: Callable[[float], int | None]) -> None:
        ranks = sorted({child.service.stop_rank for child in self._children})
        for rank in ranks:
            running = [
                child
                for child in self._children
                if child.service.stop_rank == rank and child.process is not None
            ]
            _stop_together(running, wait, self._say)


def turn_over(log: Path) -> None:
    """Rename LOG.1 to LOG.2 and so on, copy LOG to LOG.1 and empty it, when it has become long.

    Its writer goes on appending to the same file; a line written between copy and emptying is lost.
    """
    try:
        if log.stat().st_size < _LOG_BYTES:
            return
    except FileNotFoundError:
        return
    numbered = [log.with_name(f"{log.name}.{n}") for n in range(1, _LOGS_KEPT + 1)]
    for newer, older in reversed(list(pairwise(numbered))):
        if newer.exists():
            newer.replace(older)
    shutil.copyfile(log, numbered[0])
    os.truncate(log, 0)


def _stop_together(
    children: Iterable[_Child],
    wait: Callable[[float], int | None],
    say: Callable[[str], None],
) -> None:
    """Ask children to stop, and kill those that take longer than they may."""
    left = {child.service.name: child for child in children}
    for child in left.values():
        _send(child, signal.SIGTERM)
    since = time.monotonic()
    while left:
        for name, child in list(left.items()):
            if child.ended() is not None:
                del left[name]
            elif time.monotonic() - since > child.service.patience_s:
                say(f"{name} did not stop within {child.service.patience_s:g} s and is killed")
                _send(child, signal.SIGKILL)
        if left:
            wait(_LOOK_S)


def _send(child: _Child, number: int) -> None:
    if child.process is not None:
        child.process.send_signal(number)


@contextmanager
def _signals_caught() -> Iterator[Callable[[float], int | None]]:
    """Catch the signals we wait for; yields a function that waits, and returns which one came.

    A signal to the process comes to any of its threads, those of libraries among them, so that to
    block it here is not enough. Whichever thread it is, Python writes its number into a pipe: it
    cannot be missed between a look and the sleep.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    awaited = (*_STOPPING, signal.SIGCHLD)
    before = {number: signal.signal(number, lambda *_: None) for number in awaited}

    def wait(seconds: float) -> int | None:
        if not select.select([reader], [], [], max(seconds, 0.0))[0]:
            return None
        came = os.read(reader, _SIGNALS_AT_ONCE)
        return next((number for number in came if number in _STOPPING), came[0])

    try:
        yield wait
    finally:
        # What came meanwhile has been answered: we are stopping.
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(reader)
        os.close(writer)


def _child_setup(parent: int, *, background: bool) -> Callable[[], None]:
    """Return what a child does between fork and exec."""
    libc = ctypes.CDLL(None, use_errno=True)

    def setup() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            # It died before it could be asked to tell us.
            os._exit(1)
        if background:
            # The whole of its work, loading included, takes only what the inspector leaves.
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return setup


def _in_words(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _last_lines(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-_SHOWN_LINES:]
