"""Where the product lies in every image of a dataset, and how much locating it brings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Progress
from vialsight.data.alignment import Setup, evenly, spread_moved_back, spread_of
from vialsight.data.dataset import Dataset
from vialsight.data.images import read_frame
from vialsight.data.posed_masks import pose_of
from vialsight.data.records import Record
from vialsight.errors import DataError
from vialsight.locator import ProductLocator

_SAMPLE: Final = 40


@dataclass(frozen=True)
class LocatedImage:
    """One image of the data and where its product lies."""

    record: Record
    where: _core.Location


def locating(layout: Layout, model: str) -> Layout:
    """Return the layout with another `locate`."""
    return Layout.from_json(json.dumps(json.loads(layout.to_json()) | {"locate": model}))


def locate_images(
    dataset: Dataset, locator: ProductLocator, progress: Progress | None = None
) -> tuple[LocatedImage, ...]:
    """Find the product in every image, one image in memory at a time.

    Raises DataError for an image that cannot be used.
    """
    core, records = locator.core(), dataset.records
    located = []
    for done, record in enumerate(records):
        if progress is not None:
            progress(done, len(records))
        frame = read_frame(record.image, dataset.layout)
        located.append(LocatedImage(record, core.locate(frame)))
    if progress is not None:
        progress(len(records), len(records))
    return tuple(located)


def spreads(
    layout: Layout, locator: ProductLocator, images: Sequence[LocatedImage]
) -> tuple[float, float] | None:
    """Return `Fit.spread_before` and `Fit.spread_after` of images located by any locator.

    Of at most 40 that were found, the nominal ones if there are two; None for fewer than two.
    """
    found = [image for image in images if image.where.found]
    nominal = [image for image in found if not image.record.defective]
    usable = nominal if len(nominal) > 1 else found
    if len(usable) < 2:
        return None
    chosen = [usable[place] for place in evenly(len(usable), _SAMPLE)]
    setup = Setup(locating(layout, locator.model))
    if setup.scale != locator.scale:
        raise DataError(f"the locator averages {locator.scale}x, expected {setup.scale}x; refit it")
    frames = (read_frame(image.record.image, layout) for image in chosen)
    bits = layout.bit_depth
    reduced = np.stack([_core.reduced_frame(f, setup.scale, bit_depth=bits) for f in frames])
    poses = np.array([pose_of(image.where) for image in chosen])
    after = spread_moved_back(setup, reduced, poses)
    return float(spread_of(reduced)[setup.boxes].mean()), float(after[setup.boxes].mean())
