"""`vialsight simulate` killed and stopped: complete runs only, and the same bytes in the end."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulation_support import SMALL_KIT, finish, simulate, start, tree


def children(parent: int) -> list[int]:
    """Worker processes of a parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(status.parent.name))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A command that is writing, one run done, its worker at the next."""
    out = tmp_path / "kit"
    process = start(*SMALL_KIT, "--out", out, "--workers", "1")
    images = out / "images"
    wait_for(lambda: any(images.glob("*/run_01")) and children(process.pid))
    yield SimpleNamespace(out=out, process=process, workers=children(process.pid))
    if process.poll() is None:
        finish(process)


def assert_goes_on(out: Path, kit_folder: Path) -> None:
    """Complete runs only; the same command, with more workers, ends in the same bytes."""
    assert not (out / "dataset.csv").exists()
    runs = list((out / "images").glob("*/run_01"))
    assert 1 <= len(runs) < 3
    assert all(len(list(run.iterdir())) == 3 for run in runs)
    simulate(*SMALL_KIT, "--out", out, "--workers", "2")
    assert tree(out) == tree(kit_folder)


@pytest.mark.slow
class TestInterrupted:
    def test_killed_parent(self, begun: SimpleNamespace, kit_folder: Path) -> None:
        begun.process.kill()
        begun.process.wait()
        begun.process.communicate()
        wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in begun.workers))
        assert_goes_on(begun.out, kit_folder)

    def test_killed_worker(self, begun: SimpleNamespace, kit_folder: Path) -> None:
        os.kill(begun.workers[0], signal.SIGKILL)
        assert finish(begun.process, 2).splitlines()[-1] == (
            "error: a rendering process ended before its work was done: killed, or out of memory; "
            "run the same command again, with fewer --workers if memory is short"
        )
        assert_goes_on(begun.out, kit_folder)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_stopped(
        self, number: signal.Signals, code: int, begun: SimpleNamespace, kit_folder: Path
    ) -> None:
        begun.process.send_signal(number)
        said = finish(begun.process, code).splitlines()
        assert said[-1] == "stopping, as soon as the runs being rendered are finished"
        leftovers = [name for name in tree(begun.out) if ".tmp" in name]
        assert leftovers == []
        assert not (begun.out / "dataset.csv").exists()
