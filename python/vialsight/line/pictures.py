"""Pictures of patches for people: what came in, what the network made of it, where they differ."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight import _core

RgbImage = npt.NDArray[np.uint8]
Float32Image = npt.NDArray[np.float32]

_HEAT = np.array([1.0, 0.1, 0.0], np.float32)
_MASK = np.array([0.0, 0.45, 0.7], np.float32)


def fixed_heatmap(
    bundle: _core.Bundle, region: int, image: Float32Image, reconstruction: Float32Image
) -> Float32Image:
    """Return the heatmap (P,P) on the scale fitted at calibration; 0 to 1 before it."""
    vmin, vmax = bundle.heatmap_scale(region) or (0.0, 1.0)
    x, y = image[np.newaxis], reconstruction[np.newaxis]
    heat: Float32Image = _core.heatmap(x, y, vmin=vmin, vmax=vmax)[0]
    return heat


def picture_of(
    image: Float32Image,
    reconstruction: Float32Image,
    heatmap: Float32Image,
    mask: npt.NDArray[np.bool_] | None = None,
) -> RgbImage:
    """Return uint8 (P,3P,3): input, reconstruction, and the input with the heatmap in red.

    With a mask (P,P) a fourth panel shows the input with the mask in blue: (P,4P,3).
    """
    gray = [np.repeat(panel[..., np.newaxis], 3, axis=2) for panel in (image, reconstruction)]
    panels = [*gray, _painted(gray[0], heatmap, _HEAT)]
    if mask is not None:
        panels.append(_painted(gray[0], 0.6 * mask.astype(np.float32), _MASK))
    row = np.clip(np.concatenate(panels, axis=1), 0.0, 1.0)
    picture: RgbImage = np.rint(row * 255.0).astype(np.uint8)
    return picture


def encoded(picture: RgbImage, image_format: str) -> bytes:
    """Return a picture (H,W,3) as a file of `image_format`, "PNG" or "WEBP" (lossy, small)."""
    content = io.BytesIO()
    options = {"quality": 82, "method": 4} if image_format == "WEBP" else {}
    Image.fromarray(picture).save(content, format=image_format, **options)
    return content.getvalue()


def _painted(gray: Float32Image, strength: Float32Image, colour: Float32Image) -> Float32Image:
    amount = strength[..., np.newaxis]
    return np.asarray((1.0 - amount) * gray + amount * colour)
