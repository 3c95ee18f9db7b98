"""A station around an OPC UA server under test: snapshot, record, recorder.

The server is a process. Snapshot and record are written by this side of the contract; a thread
plays the recorder, answers as it is told and keeps what it was asked.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from asyncua import Client, ua
from station_snapshot_writer import SnapshotWriter

from vialsight.station.opcua.server import Settings, StationOpcua
from vialsight.station.record.store import RecordStore

MV = "http://opcfoundation.org/UA/MachineVision"
OURS = "urn:vialsight:station"
PASSWORDS = {"olga": "staple-7", "erik": "staple-7", "anna": "staple-7", "new": "staple-7"}
ROLES = {"olga": "operator", "erik": "engineer", "anna": "auditor", "new": "operator"}
SHA = "5a" * 32


class PlayedRecorder:
    """Answers requests on a socket of packets; `answers` by action go first."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked = path, []
        self.answers: dict[str, dict[str, Any]] = {}
        self.delays: dict[str, float] = {}
        self._tokens: dict[str, str] = {}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listening.bind(str(path))
        self._listening.listen()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for one in [self._listening, *self._connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.path.unlink(missing_ok=True)
        self._thread.join(5)

    def actions(self, *ignored: str) -> list[dict[str, Any]]:
        """What was asked, but for log-ins and questions who somebody is."""
        quiet = {"login", "logout", "whoami", *ignored}
        return [request for request in self.asked if request["action"] not in quiet]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        while True:
            try:
                packet = connection.recv(65_536)
                if not packet:
                    return
                connection.sendall(json.dumps(self._answer(json.loads(packet))).encode())
            except OSError:
                return

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        action = request["action"]
        time.sleep(self.delays.get(action, 0.0))
        if action in self.answers:
            return self.answers[action]
        if action == "login":
            return self._login(request)
        user = self._tokens.get(request["token"] or "")
        if user is None:
            return {"ok": False, "code": "denied", "error": "log in first"}
        if action == "logout":
            del self._tokens[request["token"]]
        return {"ok": True, "user": user, "role": ROLES[user]}

    def _login(self, request: dict[str, Any]) -> dict[str, Any]:
        user = request["user"]
        if PASSWORDS.get(user) != request["password"]:
            return {"ok": False, "code": "denied", "error": "wrong name or password"}
        token = os.urandom(16).hex()
        self._tokens[token] = user
        return {
            "ok": True,
            "token": token,
            "user": user,
            "role": ROLES[user],
            "expires_unix": time.time() + 43_200,
            "must_change": user == "new",
        }


class ServerProcess:
    """The server of a station's folder, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vialsight.station.opcua", str(self.folder)],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"opc\.tcp://\S+:(\d+)/", self.log()):
                self.port = int(found[1])
                return
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            finally:
                self.process.kill()


class Station(ServerProcess):
    """Everything around one server process."""

    def __init__(self, folder: Path, name: str, **opcua: Any) -> None:
        super().__init__(folder)
        self.name = name
        (folder / "run").mkdir(parents=True)
        settings = {"port": 0, "anonymous_read": True, "unencrypted": True, **opcua}
        configuration = {"name": name, "bundle": "b.vsb", "opcua": settings}
        (folder / "station.yaml").write_text(yaml.safe_dump(configuration))
        self.snapshot_path = Path(f"/dev/shm/vialsight-{name}")
        self.recorder = PlayedRecorder(folder / "run" / "recorder.sock")
        self.record = RecordStore(folder / "record.sqlite")
        self.snapshot: SnapshotWriter | None = None
        self._beating = threading.Event()
        self._beat: threading.Thread | None = None
        self._heartbeat = 0
        self._lock = threading.Lock()
        self._sequence = 0

    def run_inspector(self, **values: Any) -> None:
        """Begin a snapshot, or change it; its heart beats from here on."""
        with self._lock:
            if self.snapshot is None:
                session = os.urandom(16).hex()
                self.snapshot = SnapshotWriter(self.snapshot_path, bundle="bfs-5", sha256=SHA)
                self.snapshot.status(session=session)
            self.snapshot.status(**values)
        if self._beat is None:
            self._beating.clear()
            self._beat = threading.Thread(target=self._beat_on, daemon=True)
            self._beat.start()

    def still(self) -> None:
        """Let the heart stand still, as that of an inspector that was stopped."""
        self._beating.set()
        if self._beat is not None:
            self._beat.join(5)
        self._beat = None

    def end_inspector(self) -> None:
        self.still()
        if self.snapshot is not None:
            self.snapshot.remove()
        self.snapshot = None

    def _beat_on(self) -> None:
        while not self._beating.wait(0.05):
            with self._lock:
                self._heartbeat += 1
                assert self.snapshot is not None
                self.snapshot.status(heartbeat=self._heartbeat)

    def strip(self, *, recorded: bool = True, shown: bool = True, **given: Any) -> dict[str, Any]:
        """Finish a strip: into the snapshot, into the record, or both."""
        self._sequence += 1
        values = strip_values(self._sequence) | given
        if recorded:
            record_strip(self.record, values)
        if shown:
            assert self.snapshot is not None
            with self._lock:
                self.snapshot.strip(
                    seq=values["seq"],
                    strip_id=values["strip_id"],
                    unix_ns=values["unix_ns"],
                    batch=values["batch"],
                    mode=values["mode"],
                    accept=values["verdict"] == "accept",
                    reason=values["reason"],
                    gate=values["verdict"] == "accept",
                    latency_ms=values["latency_ms"],
                    times_ms=(1.0, 2.0, 3.0, 4.0, values["after_last_frame"]),
                    thresholds=values["thresholds"],
                    scores=values["scores"].ravel(),
                    vials=[one == "1" for one in values["vials"]],
                )
        return values

    def opened_batch(self, batch: int, *further: str) -> None:
        opened: dict[str, Any] = {
            "batch": batch,
            "product": "bfs 5 ml",
            "number": f"L{batch}",
            "bundle_sha256": SHA,
        }
        self.record.append("batch_opened", "olga", opened)
        for kind in further:
            self.record.append(kind, "olga", {"batch": batch})

    def close(self) -> None:
        super().close()
        self.end_inspector()
        self.recorder.close()
        self.record.close()


@contextlib.contextmanager
def started(station: Station, *bundles: str) -> Iterator[Station]:
    """Record a start with each of the bundles (SHA-256), then serve; closed at the end."""
    try:
        for sha256 in bundles:
            station.record.append("start", "station", {"bundle": "bfs-5", "bundle_sha256": sha256})
        station.start()
        yield station
    finally:
        station.close()


def strip_values(seq: int) -> dict[str, Any]:
    generator = np.random.default_rng(seq)
    return {
        "seq": seq,
        "strip_id": 1000 + seq,
        "unix_ns": 1_700_000_000_000_000_000 + seq * 500_000_000,
        "batch": 0,
        "mode": "production",
        "verdict": "accept",
        "reason": "none",
        "latency_ms": 200.0 + seq,
        "after_last_frame": 50.0,
        "thresholds": [0.25, 0.5, 0.75, 1.0],
        "scores": generator.random((3, 5, 4), np.float32),
        "vials": "11111",
    }


def record_strip(record: RecordStore, values: dict[str, Any]) -> None:
    """Record a strip as the contract has its entry."""
    import base64

    body = {
        "seq": values["seq"],
        "strip_id": values["strip_id"],
        "batch": values["batch"],
        "mode": values["mode"],
        "name": None,
        "verdict": values["verdict"],
        "reason": values["reason"],
        "gate": values["verdict"],
        "triggered_ns": values["unix_ns"] - int(values["latency_ms"] * 1e6),
        "latency_ms": values["latency_ms"],
        "slack_ms": 100.0,
        "times_ms": {"locate": 1.0, "after_last_frame": values["after_last_frame"]},
        "frames": [],
        "scores": base64.b64encode(values["scores"].astype("<f4").tobytes()).decode(),
        "thresholds": values["thresholds"],
        "vials": values["vials"],
        "locations": [],
        "pictures": "none",
        "pictures_sha256": None,
    }
    record.append("strip", "station", body, unix_ns=values["unix_ns"])


def run(work: Callable[[], Awaitable[None]], seconds: float = 60.0) -> None:
    """Run a test's coroutine, for so long at most."""
    asyncio.run(asyncio.wait_for(work(), seconds))


class Peer:
    """A client with shortcuts to what a station has."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.mv = self.ours = 0

    async def namespaces(self) -> None:
        self.mv = await self.client.get_namespace_index(MV)
        self.ours = await self.client.get_namespace_index(OURS)

    async def types(self) -> None:
        """Learn the structures from the server, once a process: they stay."""
        if not hasattr(ua, "ResultDataType"):
            await self.client.load_data_type_definitions()

    def node(self, path: str = "") -> Any:
        return self.client.get_node(ua.NodeId(f"Station{'.' if path else ''}{path}", self.ours))

    async def signal(self, name: str) -> Any:
        return await self.node(f"Signals.{name}").read_value()

    async def state(self) -> tuple[str, str | None]:
        """Names of both machines' states."""
        vision = await self.node("VisionStateMachine.CurrentState").read_value()
        automatic = self.node("VisionStateMachine.AutomaticModeStateMachine.CurrentState")
        found = await automatic.read_data_value(raise_on_bad_status=False)
        return vision.Text, None if found.Value.Value is None else found.Value.Value.Text

    async def comes(self, expected: Any, what: Callable[[], Awaitable[Any]], s: float = 10) -> None:
        """Wait until `what` gives what is expected."""
        until = time.monotonic() + s
        found = await what()
        while found != expected and time.monotonic() < until:
            await asyncio.sleep(0.05)
            found = await what()
        assert found == expected, f"expected {expected!r}, got {found!r} after {s} s"

    async def call(self, path: str, *arguments: Any) -> list[Any]:
        """Call a method; raises UaStatusCodeError. Returns its outputs."""
        result = await self.result(path, *arguments)
        result.StatusCode.check()
        return [one.Value for one in result.OutputArguments]

    async def result(self, path: str, *arguments: Any) -> ua.CallMethodResult:
        above, _, _ = path.rpartition(".")
        request = ua.CallMethodRequest()
        request.ObjectId = self.node(above).nodeid
        request.MethodId = self.node(path).nodeid
        request.InputArguments = [variant(one) for one in arguments]
        return (await self.client.uaclient.call([request]))[0]

    async def status_of(self, path: str, *arguments: Any) -> str:
        """Name of the status of a call."""
        return (await self.result(path, *arguments)).StatusCode.name


def variant(value: Any) -> ua.Variant:
    if isinstance(value, ua.Variant):
        return value
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int32)
    return ua.Variant(value)


def count(value: int) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.UInt32)


NONE = ua.Variant(None)
PARAMETERS = ua.Variant([], ua.VariantType.Variant, is_array=True)


@contextlib.asynccontextmanager
async def connected(
    station: "ServerProcess | Any", user: str | None = None, password: str = "staple-7"
) -> AsyncIterator[Peer]:
    """A client without encryption, as somebody or nobody."""
    client = Client(f"opc.tcp://127.0.0.1:{station.port}/", timeout=20)
    if user is not None:
        client.set_user(user)
        client.set_password(password)
    async with client:
        peer = Peer(client)
        await peer.namespaces()
        await peer.types()
        yield peer


async def refused_with(context) -> str:
    """Name of the status that a connection is refused with."""
    try:
        async with context:
            return "Good"
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    except (ConnectionError, asyncio.TimeoutError):
        return "closed"


def settings(folder: Path, **changes) -> Settings:
    return Settings(
        **{
            "name": "limits", "host": "127.0.0.1", "port": 0, "folder": folder / "opcua",
            "snapshot": folder / "snapshot", "record": folder / "record.sqlite",
            "recorder_socket": folder / "run" / "recorder.sock", "anonymous_read": True,
            "unencrypted": True, **changes,
        }
    )  # fmt: skip


@contextlib.asynccontextmanager
async def serving(made: Settings) -> AsyncIterator[StationOpcua]:
    server = StationOpcua(made)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
