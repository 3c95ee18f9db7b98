"""From a file of pixels to grey values: the rules, the same for all formats (docs/data.md).

Grey values are taken as stored, bigger is brighter, the picture is upright. What has no grey value
of its own is refused, with what to do about it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight.data.containers import (
    ORIENTATION_TAG,
    UPRIGHT,
    open_container,
    valid_orientation,
)
from vialsight.errors import DataError

FORMATS: Final = ("PNG", "BMP", "TIFF", "JPEG")
# Pillow raises any of these on files that are damaged or are no images at all.
DECODE_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
EIGHT_BIT: Final = 8
SIXTEEN_BIT: Final = 16

# What a user can run; a test runs it.
_PYTHON: Final = 'python -c "import sys, numpy as np; from PIL import Image; '
_TO_GREY: Final = f"{_PYTHON}[Image.open(f).convert('L').save(f) for f in sys.argv[1:]]\" FILE ..."
_TO_INTEGERS: Final = (
    f"{_PYTHON}[Image.fromarray(np.asarray(Image.open(f)).round().clip(0, %d).astype('%s'))"
    '.save(f) for f in sys.argv[1:]]" FILE ...'
)
# Quarter turns to the left after mirroring left and right, by Exif's orientation from 1.
_TURNS: Final = ((0, False), (0, True), (2, False), (2, True))
_TURNED: Final = ((1, True), (3, False), (3, True), (1, False))
_OPAQUE: Final = 255
_MODES_16_BIT: Final = ("I;16", "I;16B", "I;16L")
_MODES_COLOUR: Final = ("RGB", "RGBA", "LA", "P", "PA")
_MODES_NUMBERS: Final = {"I": "32-bit integers", "F": "floating-point numbers"}

_pillow_limit = threading.Lock()


class Opened(NamedTuple):
    """An image whose pixels are still to be decoded, turned as Exif says, perhaps inverted."""

    image: Image.Image
    orientation: int
    white_is_zero: bool

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        turned = self.orientation > len(_TURNS)
        return self.image.size[::-1] if turned else self.image.size


@contextmanager
def opened(path: Path, *, whole: bool) -> Iterator[Opened]:
    """Open an image of one page; without `whole` its pixels cannot be decoded.

    Raises DataError for what is no image, or holds several.
    """
    try:
        source, orientation, white_is_zero = open_container(path, whole=whole)
        # Pillow's own limit is a global of the process; ours is the layout's size.
        with _pillow_limit:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(source, formats=FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except DECODE_ERRORS as error:
        raise unreadable(path, error) from error
    with image:
        if getattr(image, "n_frames", 1) != 1:
            raise DataError(
                f"{path}: expected one image, the file holds several; save one per file"
            )
        if orientation is None:
            orientation = _orientation(image)
        yield Opened(image, orientation, white_is_zero)


def bits_of(path: Path, image: Image.Image, wanted: str, integers: int) -> int:
    """Return 8 or 16; `wanted` and the bits of `integers` are for messages.

    Raises DataError for pixels that are no grey values, as far as a header shows.
    """
    if image.mode in _MODES_16_BIT:
        return SIXTEEN_BIT
    if image.mode in ("1", "L"):
        return EIGHT_BIT
    if image.mode in _MODES_NUMBERS:
        how = _TO_INTEGERS % (2**integers - 1, f"uint{integers}")
        raise refused(path, wanted, _MODES_NUMBERS[image.mode], how)
    if image.mode not in _MODES_COLOUR:
        raise refused(path, wanted, f"colours ({image.mode})", _TO_GREY)
    # Pillow would drop the lower eight bits.
    if any(";16" in str(part) for part in _codec_arguments(image)):
        raise refused(path, wanted, "channels of 16 bits", _TO_GREY)
    return EIGHT_BIT


def channels(path: Path, opened_image: Opened, wanted: str) -> npt.NDArray[Any]:
    """Decode (H,W,C), uint8 or uint16, upright, C 1 or 3; transparent pixels are refused.

    Raises DataError when the file is damaged.
    """
    try:
        pixels, transparent = _decoded(opened_image.image)
        if opened_image.white_is_zero:
            pixels = np.iinfo(pixels.dtype).max - pixels
    except DECODE_ERRORS as error:
        raise unreadable(path, error) from error
    if transparent:
        raise refused(path, wanted, "transparent ones", _TO_GREY)
    return _upright(pixels, opened_image.orientation)


def grey(path: Path, pixels: npt.NDArray[Any], wanted: str) -> npt.NDArray[Any]:
    """Return the grey (H,W) of channels (H,W,C) that all hold it; colours are refused."""
    if pixels.shape[-1] > 1 and (pixels != pixels[..., :1]).any():
        raise refused(path, wanted, "colours", _TO_GREY)
    return np.ascontiguousarray(pixels[..., 0])


def unreadable(path: Path, error: BaseException) -> DataError:
    """Return the error for a file that cannot be decoded."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file; check the path")
    return DataError(
        f"{path}: expected a complete {', '.join(FORMATS)} image, but it cannot be decoded "
        f"({error}); replace the file or remove it from the data"
    )


def refused(path: Path, wanted: str, got: str, remedy: str) -> DataError:
    """Return the error for pixels that are not what is wanted."""
    return DataError(f"{path}: expected {wanted} pixels, got {got}; convert it first: {remedy}")


def _decoded(image: Image.Image) -> tuple[npt.NDArray[Any], bool]:
    """Return channels (H,W,C) as they lie in the file, and whether any pixel is transparent."""
    image.load()
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    pixels = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        return pixels[..., :-1], bool((pixels[..., -1] != _OPAQUE).any())
    if image.mode != "RGB":
        pixels = pixels[..., None]
    # Few images have such a value, and all frames come this way.
    stands_for_nothing = image.info.get("transparency")
    transparent = stands_for_nothing is not None and bool(
        (pixels == stands_for_nothing).all(axis=-1).any()
    )
    if image.mode == "1":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif image.mode in _MODES_16_BIT:
        pixels = pixels.astype(np.uint16)
    return pixels, transparent


def _orientation(image: Image.Image) -> int:
    """Return what a file says of itself; BMP says nothing, others were asked before."""
    if image.format != "JPEG":
        return UPRIGHT
    return valid_orientation(image.getexif().get(ORIENTATION_TAG))


def _upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    turns, mirrored = (*_TURNS, *_TURNED)[orientation - 1]
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)


def _codec_arguments(image: Image.Image) -> tuple[Any, ...]:
    tiles = getattr(image, "tile", ())
    arguments = tiles[0][3] if tiles else ()
    return arguments if isinstance(arguments, tuple) else (arguments,)
