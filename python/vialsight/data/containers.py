"""Image files as far as their pixels are concerned, and how these are to be turned.

What surrounds the pixels differs between formats, and so does what Pillow makes of it: it limits
texts in PNG files; it obeys the orientation in TIFF alone (wrongly where rows and columns change
places and nothing is compressed, seen in 13.0); white as zero in TIFF it knows of 8 bits and fewer.
All this is taken out of the file here, so that every format is read by the same rules.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from PIL import Image

ORIENTATION_TAG: Final = 274
UPRIGHT: Final = 1
ORIENTATIONS: Final = 8

_BITS: Final = 258
_SIXTEEN: Final = 16
_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0
_BLACK_IS_ZERO: Final = 1
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK_HEAD: Final = struct.Struct(">I4s")
_CHECKSUM_BYTES: Final = 4
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
# Byte order, and whether offsets have eight bytes.
_TIFFS: Final = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}


class Container(NamedTuple):
    """What a decoder reads, and what it does not know of.

    `orientation`: how pixels are to be turned, 1 to 8 as in Exif; None: the decoder is to be asked.
    `white_is_zero`: 16-bit values are to be inverted.
    """

    source: Path | io.BytesIO
    orientation: int | None = None
    white_is_zero: bool = False


def open_container(path: Path, *, whole: bool) -> Container:
    """Open an image file; without `whole` the pixels of a PNG are left out.

    A damaged file is handed on as it is, for the decoder to say what is wrong. Raises OSError when
    the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(len(_PNG))
        file.seek(0)
        if start == _PNG:
            return _png(file, whole=whole)
        if start[:4] in _TIFFS:
            return _tiff(bytearray(file.read()))
    return Container(path)


def valid_orientation(found: object) -> int:
    """Return an orientation, or that of an upright image where it means nothing."""
    if isinstance(found, int) and UPRIGHT <= found <= ORIENTATIONS:
        return found
    return UPRIGHT


def _png(file: BinaryIO, *, whole: bool) -> Container:
    kept, orientation = [file.read(len(_PNG))], UPRIGHT
    for kind, chunk in _chunks(file, pixels=whole):
        if kind == b"eXIf":
            orientation = _orientation_in(chunk[_CHUNK_HEAD.size : -_CHECKSUM_BYTES])
        elif kind not in _TEXTS:
            kept.append(chunk)
    return Container(io.BytesIO(b"".join(kept)), orientation)


def _chunks(file: BinaryIO, *, pixels: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and bytes of every chunk; without `pixels` only the head of those of pixels."""
    while len(head := file.read(_CHUNK_HEAD.size)) == _CHUNK_HEAD.size:
        length, kind = _CHUNK_HEAD.unpack(head)
        if kind == b"IDAT" and not pixels:
            yield kind, head
            file.seek(length + _CHECKSUM_BYTES, io.SEEK_CUR)
        else:
            yield kind, head + file.read(length + _CHECKSUM_BYTES)


def _orientation_in(exif: bytes) -> int:
    found = Image.Exif()
    try:
        found.load(exif)
        return valid_orientation(found.get(ORIENTATION_TAG))
    except (SyntaxError, ValueError, struct.error, OSError):
        return UPRIGHT


def _tiff(content: bytearray) -> Container:
    """Make the first page an upright one, and of 16 bits one whose zero is black."""
    order, big = _TIFFS[bytes(content[:4])]
    short, offset = struct.Struct(order + "H"), struct.Struct(order + ("Q" if big else "I"))
    counter, entry_bytes = (struct.Struct(order + "Q"), 20) if big else (short, 12)
    places: dict[int, int] = {}
    try:
        (start,) = offset.unpack_from(content, 8 if big else 4)
        (count,) = counter.unpack_from(content, start)
        for number in range(min(count, 2**16)):
            entry = start + counter.size + entry_bytes * number
            places[short.unpack_from(content, entry)[0]] = entry + entry_bytes - offset.size
        found = {tag: short.unpack_from(content, place)[0] for tag, place in places.items()}
    except struct.error:
        return Container(io.BytesIO(content))  # The decoder will say what is wrong.
    inverted = found.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and found.get(_BITS) == _SIXTEEN
    if inverted:
        short.pack_into(content, places[_PHOTOMETRIC], _BLACK_IS_ZERO)
    if ORIENTATION_TAG in places:
        short.pack_into(content, places[ORIENTATION_TAG], UPRIGHT)
    orientation = valid_orientation(found.get(ORIENTATION_TAG))
    return Container(io.BytesIO(content), orientation, inverted)
