"""From a nominal patch to a training example: changes, seen by a camera, and what is labelled."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from vialsight.models.anomalies.families import FAMILY_OF
from vialsight.models.anomalies.section import FAMILIES, AnomaliesConfig
from vialsight.models.anomalies.shapes import Float32, Random, Window
from vialsight.models.pooling import block_means

# Edge of a pixel of the label and of the reduced patch, in pixels of the patch.
LABEL_SCALE: Final = 2
REDUCED_SCALE: Final = 4
ANOMALOUS: Final = 1.0
NOMINAL: Final = 0.0
# Changed, but not beyond what nominal products show: neither learnt nor unlearnt.
UNCERTAIN: Final = -1.0

# Below this share of what is labelled a change counts as none.
_NEGLIGIBLE: Final = 0.3
# Pixels around a crop that blurs and shifts look at.
_MARGIN: Final = 4
_BLURRED_SHARE: Final = 0.3
_SHIFTED_SHARE: Final = 0.5
_TRIES: Final = 4


class Example(NamedTuple):
    """A crop (S,S) float32 of a patch, what is known of it, and the whole patch made small.

    Each pixel of `label` (S/2,S/2) is ANOMALOUS, NOMINAL or UNCERTAIN; `origin` is where in the
    patch the crop lies (y, x); `reduced` (P/4,P/4) averages the whole patch; `clean` (S,S) is the
    image as it would be without the anomaly, its noise included; None where nobody asks for it.
    """

    image: Float32
    label: Float32
    reduced: Float32
    origin: tuple[int, int]
    clean: Float32 | None


@dataclass(frozen=True)
class Drawing:
    """Makes examples of nominal patches (P,P).

    `spreads` float32 (R,P/2,P/2) says how far nominal patches usually are from what is expected of
    them, per region and location, in grey values; `crop` is S, even; `roi` bool of the same shape
    as `spreads` says where anomalies count; `with_clean` asks for clean images.
    """

    config: AnomaliesConfig
    spreads: Float32
    crop: int
    roi: npt.NDArray[np.bool_] | None = None
    with_clean: bool = False

    def __call__(self, random: Random, patch: Float32, other: Float32, region: int) -> Example:
        """Return an example of a patch; `other` is one whose texture is strange here."""
        origin = self._origin(random, len(patch))
        changed, window = patch, None
        wanted = random.random() < self.config.probability and self.config.kind == "mixed"
        if wanted:
            changed, window = self._changed(random, patch, other, origin)
        around = _Crop(origin, self.crop, len(patch))
        image = clean = around.of(patch)
        label = np.zeros((self.crop // LABEL_SCALE,) * 2, np.float32)
        if window is not None:
            image, difference = self._through_camera(random, image, around.of(changed))
            label = self._labelled(around.inner(np.abs(difference)), region, origin)
        gain = np.float32(random.uniform(1.0 - self.config.gain, 1.0 + self.config.gain))
        reduced = block_means(changed * gain, REDUCED_SCALE)
        taking = self._taking(random)
        without = taking.of(clean * gain) if self.with_clean else None
        return Example(taking.of(image * gain), label, reduced, origin, without)

    def _origin(self, random: Random, size: int) -> tuple[int, int]:
        steps = (size - self.crop) // LABEL_SCALE + 1
        y, x = random.integers(0, steps, 2) * LABEL_SCALE
        return int(y), int(x)

    def _changed(
        self, random: Random, patch: Float32, other: Float32, origin: tuple[int, int]
    ) -> tuple[Float32, Window | None]:
        changed, window = patch.copy(), None
        for _ in range(1 + int(random.random() < self.config.second)):
            found = self._one_change(random, changed, other, origin)
            if found is not None:
                window = found if window is None else window.joined(found)
        np.clip(changed, 0.0, 1.0, out=changed)
        return changed, window

    def _one_change(
        self, random: Random, changed: Float32, other: Float32, origin: tuple[int, int]
    ) -> Window | None:
        weights = np.array([getattr(self.config.families, name) for name in FAMILIES])
        family = FAMILY_OF[FAMILIES[int(random.choice(len(FAMILIES), p=weights / weights.sum()))]]
        for _ in range(_TRIES):
            at = origin[0] + self.crop * random.random(), origin[1] + self.crop * random.random()
            window = family(self.config, random, changed, other, at)
            if window is not None:
                return window
        return None

    def _through_camera(
        self, random: Random, image: Float32, changed: Float32
    ) -> tuple[Float32, Float32]:
        """Blur the change by the lens; give back the sensor's noise where it is gone.

        A change pasted into a finished picture has edges that no lens draws, and warping or dimming
        takes the noise away; a network learns to find just that.
        """
        sigma = random.uniform(*self.config.lens_sigma)
        difference = gaussian_filter(changed - image, sigma, truncate=3.0, mode="nearest")
        seen = np.clip(image + difference, 0.0, 1.0)
        touched = np.minimum(np.abs(difference) * 30.0, 1.0)
        shot = np.sqrt(np.maximum(seen, 0.002) / self.config.full_well)
        shot *= touched * np.float32(random.uniform(0.4, 1.1))
        seen += shot * random.standard_normal(seen.shape, np.float32)
        return seen, difference

    def _labelled(self, difference: Float32, region: int, origin: tuple[int, int]) -> Float32:
        half, scale = self.crop // LABEL_SCALE, LABEL_SCALE
        size = gaussian_filter(difference, 1.0, truncate=3.0, mode="nearest")
        size = block_means(size, scale)
        top, left = origin[0] // scale, origin[1] // scale
        usual = self.spreads[region, top : top + half, left : left + half]
        least = np.maximum(self.config.visible, self.config.beyond_nominal * usual)
        label = np.where(size > _NEGLIGIBLE * least, UNCERTAIN, NOMINAL).astype(np.float32)
        label[size > least] = ANOMALOUS
        if self.roi is not None:
            label[~self.roi[region, top : top + half, left : left + half]] = NOMINAL
        return label

    def _taking(self, random: Random) -> "_Taking":
        """Draw sharpness, place and noise, of nominal patches and others alike."""
        config = self.config
        sigma = random.uniform(*config.blur) if random.random() < _BLURRED_SHARE else None
        shift = np.zeros(2)
        if random.random() < _SHIFTED_SHARE:
            limit = _MARGIN - 1.0
            shift = np.clip(random.normal(0.0, config.play, 2), -limit, limit)
        deviation = np.float32(random.uniform(0.0, config.noise))
        noise = deviation * random.standard_normal((self.crop, self.crop), np.float32)
        return _Taking(sigma, shift, noise)


@dataclass(frozen=True)
class _Taking:
    """How an image is taken: blurred by `sigma` pixels, `shift` (y, x) away, with noise (S,S)."""

    sigma: float | None
    shift: npt.NDArray[np.float64]
    noise: Float32

    def of(self, image: Float32) -> Float32:
        """Return the image (S,S) that is taken of one with a margin."""
        if self.sigma is not None:
            image = gaussian_filter(image, self.sigma, truncate=3.0)
        image = _shifted(image, self.shift, len(self.noise)) + self.noise
        return np.clip(image, 0.0, 1.0, out=image)


@dataclass(frozen=True)
class _Crop:
    """A square of a patch with a margin; the patch goes on beyond its edges as in a mirror."""

    origin: tuple[int, int]
    side: int
    size: int

    def of(self, patch: Float32) -> Float32:
        """Return the square and its margin."""
        low = [max(start - _MARGIN, 0) for start in self.origin]
        high = [min(start + self.side + _MARGIN, self.size) for start in self.origin]
        inside = patch[low[0] : high[0], low[1] : high[1]]
        missing = [
            (low[axis] - start + _MARGIN, start + self.side + _MARGIN - high[axis])
            for axis, start in enumerate(self.origin)
        ]
        if any(map(any, missing)):
            return np.asarray(np.pad(inside, missing, mode="reflect"), np.float32)
        return np.array(inside, np.float32)

    def inner(self, image: Float32) -> Float32:
        """Return what `of` gave without the margin."""
        return image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _shifted(image: Float32, shift: np.ndarray, side: int) -> Float32:
    """Return the square inside the margin, taken `shift` (y, x) pixels away, bilinearly."""
    whole = [math.floor(value) for value in shift]
    fraction = [np.float32(value - floor) for value, floor in zip(shift, whole, strict=True)]
    top, left = _MARGIN + whole[0], _MARGIN + whole[1]
    if not any(fraction):
        return np.array(image[top : top + side, left : left + side], np.float32)
    cut = image[top : top + side + 1, left : left + side + 1]
    rows = cut[:-1] + fraction[0] * (cut[1:] - cut[:-1])
    return np.asarray(rows[:, :-1] + fraction[1] * (rows[:, 1:] - rows[:, :-1]), np.float32)
