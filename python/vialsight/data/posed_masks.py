"""Defect masks as patches see them that were cut where the product lies.

A mask belongs to its frame and does not move; the boxes do, and each pixel of a mask counts for the
place of the product at which it is seen.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Pose

# Of a product that lies where the boxes were drawn.
AT_REST: Final[Pose] = (0.0, 0.0, 0.0)

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def pose_of(location: _core.Location) -> Pose:
    """Return the pose of a product that was found."""
    return location.dx, location.dy, location.turn


def shares_of_box(
    points: Points, layout: Layout, vial: int, region: int, *, pose: Pose
) -> npt.NDArray[np.float64]:
    """Return where points (x, y) of a frame, float64 (n,2), lie in a box seen at a pose, (n,2).

    As shares of the box's width and height: inside from 0 to 1.
    """
    origin, right, down = box_sides(layout, vial, region, pose=pose)
    return np.asarray((points - origin) @ np.linalg.inv(np.stack([right, down])), np.float64)


def box_sides(layout: Layout, vial: int, region: int, *, pose: Pose) -> tuple[Points, ...]:
    """Return a box's top left corner as seen at a pose, and its top and left sides, (2,) each."""
    top_left, top_right, _, bottom_left = map(
        np.array, _core.box_corners(layout, vial, region, pose)
    )
    return top_left, top_right - top_left, bottom_left - top_left


def is_hit(mask: Mask, layout: Layout, vial: int, region: int, *, pose: Pose) -> bool:
    """Whether the middle of any pixel of a frame's mask (H,W) lies in a box seen at a pose."""
    near = _middles_near(mask, layout, vial, region, pose)
    return bool(_is_inside(shares_of_box(near, layout, vial, region, pose=pose)).any())


def mask_in_patch(mask: Mask, layout: Layout, vial: int, region: int, *, pose: Pose) -> Mask:
    """Return a frame's mask (H,W) as a patch cut at a pose sees it, bool (P,P).

    A cell is defective when the middle of any defective pixel lies in it, which keeps thin
    scratches whole, or when its own middle lies in a defective pixel, which leaves no holes where
    the patch enlarges the box.
    """
    size = layout.patch_size
    near = _middles_near(mask, layout, vial, region, pose)
    shares = shares_of_box(near, layout, vial, region, pose=pose)
    columns, rows = np.floor(shares[_is_inside(shares)] * size).astype(np.int64).T
    seen = _at_middles_of_cells(mask, layout, vial, region, pose)
    seen[np.minimum(rows, size - 1), np.minimum(columns, size - 1)] = True
    return seen


def _middles_near(mask: Mask, layout: Layout, vial: int, region: int, pose: Pose) -> Points:
    """Return the middles (x, y) of a mask's pixels around a box, pixels from the frame's corner."""
    corners = np.array(_core.box_corners(layout, vial, region, pose))
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(np.int64), 0)
    right, bottom = np.maximum(np.ceil(corners.max(axis=0)).astype(np.int64), 0)
    pixels = np.argwhere(mask[top:bottom, left:right])[:, ::-1]
    return np.asarray(pixels + np.array([left, top]) + 0.5, np.float64)


def _is_inside(shares: Points) -> Mask:
    return np.asarray(((shares >= 0.0) & (shares < 1.0)).all(axis=1))


def _at_middles_of_cells(mask: Mask, layout: Layout, vial: int, region: int, pose: Pose) -> Mask:
    """Return the mask's pixels at the middles of the patch's cells; none beyond the frame."""
    origin, right, down = box_sides(layout, vial, region, pose=pose)
    middles = (np.arange(layout.patch_size) + 0.5) / layout.patch_size
    places = origin + middles[:, np.newaxis, np.newaxis] * down + middles[:, np.newaxis] * right
    x, y = np.floor(places).astype(np.int64).transpose(2, 0, 1)
    height, width = mask.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.asarray(inside & mask[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])
