#!/usr/bin/env python3
"""Kills a whole station at random moments, as a power cut would, and looks at what is left.

usage: station_cuts.py --bundle NAME.vsb --kit KIT --data DATASET [--cuts 200] [--longest-s 6]

Frames come through a pipe, strip after strip; a machine listens. After each cut, with nothing
running: the record verifies, and what it held before is unchanged in it. After the next start:
everything that lay in the spool is in the record, without a hole, and every verdict that the
machine was told is there as it was told, but those that the spool had not been given yet, which
are counted. A kill of all processes loses what memory held; that the disk keeps what it was given
(fdatasync) is the disk's word. exit 0: all held; 1: something did not.
"""

import argparse
import contextlib
import json
import os
import random
import socket
import sqlite3
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from station_counts import spooled, verified
from station_line import Line, NotDone, make_line
from vialsight.data import Dataset, load_strip, read_dataset
from vialsight.simulation.frame_stream import FrameWriter, StreamFormat, StreamFrame
from vialsight.station.client import RecorderUnavailable
from vialsight.station.snapshot import SnapshotGone

_REPLY: Final = struct.Struct("<IIQQ6BHIIQQ8x")
_MARKED_PIXELS: Final = 32
STRIP: Final = "strip"
PICTURES: Final = 3


class Feeder(threading.Thread):
    """Writes strips into a pipe, again and again, no two frames with the same pixels."""

    def __init__(self, dataset: Dataset, pipe: Path, slot_s: float) -> None:
        super().__init__(daemon=True)
        self._strips = [(s, load_strip(s, dataset.layout)) for s in dataset.strips()]
        self._layout, self._pipe = dataset.layout, pipe
        self._written, self._slot_s = 0, slot_s
        os.mkfifo(pipe)
        self._end = threading.Event()

    def stop(self) -> None:
        """End at the next strip; a reader that never comes is not waited for."""
        self._end.set()

    def run(self) -> None:
        layout = self._layout
        kind = StreamFormat(
            width=layout.frame_width, height=layout.frame_height, bit_depth=layout.bit_depth,
            frames=layout.frames,
        )  # fmt: skip
        while not self._end.is_set():
            # Never made here: a file in its place would fill the disk.
            with (
                contextlib.suppress(OSError),
                os.fdopen(os.open(self._pipe, os.O_WRONLY), "wb", buffering=0) as file,
            ):
                writer = FrameWriter(file, kind)
                while not self._end.is_set():
                    self._write_strip(writer)
                    self._end.wait(self._slot_s)

    def _write_strip(self, writer: FrameWriter) -> None:
        strip, frames = self._strips[self._written % len(self._strips)]
        self._written += 1
        for index, pixels in enumerate(frames):
            writer.write(
                StreamFrame(
                    strip_id=self._written, product=strip.product, run=strip.run, index=index,
                    label="defective" if strip.defective else "nominal",
                    pixels=marked(pixels, self._written),
                )
            )  # fmt: skip


def marked(pixels: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
    """Return a frame with a number in the lowest bits of its first pixels, as cameras write one."""
    result = pixels.copy()
    bits = (number >> np.arange(_MARKED_PIXELS)) & 1
    row = result.reshape(-1)[:_MARKED_PIXELS]
    row[:] = (row & ~np.array(1, row.dtype)) | bits.astype(row.dtype)
    return result


class Machine(threading.Thread):
    """Keeps what the station tells its machine, strip by strip."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._end = path, threading.Event()
        self.told: dict[int, bool] = {}

    def stop(self) -> None:
        """End soon."""
        self._end.set()

    def run(self) -> None:
        while not self._end.is_set():
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as station,
            ):
                station.connect(str(self._path))
                station.settimeout(0.5)
                while not self._end.is_set() and (packet := station.recv(64)):
                    self._take(station, packet)
            self._end.wait(0.02)

    def _take(self, station: socket.socket, packet: bytes) -> None:
        _, _, strip, _, _, _, valid, accept, *_ = _REPLY.unpack(packet)
        if valid:
            self.told.setdefault(strip, bool(accept))
            station.send(struct.pack("<IIQqQ32x", 0x314D5356, 2, strip, 0, 0))


@dataclass
class Found:
    """What a trial of cuts found."""

    cuts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    strips: int = 0
    told: int = 0
    told_and_lost: int = 0
    wrong: list[str] = field(default_factory=list)


class Cuts:
    """Cuts a line again and again, and keeps in mind what must hold."""

    def __init__(self, line: Line, machine: Machine, seed: int) -> None:
        self._line, self._machine = line, machine
        self._chance = random.Random(seed)
        self._head: tuple[int, bytes] | None = None
        self._seen: dict[int, dict[str, Any]] = {}  # of the spool, by number; pictures apart
        self._told: list[dict[int, bool]] = []
        self.found = Found()

    def once(self, longest_s: float) -> None:
        """Start, let it run for a random time, cut, look."""
        self._machine.told = {}
        end = threading.Event()
        driver = threading.Thread(target=self._drive, args=(end,), daemon=True)
        self._line.launch("--without", "web,opcua")
        driver.start()
        time.sleep(self._chance.uniform(0.0, longest_s))
        self._line.cut()
        end.set()
        driver.join()
        self._told.append(self._machine.told)
        self.found.cuts += 1
        self._look()

    def end(self) -> None:
        """Run once more and stop in order; compare the record with all that was seen."""
        self._line.start("--without", "web,opcua")
        self._line.stop()
        self._look()
        entries = entries_of(self._line.config.paths.record)
        self._check_seen(entries)
        self._check_told(entries)
        self.found.strips = sum(body["kind"] == STRIP for body in entries.values())

    def _drive(self, end: threading.Event) -> None:
        """Go on with the batch as soon as that is possible."""
        while not end.wait(0.05):
            with contextlib.suppress(RecorderUnavailable, NotDone), self._line.client() as client:
                client.request("resume_batch", why="after a cut")

    def _look(self) -> None:
        paths = self._line.config.paths
        check = verified(paths.record, head=self._head)
        self.found.wrong += [f"{self.found.cuts}: {f}" for f in check.findings.found]
        self._head = (check.head[0], bytes.fromhex(check.head[1]))
        last = 0
        for kind, seq, payload in spooled(paths.spool):
            last = seq
            if kind != PICTURES:
                self._seen[seq] = json.loads(payload)
        with contextlib.suppress(SnapshotGone):
            status = self._line.status()
            self.found.states[status.mode] += 1
            if last and status.spooled_seq > last:
                self.found.wrong.append(f"said {status.spooled_seq} is on disk, {last} is")

    def _check_seen(self, entries: dict[int, dict[str, Any]]) -> None:
        """All that ever lay in the spool is in the record, without a hole and unchanged."""
        kept = {seq + 1 for seq, body in entries.items() if body.get("pictures") == "kept"}
        numbers = entries.keys() | kept
        holes = set(range(1, max(numbers, default=0) + 1)) - numbers
        if holes:
            self.found.wrong.append(f"not recorded: {sorted(holes)[:5]} of {len(holes)}")
        for seq, body in self._seen.items():
            recorded = entries.get(seq, {})
            # Pictures that a cut took away are recorded as lost.
            if any(recorded.get(key) != body[key] for key in body if key != "pictures"):
                self.found.wrong.append(f"entry {seq} of the spool is not what was recorded")

    def _check_told(self, entries: dict[int, dict[str, Any]]) -> None:
        """What the machine was told is recorded so; what memory lost are the last ones told."""
        recorded = {
            body["strip_id"]: body["gate"] == "accept"
            for body in entries.values()
            if body["kind"] == STRIP and body["mode"] != "challenge"
        }
        for told in self._told:
            self.found.told += len(told)
            lost = [strip for strip in told if strip not in recorded]
            self.found.told_and_lost += len(lost)
            if lost != list(told)[len(told) - len(lost) :]:
                self.found.wrong.append(f"lost, though later ones were kept: {lost[:5]}")
            self.found.wrong += [
                f"strip {strip}: told {accept}, recorded {recorded[strip]}"
                for strip, accept in told.items()
                if recorded.get(strip, accept) != accept
            ]


def entries_of(record: Path) -> dict[int, dict[str, Any]]:
    """What came of the spool into a record, by number."""
    connection = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT kind, body FROM entry WHERE kind IN "
            "('start', 'strip', 'gap', 'command_done', 'event') ORDER BY id"
        ).fetchall()
    finally:
        connection.close()
    found = {}
    for kind, text in rows:
        body = json.loads(text)
        found[body["seq"]] = {**body, "kind": kind}
    return found


def main() -> int:
    """Cut so many times; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--bundle", "--kit", "--data"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--longest-s", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dataset = read_dataset(options.data).in_splits("test", "train")
    with tempfile.TemporaryDirectory(prefix="vs-cuts-") as folder:
        found = cut(
            Path(folder), options.bundle, options.kit, dataset, cuts=options.cuts,
            longest_s=options.longest_s, seed=options.seed,
        )  # fmt: skip
    print(json.dumps(vars(found), indent=2))
    return 1 if found.wrong else 0


def cut(
    folder: Path,
    bundle: Path,
    kit: Path,
    dataset: Dataset,
    *,
    cuts: int,
    longest_s: float,
    seed: int,
) -> Found:
    """Cut a line `cuts` times within `longest_s` of its start; return what was found."""
    feeder = Feeder(dataset, folder / "pipe", slot_s=0.05)
    changes = {
        "isolation": "in_process", "slot_ms": 50.0, "budget_ms": 50.0,
        "scheduling": {"priority": 0}, "limits": {"min_free_gib": 0.0},
    }  # fmt: skip
    source = f"stream:{folder / 'pipe'}"
    with make_line(folder / "line", bundle, source=source, kit=kit, changes=changes) as line:
        machine = Machine(line.config.paths.machine_socket)
        trial = Cuts(line, machine, seed)
        feeder.start()
        machine.start()
        try:
            line.start("--without", "web,opcua")
            line.begin_batch("1")
            for _ in range(cuts):
                trial.once(longest_s)
            trial.end()
        finally:
            feeder.stop()
            machine.stop()
    return trial.found


if __name__ == "__main__":
    sys.exit(main())
