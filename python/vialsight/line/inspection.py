"""Inspection of products from image files, and pictures of what was rejected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Pose
from vialsight.data import Dataset, read_frame
from vialsight.data.posed_masks import pose_of
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.line.pictures import Float32Image, encoded, fixed_heatmap, picture_of

# Bytes; file systems take 255, of which a region's name may need 64. The number keeps names apart.
_LONGEST_STEM = 140
UNREADABLE_REASON = "frame_invalid"


@dataclass(frozen=True, kw_only=True)
class Product:
    """The frames to inspect of one product, in order."""

    name: str
    run: int | None = None
    images: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """Verdict on one product. `error` says why its images could not be used: then it is rejected.

    `scores` are φ (F,V,R), NaN where no score was made. `locations` are of the F frames, none
    where the bundle does not locate.
    """

    product: Product
    accepted: bool
    reason: str
    scores: Float32Image
    thresholds: tuple[float, ...]
    vials: tuple[bool, ...]
    times: dict[str, float]
    slack_s: float | None
    locations: tuple[_core.Location, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a missing score is null."""
        return {
            "product": self.product.name,
            "run": self.product.run,
            "images": [str(path) for path in self.product.images],
            "verdict": "accept" if self.accepted else "reject",
            "reason": self.reason,
            "scores": _nulls_for_nan(self.scores),
            "thresholds": list(self.thresholds),
            "vials": ["accept" if accepted else "reject" for accepted in self.vials],
            "times": self.times,
            "slack_s": self.slack_s,
            **(
                {"poses": [_pose_json(where) for where in self.locations]} if self.locations else {}
            ),
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True)
class RejectedPatch:
    """A patch above its threshold: input, reconstruction and heatmap, each (P,P) in [0,1].

    `reconstruction` is None where the network gives none.
    """

    frame: int
    vial: int
    region: int
    score: float
    threshold: float
    image: Float32Image
    reconstruction: Float32Image | None
    heatmap: Float32Image


def products_of_images(images: Sequence[Path], frames_per_product: int) -> tuple[Product, ...]:
    """Group image paths, in the order given, into products of F frames.

    Raises DataError when they do not divide.
    """
    if not images or len(images) % frames_per_product:
        raise DataError(
            f"expected a multiple of {frames_per_product} images (frames per product of this "
            f"bundle's layout), got {len(images)}"
        )
    starts = range(0, len(images), frames_per_product)
    groups = (tuple(images[start : start + frames_per_product]) for start in starts)
    return tuple(Product(name=str(group[0]), images=group) for group in groups)


def products_of_dataset(dataset: Dataset) -> tuple[Product, ...]:
    """Return the strips of a dataset as products to inspect; raises DataError as `strips`."""
    return tuple(
        Product(name=strip.product, run=strip.run, images=tuple(r.image for r in strip.records))
        for strip in dataset.strips()
    )


def load_frames(product: Product, layout: _core.Layout) -> npt.NDArray[Any]:
    """Return the frames (F,H,W) of a product, uint8 or uint16 as the layout's bit depth says.

    Raises DataError naming the image that cannot be used or has another size than the layout's.
    """
    try:
        return np.stack([read_frame(path, layout) for path in product.images])
    except (OSError, MemoryError) as error:
        raise DataError(f"{product.name}: expected readable images, got: {error}") from error


def inspect_product(
    inspector: _core.Inspector, product: Product, *, budget_s: float | None = None
) -> Inspected:
    """Inspect one product through the C++ core; images that cannot be used make it a reject."""
    try:
        frames = load_frames(product, inspector.bundle.layout)
    except DataError as error:
        return _unusable(product, inspector.bundle, str(error))
    verdict = inspector.inspect(frames, budget_s=budget_s)
    return Inspected(
        product=product,
        accepted=verdict.accepted,
        reason=verdict.reason,
        scores=verdict.scores,
        thresholds=tuple(verdict.thresholds),
        vials=tuple(verdict.vials),
        times=verdict.times,
        slack_s=verdict.slack_s if np.isfinite(verdict.slack_s) else None,
        locations=tuple(verdict.locations),
        error=_frame_error(verdict, product),
    )


def poses_of(verdict: _core.StripVerdict) -> list[Pose | None]:
    """Return the poses of F frames; None of one not found, and where nothing is located."""
    if not verdict.locations:
        return [None] * len(verdict.scores)
    return [pose_of(where) if where.found else None for where in verdict.locations]


def rejected_patches(inspector: _core.Inspector, inspected: Inspected) -> Iterator[RejectedPatch]:
    """Yield the patches over their thresholds of the product `inspector` inspected last.

    The heatmap has the fixed scale fitted at calibration, so that colours mean the same on every
    picture.
    """
    if inspected.error is not None:
        return
    over = inspected.scores.astype(np.float64) > np.asarray(inspected.thresholds)
    for frame, vial, region in np.argwhere(over).tolist():
        images = inspector.images(frame, vial, region)
        score_map = inspector.map(frame, vial, region)
        if images is None or score_map is None:
            continue
        yield RejectedPatch(
            frame=frame,
            vial=vial,
            region=region,
            score=float(inspected.scores[frame, vial, region]),
            threshold=inspected.thresholds[region],
            image=images[0],
            reconstruction=images[1],
            heatmap=fixed_heatmap(inspector.bundle, region, score_map),
        )


def write_heatmaps(
    inspector: _core.Inspector, inspected: Inspected, folder: Path, *, number: int
) -> list[Path]:
    """Write one PNG per rejected patch of the product inspected last; return their paths.

    `number` starts the file names: images of the same name in several folders stay apart.
    """
    regions, paths = inspector.bundle.layout.regions, []
    stem = picture_stem(inspected.product, number)
    for patch in rejected_patches(inspector, inspected):
        place = f"frame{patch.frame + 1}-vial{patch.vial + 1}-{regions[patch.region]}"
        path = folder / f"{stem}-{_safe(place)}.png"
        picture = picture_of(patch.image, patch.reconstruction, patch.heatmap)
        atomic.write_bytes(path, encoded(picture, "PNG"))
        paths.append(path)
    return paths


def picture_stem(product: Product, number: int) -> str:
    """Return how the names of a product's pictures begin."""
    return f"{number:04}-{_file_stem(product)}"


def _unusable(product: Product, bundle: _core.Bundle, error: str) -> Inspected:
    layout = bundle.layout
    shape = (layout.frames, layout.vials, len(layout.regions))
    return Inspected(
        product=product,
        accepted=False,
        reason=UNREADABLE_REASON,
        scores=np.full(shape, np.nan, np.float32),
        thresholds=(),
        vials=(False,) * layout.vials,
        times={},
        slack_s=None,
        error=error,
    )


def _frame_error(verdict: _core.StripVerdict, product: Product) -> str | None:
    if verdict.reason != UNREADABLE_REASON:
        return None
    return f"{product.name}: the frames do not fit the bundle's layout (size or pixel values)"


def _pose_json(where: _core.Location) -> dict[str, Any]:
    """Return where a product lies; numbers that are not finite are null."""
    numbers = {"dx": where.dx, "dy": where.dy, "turn": where.turn, "residual": where.residual}
    return {
        "found": where.found,
        "reason": where.reason,
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
    }


def _nulls_for_nan(scores: Float32Image) -> Any:
    values = scores.astype(object)
    values[~np.isfinite(scores)] = None
    return values.tolist()


def _file_stem(product: Product) -> str:
    if product.run is not None:
        return f"{_short(_safe(product.name))}-run{product.run}"
    return _short(_safe(Path(product.name).stem))


def _short(text: str) -> str:
    """Return the beginning of a name, to which numbers and a region's name are added."""
    return text.encode()[:_LONGEST_STEM].decode(errors="ignore")


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
