"""The binary stream of a live line: header, then a record and pixels per frame.

`cpp/include/vialsight/frame_stream.h` fixes the format byte by byte and reads the same stream.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

STREAM_MAGIC: Final = b"VSSTREAM"
FRAME_MAGIC: Final = b"FRAM"
VERSION: Final = 1
PRODUCT_BYTES: Final = 64
LABELS: Final = ("nominal", "defective")

_HEADER: Final = struct.Struct("<8s6I")
_RECORD: Final = struct.Struct(f"<4sIQIIQ{PRODUCT_BYTES}s")
_MAX_EDGE: Final = 65535
_MAX_FRAMES: Final = 1024
_MAX_RUN: Final = 2**31 - 1
# Never more than this is allocated before the bytes are there, whatever a header claims.
_CHUNK_BYTES: Final = 2**20

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class Sink(Protocol):
    """What a stream is written to: a binary file, pipe or buffer."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""

    def flush(self) -> object:
        """Hand over what is buffered."""


class Source(Protocol):
    """What a stream is read from; `read` may give less than asked for, and b"" at the end."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes."""


@dataclass(frozen=True, kw_only=True)
class StreamFormat:
    """What the header says of all frames: size in pixels, bit depth 8 to 16, frames per strip.

    Raises DataError for values no frame can have.
    """

    width: int
    height: int
    bit_depth: int = 8
    frames: int

    def __post_init__(self) -> None:
        _check("width", self.width, 1, _MAX_EDGE)
        _check("height", self.height, 1, _MAX_EDGE)
        _check("bit depth", self.bit_depth, 8, 16)
        _check("frames per strip", self.frames, 1, _MAX_FRAMES)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Little-endian type of a pixel."""
        return np.dtype("u1") if self.bit_depth == 8 else np.dtype("<u2")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame's pixels."""
        return self.width * self.height * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True)
class FrameRecord:
    """Which frame of which strip; `index` from 0, `run` from 1, label nominal or defective."""

    strip_id: int
    product: str
    run: int
    index: int
    label: str

    def __str__(self) -> str:
        return f"strip {self.strip_id}, frame {self.index}"


@dataclass(frozen=True, kw_only=True)
class StreamFrame(FrameRecord):
    """One frame with its pixels, uint8 or uint16 (H,W)."""

    pixels: Pixels

    __str__ = FrameRecord.__str__


class FrameWriter:
    """Writes the header at once, then frame by frame."""

    def __init__(self, sink: Sink, stream_format: StreamFormat) -> None:
        self._sink = sink
        self._format = stream_format
        numbers = (stream_format.width, stream_format.height, stream_format.bit_depth)
        sink.write(_HEADER.pack(STREAM_MAGIC, VERSION, *numbers, stream_format.frames, 0))
        sink.flush()

    def write(self, frame: StreamFrame) -> None:
        """Write one frame and hand it over.

        Raises DataError when its pixels or its product's name do not fit the format.
        """
        name = frame.product.encode()
        if not 1 <= len(name) <= PRODUCT_BYTES:
            raise DataError(
                f"product: expected 1 to {PRODUCT_BYTES} bytes of UTF-8, got {frame.product!r}"
            )
        shape = (self._format.height, self._format.width)
        if frame.pixels.shape != shape or frame.pixels.dtype != self._format.dtype:
            raise DataError(
                f"pixels: expected {self._format.dtype.name} {shape}, "
                f"got {frame.pixels.dtype.name} {frame.pixels.shape}"
            )
        numbers = (frame.index, frame.strip_id, frame.run, LABELS.index(frame.label))
        self._sink.write(_RECORD.pack(FRAME_MAGIC, *numbers, self._format.frame_bytes, name))
        self._sink.write(frame.pixels.tobytes())
        self._sink.flush()


class FrameReader:
    """Reads and checks a stream; iterating gives its frames.

    Raises DataError, naming the field, for whatever `frame_stream.h` calls an error.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.format = _parse_header(self._read(_HEADER.size, "the header"))
        self._last: StreamFrame | None = None

    def __iter__(self) -> Iterator[StreamFrame]:
        while record := self._read(_RECORD.size, "a frame record"):
            fields = _parse_record(record, self.format)
            self._check_order(fields)
            self._last = StreamFrame(**vars(fields), pixels=self._read_pixels(fields))
            yield self._last
        if not self._between_strips:
            raise _broken(f"truncated within a strip: it ends behind {self._last}")

    @property
    def _between_strips(self) -> bool:
        return self._last is None or self._last.index == self.format.frames - 1

    def _read_pixels(self, fields: FrameRecord) -> Pixels:
        size = self.format.frame_bytes
        data = self._read(size, f"the pixels of {fields}")
        if not data:
            raise _truncated(f"the pixels of {fields}", 0, size)
        pixels = np.frombuffer(data, self.format.dtype)
        return cast("Pixels", pixels.reshape(self.format.height, self.format.width))

    def _check_order(self, frame: FrameRecord) -> None:
        last = self._last
        if last is None:
            expected = (frame.strip_id, 0)
        elif (last.strip_id, last.index) == (frame.strip_id, frame.index):
            raise _broken(f"duplicated frame: {frame} came twice")
        elif self._between_strips:
            expected = (last.strip_id + 1, 0)
        else:
            expected = (last.strip_id, last.index + 1)
        if (frame.strip_id, frame.index) != expected:
            wanted = f"strip {expected[0]}, frame {expected[1]}"
            raise _broken(f"wrong order: expected {wanted}, got {frame}")
        if last is not None and frame.index and _same_strip(last) != _same_strip(frame):
            raise _broken(
                f"mixed strips: product, run or label of {frame} differs from the frame before"
            )

    def _read(self, size: int, what: str) -> bytes:
        """Read exactly `size` bytes, or none at the end of the stream."""
        parts = bytearray()
        while len(parts) < size:
            part = self._source.read(min(_CHUNK_BYTES, size - len(parts)))
            if not part:
                break
            parts += part
        if 0 < len(parts) < size:
            raise _truncated(what, len(parts), size)
        return bytes(parts)


def _parse_header(header: bytes) -> StreamFormat:
    if not header:
        raise _broken(f"it is empty; expected a header of {_HEADER.size} bytes")
    magic, version, width, height, bit_depth, frames, reserved = _HEADER.unpack(header)
    if magic != STREAM_MAGIC:
        raise _broken(f"expected it to start with {STREAM_MAGIC!r}, got {magic!r}")
    if version != VERSION:
        raise _broken(f"this version reads format {VERSION}, got {version}")
    _check("reserved field", reserved, 0, 0)
    return StreamFormat(width=width, height=height, bit_depth=bit_depth, frames=frames)


def _parse_record(record: bytes, stream_format: StreamFormat) -> FrameRecord:
    magic, index, strip_id, run, label, size, name = _RECORD.unpack(record)
    if magic != FRAME_MAGIC:
        raise _broken(f"expected a frame record to start with {FRAME_MAGIC!r}, got {magic!r}")
    _check("frame index", index, 0, stream_format.frames - 1)
    _check("run", run, 1, _MAX_RUN)
    _check("label", label, 0, 1)
    _check("bytes of pixels", size, stream_format.frame_bytes, stream_format.frame_bytes)
    product = _product(name)
    return FrameRecord(
        strip_id=strip_id, product=product, run=run, index=index, label=LABELS[label]
    )


def _product(field: bytes) -> str:
    name = field.rstrip(b"\0")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise _broken(
            f"product: expected 1 to {PRODUCT_BYTES} bytes of UTF-8 without control characters, "
            f"then zeros, got {name!r}"
        )
    return text


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        expected = str(low) if low == high else f"{low} to {high}"
        raise _broken(f"{name}: expected {expected}, got {value}")


def _same_strip(frame: FrameRecord) -> tuple[str, int, str]:
    return frame.product, frame.run, frame.label


def _truncated(what: str, count: int, expected: int) -> DataError:
    return _broken(f"truncated in {what}: expected {expected} bytes, got {count}")


def _broken(text: str) -> DataError:
    return DataError(f"frame stream: {text}")
