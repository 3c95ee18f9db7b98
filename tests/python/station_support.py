"""A station without an inspector: writes spools as the contract says, obeys commands, records.

Written from the layout of the spool, not with the code that reads it.
"""

import base64
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vialsight.station.client import RecorderClient

BUNDLE_SHA256 = "ab" * 32
REGIONS, VIALS, FRAMES = 4, 5, 3
THRESHOLDS = [3.0, 3.0, 3.0, 3.0]
START, STRIP, PICTURES, GAP, COMMAND, EVENT = range(1, 7)
FRAME_SHAPE = (24, 32)
MAP_SIZE = 16
PASSWORD = "correct horse 7"


class SpoolWriter:
    """Appends entries as the inspector does; `segment_bytes` begins new segments early."""

    def __init__(self, folder: Path, *, segment_bytes: int = 64 * 2**20, next_seq: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seq, self._segment_bytes = folder, next_seq, segment_bytes
        self._file = -1
        self._lock = threading.RLock()
        self.new_segment()

    def new_segment(self) -> None:
        with self._lock:
            self.close()
            path = self.folder / f"{self.seq:020d}.vss"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            head = struct.pack("<8sQqI", b"VSSPOOL1", self.seq, time.time_ns(), 0)
            os.write(self._file, head + struct.pack("<I", zlib.crc32(head)))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, kind: int, payload: bytes | dict[str, Any], unix_ns: int | None = None) -> int:
        """Append an entry; return its number."""
        with self._lock:
            if os.fstat(self._file).st_size > self._segment_bytes:
                self.new_segment()
            raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            when = time.time_ns() if unix_ns is None else unix_ns
            os.write(self._file, packed_entry(kind, self.seq, when, raw))
            self.seq += 1
            return self.seq - 1

    def strip(self, body: dict[str, Any], pictures: bytes | None = None) -> int:
        """Append a strip, and its pictures right behind it (`pictures_payload` but the number)."""
        with self._lock:
            kept = "none" if pictures is None else "kept"
            seq = self.write(STRIP, {**body, "pictures": kept})
            if pictures is not None:
                self.write(PICTURES, struct.pack("<Q", seq) + pictures)
            return seq


def packed_entry(kind: int, seq: int, unix_ns: int, payload: bytes) -> bytes:
    head = struct.pack("<IIQqQI", 0x31455356, kind, seq, unix_ns, len(payload), zlib.crc32(payload))
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def start_body(**changes: Any) -> dict[str, Any]:
    return {
        "session": os.urandom(16).hex(), "vialsight": "0.1.0", "bundle": "bfs-5",
        "bundle_sha256": BUNDLE_SHA256, "runtime": "tensorflow", "precision": "float32",
        "level": "strip", "batch_size": 20, "threads": 1, "budget_ms": 450.0, "margin_ms": 2.0,
        "source": "test", "isolation": "in_process", "cpu": "test", "flags": [], "host": "test",
        "pid": os.getpid(), "fps": None,
    } | changes  # fmt: skip


def strip_body(
    strip_id: int,
    *,
    batch: int = 0,
    mode: str = "production",
    verdict: str = "accept",
    reason: str | None = None,
    scores: np.ndarray | None = None,
    **changes: Any,
) -> dict[str, Any]:
    random = np.random.default_rng(strip_id)
    if scores is None:
        scores = random.normal(0.0, 0.5, (FRAMES, VIALS, REGIONS)).astype("<f4")
        if verdict == "reject":
            scores[0, 1, 2] = 7.5
    reason = reason or ("none" if verdict == "accept" else "defect")
    return {
        "strip_id": strip_id, "batch": batch, "mode": mode, "name": None, "verdict": verdict,
        "reason": reason, "gate": verdict if mode == "production" else "reject",
        "triggered_ns": time.time_ns(), "latency_ms": 120.5, "slack_ms": 329.5,
        "times_ms": {"locate": 1.0, "extract": 2.0, "infer": 80.0, "score": 3.0,
                     "after_last_frame": 40.0},
        "frames": [{"id": frame, "exposed_ms": 40.0 * frame} for frame in range(FRAMES)],
        "scores": base64.b64encode(scores.astype("<f4").tobytes()).decode(),
        "thresholds": THRESHOLDS,
        "vials": "1" * VIALS if verdict == "accept" else "10111",
        "locations": [[1, 0.5, -0.25, 0.001]] * FRAMES, "pictures": "none",
    } | changes  # fmt: skip


def pictures_payload(seed: int = 0, shape: tuple[int, int] = FRAME_SHAPE, maps: int = 2) -> bytes:
    """Everything of a pictures entry behind the strip's number."""
    random = np.random.default_rng(seed)
    parts = [struct.pack("<IIIIII", shape[1], shape[0], 1, FRAMES, maps, MAP_SIZE)]
    for frame in range(FRAMES):
        pixels = random.integers(0, 256, shape, np.uint8)
        parts += [struct.pack("<II", frame, 0), pixels.tobytes()]
    for number in range(maps):
        values = random.integers(0, 256, (MAP_SIZE, MAP_SIZE), np.uint8)
        parts += [struct.pack("<IIIfff", 0, 1, number, 7.5, -1.0, 8.0), values.tobytes()]
    return b"".join(parts)


class FakeInspector:
    """Listens on the control socket, writes the spool, and counts what it wrote, in a thread.

    A context; `strip` writes one strip of the batch that produces. `delay_s` is before a command
    is carried out; `wrong_balance` is added to the triggers it tells.
    """

    def __init__(self, folder: Path, **start: Any) -> None:
        (folder / "run").mkdir(parents=True, exist_ok=True)
        self.spool = SpoolWriter(folder / "spool", next_seq=next_seq(folder / "spool"))
        self.mode, self.batch, self.strip_id = "halted", 0, int(time.time_ns() // 1_000_000)
        self.balances: dict[int, dict[str, Any]] = {}
        self.delay_s, self.wrong_balance, self.seen = 0.0, 0, []
        self.judged: dict[str, str] = {}  # strips of a kit that it judges so, not as expected
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self.spool.write(START, start_body(**start))
        path = folder / "run" / "control.sock"
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "FakeInspector":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()
        self.spool.close()

    def strip(self, *, verdict: str = "accept", pictures: bool = False, **changes: Any) -> int:
        with self._lock:
            self.strip_id += 1
            body = strip_body(
                self.strip_id, batch=self.batch, mode=self.mode, verdict=verdict, **changes
            )
            counts = self.balances.setdefault(
                self.batch, {"triggers": 0, "accepted": 0, "rejected": {}}
            )
            counts["triggers"] += 1
            if body["verdict"] == "accept":
                counts["accepted"] += 1
            else:
                reason = body["reason"]
                counts["rejected"][reason] = counts["rejected"].get(reason, 0) + 1
            return self.spool.strip(body, pictures_payload(self.strip_id) if pictures else None)

    def _serve(self) -> None:
        clients: list[socket.socket] = []
        while not self._stop.is_set():
            ready, _, _ = select.select([self._listener, *clients], [], [], 0.02)
            for source in ready:
                if source is self._listener:
                    clients.append(self._listener.accept()[0])
                    continue
                packet = b""
                # A recorder that is killed resets it.
                with contextlib.suppress(ConnectionError):
                    packet = source.recv(8192)
                if not packet:
                    source.close()
                    clients.remove(source)
                    continue
                answer = self._carry_out(json.loads(packet))
                with contextlib.suppress(OSError):
                    source.send(json.dumps(answer).encode())
        for client in clients:
            client.close()

    def _carry_out(self, command: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.delay_s)
        with self._lock:
            self.seen.append(command)
            name = command["command"]
            if name in ("produce", "challenge"):
                self.batch = command["batch"]
            if name == "challenge":
                self._challenge(Path(command["kit"]))
            self.mode = "production" if name == "produce" else "halted"
            counts = self.balances.get(self.batch, {"triggers": 0, "accepted": 0, "rejected": {}})
            told = {**counts, "triggers": counts["triggers"] + self.wrong_balance}
            self.spool.write(
                COMMAND,
                {"command_id": command["command_id"], "command": name, "ok": True, "error": None,
                 "batch": self.batch, "balance": told},
            )  # fmt: skip
        return {"command_id": command["command_id"], "ok": True, "error": None}

    def _challenge(self, kit: Path) -> None:
        for strip in json.loads((kit / "kit.json").read_text())["strips"]:
            self.strip_id += 1
            verdict = self.judged.get(strip["name"], strip["expected"])
            reason = strip["expected_reason"] if verdict == strip["expected"] else None
            body = strip_body(
                self.strip_id, batch=self.batch, mode="challenge", name=strip["name"],
                verdict=verdict, reason=reason,
            )  # fmt: skip
            self.spool.strip(body)


def next_seq(spool: Path) -> int:
    """The number after the last entry of a spool, 1 for an empty one."""
    found = 0
    for path in sorted(spool.glob("*.vss")):
        content, place = path.read_bytes(), 32
        while place + 40 <= len(content):
            _, _, seq, _, size, _, _ = struct.unpack_from("<IIQqQII", content, place)
            if place + 40 + size > len(content):
                break
            found, place = seq, place + 40 + size
    return found + 1


def write_kit(folder: Path, **changes: Any) -> Path:
    """A kit of one strip to accept and two to reject, whose images say nothing."""
    (folder / "frames").mkdir(parents=True)
    strips = []
    for name, expected, reason in (
        ("good", "accept", None),
        ("crack", "reject", "defect"),
        ("lost", "reject", "frame_missing"),
    ):
        frames: list[str | None] = [f"frames/{name}-{frame}.raw" for frame in range(FRAMES)]
        for frame in frames:
            (folder / str(frame)).write_bytes(bytes(FRAME_SHAPE[0] * FRAME_SHAPE[1]))
        if name == "lost":
            frames[1] = None
        strips.append(
            {"name": name, "frames": frames, "expected": expected, "expected_reason": reason}
        )
    kit = {"format": 1, "bundle_sha256": BUNDLE_SHA256, "strips": strips} | changes
    (folder / "kit.json").write_text(json.dumps(kit))
    return folder


def write_station(folder: Path, *, name: str | None = None, **sections: Any) -> Path:
    """Make a station's folder with its station.yaml, which JSON is; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "kit").exists():
        write_kit(folder / "kit")
    values = {
        "name": name or f"test-{os.getpid()}", "bundle": "bundle.vsb",
        "source": {"kind": "stream", "path": "frames.pipe"},
        "challenge": {"kit": "kit"}, "limits": {"min_free_gib": 0.0},
    } | sections  # fmt: skip
    (folder / "station.yaml").write_text(json.dumps(values))
    for below in ("run", "spool", "frames", "web", "opcua"):
        (folder / below).mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name (108 bytes in all)."""
    with tempfile.TemporaryDirectory(prefix="vs-") as path:
        yield Path(path)


class RecorderProcess:
    """The recorder of a folder in a process of its own; a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RecorderProcess":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vialsight.station.recorder", str(self.folder)]
        )
        return self

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        self.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(timeout=30)

    def client(self, *, origin: str = "cli", within_s: float = 20.0) -> RecorderClient:
        """A client, as soon as the recorder listens."""
        path = self.folder / "run" / "recorder.sock"
        wait_until(lambda: answers(path), within_s)
        return RecorderClient(path, origin=origin)

    def __enter__(self) -> "RecorderProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def answers(path: Path) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe,
    ):
        probe.connect(str(path))
        return True
    return False


def wait_until(condition: Any, within_s: float = 20.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"did not come true in {within_s:g} s"
        time.sleep(0.01)


def add_user(client: RecorderClient, user: str, role: str) -> RecorderClient:
    """Add an account (by `client`'s user, or the first engineer), with PASSWORD, and log it in.

    Returns a client of its own that is logged in.
    """
    made = client.request("add_user", user=user, role=role, full_name=user.title())
    assert made["ok"], made
    own = RecorderClient(client._path, origin="web")
    assert own.login(user, made["password"])["ok"]
    assert own.request("change_password", old=made["password"], new=PASSWORD)["ok"]
    return own
