"""A station for the page's tests: a real recorder, a played inspector, a written snapshot.

What the inspector would tell in its spool and in its snapshot is written to both here, so that the
page, the record and the snapshot speak of the same strips.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from station_snapshot_writer import SnapshotWriter
from station_support import (
    FRAMES,
    PASSWORD,
    REGIONS,
    VIALS,
    FakeInspector,
    RecorderProcess,
    add_user,
    short_folder,
    strip_body,
    wait_until,
    write_kit,
    write_station,
)

from vialsight import Bundle, Layout
from vialsight.station.client import RecorderClient
from vialsight.station.config import load_station
from vialsight.station.web.app import build
from vialsight.station.web.desk import RecordDesk, RecorderDesk
from vialsight.station.web.hub import Hub
from vialsight.station.web.line import Line
from vialsight.station.web.pages import Services
from vialsight.station.web.shows import Shows
from vialsight.station.web.visitors import Visitors, page_secret
from vialsight.station.web.whatif import WhatIf

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "bfs-5.vsb"
ROLES = ("operator", "engineer", "auditor")
SLOT_NS = 500_000_000
# (frame, vial, region, φ, vmin, vmax, heat) of one patch.
Map = tuple[int, int, int, float, float, float, np.ndarray]


# Page and recorder take only time that nobody else wants. Beside other tests that is none at all.
_EAGER = """
import os, runpy, sys
os.nice = os.sched_setscheduler = lambda *_: 0
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def eager(module: str, folder: Path) -> list[str]:
    """The command that runs a process of a station at the priority of the test."""
    return [sys.executable, "-c", _EAGER, module, str(folder)]


class EagerRecorder(RecorderProcess):
    """The recorder, at the priority of the test."""

    def start(self) -> "EagerRecorder":
        self.process = subprocess.Popen(eager("vialsight.station.recorder", self.folder))
        return self


class Station:
    """A folder with recorder, inspector, snapshot, and an account of each role (`PASSWORD`)."""

    def __init__(self, folder: Path, *, patch: int, size: tuple[int, int], sha256: str) -> None:
        self.folder, self.name = folder, json.loads((folder / "station.yaml").read_text())["name"]
        self.session = os.urandom(16).hex()
        self.inspector = FakeInspector(folder, bundle_sha256=sha256, session=self.session)
        self.recorder = EagerRecorder(folder).start()
        self.people: dict[str, RecorderClient] = {}
        self.snapshot = SnapshotWriter(
            Path("/dev/shm") / f"vialsight-{self.name}", patch=patch, size=size, sha256=sha256
        )
        self.snapshot.status(session=self.session, heartbeat=1)
        self.counts: dict[str, Any] = {"triggers": 0, "accepted": 0, "rejected": {}}
        self.of_batch: dict[str, Any] = {"triggers": 0, "accepted": 0, "rejected": {}}

    def add_people(self) -> None:
        """Make an account of each role, named after it."""
        self.people["engineer"] = add_user(self.recorder.client(), "engineer", "engineer")
        for role in ("operator", "auditor"):
            self.people[role] = add_user(self.people["engineer"], role, role)

    def close(self) -> None:
        for client in self.people.values():
            client.close()
        self.recorder.kill()
        self.inspector.__exit__()
        self.snapshot.remove()

    def start_batch(self, product: str = "BFS 5 × 2 ml", number: str = "A-1") -> int:
        """Open, challenge and start a batch, as an operator does."""
        operator = self.people["operator"]
        opened = operator.request("open_batch", product=product, number=number, comment="")
        assert opened["ok"], opened
        assert operator.request("run_challenge")["ok"]
        wait_until(lambda: not operator.request("challenge_status")["running"])
        started = operator.request("start_batch")
        assert started["ok"], started
        self.of_batch = {"triggers": 0, "accepted": 0, "rejected": {}}
        self.tell(mode="production", batch=opened["batch"], ready=True)
        return int(opened["batch"])

    def tell(self, **status: Any) -> None:
        """Write the snapshot's status with the counters as they are."""
        beats = int(self.snapshot.values.get("heartbeat", 0)) + 1
        spooled = self.inspector.spool.seq - 1
        self.snapshot.status(
            heartbeat=beats,
            **self.counts,
            **{f"batch_{name}": value for name, value in self.of_batch.items()},
            last_seq=spooled,
            spooled_seq=spooled,
            **status,
        )

    def strip(
        self,
        *,
        accept: bool = True,
        reason: str | None = None,
        scores: np.ndarray | None = None,
        thresholds: Sequence[float] = (3.0,) * REGIONS,
        locations: Sequence[Sequence[float]] = ((1, 0.0, 0.0, 0.0),) * FRAMES,
        latency_ms: float = 231.0,
        frames: Mapping[int, np.ndarray] | None = None,
        maps: Sequence[Map] = (),
    ) -> int:
        """One strip, in spool and snapshot; with `frames` its pictures. Returns its seq."""
        reason = reason or ("none" if accept else "defect")
        mode = self.snapshot.values.get("mode", "halted")
        verdict = "accept" if accept else "reject"
        self.inspector.strip_id += 1
        changes: dict[str, Any] = {
            "thresholds": list(thresholds),
            "locations": [list(map(float, place)) for place in locations],
            "latency_ms": latency_ms,
        }
        body = strip_body(
            self.inspector.strip_id,
            batch=self.inspector.batch,
            mode=mode,
            verdict=verdict,
            reason=reason,
            scores=scores,
            **changes,
        )
        if scores is None and reason not in ("none", "defect"):
            body["scores"] = None
        payload = None if frames is None else pictures(frames, maps)
        seq = self._record(body, payload)
        scored = np.full(FRAMES * VIALS * REGIONS, np.nan) if scores is None else scores
        self._count(verdict, reason)
        self.snapshot.strip(
            seq=seq,
            strip_id=self.inspector.strip_id,
            unix_ns=time.time_ns(),
            batch=self.inspector.batch,
            mode=mode,
            accept=accept,
            reason=reason,
            gate=accept and mode == "production",
            pictures=frames is not None,
            latency_ms=latency_ms,
            slack_ms=450.0 - latency_ms,
            thresholds=thresholds,
            scores=scored,
            vials=[accept] * VIALS,
            locations=locations,
        )
        if frames is not None:
            self.snapshot.picture(frames, maps, seq=seq, strip_id=self.inspector.strip_id)
        self.tell()
        return seq

    def wait_recorded(self) -> None:
        """Return when everything in the spool is in the record."""
        from vialsight.station.record.reading import RecordReader

        reader = RecordReader(self.folder / "record.sqlite")
        wait_until(lambda: _newest_seq(reader) >= self.inspector.spool.seq - 2)
        reader.close()

    def _record(self, body: dict[str, Any], payload: bytes | None) -> int:
        counts = self.inspector.balances.setdefault(
            self.inspector.batch, {"triggers": 0, "accepted": 0, "rejected": {}}
        )
        for of in (counts, self.counts, self.of_batch):
            of["triggers"] += 1
        return self.inspector.spool.strip(body, payload)

    def _count(self, verdict: str, reason: str) -> None:
        for of in (self.inspector.balances[self.inspector.batch], self.counts, self.of_batch):
            if verdict == "accept":
                of["accepted"] += 1
            else:
                of["rejected"][reason] = of["rejected"].get(reason, 0) + 1


def pictures(frames: Mapping[int, np.ndarray], maps: Sequence[Map]) -> bytes:
    """A pictures entry of the spool, behind the strip's number."""
    import struct

    height, width = next(iter(frames.values())).shape
    size = maps[0][-1].shape[0] if maps else 16
    parts = [struct.pack("<IIIIII", width, height, 1, len(frames), len(maps), size)]
    for index, frame in frames.items():
        parts += [struct.pack("<II", index, 0), frame.astype(np.uint8).tobytes()]
    for frame, vial, region, phi, vmin, vmax, heat in maps:
        parts += [struct.pack("<IIIfff", frame, vial, region, phi, vmin, vmax), heat.tobytes()]
    return b"".join(parts)


@contextlib.contextmanager
def station(
    *, bundle: Path | None = None, people: bool = True, **sections: Any
) -> Iterator[Station]:
    """A station in a folder of its own; everything ends with the block. `bundle`: its sizes."""
    with short_folder() as folder:
        patch, size, sha256 = 16, (24, 32), "ab" * 32
        if bundle is not None:
            loaded = Bundle.load(bundle)
            layout = loaded.layout
            patch, size = layout.patch_size, (layout.frame_height, layout.frame_width)
            sha256 = loaded.sha256
            sections["bundle"] = str(bundle)
        write_kit(folder / "kit", bundle_sha256=sha256)
        name = sections.pop("name", f"web-{os.getpid()}-{os.urandom(2).hex()}")
        write_station(folder, name=name, **sections)
        made = Station(folder, patch=patch, size=size, sha256=sha256)
        try:
            made.recorder.client().close()
            if people:
                made.add_people()
            yield made
        finally:
            made.close()


def small_layout() -> Layout:
    """Of the sizes that `station_support` plays: 3 frames of 32×24, 5 vials, 4 regions."""
    boxes = [[(6 * vial, 6 * region, 6, 6) for region in range(REGIONS)] for vial in range(VIALS)]
    return Layout(
        name="small",
        frame_width=32,
        frame_height=24,
        regions=["flag", "top", "body", "bottom"],
        boxes=boxes,
        patch_size=16,
        frames=FRAMES,
    )


def application(folder: Path, *, public_now: bool = False, most: int = 8) -> Any:
    """The page of a folder, for a client in this process."""
    config, layout = load_station(folder), small_layout()
    record, recorder = RecordDesk(config.paths.record), RecorderDesk(config.paths.recorder_socket)
    line = Line(config.snapshot)
    hub = Hub(line, record, layout, "ab" * 32, slot_ms=500.0, most=most)
    services = Services(
        config=config,
        layout=layout,
        hub=hub,
        recorder=recorder,
        record=record,
        shows=Shows(line, record, layout),
        what_if=WhatIf(),
    )
    visitors = Visitors(recorder, page_secret(config.paths.web), secure=False)
    return build(services, visitors, public_now=public_now)


@contextlib.contextmanager
def web_process(folder: Path) -> Iterator[str]:
    """The page of a folder, in a process of its own, at the port its station.yaml names."""
    port = json.loads((folder / "station.yaml").read_text())["web"]["port"]
    process = subprocess.Popen(eager("vialsight.station.web", folder))
    try:
        wait_until(lambda: process.poll() is not None or is_open(port), 60)
        assert process.poll() is None, "the page ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def _newest_seq(reader: Any) -> int:
    strips = reader.strips(limit=1)
    return strips[0].seq if strips else 0


__all__ = [
    "PASSWORD",
    "ROLES",
    "SHIPPED",
    "Station",
    "eager",
    "free_port",
    "station",
    "web_process",
]
