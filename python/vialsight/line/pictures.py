"""Pictures of patches for people: what came in, what the network made of it, the score's map."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight import _core

RgbImage = npt.NDArray[np.uint8]
Float32Image = npt.NDArray[np.float32]

_HEAT = np.array([1.0, 0.1, 0.0], np.float32)
_MASK = np.array([0.0, 0.45, 0.7], np.float32)


def fixed_heatmap(bundle: _core.Bundle, region: int, score_map: Float32Image) -> Float32Image:
    """Return a score's map (P,P) as heatmap in [0,1], on the scale fitted at calibration.

    0 to 1 before it: a scale of each map's own would make every good part glow.
    """
    vmin, vmax = bundle.heatmap_scale(region) or (0.0, 1.0)
    heat: Float32Image = _core.heatmap(score_map[np.newaxis], vmin=vmin, vmax=vmax)[0]
    return heat


def picture_of(
    image: Float32Image,
    reconstruction: Float32Image | None,
    heatmap: Float32Image,
    mask: npt.NDArray[np.bool_] | None = None,
) -> RgbImage:
    """Return n panels in a row, uint8 (P,nP,3), all arguments (P,P).

    Input, reconstruction where there is one, the input with the heatmap in red, and with a mask the
    input with it in blue.
    """
    gray = _gray(image)
    panels = [gray] if reconstruction is None else [gray, _gray(reconstruction)]
    panels.append(_painted(gray, heatmap, _HEAT))
    if mask is not None:
        panels.append(_painted(gray, 0.6 * mask.astype(np.float32), _MASK))
    row = np.clip(np.concatenate(panels, axis=1), 0.0, 1.0)
    picture: RgbImage = np.rint(row * 255.0).astype(np.uint8)
    return picture


def painted_hot(image: Float32Image, heatmap: Float32Image) -> RgbImage:
    """Return an image (H,W) with a heatmap (H,W) in red over it, uint8 (H,W,3)."""
    painted = np.clip(_painted(_gray(image), heatmap, _HEAT), 0.0, 1.0)
    picture: RgbImage = np.rint(painted * 255.0).astype(np.uint8)
    return picture


def encoded(picture: RgbImage, image_format: str) -> bytes:
    """Return a picture (H,W,3) as a file of `image_format`, "PNG" or "WEBP" (lossy, small)."""
    content = io.BytesIO()
    options = {"quality": 82, "method": 4} if image_format == "WEBP" else {}
    Image.fromarray(picture).save(content, format=image_format, **options)
    return content.getvalue()


def _gray(image: Float32Image) -> Float32Image:
    return np.repeat(image[..., np.newaxis], 3, axis=2)


def _painted(gray: Float32Image, strength: Float32Image, colour: Float32Image) -> Float32Image:
    amount = strength[..., np.newaxis]
    return np.asarray((1.0 - amount) * gray + amount * colour)
