"""A station with all its processes, and a simulated camera in front of it: for trials and tests.

Everything is real: `vialsight station run`, its children, `vialsight-gige-camera`, the sockets.
"""

import contextlib
import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from vialsight import _core
from vialsight.data import Dataset, Strip, load_strip
from vialsight.errors import VialSightError
from vialsight.simulation.frame_stream import FrameWriter, StreamFormat, StreamFrame
from vialsight.station import folder as folders
from vialsight.station import local_accounts
from vialsight.station.client import RecorderClient, RecorderUnavailable
from vialsight.station.config import StationConfig, load_station
from vialsight.station.snapshot import Snapshot, SnapshotGone, Status

USER: Final = "engineer"
PASSWORD: Final = "correct horse 7"
# A busy machine may take its time to start things; nothing here asserts how long.
PATIENCE_S: Final = 180.0
_ROLES: Final = ("recorder", "web", "opcua")
CAMERA_PROGRAM: Final = Path(_core.__file__).with_name("vialsight-gige-camera")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(check: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until something holds. Raises TimeoutError that says what did not."""
    end = time.monotonic() + within_s
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"within {within_s:g} s: {what}")
        time.sleep(0.05)


def write_stream(dataset: Dataset, path: Path, strips: Sequence[Strip] | None = None) -> int:
    """Write strips of a dataset, all of them unless given, as a frame stream; return how many."""
    layout = dataset.layout
    kind = StreamFormat(
        width=layout.frame_width,
        height=layout.frame_height,
        bit_depth=layout.bit_depth,
        frames=layout.frames,
    )
    strips = dataset.strips() if strips is None else strips
    with path.open("wb") as file:
        writer = FrameWriter(file, kind)
        for number, strip in enumerate(strips, start=1):
            label = "defective" if strip.defective else "nominal"
            for index, pixels in enumerate(load_strip(strip, layout)):
                writer.write(
                    StreamFrame(
                        strip_id=number, product=strip.product, run=strip.run, index=index,
                        label=label, pixels=pixels,
                    )
                )  # fmt: skip
    return len(strips)


def make_line(
    folder: Path,
    bundle: Path,
    *,
    source: str,
    kit: Path,
    name: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> "Line":
    """Make a station's folder, with an engineer; `changes` are keys of its station.yaml."""
    config = folders.make_station(
        folder,
        bundle,
        source=folders.parse_source(source),
        name=name or f"trial-{os.getpid()}-{time.monotonic_ns() % 10**6}",
        kit=kit,
        web_port=free_port(),
        opcua_port=free_port(),
    )
    path = folder / "station.yaml"
    values = yaml.safe_load(path.read_text())
    for key, value in (changes or {}).items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(values))
    with local_accounts.opened(config) as accounts:
        local_accounts.add_first_engineer(accounts, USER, PASSWORD)
    return Line(folder)


class Line:
    """A station's folder and its processes; a context, at whose end nothing is left running."""

    def __init__(self, folder: Path, *, user: str = USER, password: str = PASSWORD) -> None:
        self.folder = folder
        self.config: StationConfig = load_station(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._log, self._log_at = folder / "station.log", 0
        self._user, self._password = user, password

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        for path in (self.config.snapshot, Path(f"{self.config.snapshot}.new")):
            path.unlink(missing_ok=True)

    def launch(self, *options: str) -> None:
        """Start the station, and wait for nothing."""
        command = [sys.executable, "-m", "vialsight", "station", "run", str(self.folder), *options]
        self._log_at = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, start_new_session=True
            )

    def start(self, *options: str) -> None:
        """Start the station; returns when all of it is up."""
        self.launch(*options)

        def is_up() -> bool:
            assert self.process is not None
            said = self._log.read_text()[self._log_at :]
            if self.process.poll() is not None:
                raise RuntimeError(f"the station ended: {said}")
            return "\nstop " in said

        eventually(is_up, "the station is up")

    def stop(self) -> int:
        """Stop the station in order; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def cut(self) -> None:
        """Kill everything at once, as when the power goes."""
        everything = self._pids()
        # One that was just being started is seen at the second look.
        while everything:
            for pid in everything:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
                self.process = None
            time.sleep(0.01)
            everything = self._pids()

    def _pids(self) -> list[int]:
        found = [pid for pid, words in _command_lines() if str(self.folder) in words]
        return [*found, *(pid for pid, _ in _command_lines() if _parent(pid) in found)]

    def processes(self) -> dict[str, int]:
        """Process ids of inspector, worker, recorder, web, opcua, as far as they run."""
        found: dict[str, int] = {}
        for pid, words in _command_lines():
            if str(self.folder) in words and "vialsight-station" in words[0]:
                found["inspector"] = pid
            elif len(words) > 3 and words[-1] == str(self.folder) and words[1] == "-m":
                role = words[2].rpartition(".")[2]
                if role in _ROLES:
                    found[role] = pid
        inspector = found.get("inspector")
        for pid, words in _command_lines():
            if "vialsight-worker" in words[0] and _parent(pid) == inspector:
                found["worker"] = pid
        return found

    def signal(self, role: str, number: int) -> bool:
        """Send a signal to one of the processes; False: it does not run now."""
        pid = self.processes().get(role)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def status(self) -> Status:
        """What the inspector shows. Raises SnapshotGone."""
        snapshot = Snapshot(self.config.snapshot)
        try:
            return snapshot.status()
        finally:
            snapshot.close()

    def is_ready(self) -> bool:
        """Whether the machine may trigger."""
        try:
            return self.status().ready
        except SnapshotGone:
            return False

    @contextlib.contextmanager
    def client(self) -> Iterator[RecorderClient]:
        """A client of the recorder, logged in."""
        with RecorderClient(self.config.paths.recorder_socket) as client:
            _done(client.login(self._user, self._password))
            yield client

    def begin_batch(self, number: str, product: str = "Trial") -> None:
        """Open a batch, pass the challenge, start. Raises NotDone when it is not passed."""
        with self.client() as client:
            eventually(
                lambda: client.request("batch_status").get("reachable", False),
                "recorder and inspector know of each other",
            )
            # That it has begun must first be recorded.
            fields = {"product": product, "number": number, "comment": ""}
            eventually(
                lambda: client.request("open_batch", **fields)["ok"], "a batch can be opened"
            )
            _done(client.request("run_challenge"))
            eventually(
                lambda: not client.request("challenge_status")["running"], "the challenge is done"
            )
            _done(client.request("start_batch"))

    def resume_batch(self, why: str) -> None:
        """Go on with a held batch, as soon as it is known to be held and the inspector is there."""

        def is_done() -> bool:
            try:
                with self.client() as client:
                    return bool(client.request("resume_batch", why=why)["ok"])
            except (RecorderUnavailable, NotDone):
                return False

        eventually(is_done, "the held batch is resumed")

    def close_batch(self, why: str = "") -> dict[str, Any]:
        """Close the batch, signed; return the recorder's counts of just before."""
        with self.client() as client:
            counts = _done(client.request("batch_status"))["counts"]
            _done(
                client.request(
                    "close_batch", password=self._password, meaning="trial closed", why=why
                )
            )
        return dict(counts)


class NotDone(VialSightError):
    """The recorder refused what the trial asked for."""


def _done(answer: dict[str, Any]) -> dict[str, Any]:
    if not answer["ok"]:
        raise NotDone(str(answer["error"]))
    return answer


class Camera:
    """`vialsight-gige-camera`, with the machine around it, in front of a line; a context."""

    def __init__(self, line: Line, stream: Path, address: str, truth: Path, *options: str) -> None:
        self.truth = truth
        command = [str(CAMERA_PROGRAM), "--input", str(stream), "--loop", "--address", address]
        command += ["--machine", str(line.config.paths.machine_socket), "--truth", str(truth)]
        command += ["--slot-ms", f"{line.config.slot_ms:g}", *options]
        with (line.folder / "camera.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End after the strip that passes."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def strips(self) -> list[dict[str, str]]:
        """What the machine knows of the strips that have passed."""
        with self.truth.open(newline="") as file:
            return list(csv.DictReader(file))


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if words:
                    yield int(path.name), words


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None
