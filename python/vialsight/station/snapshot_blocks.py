"""What the blocks of a station's snapshot say, as Python objects. Arrays are read-only copies."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight.station.snapshot_layout import (
    HINDRANCES,
    MAP_HEAD,
    MAPS,
    MODES,
    PICTURE_HEAD,
    PICTURES_KEPT,
    REASONS,
    STATUS,
    STRIP_HEAD,
    VERDICTS,
    Header,
    named,
    rejections,
    text,
)

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Status:
    """The station at one moment. Counters are the station's own, exact in every copy.

    triggers = accepted + sum(rejected.values()) + in_flight; times in ns or ms as their names say.
    """

    pid: int
    session: str
    started_unix_ns: int
    updated_mono_ns: int
    updated_unix_ns: int
    mode: str
    hindrance: int
    ready: bool
    busy: bool
    result_valid: bool
    accept: bool
    reason: str
    strip_id: int
    heartbeat: int
    triggers: int
    accepted: int
    rejected: dict[str, int]
    in_flight: int
    batch: int
    batch_triggers: int
    batch_accepted: int
    batch_rejected: dict[str, int]
    last_seq: int
    spooled_seq: int
    gaps: int
    pictures_left_out: int
    worker_restarts: int
    frames_received: int
    frames_dropped: int
    strips_written: int
    pictures_written: int
    live_written: int
    budget_ms: float
    margin_ms: float
    last_fault: str
    source: str

    @property
    def hindrances(self) -> tuple[str, ...]:
        """Names of what keeps the station from being ready."""
        return tuple(name for bit, name in enumerate(HINDRANCES) if self.hindrance >> bit & 1)

    @property
    def balanced(self) -> bool:
        """Whether every trigger is accounted for."""
        return self.triggers == self.accepted + sum(self.rejected.values()) + self.in_flight

    def age_s(self, mono_ns: int | None = None) -> float:
        """Seconds since the station last wrote, by CLOCK_MONOTONIC."""
        now = time.monotonic_ns() if mono_ns is None else mono_ns
        return (now - self.updated_mono_ns) / 1e9


@dataclass(frozen=True)
class Strip:
    """One finished strip. `n` counts the strips of this station's run from 0."""

    n: int
    seq: int
    strip_id: int
    unix_ns: int
    batch: int
    mode: str
    verdict: str
    reason: str
    gate: str
    pictures_kept: bool
    latency_ms: float
    slack_ms: float
    times_ms: dict[str, float]
    thresholds: npt.NDArray[np.float32]
    """(R,)"""
    scores: npt.NDArray[np.float32]
    """φ (F, V, R); NaN where none was made in time"""
    vials: tuple[bool, ...]
    locations: npt.NDArray[np.float32]
    """(F, 4): found (0 or 1), dx, dy in pixels, turn in radians"""


@dataclass(frozen=True)
class PictureMap:
    """The score's map of one patch; heat (P, P) uint8: 0 is vmin, 255 is vmax."""

    frame: int
    vial: int
    region: int
    phi: float
    vmin: float
    vmax: float
    heat: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """Frames of one strip by index, (H, W) each, with the maps of its patches above threshold."""

    n: int
    seq: int
    strip_id: int
    frames: dict[int, Frame]
    maps: tuple[PictureMap, ...]


def decode_status(block: bytes) -> Status:
    """Return what a status block says."""
    fields = np.frombuffer(block, STATUS, 1)[0]
    values: dict[str, Any] = {
        name: fields[name].item()
        for name in STATUS.names or ()
        if STATUS[name].shape == () and not name.startswith(("lock", "zero"))
    }
    values |= {name: bool(values[name]) for name in ("ready", "busy", "result_valid", "accept")}
    values |= {name: text(values[name]) for name in ("session", "last_fault", "source")}
    return Status(
        **values
        | {
            "mode": named(MODES, values["mode"]),
            "reason": named(REASONS, values["reason"]),
            "rejected": rejections(fields["rejected"]),
            "batch_rejected": rejections(fields["batch_rejected"]),
        }
    )


def decode_strip(block: bytes, layout: np.dtype[np.void]) -> Strip:
    """Return what a strip block says; `layout` is the header's `strip_type`."""
    head = STRIP_HEAD.unpack_from(block)
    _, _, n, seq, strip_id, unix_ns, batch, mode, verdict, reason, gate, _, flags, *times = head
    arrays = np.frombuffer(block, layout, 1)[0]
    stages = ("locate", "extract", "infer", "score", "after_last_frame")
    return Strip(
        n=n,
        seq=seq,
        strip_id=strip_id,
        unix_ns=unix_ns,
        batch=batch,
        mode=named(MODES, mode),
        verdict=VERDICTS[verdict == 1],
        reason=named(REASONS, reason),
        gate=VERDICTS[gate == 1],
        pictures_kept=bool(flags & PICTURES_KEPT),
        latency_ms=times[0],
        slack_ms=times[1],
        times_ms=dict(zip(stages, times[2:], strict=True)),
        thresholds=arrays["thresholds"],
        scores=arrays["scores"],
        vials=tuple(value == 1 for value in arrays["vials"].tolist()),
        locations=arrays["locations"],
    )


def decode_picture(block: bytes, header: Header, *, with_maps: bool) -> Picture:
    """Return the frames of a picture or live block, and the maps of the former."""
    _, _, n, seq, strip_id, present, maps = PICTURE_HEAD.unpack_from(block)
    shape, pixels = (header.height, header.width), header.width * header.height
    frames: dict[int, Frame] = {}
    for index in range(header.frames):
        if present >> index & 1:
            at = PICTURE_HEAD.size + index * header.frame_bytes
            flat: Any = np.frombuffer(block, header.pixel_type, pixels, at)
            frames[index] = flat.reshape(shape)
    count = min(maps, MAPS) if with_maps else 0
    return Picture(n, seq, strip_id, frames, tuple(_map(block, header, k) for k in range(count)))


def _map(block: bytes, header: Header, number: int) -> PictureMap:
    at, size = header.maps_offset + number * header.map_bytes, header.patch_size
    frame, vial, region, _, phi, vmin, vmax, _ = MAP_HEAD.unpack_from(block, at)
    heat = np.frombuffer(block, np.uint8, size * size, at + MAP_HEAD.size).reshape(size, size)
    return PictureMap(frame, vial, region, phi, vmin, vmax, heat)
