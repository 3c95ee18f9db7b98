"""Recognising images that were seen before, by content and by looks.

Every product of a line looks alike, so a plain perceptual hash finds duplicates everywhere. Here a
hash says where an image deviates from the training set: bit i is whether feature i (the mean of
one cell of a grid over each patch, brightness and contrast taken out) is above its median over the
training images. Saving an image anew, noise and other brightness change hardly a bit; another strip
differs in a sixth of them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Progress
from vialsight.data.sources import PatchSource
from vialsight.errors import BundleError
from vialsight.files.npz import npz_arrays, npz_bytes
from vialsight.pixels import to_pixels

Features = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]
Contents = npt.NDArray[np.uint64]

SAME_PIXELS: Final = "same pixels"
LOOKS_ALIKE: Final = "looks alike"
# Copies saved as JPEG or with noise differ in 2 % of the bits at most, the nearest other strip of a
# simulated kit in 11 %; measurements in docs/calibration.md.
LOOKALIKE_SHARE: Final = 0.03
_FEATURES: Final = 256
_CHUNK_PAIRS: Final = 2**22
_NAMES: Final = (
    "reference",
    "training_images",
    "training_content",
    "training_bits",
    "calibration_content",
    "calibration_bits",
)


@dataclass(frozen=True, kw_only=True)
class Described:
    """Contents uint64 (n,) and features float32 (n,D) of n images."""

    content: Contents
    features: Features

    def rows(self, indices: Sequence[int]) -> "Described":
        """Return the descriptions at `indices`."""
        chosen = np.array(indices, np.int64)
        return Described(content=self.content[chosen], features=self.features[chosen])


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What a bundle remembers of the images it has seen.

    `training_images` are the images trained on; where they could not be read again (rendered while
    training) `training_content` and `training_bits` are empty.
    """

    reference: Features
    training_images: int
    training_content: Contents
    training_bits: Bits
    calibration_content: Contents
    calibration_bits: Bits

    @staticmethod
    def of_training(described: Described) -> "Fingerprints":
        """Return the fingerprints of training images; their median becomes the reference."""
        features = described.features
        reference = np.median(features, axis=0).astype(np.float32) if len(features) else _empty()
        nothing = described.content[:0]
        bits = _bits(features, reference)
        return Fingerprints(
            reference=reference,
            training_images=len(features),
            training_content=described.content,
            training_bits=bits,
            calibration_content=nothing,
            calibration_bits=bits[:0],
        )

    @staticmethod
    def unknown(training_images: int) -> "Fingerprints":
        """Return what is remembered of images that are not there to be read."""
        none = Described(content=np.empty(0, np.uint64), features=np.empty((0, 0), np.float32))
        empty = Fingerprints.of_training(none)
        return Fingerprints(**{**vars(empty), "training_images": training_images})

    @property
    def training_known(self) -> bool:
        """Whether the training images themselves are remembered."""
        return len(self.training_content) > 0

    def with_calibration(self, described: Described) -> "Fingerprints":
        """Return a copy that remembers the images of a calibration."""
        reference = self.reference
        if not len(reference):
            reference = np.median(described.features, axis=0).astype(np.float32)
        bits = _bits(described.features, reference)
        calibration = {"calibration_content": described.content, "calibration_bits": bits}
        return Fingerprints(**{**vars(self), "reference": reference, **calibration})

    def seen(self, described: Described) -> dict[str, npt.NDArray[np.int64]]:
        """Return which images were seen before: {"training, same pixels": indices, …}."""
        bits = _bits(described.features, self.reference) if len(self.reference) else None
        found: dict[str, npt.NDArray[np.int64]] = {}
        for name in ("training", "calibration"):
            content, known = getattr(self, f"{name}_content"), getattr(self, f"{name}_bits")
            same = np.isin(described.content, content)
            found[f"{name}, {SAME_PIXELS}"] = np.flatnonzero(same)
            near = nearest(bits, known) if bits is not None and len(known) else None
            alike = ~same if near is not None else np.zeros(len(same), bool)
            if near is not None:
                alike &= near <= lookalike_limit(len(self.reference))
            found[f"{name}, {LOOKS_ALIKE}"] = np.flatnonzero(alike)
        return found

    def to_bytes(self) -> bytes:
        """Return the contents of a bundle's `fingerprints.npz`; equal values give equal bytes."""
        return npz_bytes({name: np.asarray(getattr(self, name)) for name in _NAMES})

    @staticmethod
    def from_bytes(content: bytes) -> "Fingerprints":
        """Read what `to_bytes` wrote; raises BundleError for anything else."""
        try:
            arrays = npz_arrays(content)
            values: dict[str, Any] = {name: arrays[name] for name in _NAMES}
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise BundleError(
                f"fingerprints.npz: expected the arrays {', '.join(_NAMES)} ({error}); "
                "freeze the bundle again"
            ) from error
        return Fingerprints(**{**values, "training_images": int(values["training_images"])})


def describe(patches: npt.NDArray[np.float32]) -> tuple[int, Features]:
    """Return content and features of one image, from its patches float32 (n,P,P) in [0,1].

    The content is taken at 8 bits, so that the same pixels are equal in any file format.
    """
    pixels = to_pixels(patches)
    content = int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:8], "little")
    cells = _grid_means(patches).ravel()
    spread = float(cells.std())
    return content, ((cells - cells.mean()) / (spread or 1.0)).astype(np.float32)


def describe_all(
    source: PatchSource, patches_per_image: int, progress: Progress | None = None
) -> Described:
    """Describe every image of a source of patches, image by image."""
    images = len(source) // patches_per_image
    rows = []
    for image in range(images):
        first = image * patches_per_image
        rows.append(describe(source.read(np.arange(first, first + patches_per_image))))
        if progress is not None:
            progress(image + 1, images)
    return stack(iter(rows))


def stack(rows: Iterator[tuple[int, Features]]) -> Described:
    """Collect what `describe` returned."""
    contents, features = zip(*rows, strict=True)
    return Described(content=np.array(contents, np.uint64), features=np.stack(features))


def joined(parts: Sequence[Described]) -> Described:
    """Return several descriptions as one."""
    return Described(
        content=np.concatenate([part.content for part in parts]),
        features=np.concatenate([part.features for part in parts]),
    )


def lookalike_limit(features: int) -> int:
    """Return in how many of so many bits two images may differ and still look alike."""
    return max(int(LOOKALIKE_SHARE * features), 1)


def nearest(bits: Bits, known: Bits) -> npt.NDArray[np.int64]:
    """Return, for each row (n,B) of bits, in how many it differs from the nearest of `known`."""
    result = np.empty(len(bits), np.int64)
    rows = max(_CHUNK_PAIRS // max(len(known), 1), 1)
    for start in range(0, len(bits), rows):
        chunk = bits[start : start + rows]
        differing = np.bitwise_count(chunk[:, np.newaxis] ^ known[np.newaxis])
        result[start : start + rows] = differing.sum(axis=2, dtype=np.int64).min(axis=1)
    return result


def _empty() -> Features:
    return np.empty(0, np.float32)


def _bits(features: Features, reference: Features) -> Bits:
    return np.packbits(features > reference, axis=1)


def _grid_means(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return means over g×g cells of each patch, float64 (n,g,g); about _FEATURES in all."""
    count, size = len(patches), patches.shape[-1]
    cells = int(np.clip(np.sqrt(_FEATURES / count), 2, 16))
    edges = np.arange(cells) * size // cells
    sums = np.add.reduceat(np.add.reduceat(patches, edges, 1, np.float64), edges, 2)
    sides = np.diff([*edges, size])
    return np.asarray(sums / (sides[:, np.newaxis] * sides))
