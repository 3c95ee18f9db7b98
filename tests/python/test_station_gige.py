"""The simulated GigE Vision line, seen by a client and a station that are none of ours."""

import contextlib
import csv
import hashlib
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_support import run_here, run_process

from vialsight import _core
from vialsight.errors import SimulationError
from vialsight.simulation.frame_stream import FrameWriter, StreamFormat, StreamFrame
from vialsight.simulation.gige_line import PROGRAM, Faults, GigeLine, camera_program

SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT = Path(__file__).with_name("gige_client.py")
WIDTH, HEIGHT, FRAMES = 64, 48, 3
STRIPS = 4
PATIENCE_S = 120.0
MAGIC, TRIGGER, ACKNOWLEDGE, SIGNALS = b"VSM1", 1, 2, 16


def has_aravis() -> bool:
    if not Path(SYSTEM_PYTHON).is_file():
        return False
    check = "import gi; gi.require_version('Aravis', '0.8')"
    done = subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False)
    return done.returncode == 0


needs_program = pytest.mark.skipif(
    not Path(_core.__file__).with_name(PROGRAM).is_file(),
    reason="vialsight was built without Aravis; install libaravis-dev",
)
needs_client = pytest.mark.skipif(
    not has_aravis(), reason="no Aravis for /usr/bin/python3; install gir1.2-aravis-0.8, python3-gi"
)


def own_address() -> str:
    number = os.getpid()
    return f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{1 + number % 250}"


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, list[str]]:
    """A frame stream, and the SHA-256 of its frames."""
    path, digests = tmp_path / "strips.bin", []
    noise = np.random.default_rng(3)
    with path.open("wb") as file:
        writer = FrameWriter(file, StreamFormat(width=WIDTH, height=HEIGHT, frames=FRAMES))
        for strip in range(1, STRIPS + 1):
            for index in range(FRAMES):
                pixels = noise.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
                digests.append(hashlib.sha256(pixels.tobytes()).hexdigest())
                writer.write(
                    StreamFrame(
                        strip_id=strip, product=f"P{strip}", run=1, index=index,
                        label="nominal" if strip % 2 else "defective", pixels=pixels,
                    )
                )  # fmt: skip
    return path, digests


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        list(map(str, arguments)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def camera(address: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The program, once it answers."""
    with running(camera_program(), "--address", address, *arguments) as process:
        assert process.stderr is not None
        assert address in process.stderr.readline()
        yield process


def client(address: str, frames: int, trigger: str) -> dict:
    done = subprocess.run(
        [SYSTEM_PYTHON, CLIENT, address, str(frames), trigger],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_program
@needs_client
def test_a_client_of_another_maker_sees_the_camera_and_all_frames_in_order(
    recorded: tuple[Path, list[str]],
) -> None:
    path, digests = recorded
    with camera(own_address(), "--input", path, "--serial", "cell-4", "--slot-ms", 200) as process:
        seen = client(own_address(), STRIPS * FRAMES, "Line0")
        assert process.wait(PATIENCE_S) == 0
        summary = process.stderr.read()
    assert (seen["width"], seen["height"], seen["pixel_format"]) == (WIDTH, HEIGHT, "Mono8")
    assert seen["serial"] == "cell-4"
    assert seen["payload"] == WIDTH * HEIGHT
    assert [frame["sha256"] for frame in seen["frames"]] == digests
    ids = [frame["id"] for frame in seen["frames"]]
    assert ids == list(range(ids[0], ids[0] + len(digests)))
    times = [frame["timestamp_ns"] for frame in seen["frames"]]
    # 120 ms for three frames, slots of 200 ms.
    assert [round((after - times[0]) / 1e6) for after in times[:4]] == [0, 40, 80, 200]
    assert f"triggers={STRIPS} " in summary
    assert f"frames={STRIPS * FRAMES} " in summary


@needs_program
@needs_client
def test_a_client_that_lets_it_run_free_sees_the_first_strip_again_and_again(
    recorded: tuple[Path, list[str]],
) -> None:
    path, digests = recorded
    with camera(own_address(), "--input", path):
        seen = client(own_address(), 7, "off")
    taken = [frame["sha256"] for frame in seen["frames"]]
    first = digests.index(taken[0])
    assert taken == [digests[(first + i) % FRAMES] for i in range(7)]


@needs_program
def test_an_address_that_another_camera_has_is_refused(recorded: tuple[Path, list[str]]) -> None:
    path, _ = recorded
    with (
        camera(own_address(), "--input", path),
        running(camera_program(), "--address", own_address(), "--input", path) as second,
    ):
        _, stderr = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 2
    assert "choose another --address" in stderr


@needs_program
def test_a_stream_that_breaks_off_is_said_to(recorded: tuple[Path, list[str]]) -> None:
    path, _ = recorded
    path.write_bytes(path.read_bytes()[:-10])
    with running(
        camera_program(), "--address", own_address(), "--input", path, "--start-now"
    ) as done:
        _, stderr = done.communicate(timeout=PATIENCE_S)
        assert done.returncode == 2
    assert "truncated" in stderr
    assert f"triggers={STRIPS - 1} " in stderr


class PlayedStation(threading.Thread):
    """Is ready from the beginning, and accepts the odd strips."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        (folder / "run").mkdir(parents=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(folder / "run" / "machine.sock"))
        self._listener.listen(1)
        self._listener.settimeout(PATIENCE_S)
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with self._listener, self._listener.accept()[0] as machine:
            machine.settimeout(PATIENCE_S)
            machine.send(self._signals(0, valid=False, accept=False))
            while packet := machine.recv(64):
                magic, kind, strip_id, _, _ = struct.unpack_from("<4sIQqQ", packet)
                assert magic == MAGIC
                if kind == ACKNOWLEDGE:
                    self.acknowledged.append(strip_id)
                    continue
                machine.send(self._signals(strip_id, valid=True, accept=strip_id % 2 == 1))

    @staticmethod
    def _signals(strip_id: int, *, valid: bool, accept: bool) -> bytes:
        # reason 1: defect; mode 1: production
        flags = (True, False, valid, accept, valid and not accept, 1)
        head = struct.pack("<4sIQQ6BHIIQQ", MAGIC, SIGNALS, strip_id, 1, *flags, 0, 0, 0, 0, 0)
        return head.ljust(64, b"\0")


@needs_program
@needs_client
def test_simulate_replays_a_recording_to_a_station_and_keeps_the_truth(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, _ = recorded
    station = PlayedStation(tmp_path / "line")
    station.start()
    truth = tmp_path / "truth.csv"
    taken: list[dict] = []
    taker = threading.Thread(target=lambda: taken.append(client(own_address(), 9, "Line0")))
    taker.start()  # asks for the camera until it is there
    done = run_process(
        "simulate", "--gige", tmp_path / "line", "--replay", path, "--address", own_address(),
        "--slot-ms", 200, "--triggers", 3, "--truth", truth,
    )  # fmt: skip
    taker.join(PATIENCE_S)
    station.join(PATIENCE_S)
    assert "accepted=2 rejected=1 lost=0" in done.stderr
    rows = list(csv.DictReader(truth.open()))
    assert [(row["product"], row["label"], row["verdict"], row["gate"]) for row in rows] == [
        ("P1", "nominal", "accept", "accept"),
        ("P2", "defective", "reject", "reject"),
        ("P3", "nominal", "accept", "accept"),
    ]
    assert rows[1]["reason"] == "defect"
    assert station.acknowledged == [1, 2, 3]
    assert len(taken[0]["frames"]) == 9


def test_all_that_is_chosen_reaches_the_program(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "vialsight.simulation.gige_line.camera_program", lambda: Path("/opt/camera")
    )
    line = GigeLine(
        station=tmp_path, address="127.0.0.9", slot_ms=400.0, ahead=7, triggers=5, seed=3,
        truth=tmp_path / "t.csv", faults=Faults(late_frames=0.25, late_ms=40.0, unplug_every_s=9.0),
    )  # fmt: skip
    arguments = line.arguments("strips.bin", loop=True)
    options = dict(zip(arguments[1:-1:2], arguments[2:-1:2], strict=True))
    assert arguments[0] == "/opt/camera"
    assert arguments[-1] == "--loop"
    assert options == {
        "--input": "strips.bin",
        "--address": "127.0.0.9",
        "--machine": str(tmp_path / "run" / "machine.sock"),
        "--slot-ms": "400.0",
        "--interval-ms": "120.0",
        "--ahead": "7",
        "--seed": "3",
        "--late-frames": "0.25",
        "--late-ms": "40.0",
        "--unplug-every": "9.0",
        "--unplug-for": "2.0",
        "--strips": "5",
        "--truth": str(tmp_path / "t.csv"),
    }


def test_a_build_without_it_names_the_package_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "_core.so"))
    with pytest.raises(SimulationError, match="libaravis-dev"):
        camera_program()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate"], "expected a SET"),
        (["simulate", "kit", "--out", "x", "--swap-frames", "0.1"], "--swap-frames needs --gige"),
        (["simulate", "kit", "--gige", "x", "--out", "y"], "leave it out with --gige"),
        (["simulate", "kit", "--gige", "x", "--live"], "exclude each other"),
        (["simulate", "kit", "--gige", "x", "--replay", "y"], "exclude each other"),
        (["simulate", "kit", "--gige", "nowhere"], "vialsight station init"),
        (["simulate", "kit", "--gige", ".", "--late-frames", "2"], "--late-frames"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], message: str) -> None:
    code, stderr = run_here(*arguments)
    assert code == 2
    assert message in stderr
