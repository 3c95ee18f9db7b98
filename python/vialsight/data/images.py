"""Grayscale frames and masks from PNG, BMP and TIFF files."""

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight.errors import DataError

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

FORMATS: Final = ("PNG", "BMP", "TIFF")
_MODES_8_BIT: Final = ("L",)
_MODES_16_BIT: Final = ("I;16", "I;16B", "I;16L")
_MODES_MASK: Final = ("L", "1")
# Pillow raises any of these on files that are damaged or are no images at all.
_DECODE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def load_frame(path: Path, bit_depth: int) -> Frame:
    """Read one grayscale frame.

    `bit_depth` is the layout's: 8 gives uint8 (H,W), 9 to 16 give uint16 (H,W).
    Raises DataError, naming the file, when it cannot be decoded, is truncated, has colours or
    the wrong pixel type.
    """
    if bit_depth == 8:
        return _load(path, _MODES_8_BIT, bit_depth).astype(np.uint8, copy=False)
    return _load(path, _MODES_16_BIT, bit_depth).astype(np.uint16, copy=False)


def load_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a defect mask as bool (H,W): every pixel that is not black is defective.

    Raises DataError, naming the file, when it is not a readable 1-bit or 8-bit grayscale image.
    """
    return _load(path, _MODES_MASK, 8) > 0


def image_size(path: Path) -> tuple[int, int, int]:
    """Return width, height and bits per pixel (8 or 16) of a grayscale image from its header.

    Raises DataError as `load_frame` does, except for damage behind the header.
    """
    with _opened(path) as image:
        _require_mode(path, image, (*_MODES_8_BIT, *_MODES_16_BIT), "8- or 16-bit grayscale")
        return image.width, image.height, 8 if image.mode in _MODES_8_BIT else 16


def header_problem(path: Path, *, width: int, height: int, bit_depth: int) -> str | None:
    """Say what in an image's header does not fit a layout's frame; None when all fits."""
    modes = _MODES_8_BIT if bit_depth == 8 else _MODES_16_BIT
    try:
        with _opened(path) as image:
            _require_mode(path, image, modes, _pixel_words(bit_depth))
            return _size_problem(path, image, width, height)
    except DataError as error:
        return str(error)


def mask_problem(path: Path, *, width: int, height: int) -> str | None:
    """Say what in a mask's header does not fit a layout's frame; None when all fits."""
    try:
        with _opened(path) as image:
            _require_mode(path, image, _MODES_MASK, "1- or 8-bit grayscale")
            return _size_problem(path, image, width, height)
    except DataError as error:
        return str(error)


def _load(path: Path, modes: tuple[str, ...], bit_depth: int) -> npt.NDArray[Any]:
    with _opened(path) as image:
        _require_mode(path, image, modes, _pixel_words(bit_depth))
        try:
            return np.ascontiguousarray(np.asarray(image))
        except _DECODE_ERRORS as error:
            raise _unreadable(path, error) from error


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except _DECODE_ERRORS as error:
        raise _unreadable(path, error) from error
    if getattr(image, "n_frames", 1) != 1:
        image.close()
        raise DataError(f"{path}: expected one image, the file holds several; save one per file")
    return image


def _unreadable(path: Path, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file; check the path")
    return DataError(
        f"{path}: expected a complete {', '.join(FORMATS)} image, but it cannot be decoded "
        f"({error}); replace the file or remove it from the data"
    )


def _require_mode(path: Path, image: Image.Image, modes: tuple[str, ...], wanted: str) -> None:
    if image.mode in modes:
        return
    raise DataError(
        f"{path}: expected {wanted} pixels, got {_mode_words(image.mode)}; convert it first, "
        "or set bit_depth in layout.json"
        if image.mode in (*_MODES_8_BIT, *_MODES_16_BIT)
        else f"{path}: expected {wanted} pixels, got {_mode_words(image.mode)}; convert it first, "
        "e.g. `mogrify -colorspace Gray` (ImageMagick)"
    )


def _size_problem(path: Path, image: Image.Image, width: int, height: int) -> str | None:
    if image.size == (width, height):
        return None
    came = f"{image.width}x{image.height}"
    return f"{path}: expected {width}x{height} pixels as in layout.json, got {came}"


def _pixel_words(bit_depth: int) -> str:
    return "8-bit grayscale" if bit_depth == 8 else f"16-bit grayscale (bit_depth {bit_depth})"


def _mode_words(mode: str) -> str:
    if mode in _MODES_16_BIT:
        return "16-bit grayscale"
    names = {"L": "8-bit grayscale", "RGB": "colour", "RGBA": "colour", "P": "palette colours"}
    return names.get(mode, f"mode {mode}")
