"""Pictures of `locate.html`: template, weights, and frames with boxes where the product lies."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Pose
from vialsight.data import read_frame
from vialsight.data.located_images import LocatedImage
from vialsight.data.posed_masks import AT_REST, pose_of
from vialsight.line.pictures import RgbImage
from vialsight.locator import ProductLocator

_WIDTH: Final = 800
# At rest, found, and of what is masked; on black and on white.
AT_REST_COLOUR: Final = (0, 114, 178)
FOUND_COLOUR: Final = (255, 176, 0)
MASKED_COLOUR: Final = (213, 94, 0)


def template_picture(locator: ProductLocator, layout: Layout) -> RgbImage:
    """Return the template with the boxes at rest, uint8 (h,w,3)."""
    picture = _enlarged(_gray(locator.template))
    _draw_boxes(picture, layout, AT_REST, AT_REST_COLOUR)
    return np.asarray(picture)


def weights_picture(locator: ProductLocator, layout: Layout) -> RgbImage:
    """Return weights, white where pixels vary much to blue where they count most, uint8 (h,w,3)."""
    largest = max(float(locator.weights.max()), 1e-12)
    # Weights go with 1 / spread²: their root is even to the eye.
    share = np.sqrt(locator.weights / largest)[..., np.newaxis]
    painted = 255.0 + share * (np.array(AT_REST_COLOUR) - 255.0)
    painted[locator.weights == 0] = MASKED_COLOUR
    picture = _enlarged(painted.round().astype(np.uint8), Image.Resampling.NEAREST)
    _draw_boxes(picture, layout, AT_REST, (31, 41, 51))
    return np.asarray(picture)


def framed(image: LocatedImage, layout: Layout) -> RgbImage:
    """Return an image with its boxes at rest and, where the product was found, as found.

    Raises DataError when it cannot be read.
    """
    frame = read_frame(image.record.image, layout)
    picture = _enlarged(_gray(frame / np.float32(2**layout.bit_depth - 1)))
    if image.where.found:
        _draw_boxes(picture, layout, AT_REST, AT_REST_COLOUR)
        _draw_boxes(picture, layout, pose_of(image.where), FOUND_COLOUR)
    return np.asarray(picture)


def _gray(values: npt.NDArray[Any]) -> RgbImage:
    """Return values (h,w) from 0 to 1 as uint8 (h,w,3)."""
    gray = (255.0 * np.clip(values, 0.0, 1.0)).round().astype(np.uint8)
    return np.repeat(gray[..., np.newaxis], 3, axis=-1)


def _enlarged(picture: RgbImage, how: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    height, width = picture.shape[:2]
    return Image.fromarray(picture).resize((_WIDTH, round(_WIDTH * height / width)), how)


def _draw_boxes(
    picture: Image.Image, layout: Layout, pose: Pose, colour: tuple[int, int, int]
) -> None:
    draw, scale = ImageDraw.Draw(picture), picture.width / layout.frame_width
    for vial, region in np.ndindex(layout.vials, len(layout.regions)):
        corners = [(scale * x, scale * y) for x, y in _core.box_corners(layout, vial, region, pose)]
        draw.line([*corners, corners[0], corners[1]], fill=colour, width=2, joint="curve")
