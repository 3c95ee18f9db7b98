"""Patches as they are kept: the frame's own pixels where a box is copied, else float32."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.errors import DataError

Pixels = npt.NDArray[Any]  # uint8, uint16 or float32, little-endian

DTYPES: Final = {"uint8": "|u1", "uint16": "<u2", "float32": "<f4"}


def dtype_name(layout: Layout) -> str:
    """Return uint8, uint16 or float32: what a patch of this layout is kept as without loss.

    One dtype for all boxes: float32 as soon as one of them is resampled, which each one is where
    products are located.
    """
    if not is_copied(layout):
        return "float32"
    return "uint8" if layout.bit_depth == 8 else "uint16"


def is_copied(layout: Layout) -> bool:
    """Whether patches are the frame's own pixels: no box is scaled, no product located."""
    size = (layout.patch_size, layout.patch_size)
    return layout.locate == "none" and all(box[2:] == size for box in _boxes(layout))


def patch_bytes(layout: Layout) -> int:
    """Return the bytes of one kept patch."""
    return layout.patch_size**2 * np.dtype(DTYPES[dtype_name(layout)]).itemsize


def check_indices(indices: npt.NDArray[np.int64], count: int) -> None:
    """Raise TypeError unless `indices` are integers (n,), IndexError outside [0, count)."""
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise TypeError(f"indices must be int64 (n,); got {indices.dtype} {indices.shape}")
    if len(indices) and (indices.min() < 0 or indices.max() >= count):
        raise IndexError(f"indices must be in [0, {count}); got up to {indices.max()}")


def copied_patches(frame: Pixels, layout: Layout) -> Pixels:
    """Copy the boxes of a frame uint8 or uint16 (H,W), (V·R,P,P), of a layout that `is_copied`.

    Raises DataError when size, dtype or a pixel value does not fit the layout.
    """
    size, name = layout.patch_size, dtype_name(layout)
    _check_frame(frame, layout, name)
    copies = [frame[y : y + size, x : x + size] for x, y, _, _ in _boxes(layout)]
    return np.stack(copies).astype(DTYPES[name], copy=False)


class Normaliser:
    """Turns kept patches into what the network reads, through the C++ core's own normalisation."""

    def __init__(self, layout: Layout) -> None:
        size = layout.patch_size
        self._as_it_is = dtype_name(layout) == "float32"
        self._one_patch = Layout(
            name="patch",
            frame_width=size,
            frame_height=size,
            regions=["patch"],
            boxes=[[(0, 0, size, size)]],
            patch_size=size,
            bit_depth=layout.bit_depth,
        )

    def __call__(self, pixels: Pixels) -> Patches:
        """Return one kept patch (P,P) as float32 (P,P) in [0,1].

        Raises ValueError for a pixel above the layout's bit depth.
        """
        if self._as_it_is:
            return np.asarray(pixels, np.float32)
        patches: Patches = _core.extract_patches(pixels, self._one_patch)[0, 0]
        return patches


def _boxes(layout: Layout) -> list[tuple[int, int, int, int]]:
    regions = range(len(layout.regions))
    return [layout.box(vial, region) for vial in range(layout.vials) for region in regions]


def _check_frame(frame: Pixels, layout: Layout, name: str) -> None:
    shape, highest = (layout.frame_height, layout.frame_width), 2**layout.bit_depth - 1
    if frame.shape != shape or frame.dtype != np.dtype(name):
        raise DataError(
            f"expected a frame {name} {shape} as in the layout; got {frame.dtype} {frame.shape}"
        )
    if frame.max() > highest:
        raise DataError(
            f"expected pixels up to {highest} ({layout.bit_depth} bit); got {frame.max()}"
        )
