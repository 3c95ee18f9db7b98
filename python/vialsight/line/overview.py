"""Whole frames with what was rejected in them, drawn at the place where the camera saw it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Pose
from vialsight.data import read_frame
from vialsight.data.posed_masks import AT_REST, box_sides, pose_of
from vialsight.files import atomic
from vialsight.line.inspection import (
    Inspected,
    RejectedPatch,
    picture_stem,
    rejected_patches,
)
from vialsight.line.pictures import Float32Image, RgbImage, encoded, painted_hot

# Of the outline of rejected boxes and the words beside them; readable on black and on white.
_REJECTED: Final = (255, 176, 0)
_OTHERS: Final = (0, 114, 178)
_SHADE: Final = (0, 0, 0)
# Why a product was not found, by the reason of a `_core.Location`.
NOT_FOUND: Final = {
    "not_finite": "the frame cannot be computed with",
    "contrast": "too little contrast",
    "degenerate": "nothing to hold on to",
    "outside_reach": "it lies beyond the reach",
    "no_convergence": "no place fits",
    "residual": "too unlike the template",
}


def write_overviews(
    inspector: _core.Inspector, inspected: Inspected, folder: Path, *, number: int
) -> list[Path]:
    """Write one PNG per frame with rejected patches of the product inspected last; return paths.

    Boxes and heatmaps lie where the product was seen. A frame in which it was not found is shown
    with the reason. Names begin as those of `write_heatmaps` and end with the frame.
    """
    if inspected.error is not None:
        return []
    layout, paths = inspector.bundle.layout, []
    patches = list(rejected_patches(inspector, inspected))
    for frame, image in enumerate(inspected.product.images):
        of_frame = [patch for patch in patches if patch.frame == frame]
        words = _words(inspected, frame)
        if not of_frame and words is None:
            continue
        pixels = read_frame(image, layout)
        picture = overview(pixels, layout, of_frame, pose=_pose(inspected, frame), words=words)
        path = folder / f"{picture_stem(inspected.product, number)}-frame{frame + 1}.png"
        atomic.write_bytes(path, encoded(picture, "PNG"))
        paths.append(path)
    return paths


def overview(
    frame: npt.NDArray[Any],
    layout: Layout,
    patches: Sequence[RejectedPatch],
    *,
    pose: Pose | None,
    words: str | None = None,
) -> RgbImage:
    """Return a frame (H,W) as uint8 (H,W,3) with rejected patches, boxes and words on it.

    Boxes are drawn as seen at `pose`; none of them without one.
    """
    gray = frame.astype(np.float32) / np.float32(2**layout.bit_depth - 1)
    heat = heat_in_frame(layout, patches if pose else (), pose=pose or AT_REST)
    picture = Image.fromarray(painted_hot(gray, heat))
    draw, size = ImageDraw.Draw(picture), max(12, layout.frame_height // 60)
    if pose is not None:
        _draw_boxes(draw, layout, patches, pose, size)
    if words is not None:
        _write(draw, (size, size), words, size)
    return np.asarray(picture)


def heat_in_frame(layout: Layout, patches: Iterable[RejectedPatch], *, pose: Pose) -> Float32Image:
    """Return heatmaps (P,P) of patches cut at a pose, put back into their frame: (H,W) in [0,1]."""
    heat = np.zeros((layout.frame_height, layout.frame_width), np.float32)
    for patch in patches:
        _put_back(heat, patch, layout, pose)
    return heat


def _put_back(heat: Float32Image, patch: RejectedPatch, layout: Layout, pose: Pose) -> None:
    """Raise `heat` (H,W) to a patch's heatmap where the patch was cut."""
    corners = np.array(_core.box_corners(layout, patch.vial, patch.region, pose))
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(np.int64), 0).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).astype(np.int64).tolist()
    part = heat[top : max(bottom, 0), left : max(right, 0)]
    origin, *sides = box_sides(layout, patch.vial, patch.region, pose=pose)
    to_patch = layout.patch_size * np.linalg.inv(np.stack(sides)).T
    offset = to_patch @ (np.array([left, top]) - origin)
    # Pillow takes pixel k to cover [k, k + 1], as boxes do.
    warped = Image.fromarray(patch.heatmap).transform(
        part.shape[::-1],
        Image.Transform.AFFINE,
        (*to_patch[0], offset[0], *to_patch[1], offset[1]),
        Image.Resampling.BILINEAR,
    )
    np.maximum(part, np.asarray(warped), out=part)


def _draw_boxes(
    draw: ImageDraw.ImageDraw,
    layout: Layout,
    patches: Sequence[RejectedPatch],
    pose: Pose,
    size: int,
) -> None:
    """Outline all boxes thinly, those of rejected patches boldly and with their score."""
    rejected = {(patch.vial, patch.region): patch for patch in patches}
    width = max(2, size // 6)
    for vial, region in np.ndindex(layout.vials, len(layout.regions)):
        if (vial, region) not in rejected:
            _outline(draw, _core.box_corners(layout, vial, region, pose), _OTHERS, 1)
    for (vial, region), patch in rejected.items():
        corners = _core.box_corners(layout, vial, region, pose)
        _outline(draw, corners, _SHADE, width + 2)
        _outline(draw, corners, _REJECTED, width)
        x, y = corners[0]
        words = f"vial {vial + 1}, {layout.regions[region].replace('_', ' ')}\n{_compared(patch)}"
        _write(draw, (x + 2 * width, y + 2 * width), words, size)


def _compared(patch: RejectedPatch) -> str:
    return f"{patch.score:.4g} > {patch.threshold:.4g}"


def _outline(
    draw: ImageDraw.ImageDraw,
    corners: Sequence[tuple[float, float]],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    draw.line([*corners, corners[0], corners[1]], fill=colour, width=width, joint="curve")


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], words: str, size: int) -> None:
    font = ImageFont.load_default(size)
    draw.text(place, words, fill=_REJECTED, font=font, stroke_width=2, stroke_fill=_SHADE)


def _pose(inspected: Inspected, frame: int) -> Pose | None:
    """Return where boxes lie in a frame; None where the product was not found."""
    if not inspected.locations:
        return AT_REST
    where = inspected.locations[frame]
    return pose_of(where) if where.found else None


def _words(inspected: Inspected, frame: int) -> str | None:
    """Return why no patch of a frame counts; None where they do."""
    if inspected.reason != "not_located":
        return None
    where = inspected.locations[frame]
    if not where.found:
        return f"product not located: {NOT_FOUND.get(where.reason, where.reason)}"
    if not all(other.found for other in inspected.locations):
        return None
    place = f"{where.dx:.1f}, {where.dy:.1f} px, {1e3 * where.turn:.1f} mrad"
    return f"the frames of this product do not agree where it lies; here at {place}"
