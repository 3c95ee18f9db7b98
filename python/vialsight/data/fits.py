"""Images of many sizes made one size, and their masks alike."""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight.errors import DataError

FitKind = Literal["resize", "pad", "crop"]
FITS: Final[tuple[FitKind, ...]] = get_args(FitKind)
Size = tuple[int, int]

_LARGEST: Final = 65_535


@dataclass(frozen=True)
class Fit:
    """How images become `size` (width, height).

    `resize`: stretched to it. `pad`: scaled to lie inside it, the border repeated around. `crop`:
    scaled to cover it, what sticks out cut off on both sides alike. Scaled bilinearly, averaging
    where it becomes smaller.
    """

    kind: FitKind
    size: Size

    def image(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return grey values (H,W) in the new size, of the same integer type, rounded."""
        most = np.iinfo(pixels.dtype).max
        fitted = np.rint(self._fitted(pixels.astype(np.float32), mode="edge"))
        return np.asarray(np.clip(fitted, 0, most), pixels.dtype)

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return a mask (H,W) in the new size: defective is what has any part in a defect."""
        return np.asarray(self._fitted(mask.astype(np.float32), mode="constant") > 0.0)

    def _fitted(
        self, values: npt.NDArray[np.float32], *, mode: Literal["edge", "constant"]
    ) -> npt.NDArray[np.float32]:
        height, width = values.shape
        if (width, height) == self.size:
            return values
        scaled = _scaled(values, self._scaled_size(width, height))
        return _centred(scaled, self.size, mode)

    def _scaled_size(self, width: int, height: int) -> Size:
        if self.kind == "resize":
            return self.size
        ratios = self.size[0] / width, self.size[1] / height
        ratio = min(ratios) if self.kind == "pad" else max(ratios)
        across, down = (
            whole if r == ratio else max(round(ratio * length), 1)
            for length, whole, r in zip((width, height), self.size, ratios, strict=True)
        )
        return across, down


def parse_kind(text: str) -> FitKind:
    """Read the kind of a fit; raises DataError for anything else."""
    for kind in FITS:
        if text == kind:
            return kind
    raise DataError(f"--fit must be one of {', '.join(FITS)}; got {text!r}")


def parse_size(text: str) -> Size:
    """Read a size such as 640x480 (width, height); raises DataError for anything else."""
    width, height = _pair(text, "a size WIDTHxHEIGHT such as 640x480")
    return width, height


def parse_tiles(text: str) -> tuple[int, int]:
    """Read a grid such as 2x3 (rows, columns); raises DataError for anything else."""
    rows, columns = _pair(text, "a grid ROWSxCOLUMNS such as 2x3")
    return rows, columns


def _pair(text: str, wanted: str) -> list[int]:
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) == 2 and all(p.isascii() and p.isdigit() and len(p) <= 5 for p in parts):
        numbers = [int(part) for part in parts]
        if all(0 < number <= _LARGEST for number in numbers):
            return numbers
    raise DataError(f"expected {wanted}, got {text!r}")


def _scaled(values: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    image = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


def _centred(
    values: npt.NDArray[np.float32], size: Size, mode: Literal["edge", "constant"]
) -> npt.NDArray[np.float32]:
    """Cut or extend both sides alike until an array (H,W) has a size (width, height)."""
    for axis, wanted in enumerate(size[::-1]):
        missing = wanted - values.shape[axis]
        before = abs(missing) // 2
        if missing < 0:
            values = np.take(values, np.arange(before, before + wanted), axis=axis)
        elif missing > 0:
            around = [(0, 0), (0, 0)]
            around[axis] = (before, missing - before)
            values = np.pad(values, around, mode=mode)
    return values
