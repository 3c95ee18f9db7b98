"""Refusing data that was used before: by product, by pixels, by looks."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.data.cutting import FrameCutter, NotLocatedError
from vialsight.data.dataset import Dataset
from vialsight.data.fingerprints import LOOKS_ALIKE, Described, Fingerprints, describe, stack
from vialsight.data.images import read_frame
from vialsight.data.records import Record, raise_listed
from vialsight.errors import DataError

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def refuse_seen_images(
    part: Dataset, described: Described, seen: Fingerprints, *, accept_lookalikes: bool
) -> list[str]:
    """Raise DataError listing the images of `part` that training or calibration has used.

    `described` are the images in the order of `part.records`. With `accept_lookalikes` images that
    only look alike are not refused but returned, as a sentence for the record.
    """
    found = {
        how: [str(part.records[index].image) for index in indices.tolist()]
        for how, indices in seen.seen(described).items()
    }
    alike = {how: images for how, images in found.items() if how.endswith(LOOKS_ALIKE)}
    refused = {h: i for h, i in found.items() if not (accept_lookalikes and h in alike)}
    raise_listed(
        "images the bundle has seen before, or that cannot be told from those; results on them "
        "prove nothing: take other strips, clear their split in dataset.csv, or, if you know them "
        "to be other products, pass --accept-lookalikes (same pixels are always refused)",
        [f"{image} ({how})" for how, images in refused.items() for image in images],
    )
    return [
        f"{len(images)} images look like images of {how.partition(',')[0]} and were accepted as "
        f"other products, the first {images[0]}."
        for how, images in alike.items()
        if images
    ]


def repeated_images(part: Dataset, described: Described) -> list[str]:
    """Return, in a sentence, which products of `part` share images: they may be one strip.

    `described` are the images in the order of `part.records`.
    """
    products: dict[int, set[str]] = defaultdict(set)
    contents = described.content.tolist()
    for content, record in zip(contents, part.records, strict=True):
        products[content].add(record.product)
    shared = [n for n, content in enumerate(contents) if len(products[content]) > 1]
    if not shared:
        return []
    first = part.records[shared[0]]
    others = ", ".join(repr(p) for p in sorted(products[contents[shared[0]]] - {first.product}))
    return [
        f"{len(shared)} images have the same pixels as an image of another product, the first of "
        f"{first.product!r} and {others}: what counts as several strips here may be one, and then "
        "intervals are too narrow."
    ]


def independence_limits(seen: Fingerprints) -> list[str]:
    """Return, in sentences, what the test of independence could not see."""
    if seen.training_known:
        return []
    return [
        "The training images were rendered while training and are not on record: training and "
        "test strips are known to be different by product only, not by image."
    ]


def without_lookalikes(dataset: Dataset) -> tuple[Record, ...]:
    """Return the records, products that look like one of an earlier split taken out of theirs.

    What calibration and evaluation would refuse is left out of calibration, when it looks like a
    product trained on, and out of test, when it looks like one of those or of calibration. Raises
    DataError for images that cannot be used.
    """
    trained = dataset.in_splits("train", "validation")
    if not trained.records:
        return dataset.records
    seen = Fingerprints.of_training(describe_images(trained))
    left_out: set[str] = set()
    for split in ("calibration", "test"):
        part = dataset.in_splits(split)
        if not part.records:
            continue
        described = describe_images(part)
        found = {int(i) for indices in seen.seen(described).values() for i in indices}
        alike = {part.records[index].product for index in found}
        left_out |= alike
        kept = [n for n, record in enumerate(part.records) if record.product not in alike]
        if split == "calibration" and kept:
            seen = seen.with_calibration(described.rows(kept))
    return tuple(replace(r, split="") if r.product in left_out else r for r in dataset.records)


def describe_images(part: Dataset, cutter: FrameCutter | None = None) -> Described:
    """Describe every image of a dataset; raises DataError naming those that cannot be used.

    With the cutter of a bundle it is described where the product lies, as training saw it; where
    that is not found, as it is: the same image is then described alike again.
    """
    layout, rows, problems = part.layout, [], []
    for record in part.records:
        try:
            frame = read_frame(record.image, layout)
            rows.append(describe(_patches(frame, layout, cutter)))
        except (DataError, ValueError) as error:
            problems.append(f"{record.image}: {error}")
    raise_listed("images that cannot be used", problems)
    return stack(iter(rows))


def _patches(frame: Frame, layout: Layout, cutter: FrameCutter | None) -> Patches:
    with suppress(NotLocatedError):
        if cutter is not None:
            return cutter.cut(frame).patches
    size = layout.patch_size
    return _core.extract_patches(frame, layout).reshape(-1, size, size)
