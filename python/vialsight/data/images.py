"""Grey frames and masks from image files: one decoder for training and line (`decoding`)."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.data.decoding import (
    EIGHT_BIT,
    SIXTEEN_BIT,
    Opened,
    bits_of,
    channels,
    grey,
    opened,
)
from vialsight.errors import DataError

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
# Where no layout says how large an image is. A file of a few bytes can ask for any memory.
MOST_PIXELS: Final = 2**28
# Of a mask in JPEG, which surrounds every edge with values that are nearly black.
_JPEG_BLACK: Final = 127

log = logging.getLogger(__name__)
_told: set[str] = set()


@dataclass(frozen=True)
class Header:
    """What an image says of itself before it is decoded: its upright size, and bits of a pixel."""

    width: int
    height: int
    bits: int


def load_frame(path: Path, bit_depth: int) -> Frame:
    """Read one grey frame of any size up to MOST_PIXELS.

    `bit_depth` is the layout's: 8 gives uint8 (H,W), 9 to 16 give uint16 (H,W). Raises DataError,
    naming the file, when it cannot be decoded, is truncated, has colours or the wrong pixel type.
    """
    return _load_grey(path, bit_depth, None)


def read_frame(path: Path, layout: Layout) -> Frame:
    """Read one frame of a layout; nothing of another size is decoded. Raises as `load_frame`."""
    size = layout.frame_width, layout.frame_height
    return _load_grey(path, layout.bit_depth, size)


def load_any(path: Path) -> Frame:
    """Read one as `load_frame`, of the depth it has: uint8 (H,W), or uint16 (H,W) of 16 bits."""
    return _load_grey(path, None, None)


def load_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a defect mask as bool (H,W): every pixel that is not black is defective.

    Colours count, too; of JPEG only what is brighter than half. Raises DataError, naming the file,
    when it cannot be decoded.
    """
    with opened(path, whole=True) as found:
        header = _header(path, found, "mask")
        _require_few(path, header)
        black = _JPEG_BLACK if found.image.format == "JPEG" else 0
        return np.asarray((channels(path, found, "mask") > black).any(axis=-1))


def image_header(path: Path) -> Header:
    """Return size and bits (8 or 16) of a grey image.

    Raises DataError as `load_frame` does, except for what only the pixels show: damage behind the
    header, colours, transparency.
    """
    with opened(path, whole=False) as found:
        _tell_of_loss(found)
        return _header(path, found, "grayscale")


def header_problem(path: Path, *, width: int, height: int, bit_depth: int) -> str | None:
    """Say what in an image's header does not fit a layout's frame; None when all fits."""
    try:
        with opened(path, whole=False) as found:
            _require_frame(path, found, bit_depth, (width, height))
    except DataError as error:
        return str(error)
    return None


def mask_problem(path: Path, *, width: int, height: int) -> str | None:
    """Say what in a mask's header does not fit a layout's frame; None when all fits."""
    try:
        with opened(path, whole=False) as found:
            _require_size(path, _header(path, found, "mask"), (width, height))
    except DataError as error:
        return str(error)
    return None


def _load_grey(path: Path, bit_depth: int | None, size: tuple[int, int] | None) -> Frame:
    with opened(path, whole=True) as found:
        wanted = _words(bit_depth)
        _require_frame(path, found, bit_depth, size)
        _tell_of_loss(found)
        pixels: Frame = grey(path, channels(path, found, wanted), wanted)
        return pixels


def _require_frame(
    path: Path, found: Opened, bit_depth: int | None, size: tuple[int, int] | None
) -> None:
    integers = EIGHT_BIT if bit_depth == EIGHT_BIT else SIXTEEN_BIT
    header = _header(path, found, _words(bit_depth), integers)
    if bit_depth is not None and header.bits != integers:
        raise DataError(
            f"{path}: expected {_words(bit_depth)} pixels, got {header.bits}-bit grayscale; "
            "convert it first, or set bit_depth in layout.json"
        )
    if size is None:
        _require_few(path, header)
    else:
        _require_size(path, header, size)


def _header(path: Path, found: Opened, wanted: str, integers: int = SIXTEEN_BIT) -> Header:
    return Header(*found.upright_size, bits_of(path, found.image, wanted, integers))


def _require_few(path: Path, header: Header) -> None:
    if header.width * header.height > MOST_PIXELS:
        raise DataError(
            f"{path}: expected at most {MOST_PIXELS:,} pixels, got {header.width}x{header.height}; "
            "cut it into smaller images"
        )


def _require_size(path: Path, header: Header, size: tuple[int, int]) -> None:
    if (header.width, header.height) != size:
        raise DataError(
            f"{path}: expected {size[0]}x{size[1]} pixels, the frame of the layout, got "
            f"{header.width}x{header.height}"
        )


def _words(bit_depth: int | None) -> str:
    if bit_depth is None:
        return "grayscale"
    return (
        "8-bit grayscale" if bit_depth == EIGHT_BIT else f"16-bit grayscale (bit_depth {bit_depth})"
    )


def _tell_of_loss(found: Opened) -> None:
    if found.image.format == "JPEG" and "JPEG" not in _told:
        _told.add("JPEG")
        log.warning(
            "images are JPEG, which loses detail: the line must be given images that were "
            "compressed as these were"
        )
