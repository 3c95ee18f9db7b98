"""The recorder as a process: killed, crowded, out of space; nothing is lost, nothing twice."""

import contextlib
import json
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import station_support as support
from station_support import (
    PASSWORD,
    FakeInspector,
    RecorderProcess,
    SpoolWriter,
    add_user,
    short_folder,
    wait_until,
    write_station,
)

from vialsight.station import unix_sockets
from vialsight.station.accounts import Accounts
from vialsight.station.batches import Batches
from vialsight.station.client import RecorderClient, RecorderUnavailable
from vialsight.station.config import load_station
from vialsight.station.record.reading import RecordReader
from vialsight.station.record.store import RecordStore
from vialsight.station.record.verify import open_record, verify

KILLS = 50


@pytest.fixture
def station():
    with short_folder() as base:
        yield write_station(base / "st")


def recorded_seqs(folder: Path) -> list[int]:
    with contextlib.closing(RecordReader(folder / "record.sqlite")) as reader:
        return [s.seq for s in reader.strips(newest=False, limit=10**6)]


def is_recorded(folder: Path, seq: int) -> bool:
    with (
        contextlib.suppress(Exception),
        contextlib.closing(RecordReader(folder / "record.sqlite")) as reader,
    ):
        return reader.strip(seq) is not None
    return False


def require_whole(folder: Path) -> None:
    file = open_record(folder / "record.sqlite")
    try:
        assert verify(file).findings.found == []
    finally:
        file.close()


@pytest.mark.slow
def test_killed_fifty_times_while_strips_come(station: Path) -> None:
    writer = SpoolWriter(station / "spool", segment_bytes=20_000)
    writer.write(support.START, support.start_body())
    written: list[int] = []
    stop = threading.Event()

    def write() -> None:
        chosen = random.Random(0)
        while not stop.is_set():
            reject = chosen.random() < 0.3
            body = support.strip_body(len(written), verdict="reject" if reject else "accept")
            pictures = support.pictures_payload(len(written)) if reject else None
            written.append(writer.strip(body, pictures))
            time.sleep(0.02)

    thread = threading.Thread(target=write)
    thread.start()
    recorder, chosen = RecorderProcess(station), random.Random(1)
    try:
        for _ in range(KILLS):
            recorder.start()
            path = station / "run" / "recorder.sock"
            wait_until(lambda path=path: support.answers(path))
            time.sleep(chosen.uniform(0.0, 0.15))
            recorder.kill()
        for _ in range(5):
            recorder.start()
            time.sleep(chosen.uniform(0.0, 0.3))
            recorder.kill()
    finally:
        stop.set()
        thread.join()
        recorder.kill()
    with recorder:
        wait_until(lambda: is_recorded(station, written[-1]), within_s=120.0)
        assert recorder.stop() == 0
    assert recorded_seqs(station) == written
    assert len(written) > 500
    require_whole(station)
    assert not list((station / "frames").glob(".*"))
    left = sorted((station / "spool").iterdir())
    assert len(left) == 1, "segments that are recorded are deleted, but the newest"
    with contextlib.closing(RecordReader(station / "record.sqlite")) as reader:
        kinds = [entry.kind for entry in reader.entries(limit=10**6)]
    assert kinds.count("recorder_started") > KILLS
    assert "event" not in kinds
    writer.close()


def test_a_killed_inspector_loses_what_it_had_not_written(station: Path) -> None:
    writer = SpoolWriter(station / "spool")
    writer.write(support.START, support.start_body())
    first = writer.strip(support.strip_body(1))
    (path,) = (station / "spool").iterdir()
    writer.strip(support.strip_body(2, verdict="reject"), support.pictures_payload())
    whole = path.read_bytes()
    writer.close()
    path.write_bytes(whole[:-100])
    with RecorderProcess(station) as recorder:
        wait_until(lambda: is_recorded(station, first))
        wait_until(lambda: is_recorded(station, first + 1), within_s=15.0)
        following = SpoolWriter(station / "spool", next_seq=first + 2)
        following.write(support.START, support.start_body())
        last = following.strip(support.strip_body(3))
        wait_until(lambda: is_recorded(station, last))
        following.close()
        assert recorder.stop() == 0
    with contextlib.closing(RecordReader(station / "record.sqlite")) as reader:
        strip = reader.strip(first + 1)
        assert strip is not None
        assert strip.body["pictures"] == "lost"
        assert [alarm.key for alarm in reader.alarms()] == ["pictures_lost"]
    require_whole(station)


def test_a_backlog_is_caught_up(station: Path) -> None:
    writer = SpoolWriter(station / "spool")
    writer.write(support.START, support.start_body())
    body = support.strip_body(1)
    for number in range(10_000):
        last = writer.strip(body | {"strip_id": number})
    writer.close()
    with RecorderProcess(station) as recorder:
        wait_until(lambda: is_recorded(station, last), within_s=120.0)
        assert recorder.stop() == 0
    assert len(recorded_seqs(station)) == 10_000
    require_whole(station)


def test_a_killed_recorder_finishes_a_command_afterwards(station: Path) -> None:
    with FakeInspector(station) as inspector, RecorderProcess(station) as recorder:
        engineer = add_user(recorder.client(), "eva", "engineer")
        wait_until(lambda: engineer.request("batch_status")["reachable"])
        engineer.request("open_batch", product="P", number="1")
        engineer.request("run_challenge")
        wait_until(lambda: not engineer.request("challenge_status")["running"])
        inspector.delay_s = 0.5
        asked = threading.Thread(
            target=lambda: (
                contextlib.suppress(RecorderUnavailable).__enter__()
                or _quietly(engineer, "start_batch")
            )
        )
        asked.start()
        wait_until(lambda: recorder.client().request("batch_status")["pending"])
        recorder.kill()
        asked.join()
        recorder.start()
        client = recorder.client()
        wait_until(lambda: client.request("batch_status")["status"] == "started")
        inspector.strip()
        assert client.request("whoami")["code"] == "denied"
        assert engineer.request("whoami")["user"] == "eva", "sessions outlive the recorder"


def _quietly(client: RecorderClient, action: str) -> None:
    with contextlib.suppress(RecorderUnavailable):
        client.request(action)


def _killed_after_the_challenge(recorder: RecorderProcess) -> None:
    engineer = add_user(recorder.client(), "eva", "engineer")
    wait_until(lambda: engineer.request("batch_status")["reachable"])
    engineer.request("open_batch", product="P", number="1")
    engineer.request("run_challenge")
    wait_until(lambda: not engineer.request("challenge_status")["running"])
    recorder.kill()


def _ask_to_start(station: Path, now_ns: Callable[[], int]) -> None:
    """Write what a recorder does before it sends a command."""
    store = RecordStore(station / "record.sqlite", now_ns=now_ns)
    account = Accounts(store).get("eva")
    assert account is not None
    Batches(store, load_station(station).challenge).start(account, "web")
    store.close()


def test_a_command_that_was_never_sent_is_sent_afterwards(station: Path) -> None:
    with RecorderProcess(station) as recorder, FakeInspector(station) as inspector:
        _killed_after_the_challenge(recorder)
        # As if the recorder had been killed between the entry and the command.
        _ask_to_start(station, time.time_ns)
        before = len(inspector.seen)
        recorder.start()
        client = recorder.client()
        wait_until(lambda: client.request("batch_status")["status"] == "started")
        assert [c["command"] for c in inspector.seen[before:]] == ["produce"]


def test_a_command_of_long_ago_is_given_up(station: Path) -> None:
    with RecorderProcess(station) as recorder, FakeInspector(station) as inspector:
        _killed_after_the_challenge(recorder)
        asked_ns = time.time_ns() - 61 * 10**9
        _ask_to_start(station, lambda: asked_ns)
        before = len(inspector.seen)
        recorder.start()
        client = recorder.client()
        wait_until(lambda: client.request("batch_status")["pending"] is None)
        assert client.request("batch_status")["status"] == "prepared"
        assert inspector.seen[before:] == []
        with contextlib.closing(RecordReader(station / "record.sqlite")) as reader:
            (told,) = reader.entries(kinds=["event"])
        assert told.value()["event"] == "command_given_up"


def test_two_clients_at_once(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        engineer = add_user(recorder.client(), "eva", "engineer")
        operator = add_user(engineer, "otto", "operator")
        answers: list[tuple[str, str]] = []

        def ask(client: RecorderClient, name: str) -> None:
            for number in range(40):
                answer = client.request("note", text=f"{name} {number}")
                who = client.request("whoami")["user"]
                answers.append((name, who if answer["ok"] else "refused"))

        threads = [
            threading.Thread(target=ask, args=pair)
            for pair in ((engineer, "eva"), (operator, "otto"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(name == who for name, who in answers)
        assert len(answers) == 80
        assert recorder.stop() == 0
    with contextlib.closing(RecordReader(station / "record.sqlite")) as reader:
        notes = reader.entries(kinds=["note"], limit=1000)
    assert all(json.loads(note.body)["text"].startswith(note.actor) for note in notes)
    assert len(notes) == 80
    require_whole(station)


def connect(folder: Path) -> socket.socket:
    return unix_sockets.connected(folder / "run" / "recorder.sock", timeout_s=10.0)


@pytest.mark.parametrize(
    "packet",
    [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 60_000, b'{"a":' * 10_000, b"1e999", b"{}"],
)
def test_what_is_no_request_is_answered_so(station: Path, packet: bytes) -> None:
    with RecorderProcess(station) as recorder:
        recorder.client()
        with connect(station) as client:
            for _ in range(3):
                client.send(packet)
                answer = json.loads(client.recv(65_536))
                assert (answer["ok"], answer["code"]) == (False, "invalid")


def test_too_large_a_packet_ends_the_connection(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        other = recorder.client()
        with connect(station) as client:
            client.send(b'{"action":"whoami","x":"' + b"x" * 65_600 + b'"}')
            assert json.loads(client.recv(65_536))["error"] == "expected at most 65536 bytes"
            assert client.recv(65_536) == b""
        assert other.request("whoami")["code"] == "denied"
        assert other.request("note", text="x" * 70_000)["code"] == "invalid"


def test_nobody_who_does_not_read_holds_up_others(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        engineer = add_user(recorder.client(), "eva", "engineer")
        slow = [connect(station) for _ in range(20)]
        for client in slow:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                for _ in range(1000):
                    client.send(b'{"action":"batch_status"}')
        for number in range(20):
            assert engineer.request("note", text=str(number))["ok"]
        for client in slow:
            client.close()
        for _ in range(200):
            connect(station).close()
        assert engineer.request("whoami")["user"] == "eva"


def test_who_is_silent_makes_room_for_others(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        engineer = add_user(recorder.client(), "eva", "engineer")
        crowd = [connect(station) for _ in range(100)]
        assert engineer.request("whoami")["user"] == "eva"
        assert recorder.client().request("batch_status")["ok"]
        gone = [client for client in crowd if not is_open(client)]
        assert 30 <= len(gone) <= 60
        for client in crowd:
            client.close()


def is_open(client: socket.socket) -> bool:
    client.settimeout(0.0)
    with contextlib.suppress(BlockingIOError):
        return client.recv(10) != b""
    return True


def test_a_second_recorder_is_refused(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        recorder.client()
        second = subprocess.run(
            [support.sys.executable, "-m", "vialsight.station.recorder", str(station)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert "another recorder writes this record" in second.stderr
        assert recorder.client().request("batch_status")["ok"]


def test_an_emptied_spool_stops_the_recorder_and_it_says_so(station: Path) -> None:
    writer = SpoolWriter(station / "spool")
    writer.write(support.START, support.start_body())
    for number in range(5):
        last = writer.strip(support.strip_body(number))
    writer.close()
    with RecorderProcess(station) as recorder:
        wait_until(lambda: is_recorded(station, last))
        recorder.kill()
        for path in (station / "spool").iterdir():
            path.unlink()
        anew = SpoolWriter(station / "spool")
        anew.write(support.START, support.start_body())
        anew.strip(support.strip_body(77))
        recorder.start()
        client = recorder.client()
        wait_until(lambda: not client.request("batch_status")["recording"]["ok"])
        assert "the spool was emptied" in client.request("batch_status")["recording"]["error"]
        anew.close()
    assert len(recorded_seqs(station)) == 5


def test_settings_and_modes(station: Path) -> None:
    with RecorderProcess(station) as recorder:
        recorder.client()
        assert recorder.process is not None
        assert os.sched_getscheduler(recorder.process.pid) == os.SCHED_IDLE
        for path in ("run/recorder.sock", "record.sqlite", "record.head"):
            assert (station / path).stat().st_mode & 0o777 == 0o600
        for path in ("", "run", "spool", "frames"):
            assert (station / path).stat().st_mode & 0o777 == 0o700


@pytest.fixture
def small_disk():
    if os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only")
    with short_folder() as base:
        disk = base / "d"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=False
        )
        if mounted.returncode != 0:
            pytest.skip("no small disk can be mounted here")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)


def test_a_full_disk_stops_recording_until_there_is_room(small_disk: Path) -> None:
    station = write_station(small_disk / "st")
    (station / "spool").rmdir()
    with short_folder() as elsewhere:
        (station / "spool").symlink_to(elsewhere, target_is_directory=True)
        writer = SpoolWriter(elsewhere)
        writer.write(support.START, support.start_body())
        first = writer.strip(support.strip_body(1))
        with RecorderProcess(station) as recorder:
            engineer = add_user(recorder.client(), "eva", "engineer")
            wait_until(lambda: is_recorded(station, first))
            ballast = small_disk / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            written = [
                writer.strip(support.strip_body(n, verdict="reject"), support.pictures_payload(n))
                for n in range(2, 200)
            ]
            wait_until(lambda: not engineer.request("batch_status")["recording"]["ok"])
            refused = engineer.request("note", text="is it full?")
            assert refused["code"] == "busy"
            assert "nothing can be recorded, so nothing is done" in refused["error"]
            assert not is_recorded(station, written[-1])
            ballast.unlink()
            wait_until(lambda: is_recorded(station, written[-1]), within_s=60.0)
            wait_until(lambda: engineer.request("batch_status")["recording"]["ok"])
            assert engineer.request("note", text="there is room again")["ok"]
            assert recorder.stop() == 0
        writer.close()
        assert recorded_seqs(station) == [first, *written]
        require_whole(station)


def test_a_batch_from_the_first_request_to_the_last(station: Path) -> None:
    with FakeInspector(station) as inspector, RecorderProcess(station) as recorder:
        engineer = add_user(recorder.client(), "eva", "engineer")
        operator = add_user(engineer, "otto", "operator")
        wait_until(lambda: operator.request("batch_status")["reachable"])
        assert operator.request("open_batch", product="P", number="1")["ok"]
        assert operator.request("run_challenge")["ok"]
        wait_until(lambda: not operator.request("challenge_status")["running"])
        assert operator.request("start_batch") == {"ok": True, "status": "started", "batch": 1}
        for number in range(40):
            inspector.strip(verdict="reject" if number % 8 == 0 else "accept", pictures=number == 0)
        closed = operator.request("close_batch", password=PASSWORD, meaning="released", why="")
        assert closed["ok"], closed
        expected = {"triggers": 40, "accepted": 35, "rejected": {"defect": 5}}
        assert closed["counts"]["recorded"] == closed["counts"]["inspector"] == expected
        assert recorder.stop() == 0
    require_whole(station)


def test_no_recorder_is_said_so(station: Path) -> None:
    client = RecorderClient(station / "run" / "recorder.sock", timeout_s=1.0)
    with pytest.raises(RecorderUnavailable, match="the recorder did not answer"):
        client.request("whoami")
    with RecorderProcess(station) as recorder:
        recorder.client()
        assert client.request("whoami")["code"] == "denied"
        recorder.kill()
        with pytest.raises(RecorderUnavailable):
            client.request("whoami")
        recorder.start()
        recorder.client()
        assert client.request("whoami")["code"] == "denied"


def test_a_long_path_has_sockets_as_well(tmp_path: Path) -> None:
    station = write_station(tmp_path / ("x" * 100) / "st")
    recorder = RecorderProcess(station)
    try:
        recorder.start()
        client = RecorderClient(station / "run" / "recorder.sock")

        def answers() -> bool:
            with contextlib.suppress(RecorderUnavailable):
                return bool(client.request("batch_status")["ok"])
            return False

        wait_until(answers)
    finally:
        recorder.kill()
