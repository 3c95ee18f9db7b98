"""The supervisor, with small programs in the place of a station's."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vialsight.station import supervisor
from vialsight.station.supervisor import Backoff, Service, StationError, Supervisor

PATIENCE_S = 60.0


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(text))


# Says when it was started and when it was asked to stop, into a file that all share.
NOTED = """
import os, signal, sys
name, path = {name!r}, {path!r}
def note(what):
    with open(path, "a") as file:
        file.write(f"{{name}} {{what}}\\n")
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
note(f"started {{os.getpid()}}")
signal.sigwait({{signal.SIGTERM}})
note("stopped")
"""


def noted(name: str, path: Path, **options: object) -> Service:
    # On a busy machine, one in the background may take minutes to start.
    text = NOTED.format(name=name, path=str(path))
    options = {"background": False, **options}
    return Service(name=name, command=(sys.executable, "-c", text), **options)  # type: ignore[arg-type]


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


class TestBackoff:
    def test_twice_as_long_each_time_up_to_a_bound(self) -> None:
        backoff = Backoff(shortest_s=0.1, longest_s=1.0)
        assert [backoff.after(0.0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]

    def test_at_once_after_a_good_while(self) -> None:
        backoff = Backoff(shortest_s=0.1, longest_s=1.0, good_while_s=30.0)
        for _ in range(5):
            backoff.after(0.0)
        assert backoff.after(30.0) == 0.1
        assert backoff.after(0.0) == 0.2


class TestRunning:
    def test_stopped_by_rank_and_logged(self, notes: Path, logs: Path) -> None:
        services = [noted("recorder", notes, stop_rank=1), noted("inspector", notes)]

        def stop() -> None:
            eventually(lambda: len(lines(notes)) == 2)
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        # Of this thread it is: a signal to the process may come to any.
        thread = threading.Thread(target=stop, daemon=True)
        thread.start()
        Supervisor(services, logs, say=lambda _: None).run()
        thread.join()
        assert lines(notes)[2:] == ["inspector stopped", "recorder stopped"]
        assert sorted(path.name for path in logs.iterdir()) == ["inspector.log", "recorder.log"]

    def test_seconds_count_from_when_all_are_up(self, notes: Path, logs: Path) -> None:
        service = noted("one", notes, is_up=lambda: len(lines(notes)) == 1)
        up: list[int] = []
        runner = Supervisor([service], logs, say=lambda _: None)
        runner.run(seconds=0.05, on_up=lambda: up.append(len(lines(notes))))
        assert up == [1]
        assert lines(notes)[-1] == "one stopped"

    def test_what_dies_is_started_again_and_told(self, notes: Path, logs: Path) -> None:
        def killed_twice() -> bool:
            started = lines(notes)
            if len(started) < 3:
                for line in started:
                    pid = int(line.split()[-1])
                    if alive(pid):
                        os.kill(pid, signal.SIGKILL)
            return len(started) == 3

        said: list[str] = []
        service = noted("one", notes, is_up=killed_twice)
        Supervisor([service], logs, say=said.append).run(seconds=0.0)
        assert [line.split()[1] for line in lines(notes)] == ["started"] * 3 + ["stopped"]
        assert len(said) == 2
        assert all("one was ended by SIGKILL; started again in" in line for line in said)

    def test_last_words_of_what_ended_are_told(self, notes: Path, logs: Path) -> None:
        text = f"""
            import sys
            open({str(notes)!r}, "a").write("x")
            sys.exit("port 80 is taken")
        """
        said: list[str] = []
        services = [
            Service(name="web", command=program(text), background=False, is_up=lambda: False),
            noted("other", notes.with_name("other"), is_up=lambda: len(said) > 0),
        ]

        def say(text: str) -> None:
            said.append(text)
            os.kill(os.getpid(), signal.SIGTERM)

        Supervisor(services, logs, say=say).run()
        assert said[0].startswith("web ended with exit code 1: port 80 is taken; started again in")

    def test_output_is_in_the_log(self, logs: Path) -> None:
        text = """
            import signal, sys
            print("out", flush=True)
            print("err", file=sys.stderr)
            signal.pause()
        """
        log = logs / "one.log"
        service = Service(
            name="one",
            command=program(text),
            background=False,
            is_up=lambda: log.read_text().splitlines() == ["out", "err"],
        )
        Supervisor([service], logs, say=lambda _: None).run(seconds=0.0)
        assert log.stat().st_mode & 0o777 == 0o600

    def test_what_does_not_stop_is_killed(self, notes: Path, logs: Path) -> None:
        text = f"""
            import signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open({str(notes)!r}, "w").write("started\\n")
            while True: time.sleep(1)
        """
        service = Service(
            name="deaf",
            command=program(text),
            background=False,
            patience_s=0.1,
            is_up=notes.exists,
        )
        said: list[str] = []
        Supervisor([service], logs, say=said.append).run(seconds=0.0)
        assert said == ["deaf did not stop within 0.1 s and is killed"]

    def test_one_that_cannot_run_ends_it_and_says_why(self, notes: Path, logs: Path) -> None:
        text = "import sys; print('error: no such bundle', file=sys.stderr); sys.exit(2)"
        services = [
            noted("other", notes),
            Service(name="inspector", command=program(text), background=False, is_up=lambda: False),
        ]
        with pytest.raises(StationError, match=r"(?s)inspector cannot run.*no such bundle"):
            Supervisor(services, logs, say=lambda _: None).run()

    def test_background_takes_what_is_left(self, logs: Path) -> None:
        text = "import os; print(os.sched_getscheduler(0) == os.SCHED_IDLE, flush=True); input()"
        services = [
            Service(
                name=name,
                command=program(text),
                background=name == "web",
                is_up=lambda log=logs / f"{name}.log": bool(lines(log)),
            )
            for name in ("web", "inspector")
        ]
        Supervisor(services, logs, say=lambda _: None).run(seconds=0.0)
        assert lines(logs / "web.log")[0] == "True"
        assert lines(logs / "inspector.log")[0] == "False"


RUNNER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_station_supervisor import noted
from vialsight.station.supervisor import Supervisor
notes, logs = Path({notes!r}), Path({logs!r})
Supervisor([noted("one", notes), noted("two", notes)], logs, say=print).run()
"""


def test_children_end_with_a_supervisor_that_is_killed(notes: Path, logs: Path) -> None:
    text = RUNNER.format(tests=str(Path(__file__).parent), notes=str(notes), logs=str(logs))
    with subprocess.Popen([sys.executable, "-c", text]) as process:
        try:
            eventually(lambda: len(lines(notes)) == 2)
        finally:
            process.kill()
    pids = [int(line.split()[-1]) for line in lines(notes)[:2]]
    eventually(lambda: not any(alive(pid) for pid in pids))
    assert sorted(lines(notes)[2:]) == ["one stopped", "two stopped"]


def test_interrupt_from_a_terminal_stops_in_order(notes: Path, logs: Path) -> None:
    text = RUNNER.format(tests=str(Path(__file__).parent), notes=str(notes), logs=str(logs))
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            eventually(lambda: len(lines(notes)) == 2)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert sorted(lines(notes)[2:]) == ["one stopped", "two stopped"]


class TestLogs:
    def test_a_long_log_is_turned_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "_LOG_BYTES", 4)
        log = tmp_path / "one.log"
        for text in ("first", "second", "third", "fourth", "fifth", "sixth"):
            with log.open("a") as file:
                file.write(text)
                supervisor.turn_over(log)
                # Who has it open goes on at the beginning of the emptied file.
                file.write("")
        found = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert found == {
            "one.log": "sixth",
            "one.log.1": "fifth",
            "one.log.2": "fourth",
            "one.log.3": "third",
            "one.log.4": "second",
        }

    def test_a_short_one_is_left(self, tmp_path: Path) -> None:
        log = tmp_path / "one.log"
        log.write_text("short")
        supervisor.turn_over(log)
        supervisor.turn_over(tmp_path / "none.log")
        assert [path.name for path in tmp_path.iterdir()] == ["one.log"]
