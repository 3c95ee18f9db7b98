"""Frames of a reject with boxes and heatmaps at the places where the camera saw them.

A scene is plain JSON: addresses of pictures, corners and matrices. The page draws it as SVG.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vialsight import _core
from vialsight.aliases import Pose

_AT_REST: Final[Pose] = (0.0, 0.0, 0.0)
# As in the report's pictures: red, as opaque as the map is high.
_HEAT: Final = (255, 26, 0)
# Of a rejected patch, as in the report.
_REJECTED: Final = (255, 176, 0)
_QUALITY: Final = 85


@dataclass(frozen=True)
class Heat:
    """The map of one patch: frame, vial, region from 0; heat (P, P) uint8."""

    frame: int
    vial: int
    region: int
    phi: float
    heat: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """What there is to show of a strip."""

    frames: Mapping[int, npt.NDArray[Any]]
    heats: Sequence[Heat]


def scene(
    layout: _core.Layout,
    shown: Shown,
    *,
    address: str,
    scores: npt.NDArray[np.float32] | None,
    thresholds: Sequence[float],
    locations: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """Return what the page draws; `scores` φ (F,V,R), `locations` found, dx, dy, turn by frame."""
    frames: list[dict[str, Any]] = []
    for index in sorted(shown.frames):
        pose = pose_of(locations, index)
        frames.append(
            {
                "index": index,
                "href": f"{address}/{index}.jpg",
                "found": pose is not None,
                "boxes": _boxes(layout, index, pose or _AT_REST, scores, thresholds),
                "heats": _heats(layout, shown.heats, index, pose or _AT_REST, address),
            }
        )
    worst = max(
        frames,
        key=lambda frame: max((b["ratio"] for b in frame["boxes"]), default=0.0),
        default=None,
    )
    return {
        "width": layout.frame_width,
        "height": layout.frame_height,
        "frames": frames,
        "first": frames.index(worst) if worst is not None else 0,
    }


def pose_of(locations: Sequence[Sequence[float]], frame: int) -> Pose | None:
    """Return where the product lies in a frame; None: not found. At rest where none is located."""
    if frame >= len(locations):
        return _AT_REST
    found, dx, dy, turn = (float(value) for value in locations[frame])
    return (dx, dy, turn) if found else (None if any((dx, dy, turn)) else _AT_REST)


def jpeg(frame: npt.NDArray[Any], *, bit_depth: int) -> bytes:
    """Return a frame (H, W) as JPEG."""
    return _encoded(_image(frame, bit_depth, None))


def thumbnail(
    shown: Shown, layout: _core.Layout, locations: Sequence[Sequence[float]], *, width: int
) -> bytes | None:
    """Return the frame with the worst patch as a small JPEG, its patches outlined; None: none."""
    index = shown.heats[0].frame if shown.heats else min(shown.frames, default=-1)
    frame = shown.frames.get(index)
    if frame is None:
        return None
    image = _image(frame, layout.bit_depth, width).convert("RGB")
    scale = image.width / frame.shape[1]
    draw = ImageDraw.Draw(image)
    pose = pose_of(locations, index) or _AT_REST
    for heat in shown.heats:
        if heat.frame == index and _is_of(layout, heat):
            corners = _corners(layout, heat.vial, heat.region, pose)
            outline = [(x * scale, y * scale) for x, y in (*corners, *corners[:2])]
            draw.line(outline, fill=(0, 0, 0), width=6, joint="curve")
            draw.line(outline, fill=_REJECTED, width=3, joint="curve")
    return _encoded(image)


def heat_png(heat: npt.NDArray[np.uint8]) -> bytes:
    """Return a map (P, P) as PNG that is red where it is high and clear where it is low."""
    painted = np.empty((*heat.shape, 4), np.uint8)
    painted[..., :3], painted[..., 3] = _HEAT, heat
    content = io.BytesIO()
    Image.fromarray(painted).save(content, "PNG", compress_level=3)
    return content.getvalue()


def _image(frame: npt.NDArray[Any], bit_depth: int, width: int | None) -> Image.Image:
    gray = frame if frame.dtype == np.uint8 else (frame >> max(0, bit_depth - 8)).astype(np.uint8)
    image = Image.fromarray(gray)
    if width is None or width >= image.width:
        return image
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.BOX)


def _encoded(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def _is_of(layout: _core.Layout, heat: Heat) -> bool:
    return heat.vial < layout.vials and heat.region < len(layout.regions)


def _boxes(
    layout: _core.Layout,
    frame: int,
    pose: Pose,
    scores: npt.NDArray[np.float32] | None,
    thresholds: Sequence[float],
) -> list[dict[str, Any]]:
    boxes = []
    for vial, region in _places(layout):
        phi = _finite(scores, frame, vial, region)
        limit = float(thresholds[region]) if region < len(thresholds) else 0.0
        boxes.append(
            {
                "vial": vial + 1,
                "region": layout.regions[region],
                "phi": phi,
                "limit": limit,
                "ratio": 0.0 if phi is None or limit <= 0.0 else phi / limit,
                "bad": phi is not None and phi > limit,
                "points": _corners(layout, vial, region, pose),
            }
        )
    return boxes


def _heats(
    layout: _core.Layout, heats: Sequence[Heat], frame: int, pose: Pose, address: str
) -> list[dict[str, Any]]:
    found = []
    for number, heat in enumerate(heats):
        if heat.frame == frame and _is_of(layout, heat):
            top_left, top_right, _, bottom_left = _corners(layout, heat.vial, heat.region, pose)
            matrix = [
                top_right[0] - top_left[0],
                top_right[1] - top_left[1],
                bottom_left[0] - top_left[0],
                bottom_left[1] - top_left[1],
                *top_left,
            ]
            found.append({"href": f"{address}/map{number}.png", "matrix": matrix})
    return found


def _places(layout: _core.Layout) -> Iterable[tuple[int, int]]:
    return ((v, r) for v in range(layout.vials) for r in range(len(layout.regions)))


def _corners(layout: _core.Layout, vial: int, region: int, pose: Pose) -> list[tuple[float, float]]:
    try:
        corners = _core.box_corners(layout, vial, region, pose)
    except ValueError:  # where the search ended may be out of any reach
        corners = _core.box_corners(layout, vial, region, _AT_REST)
    return [(round(x, 1), round(y, 1)) for x, y in corners]


def _finite(
    scores: npt.NDArray[np.float32] | None, frame: int, vial: int, region: int
) -> float | None:
    if scores is None or frame >= len(scores):
        return None
    phi = float(scores[frame, vial, region])
    return phi if np.isfinite(phi) else None
