"""The frame stream in Python, against bytes put together by hand from `frame_stream.h`."""

import dataclasses
import io
import struct

import numpy as np
import pytest

from vialsight.errors import DataError
from vialsight.simulation.frame_stream import FrameReader, FrameWriter, StreamFormat, StreamFrame

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def header(
    magic: bytes = b"VSSTREAM", version: int = 1, width: int = 4, height: int = 3,
    bit_depth: int = 8, frames: int = 2, reserved: int = 0,
) -> bytes:  # fmt: skip
    numbers = (version, width, height, bit_depth, frames, reserved)
    return magic + b"".join(number.to_bytes(4, "little") for number in numbers)


def frame(
    magic: bytes = b"FRAM", index: int = 0, strip_id: int = 7, run: int = 1, label: int = 0,
    size: int = 12, product: bytes = b"kit-s0-00001",
) -> bytes:  # fmt: skip
    record = struct.pack("<4sIQIIQ", magic, index, strip_id, run, label, size)
    return record + product.ljust(64, b"\0") + PIXELS.tobytes()


GOOD = header() + frame() + frame(index=1)


def read(data: bytes) -> list[StreamFrame]:
    return list(FrameReader(io.BytesIO(data)))


class OneByteAtATime(io.BytesIO):
    """A pipe that is slow."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1))


@pytest.mark.parametrize("source", [io.BytesIO, OneByteAtATime])
def test_reads_frames(source: type[io.BytesIO]) -> None:
    reader = FrameReader(source(GOOD))
    assert reader.format == StreamFormat(width=4, height=3, bit_depth=8, frames=2)
    frames = list(reader)
    assert [f.index for f in frames] == [0, 1]
    assert {(f.strip_id, f.product, f.run, f.label) for f in frames} == {
        (7, "kit-s0-00001", 1, "nominal")
    }
    for got in frames:
        assert got.pixels.dtype == np.uint8
        np.testing.assert_array_equal(got.pixels, PIXELS)


def test_reads_sixteen_bit_pixels() -> None:
    stored = np.arange(12, dtype="<u2").reshape(3, 4) * 300
    record = frame(size=24, label=1)[:-12]
    (got,) = read(header(bit_depth=12, frames=1) + record + stored.tobytes())
    assert got.label == "defective"
    assert got.pixels.dtype == np.uint16
    np.testing.assert_array_equal(got.pixels, stored)


def test_stream_without_strips() -> None:
    assert read(header()) == []


def test_writes_what_the_format_says() -> None:
    sink = io.BytesIO()
    writer = FrameWriter(sink, StreamFormat(width=4, height=3, frames=2))
    assert sink.getvalue() == header()
    fields = {"strip_id": 7, "product": "kit-s0-00001", "run": 1, "label": "nominal"}
    for index in range(2):
        writer.write(StreamFrame(**fields, index=index, pixels=PIXELS))
    assert sink.getvalue() == GOOD


def test_refuses_frames_that_do_not_fit() -> None:
    writer = FrameWriter(io.BytesIO(), StreamFormat(width=4, height=3, frames=2))
    good = read(GOOD)[0]
    for pixels, came in [(PIXELS.T, "uint8 (4, 3)"), (PIXELS.astype(float), "float64 (3, 4)")]:
        with pytest.raises(DataError) as raised:
            writer.write(dataclasses.replace(good, pixels=pixels))
        assert str(raised.value) == f"pixels: expected uint8 (3, 4), got {came}"
    for product in ("", "é" * 33):
        with pytest.raises(DataError, match=r"^product: expected 1 to 64 bytes of UTF-8, got '"):
            writer.write(dataclasses.replace(good, product=product))


def test_every_truncation_is_an_error() -> None:
    for length in set(range(len(GOOD))) - {len(header())}:
        with pytest.raises(DataError):
            read(GOOD[:length])


MALFORMED = {
    "empty": (b"", "it is empty; expected a header of 32 bytes"),
    "truncated_header": (GOOD[:31], "truncated in the header: expected 32 bytes, got 31"),
    "truncated_record": (GOOD[:127], "truncated in a frame record: expected 96 bytes, got 95"),
    "truncated_pixels": (
        GOOD[:139],
        "truncated in the pixels of strip 7, frame 0: expected 12 bytes, got 11",
    ),
    "no_pixels": (
        GOOD[:128],
        "truncated in the pixels of strip 7, frame 0: expected 12 bytes, got 0",
    ),
    "ends_within_a_strip": (
        GOOD[:140],
        "truncated within a strip: it ends behind strip 7, frame 0",
    ),
    "magic": (
        header(magic=b"VSSTREAN"),
        "expected it to start with b'VSSTREAM', got b'VSSTREAN'",
    ),
    "version": (header(version=2), "this version reads format 1, got 2"),
    "width": (header(width=0), "width: expected 1 to 65535, got 0"),
    "height": (header(height=65536), "height: expected 1 to 65535, got 65536"),
    "bit_depth": (header(bit_depth=7), "bit depth: expected 8 to 16, got 7"),
    "frames": (header(frames=1025), "frames per strip: expected 1 to 1024, got 1025"),
    "reserved": (header(reserved=1), "reserved field: expected 0, got 1"),
    "frame_magic": (
        header() + frame(magic=b"FRAN"),
        "expected a frame record to start with b'FRAM', got b'FRAN'",
    ),
    "index": (header() + frame(index=2), "frame index: expected 0 to 1, got 2"),
    "run": (header() + frame(run=0), "run: expected 1 to 2147483647, got 0"),
    "label": (header() + frame(label=2), "label: expected 0 to 1, got 2"),
    "size": (header() + frame(size=2**63), f"bytes of pixels: expected 12, got {2**63}"),
    "product": (
        header() + frame(product=b"kit\xff"),
        "product: expected 1 to 64 bytes of UTF-8 without control characters, then zeros, got "
        "b'kit\\xff'",
    ),
    "starts_within_a_strip": (
        header() + frame(index=1),
        "wrong order: expected strip 7, frame 0, got strip 7, frame 1",
    ),
    "duplicated_frame": (
        header() + 2 * frame(),
        "duplicated frame: strip 7, frame 0 came twice",
    ),
    "skipped_frame": (
        header(frames=3) + frame() + frame(index=2),
        "wrong order: expected strip 7, frame 1, got strip 7, frame 2",
    ),
    "skipped_strip": (
        GOOD + frame(strip_id=9),
        "wrong order: expected strip 8, frame 0, got strip 9, frame 0",
    ),
    "mixed_strips": (
        header() + frame() + frame(index=1, product=b"other"),
        "mixed strips: product, run or label of strip 7, frame 1 differs from the frame before",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    data, message = MALFORMED[name]
    with pytest.raises(DataError) as raised:
        read(data)
    assert str(raised.value) == f"frame stream: {message}"
