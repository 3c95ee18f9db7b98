"""Processes that render, one core each; none outlives its parent."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Final, TypeVar

from vialsight import quiet
from vialsight.errors import SimulationError

Task = TypeVar("Task")
Output = TypeVar("Output")

# Libraries below NumPy would otherwise start a thread per core in every worker.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
# The environment is the whole process's.
_starting: Final = threading.Lock()


def worker_count(workers: int) -> int:
    """Return how many processes `workers` means; 0 is one per core this process may use.

    Raises SimulationError for a negative number.
    """
    if workers < 0:
        raise SimulationError(f"workers must be 0 (one per core) or more; got {workers}")
    return workers or len(os.sched_getaffinity(0))


class WorkerPool:
    """Worker processes, started one by one as there is work.

    Leaving the `with` block waits for what is being worked on and drops what is not. Ctrl-C
    reaches the parent only, which decides; a worker whose parent died ends at once.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = worker_count(workers)
        # A forked child would inherit TensorFlow's threads and locks from a parent that trains.
        context = multiprocessing.get_context("spawn")
        # The executor cannot take back what it has handed out; workers skip that once this is set.
        self._ending = context.Event()
        self._executor = ProcessPoolExecutor(
            self.workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(self._ending,),
        )

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def map_ahead(
        self, function: Callable[[Task], Output], tasks: Iterable[Task], *, ahead: int
    ) -> Iterator[Output]:
        """Yield `function(task)` in the order of the tasks, with up to `ahead` under way or done.

        `function` must be importable by name; its exceptions are raised here. Raises
        SimulationError when a worker process ends before its work is done.
        """
        waiting: deque[Future[Output]] = deque()
        for task in tasks:
            waiting.append(self.submit(function, task))
            if len(waiting) > ahead:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())

    def submit(self, function: Callable[[Task], Output], task: Task) -> Future[Output]:
        """Start `function(task)` in a worker; any thread may call.

        Raises SimulationError when a worker process has ended before its work was done.
        """
        try:
            with _starting, _quiet_environment():
                return self._executor.submit(_call, function, task)
        except BrokenProcessPool as error:
            raise _lost_worker() from error


def _result(future: Future[Output]) -> Output:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _lost_worker() from error


def _lost_worker() -> SimulationError:
    return SimulationError(
        "a rendering process ended before its work was done: killed, or out of memory; "
        "run the same command again, with fewer --workers if memory is short"
    )


@contextmanager
def _quiet_environment() -> Iterator[None]:
    """Let a process started inside use one thread and leave Ctrl-C to its parent."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


# Of the pool a worker process belongs to; empty in other processes.
_endings: Final[list[Event]] = []


def _start_worker(ending: Event) -> None:
    _endings.append(ending)
    quiet.install()
    # Stdout is the parent's, for data; here it would also outlive the parent's closing it.
    os.dup2(2, 1)
    threading.Thread(target=_watch_parent, name="parent-watch", daemon=True).start()


def _call(function: Callable[[Task], Output], task: Task) -> Output:
    if any(ending.is_set() for ending in _endings):
        raise CancelledError
    return function(task)


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Returns when the pipe's other end closes, which even kill -9 of the parent does.
        parent.join()
        os._exit(1)
