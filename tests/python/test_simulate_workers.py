"""Worker processes: order, bounds, one thread each, clear errors."""

import math
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from vialsight.errors import SimulationError
from vialsight.simulation.workers import WorkerPool, worker_count


def test_results_come_in_order_and_tasks_are_taken_as_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with WorkerPool(2) as pool:
        results = pool.map_ahead(math.sqrt, tasks(), ahead=3)
        for number in range(10):
            assert next(results) == math.sqrt(number)
            assert len(taken) == number + 4
        assert list(results) == [math.sqrt(number) for number in range(10, 20)]


def test_workers_have_one_thread_and_leave_interrupts_to_the_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    with WorkerPool(1) as pool:
        assert list(pool.map_ahead(os.getenv, names, ahead=1)) == ["1", "1", "1"]
        blocked = pool.submit(partial(signal.pthread_sigmask, signal.SIG_BLOCK), ())
        assert signal.SIGINT in blocked.result()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_do_not_hold_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(1) as pool:
        links = ("/proc/self/fd/1", "/proc/self/fd/2")
        out, err = pool.map_ahead(os.readlink, links, ahead=2)
    here = [str(Path(link).readlink()) for link in links]
    assert out == err == here[1] != here[0]


def test_error_of_a_task_is_raised() -> None:
    with WorkerPool(1) as pool, pytest.raises(ValueError, match="math domain"):
        list(pool.map_ahead(math.sqrt, [-1.0], ahead=1))


def test_lost_worker() -> None:
    message = (
        "a rendering process ended before its work was done: killed, or out of memory; "
        "run the same command again, with fewer --workers if memory is short"
    )
    with WorkerPool(1) as pool:
        for _ in range(2):  # at the result, then at the next task
            with pytest.raises(SimulationError) as raised:
                list(pool.map_ahead(os._exit, [3], ahead=1))
            assert str(raised.value) == message


def test_number_of_workers() -> None:
    assert worker_count(3) == 3
    assert worker_count(0) == len(os.sched_getaffinity(0))
    with pytest.raises(SimulationError) as raised:
        worker_count(-2)
    assert str(raised.value) == "workers must be 0 (one per core) or more; got -2"
