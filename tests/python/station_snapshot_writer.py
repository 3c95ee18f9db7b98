"""Writes the snapshot of a station, as the contract between its parts has it: byte by byte.

Written from the contract, without a look at the reader, so that the two check each other. As a
program it writes on and on, each block of one value all through, for a reader to catch torn ones.

    python station_snapshot_writer.py PATH [careless]
"""

import mmap
import os
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REASONS = [
    "none",
    "defect",
    "deadline_missed",
    "frame_missing",
    "frame_invalid",
    "score_invalid",
    "backend_fault",
    "not_ready",
    "frame_stale",
    "not_located",
]
MODES = ["halted", "production", "challenge"]
MAPS = 12


def up(size: int) -> int:
    return (size + 7) // 8 * 8


class SnapshotWriter:
    """A snapshot of F frames, V vials, R regions, patches P×P and frames H×W."""

    def __init__(
        self,
        path: Path,
        *,
        frames: int = 3,
        vials: int = 5,
        regions: int = 4,
        patch: int = 16,
        size: tuple[int, int] = (48, 64),
        pixel_bytes: int = 1,
        bit_depth: int = 8,
        strips: int = 256,
        pictures: int = 8,
        bundle: str = "bfs-5",
        sha256: str = "ab" * 32,
        careless: bool = False,
    ) -> None:
        self.path, self.careless = path, careless
        self.F, self.V, self.R, self.P = frames, vials, regions, patch
        self.H, self.W = size
        self.pixel_bytes, self.N, self.K = pixel_bytes, strips, pictures
        scores = frames * vials * regions
        self.thresholds_at = 112
        self.scores_at = up(self.thresholds_at + 4 * regions)
        self.vials_at = up(self.scores_at + 4 * scores)
        self.locations_at = up(self.vials_at + vials)
        strip_size = up(self.locations_at + 16 * frames)
        self.maps_at = up(40 + frames * self.H * self.W * pixel_bytes)
        self.map_size = 32 + up(patch * patch)
        picture_size = self.maps_at + MAPS * self.map_size
        self.places = {}
        at = 256
        for name, block, count in (
            ("status", 1024, 1),
            ("strips", strip_size, strips),
            ("pictures", picture_size, pictures),
            ("live", picture_size, 2),
        ):
            self.places[name] = (at, block)
            at += block * count
        places = [number for place in self.places.values() for number in place]
        numbers = [frames, vials, regions, patch, self.W, self.H, pixel_bytes, bit_depth, 10]
        header = b"VSSNAP01" + struct.pack("<Q", at)
        header += struct.pack("<12I", *numbers, scores, strips, pictures)
        header += struct.pack("<8Q", *places) + bundle.encode().ljust(64, b"\0") + sha256.encode()
        new = path.with_name(path.name + ".new")
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(descriptor, at)
        self.memory = mmap.mmap(descriptor, at)
        os.close(descriptor)
        self.memory[: len(header)] = header
        self.values: dict[str, Any] = {
            "pid": os.getpid(),
            "session": "0123456789abcdef" * 2,
            "started_unix_ns": time.time_ns(),
            "budget_ms": 500.0,
            "margin_ms": 2.0,
            "source": "gige VialSight-SIM 1408x1152",
        }
        self.status()
        new.rename(path)

    def status(self, **values: Any) -> None:
        """Write the status block; what is not given stays. `rejected` by reason."""
        now = {"updated_mono_ns": time.monotonic_ns(), "updated_unix_ns": time.time_ns()}
        self.values |= now | values
        v = {"mode": "halted", "reason": "none", "last_fault": "", **self.values}

        def n(name: str) -> int:
            return int(v.get(name, 0))

        def counts(name: str) -> list[int]:
            given: Mapping[str, int] = v.get(name, {})
            return [given.get(reason, 0) for reason in REASONS] + [0] * 6

        block = struct.pack("<Q32s3q", n("pid"), v["session"].encode(), *map(n, _TIMES))
        block += struct.pack("<II", MODES.index(v["mode"]), n("hindrance"))
        flags = [n(name) for name in ("ready", "busy", "result_valid", "accept")]
        block += struct.pack("<5B3x", *flags, REASONS.index(v["reason"]))
        block += struct.pack("<4Q", *map(n, ("strip_id", "heartbeat", "triggers", "accepted")))
        block += struct.pack("<16Q", *counts("rejected")) + struct.pack("<Q", n("in_flight"))
        block += struct.pack("<IIQQ", n("batch"), 0, n("batch_triggers"), n("batch_accepted"))
        block += struct.pack("<16Q", *counts("batch_rejected"))
        block += struct.pack("<10Q", *map(n, _COUNTERS))
        block += struct.pack("<2d", v.get("budget_ms", 0.0), v.get("margin_ms", 0.0))
        block += v["last_fault"].encode()[:255].ljust(256, b"\0")
        block += v["source"].encode()[:127].ljust(128, b"\0")
        self._write("status", 0, block)

    def strip(
        self,
        *,
        seq: int = 0,
        strip_id: int = 0,
        unix_ns: int = 0,
        batch: int = 0,
        mode: str = "production",
        accept: bool = True,
        reason: str = "none",
        gate: bool = True,
        pictures: bool = False,
        latency_ms: float = 0.0,
        slack_ms: float = 0.0,
        times_ms: Sequence[float] = (0.0,) * 5,
        thresholds: Any = None,
        scores: Any = None,
        vials: Sequence[bool] = (),
        locations: Any = None,
    ) -> int:
        """Write the next strip block, count it in the status, return its number."""
        n = int(self.values.get("strips_written", 0))
        block = struct.pack("<3QqII", n, seq, strip_id, unix_ns, batch, MODES.index(mode))
        block += struct.pack("<4BI", accept, REASONS.index(reason), gate, 0, pictures)
        block += struct.pack("<7d", latency_ms, slack_ms, *times_ms)
        fields = (
            (self.thresholds_at, np.zeros(self.R) if thresholds is None else thresholds, "<f4"),
            (self.scores_at, np.zeros(1) if scores is None else scores, "<f4"),
            (self.vials_at, np.array(vials, bool), "u1"),
            (self.locations_at, np.zeros(1) if locations is None else locations, "<f4"),
        )
        for at, values, kind in fields:
            block = block.ljust(at - 8, b"\0") + np.asarray(values).astype(kind).tobytes()
        self._write("strips", n % self.N, block)
        self.status(strips_written=n + 1)
        return n

    def picture(
        self,
        frames: Mapping[int, np.ndarray],
        maps: Sequence[tuple[int, int, int, float, float, float, np.ndarray]] = (),
        *,
        seq: int = 0,
        strip_id: int = 0,
    ) -> int:
        """Write the next picture of a reject; a map is frame, vial, region, φ, vmin, vmax, heat."""
        n = int(self.values.get("pictures_written", 0))
        block = self._frames(n, frames, seq, strip_id, len(maps))
        for frame, vial, region, phi, vmin, vmax, heat in maps:
            part = struct.pack("<4I4f", frame, vial, region, 0, phi, vmin, vmax, 0.0)
            block += (part + heat.astype(np.uint8).tobytes()).ljust(self.map_size, b"\0")
        self._write("pictures", n % self.K, block)
        self.status(pictures_written=n + 1)
        return n

    def live(self, frames: Mapping[int, np.ndarray], *, seq: int = 0, strip_id: int = 0) -> int:
        """Write the next live picture."""
        n = int(self.values.get("live_written", 0))
        self._write("live", n % 2, self._frames(n, frames, seq, strip_id, 0))
        self.status(live_written=n + 1)
        return n

    def hold(self, name: str, slot: int = 0) -> None:
        """Leave a block locked, as a station does that is killed while it writes it."""
        at = self.places[name][0] + slot * self.places[name][1]
        (lock,) = struct.unpack_from("<I", self.memory, at)
        struct.pack_into("<I", self.memory, at, lock | 1)

    def close(self) -> None:
        self.memory.close()

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def _frames(
        self, n: int, frames: Mapping[int, np.ndarray], seq: int, strip_id: int, maps: int
    ) -> bytes:
        present = sum(1 << index for index in frames)
        block = struct.pack("<3QII", n, seq, strip_id, present, maps)
        kind = "<u2" if self.pixel_bytes == 2 else "u1"
        empty = bytes(self.H * self.W * self.pixel_bytes)
        for index in range(self.F):
            block += frames[index].astype(kind).tobytes() if index in frames else empty
        return block.ljust(self.maps_at - 8, b"\0")

    def _write(self, name: str, slot: int, block: bytes) -> None:
        """Write what comes after lock and zero; `careless`: without the lock."""
        start, size = self.places[name]
        assert len(block) <= size - 8, f"{name}: {len(block)} bytes for {size - 8}"
        at = start + slot * size
        (lock,) = struct.unpack_from("<I", self.memory, at)
        if not self.careless:
            struct.pack_into("<I", self.memory, at, (lock | 1) & 0xFFFFFFFF)
        self.memory[at + 8 : at + 8 + len(block)] = block
        if not self.careless:
            struct.pack_into("<I", self.memory, at, ((lock | 1) + 1) & 0xFFFFFFFF)


_TIMES = ("started_unix_ns", "updated_mono_ns", "updated_unix_ns")
_COUNTERS = (
    *("last_seq", "spooled_seq", "gaps", "pictures_left_out", "worker_restarts"),
    *("frames_received", "frames_dropped", "strips_written", "pictures_written", "live_written"),
)


def write_on(path: Path, *, careless: bool) -> None:
    """Write strips and pictures without end; all of a block is its number."""
    size = (600, 800)
    writer = SnapshotWriter(path, size=size, strips=4, pictures=2, careless=careless)
    pixels = [{f: np.full(size, value, np.uint8) for f in range(3)} for value in range(7)]
    heat = [np.full((16, 16), value) for value in range(7)]
    n = 0
    while True:
        scores = np.full(60, n)
        writer.strip(seq=n, strip_id=n, latency_ms=n, scores=scores, thresholds=[n] * 4)
        value = n % 7
        maps = [(0, 0, 0, n, n, n, heat[value])] * MAPS
        writer.picture(pixels[value], maps, seq=n, strip_id=n)
        rejected = dict.fromkeys(REASONS[1:], n)
        writer.status(triggers=10 * n, accepted=n, rejected=rejected, heartbeat=n)
        n += 1


if __name__ == "__main__":
    write_on(Path(sys.argv[1]), careless="careless" in sys.argv[2:])
