"""From ways through plastic and liquid to grey values.

The strip is a thin optical element in front of a backlight, seen through a telecentric lens: a ray
is bent by the gradient of its optical path, and what the camera sees is how bright the backlight is
in the direction the ray came from. Scattering plastic mixes that picture with diffuse light;
absorption follows Beer and Lambert.
"""

from itertools import pairwise
from typing import Final

import numpy as np

from vialsight.simulation.product import FRAME_HEIGHT, FRAME_WIDTH, PIXELS_PER_MM, Float
from vialsight.simulation.traits import RunTraits

PLASTIC_OVER_AIR: Final = 0.51  # LDPE 1.51
LIQUID_OVER_AIR: Final = 0.335  # aqueous solution 1.335
_HALF_BRIGHTNESS_RAD: Final = 0.42  # direction at which the backlight is half as bright
_FLOOR: Final = 0.06
_DIFFUSE: Final = 0.66  # brightness of scattered light over the backlight's
BACKGROUND: Final = 232.0  # grey value of the bare backlight
_FULL_WELL: Final = 20000.0  # electrons at grey value 255
_READ_NOISE: Final = 0.45  # grey values
_JAW_ROWS: Final = 140  # below them the gripper is never seen


def gradient(path: Float) -> tuple[Float, Float]:
    """Return central differences along x and y, zero at the border, each of the same shape."""
    across, down = np.zeros_like(path), np.zeros_like(path)
    np.subtract(path[:, 2:], path[:, :-2], out=across[:, 1:-1])
    np.subtract(path[2:], path[:-2], out=down[1:-1])
    across *= np.float32(0.5)
    down *= np.float32(0.5)
    return across, down


def brightness(across: Float, down: Float) -> Float:
    """Return the backlight's brightness for rays bent by these angles (radians), in [0, 1]."""
    squared = across * across
    squared += down * down
    squared *= np.float32(1.0 / _HALF_BRIGHTNESS_RAD**2)
    squared *= squared
    squared += np.float32(1.0)
    np.divide(np.float32(1.0 - _FLOOR), squared, out=squared)
    squared += np.float32(_FLOOR)
    return squared


def scattering(thickness: Float, opacity: float, haze: Float) -> tuple[Float, Float]:
    """Return the shares of direct and of diffuse light behind the plastic and its haze."""
    direct = np.exp(thickness * np.float32(-opacity / PIXELS_PER_MM) - haze)
    return direct, np.float32(_DIFFUSE) * (np.float32(1.0) - direct)


class Camera:
    """One run's pose, light and lens: transmission of the strip to a picture."""

    def __init__(self, traits: RunTraits, illumination: Float) -> None:
        self._traits = traits
        self._illumination = illumination

    def expose(self, transmission: Float, shake: tuple[float, float], progress: float) -> Float:
        """Return the noise-free picture, grey values float32 (FRAME_HEIGHT, FRAME_WIDTH).

        `shake` moves the whole strip (x, y pixels); `progress` in [0, 1] is the frame's place in
        the run.
        """
        from scipy.ndimage import gaussian_filter

        seen = self.project(transmission, shake, outside=1.0)
        drift = self._traits.exposure * (1.0 + self._traits.exposure_drift * progress)
        seen *= self._illumination
        seen *= np.float32(BACKGROUND * drift)
        return np.asarray(gaussian_filter(seen, self._traits.blur_px, truncate=3.0), np.float32)

    def project(self, strip: Float, shake: tuple[float, float], *, outside: float) -> Float:
        """Return a map of the strip as the camera sees it, same shape.

        A rotation this small (a few milliradians) is two shears to within a hundredth of a pixel.
        """
        rows = np.arange(FRAME_HEIGHT) - FRAME_HEIGHT / 2
        columns = np.arange(FRAME_WIDTH) - FRAME_WIDTH / 2
        turn = self._traits.rotation_rad
        across = self._traits.offset[0] + shake[0] + turn * rows
        down = self._traits.offset[1] + shake[1] - turn * columns
        moved = shear(shear(strip, across, outside).T, down, outside).T
        return np.ascontiguousarray(moved, np.float32)


def seen_pose(traits: RunTraits, shake: tuple[float, float]) -> tuple[float, float, float]:
    """Return where `Camera.project` puts the strip: dx, dy (pixels), turn (radians) of SPEC §1.

    Exact in the middle of the frame. The two shears squeeze the strip by the square of the turn,
    which no pose can say: 0.01 pixels at the frame's edge for 0.25°.
    """
    turn = traits.rotation_rad
    # `project` turns about index n / 2, half a pixel beside the middle (n - 1) / 2; its second
    # shear starts from what the first one moved.
    dx = traits.offset[0] + shake[0] - turn / 2
    dy = traits.offset[1] + shake[1] + turn / 2 - turn * dx
    return dx, dy, turn


def shear(image: Float, shifts: np.ndarray, outside: float) -> Float:
    """Return `image` with every row moved right by its own shift, (rows,) pixels, interpolated.

    Shifts vary slowly from row to row; what moves in has the value `outside`.
    """
    whole = np.floor(shifts).astype(np.int64)
    part = (shifts - whole).astype(np.float32)[:, None]
    margin = int(np.abs(whole).max()) + 2
    padded = np.pad(image, ((0, 0), (margin, margin)), constant_values=np.float32(outside))
    result = np.empty_like(image)
    width = image.shape[1]
    # Rows between two jumps of the whole shift move alike, so that there are few slices to copy.
    bounds = [0, *(np.flatnonzero(np.diff(whole)) + 1), len(whole)]
    for first, last in pairwise(bounds):
        start = margin - int(whole[first])
        left = padded[first:last, start - 1 : start - 1 + width]
        here = padded[first:last, start : start + width]
        np.subtract(left, here, out=result[first:last])
        result[first:last] *= part[first:last]
        result[first:last] += here
    return result


def illumination(random: np.random.Generator, gripper: tuple[float, float]) -> Float:
    """Return the backlight as the camera sees it, relative, with the gripper's jaws before it."""
    y = np.linspace(-1.0, 1.0, FRAME_HEIGHT, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, FRAME_WIDTH, dtype=np.float32)[None, :]
    tilt = random.normal(0.0, 0.008, 2).astype(np.float32)
    light = 1.0 - 0.035 * (x**2 + 0.8 * y**2) + tilt[0] * x + tilt[1] * y
    return np.asarray(light * _jaws(gripper), np.float32)


def _jaws(gripper: tuple[float, float]) -> Float:
    """Two metal fingers that hold the strip by its outer flags, black before the backlight."""
    shade = np.ones((FRAME_HEIGHT, FRAME_WIDTH), np.float32)
    reached = shade[:_JAW_ROWS]
    rows = np.arange(_JAW_ROWS, dtype=np.float32)[:, None]
    columns = np.arange(FRAME_WIDTH, dtype=np.float32)[None, :]
    for center in (292.0, FRAME_WIDTH - 292.0):
        across = np.abs(columns - center - gripper[0]) - 62.0
        down = rows - 97.0 - gripper[1]
        outside = np.hypot(np.maximum(across + 9, 0), np.maximum(down + 9, 0)) - 9
        reached *= (outside / 1.5).clip(0.0, 1.0) * 0.97 + 0.03
    return shade


def digitise(picture: Float, random: np.random.Generator) -> np.ndarray:
    """Return uint8 grey values with shot and read noise."""
    variance = picture * np.float32(255.0 / _FULL_WELL) + np.float32(_READ_NOISE**2)
    noise = random.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.sqrt(variance)
    noise += picture
    noise += np.float32(0.5)
    return np.asarray(noise.clip(0.0, 255.0), np.uint8)
