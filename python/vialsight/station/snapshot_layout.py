"""Where everything lies in a station's snapshot, and what its numbers say.

Little-endian. A header that never changes, then blocks: status, a ring of strips, a ring of
pictures of rejects, two live pictures. Every block begins with a sequence lock, odd while the
station writes it. Every field of variable length begins at a multiple of 8 bytes.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import VialSightError

MAGIC: Final = b"VSSNAP01"
HEADER_BYTES: Final = 256
STATUS_BYTES: Final = 1024
MAPS: Final = 12
# Of picture and live blocks: what lies before the frames.
PICTURE_HEAD: Final = struct.Struct("<II3QII")
STRIP_HEAD: Final = struct.Struct("<II3QqIIBBBBI7d")
MAP_HEAD: Final = struct.Struct("<4I4f")
HEADER: Final = struct.Struct("<8sQ12I8Q64s64s")

REASONS: Final = (
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
)
MODES: Final = ("halted", "production", "challenge")
VERDICTS: Final = ("reject", "accept")
# Bit k of the hindrance is HINDRANCES[k].
HINDRANCES: Final = ("camera_lost", "machine_lost", "spool_lag", "inspector_not_ready", "starting")
PICTURES_KEPT: Final = 1

STATUS: Final = np.dtype(
    [
        ("lock", "<u4"),
        ("zero", "<u4"),
        ("pid", "<u8"),
        ("session", "S32"),
        ("started_unix_ns", "<i8"),
        ("updated_mono_ns", "<i8"),
        ("updated_unix_ns", "<i8"),
        ("mode", "<u4"),
        ("hindrance", "<u4"),
        ("ready", "u1"),
        ("busy", "u1"),
        ("result_valid", "u1"),
        ("accept", "u1"),
        ("reason", "u1"),
        ("zeros", "u1", 3),
        ("strip_id", "<u8"),
        ("heartbeat", "<u8"),
        ("triggers", "<u8"),
        ("accepted", "<u8"),
        ("rejected", "<u8", 16),
        ("in_flight", "<u8"),
        ("batch", "<u4"),
        ("zero_after_batch", "<u4"),
        ("batch_triggers", "<u8"),
        ("batch_accepted", "<u8"),
        ("batch_rejected", "<u8", 16),
        ("last_seq", "<u8"),
        ("spooled_seq", "<u8"),
        ("gaps", "<u8"),
        ("pictures_left_out", "<u8"),
        ("worker_restarts", "<u8"),
        ("frames_received", "<u8"),
        ("frames_dropped", "<u8"),
        ("strips_written", "<u8"),
        ("pictures_written", "<u8"),
        ("live_written", "<u8"),
        ("budget_ms", "<f8"),
        ("margin_ms", "<f8"),
        ("last_fault", "S256"),
        ("source", "S128"),
    ]
)


class SnapshotGone(VialSightError):
    """There is no snapshot to read, or another one has taken its place: open it again."""


@dataclass(frozen=True)
class Region:
    """A row of blocks of equal size, in bytes from the file's beginning."""

    offset: int
    size: int
    blocks: int

    @property
    def end(self) -> int:
        """First byte behind the last block."""
        return self.offset + self.size * self.blocks


@dataclass(frozen=True)
class Header:
    """What a station says once, when it makes its snapshot."""

    total_bytes: int
    frames: int
    vials: int
    regions: int
    patch_size: int
    width: int
    height: int
    bytes_per_pixel: int
    bit_depth: int
    bundle: str
    bundle_sha256: str
    status: Region
    strips: Region
    pictures: Region
    live: Region

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.width * self.height * self.bytes_per_pixel

    @property
    def pixel_type(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Of the frames: uint8, or little-endian uint16 above 8 bit."""
        return np.dtype(np.uint8) if self.bytes_per_pixel == 1 else np.dtype("<u2")

    @property
    def map_bytes(self) -> int:
        """Bytes of one map of a picture block with its head."""
        return MAP_HEAD.size + padded(self.patch_size**2)

    @property
    def maps_offset(self) -> int:
        """Where the maps begin in a picture block."""
        return PICTURE_HEAD.size + padded(self.frames * self.frame_bytes)

    def strip_type(self) -> np.dtype[np.void]:
        """Return the type of a strip block."""
        places, at = {}, STRIP_HEAD.size
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "thresholds": ("<f4", (self.regions,)),
            "scores": ("<f4", (self.frames, self.vials, self.regions)),
            "vials": ("u1", (self.vials,)),
            "locations": ("<f4", (self.frames, 4)),
        }
        for name, (kind, shape) in shapes.items():
            field = np.dtype((kind, shape))
            places[name] = (field, at)
            at = padded(at + field.itemsize)
        layout = {
            "names": list(places),
            "formats": [field for field, _ in places.values()],
            "offsets": [offset for _, offset in places.values()],
            "itemsize": at,
        }
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]


def padded(size: int) -> int:
    """Return `size` rounded up to a multiple of 8."""
    return -(-size // 8) * 8


def text(raw: bytes) -> str:
    """Return a zero-padded text field."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def read_header(content: memoryview, path: str) -> Header:
    """Return the checked header of a whole snapshot.

    Raises:
        SnapshotGone: the file is none, or its parts do not lie in it.
    """
    if len(content) < HEADER_BYTES or bytes(content[:8]) != MAGIC:
        raise SnapshotGone(f"{path} is no snapshot of a station of this version")
    _, total, *numbers = HEADER.unpack_from(content)
    frames, vials, regions, patch, width, height, pixel, depth, _, patches, strips, pictures = (
        numbers[:12]
    )
    places, (bundle, sha256) = numbers[12:20], numbers[20:]
    header = Header(
        total_bytes=total,
        frames=frames,
        vials=vials,
        regions=regions,
        patch_size=patch,
        width=width,
        height=height,
        bytes_per_pixel=pixel,
        bit_depth=depth,
        bundle=text(bundle),
        bundle_sha256=text(sha256),
        status=Region(places[0], places[1], 1),
        strips=Region(places[2], places[3], strips),
        pictures=Region(places[4], places[5], pictures),
        live=Region(places[6], places[7], 2),
    )
    _check(header, len(content), patches, path)
    return header


def _check(header: Header, size: int, patches: int, path: str) -> None:
    picture_bytes = header.maps_offset + MAPS * header.map_bytes
    blocks: list[tuple[str, Region, int]] = [
        ("status", header.status, STATUS_BYTES),
        ("strips", header.strips, header.strip_type().itemsize),
        ("pictures", header.pictures, picture_bytes),
        ("live", header.live, header.maps_offset),
    ]
    fits = header.total_bytes <= size and header.bytes_per_pixel in (1, 2)
    if not fits or patches != header.frames * header.vials * header.regions:
        raise SnapshotGone(f"the header of snapshot {path} contradicts itself")
    for name, region, least in blocks:
        aligned = region.offset % 8 == 0 and region.size % 8 == 0
        if not aligned or region.size < least or region.end > header.total_bytes:
            raise SnapshotGone(
                f"the {name} of snapshot {path} need {least} bytes each, {header.total_bytes} in "
                f"all; their blocks are said to have {region.size} and to end at {region.end}"
            )


def rejections(counts: npt.NDArray[np.uint64]) -> dict[str, int]:
    """Return counts by reason, of the reasons that reject."""
    return {reason: int(counts[number]) for number, reason in enumerate(REASONS) if number}


def named(names: tuple[str, ...], number: int) -> str:
    """Return the name of a number; one that only a later station knows stays readable."""
    return names[number] if number < len(names) else f"unknown_{number}"
