"""The page as a server: its process, its limits, its live stream, and hostile requests."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra 'station' is not installed")

import station_hostile
from station_support import wait_until, write_station
from station_web_support import (
    PASSWORD,
    SHIPPED,
    Station,
    eager,
    free_port,
    is_open,
    station,
    web_process,
)

from vialsight.errors import ConfigError
from vialsight.station.config import load_station
from vialsight.station.web import server
from vialsight.station.web.__main__ import page_server
from vialsight.station.web.guard import Notes

CLIENTS = 4


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Station, str]]:
    web = {"port": free_port(), "clients": CLIENTS, "public_now": True}
    with station(bundle=SHIPPED, web=web) as made:
        made.start_batch()
        made.strip()
        with web_process(made.folder) as url:
            yield made, url


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 20)


def ask(url: str, path: str = "/login") -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@contextlib.contextmanager
def stream(url: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/events")
        yield connection.getresponse()
    finally:
        connection.close()


def states(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := answer.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_it_takes_only_time_that_nobody_else_wants(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "vialsight.station.web", str(write(tmp_path, port=port))]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: is_open(port), 300)
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            assert os.sched_getscheduler(int(thread.name)) == os.SCHED_IDLE
        process.terminate()
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()


def test_a_verdict_reaches_an_open_page(running: tuple[Station, str]) -> None:
    made, url = running
    with stream(url) as answer:
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        received = states(answer)
        before = next(received)["counts"]["triggers"]
        made.strip(accept=False, reason="frame_missing")
        state = next(s for s in received if s["counts"]["triggers"] > before)
        assert (state["shown"], state["strip"]["reason"]) == ("reject", "frame_missing")
        assert state["counts"]["agree"]
        made.tell(hindrance=1)
        state = next(s for s in received if s["shown"] == "not_ready")
        assert state["why"] == ["camera_lost"]
        made.tell(hindrance=0)


def test_a_station_that_stands_still_is_told(running: tuple[Station, str]) -> None:
    made, url = running
    made.tell()
    with stream(url) as answer:
        received = states(answer)
        assert next(received)["alive"]
        state = next(s for s in received if not s["alive"])
        assert state["shown"] == "silent"
    made.tell()


def test_the_record_catches_up_with_the_counters(running: tuple[Station, str]) -> None:
    made, url = running
    with stream(url) as answer:
        for state in states(answer):
            made.tell()
            done = state["counts"]["accepted"] + state["counts"]["rejected"]
            if state["records"]["strips"] == done:
                break
        assert state["records"]["agree"] is True


def test_live_streams_are_of_a_bounded_number(running: tuple[Station, str]) -> None:
    _, url = running
    wait_until(lambda: ask_stream(url) == 200)
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            answer = stack.enter_context(stream(url))
            assert answer.status == 200
            answer.readline()
        assert ask_stream(url) == 503
        assert ask(url) == 200
    wait_until(lambda: ask_stream(url) == 200, 30)


def ask_stream(url: str) -> int:
    with stream(url) as answer:
        return answer.status


def test_a_reader_that_takes_nothing_keeps_nobody_waiting(running: tuple[Station, str]) -> None:
    made, url = running
    with connect(url) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = url.removeprefix("http://")
        stuck.sendall(f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        with stream(url) as answer:
            received = states(answer)
            before = next(received)["counts"]["triggers"]
            for number in range(1, 4):
                made.strip()
                state = next(s for s in received if s["counts"]["triggers"] >= before + number)
                assert state["strip"]["verdict"] == "accept"


def test_a_request_that_never_ends_is_given_up(running: tuple[Station, str]) -> None:
    _, url = running
    with connect(url) as slow:
        slow.settimeout(1.0)
        slow.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n")
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < 60:
            try:
                slow.sendall(b"X-Slow: 1\r\n")
                ended = slow.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended


def test_connections_are_of_a_bounded_number(running: tuple[Station, str]) -> None:
    _, url = running
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(url)) for _ in range(server.MOST_CONNECTIONS + 40)]
        time.sleep(0.5)
        ended = 0
        for each in opened:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                try:
                    ended += each.recv(1) == b""
                except ConnectionError:
                    ended += 1
        assert ended >= 40
    wait_until(lambda: answers(url))


def answers(url: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(url) == 200
    return False


def test_hostile_requests_are_refused_and_the_page_goes_on(running: tuple[Station, str]) -> None:
    made, url = running
    tally = asyncio.run(station_hostile.fire(url, 1500, connections=16, public=True))
    assert tally.accepted == []
    assert tally.answers.total() + tally.ended == 1500
    assert tally.answers.total() > 1200
    assert asyncio.run(station_hostile.still_answers(url))
    with stream(url) as answer:
        assert next(states(answer))["counts"]["agree"]
    assert made.recorder.process is not None
    assert made.recorder.process.poll() is None


def test_it_ends_when_it_is_told_to_although_pages_are_open() -> None:
    web = {"port": free_port(), "public_now": True}
    with station(bundle=SHIPPED, people=False, web=web) as made:
        process = subprocess.Popen(eager("vialsight.station.web", made.folder))
        try:
            wait_until(lambda: is_open(web["port"]), 60)
            with stream(f"http://127.0.0.1:{web['port']}") as answer:
                answer.readline()
                process.terminate()
                assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def write(folder: Path, **web: Any) -> Path:
    return write_station(folder, bundle=str(SHIPPED), web=web)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::"])
def test_it_stays_on_the_loopback_without_a_certificate(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="passwords must not cross a network"):
        page_server(load_station(write(tmp_path, host=host)))


def test_a_wrong_configuration_ends_with_2(tmp_path: Path) -> None:
    folder = write(tmp_path, host="0.0.0.0")
    command = [sys.executable, "-m", "vialsight.station.web", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "web.certificate" in ended.stderr


def test_with_a_certificate_cookies_are_secure(tmp_path: Path) -> None:
    certificate, key = tmp_path / "page.pem", tmp_path / "page.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    port = free_port()
    web = {"port": port, "certificate": str(certificate), "key": str(key)}
    with station(bundle=SHIPPED, web=web) as made, web_process(made.folder):
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
        connection.request("GET", "/login")
        answer = connection.getresponse()
        page = answer.read().decode()
        assert answer.getheader("strict-transport-security", "").startswith("max-age=")
        visit = answer.getheader("set-cookie", "")
        assert "Secure" in visit
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        headers = {
            "origin": f"https://localhost:{port}",
            "cookie": visit.split(";")[0],
            "content-type": "application/x-www-form-urlencoded",
        }
        body = f"csrf={csrf}&user=operator&password={PASSWORD.replace(' ', '+')}"
        connection.request("POST", "/login", body, headers)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("location")) == (303, "/now")
        assert "Secure" in answer.getheader("set-cookie", "")
        connection.close()


def test_notes_of_refusals_do_not_fill_a_disk(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    notes = Notes(a_minute=3, clock=lambda: now[0])
    for number in range(10):
        notes.write(f"refused {number}\n\x1b[31m" + "x" * 1000)
    now[0] = 61.0
    notes.write("refused again")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[3] == "web: 7 more lines like these"
    assert all(len(line) <= 310 and "\x1b" not in line for line in lines)
