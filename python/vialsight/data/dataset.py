"""A dataset on disk: folder with `dataset.csv` and `layout.json`."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.aliases import Pose
from vialsight.data.images import header_problem, load_mask, mask_problem, read_frame
from vialsight.data.posed_masks import AT_REST, is_hit
from vialsight.data.records import (
    SPLITS,
    TABLE_NAME,
    Record,
    raise_listed,
    read_records,
    write_records,
)
from vialsight.errors import DataError
from vialsight.files.atomic import file_sha256

LAYOUT_NAME: Final = "layout.json"
NOMINAL: Final = 0
DEFECTIVE: Final = 1
UNKNOWN: Final = -1


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The inspected frames of one run of one product, in order."""

    product: str
    run: int
    defective: bool
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """Product and run, as reports write them."""
        return f"{self.product}/run {self.run}"


@dataclass(frozen=True)
class Dataset:
    """Checked records and the layout all their images have."""

    folder: Path
    layout: Layout
    records: tuple[Record, ...]

    @property
    def products(self) -> tuple[str, ...]:
        """Product names, sorted, each once."""
        return tuple(sorted({record.product for record in self.records}))

    def select(self, *, split: str | None = None, label: str | None = None) -> "Dataset":
        """Return the part with this split and label.

        Raises DataError when the split has no image at all; a label may have none.
        """
        chosen = self.records
        if split is not None:
            chosen = tuple(record for record in chosen if record.split == split)
            if not chosen:
                raise DataError(f"{self.folder}: split {split!r} is empty; {self._split_counts()}")
        if label is not None:
            chosen = tuple(record for record in chosen if record.label == label)
        return replace(self, records=chosen)

    def in_splits(self, *splits: str) -> "Dataset":
        """Return the part in any of these splits, which may be nothing."""
        return replace(self, records=tuple(r for r in self.records if r.split in splits))

    def strips(self) -> tuple[Strip, ...]:
        """Group the records by product and run, frames in order.

        Raises DataError naming strips that do not have exactly the layout's number of frames.
        """
        groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in self.records:
            groups[record.product, record.run].append(record)
        strips = [_strip(product, run, groups[product, run]) for product, run in sorted(groups)]
        frames = self.layout.frames
        wrong = [
            f"{strip.name}: has {len(strip.records)}"
            for strip in strips
            if len(strip.records) != frames
        ]
        raise_listed(f"{self.folder}: strips without exactly {frames} frames", wrong)
        return tuple(strips)

    def require_layout(self, layout: Layout) -> None:
        """Raise DataError unless the data has this layout of a bundle.

        Layouts are compared by value: the name says where a product came from, not where its
        regions lie. Whether products are located may differ, too: that is the bundle's affair once
        it is frozen, and the same images serve bundles that locate and bundles that do not.
        """
        here, bundles = _images_of(self.layout), _images_of(layout)
        if here == bundles:
            return
        raise DataError(
            f"{self.folder / LAYOUT_NAME}: expected the bundle's layout, got another "
            f"({_difference(bundles, here)}); give data with its frames, regions and boxes"
        )

    def sha256(self, *, decode: bool = True) -> str:
        """Hash of content: layout, labels, splits, image and mask bytes, in any row order.

        Paths do not count: the same data elsewhere has the same hash. Decodes every image on the
        way, unless the caller has done so; raises DataError naming those that cannot be.
        """
        layout = json.dumps(json.loads(self.layout.to_json()), sort_keys=True)
        rows, problems = [], []
        for record in self.records:
            try:
                rows.append(self._record_line(record, decode=decode))
            except DataError as error:
                problems.append(str(error))
        raise_listed("images that cannot be used", problems)
        return hashlib.sha256("\n".join([layout, *sorted(rows)]).encode()).hexdigest()

    def _record_line(self, record: Record, *, decode: bool) -> str:
        if decode:
            read_frame(record.image, self.layout)
        mask = ""
        if record.mask is not None:
            if decode:
                load_mask(record.mask)
            mask = file_sha256(record.mask)
        fields = (record.product, record.run, record.frame, record.label, record.split)
        return json.dumps([*fields, file_sha256(record.image), mask])

    def _split_counts(self) -> str:
        counts = {name: sum(r.split == name for r in self.records) for name in SPLITS}
        return "images per split: " + ", ".join(f"{name} {n}" for name, n in counts.items())


def read_dataset(folder: Path) -> Dataset:
    """Read `folder/dataset.csv` and `folder/layout.json` with every check short of decoding.

    Raises DataError naming what is wrong: see `read_records`; images and masks whose header does
    not fit the layout; a layout that is none.
    """
    layout = _read_layout(folder / LAYOUT_NAME)
    records = read_records(folder)
    raise_listed("images that do not fit the layout", list(_header_problems(records, layout)))
    return Dataset(folder, layout, records)


def write_dataset(folder: Path, layout: Layout, records: Iterable[Record]) -> None:
    """Write `dataset.csv` and `layout.json` into an existing folder; images stay where they are."""
    (folder / LAYOUT_NAME).write_text(
        json.dumps(json.loads(layout.to_json()), indent=2) + "\n", encoding="utf-8"
    )
    write_records(folder, records)


def patch_truth(record: Record, layout: Layout, pose: Pose | None = None) -> npt.NDArray[np.int8]:
    """Return what is known of an image's patches, int8 (V,R): NOMINAL, DEFECTIVE or UNKNOWN.

    The patches of a nominal product are nominal. A defective product of one patch is that patch;
    otherwise its mask says which boxes, as seen at `pose`, hold defective pixels, and without a
    mask nothing is known. Without a pose the boxes are where the layout has them.
    Raises DataError for a mask that cannot be read or has another size.
    """
    shape = (layout.vials, len(layout.regions))
    if not record.defective:
        return np.full(shape, NOMINAL, np.int8)
    if layout.patches_per_frame == 1:
        return np.full(shape, DEFECTIVE, np.int8)
    if record.mask is None:
        return np.full(shape, UNKNOWN, np.int8)
    return _truth_in_boxes(load_mask(record.mask), layout, pose)


def strip_truth(
    strip: Strip, layout: Layout, poses: Sequence[Pose] | None = None
) -> npt.NDArray[np.int8]:
    """Return what is known of a strip's patches, int8 (F,V,R); raises as `patch_truth` does.

    `poses` are of its F frames; without them the boxes are where the layout has them.
    """
    of_frames = [None] * len(strip.records) if poses is None else poses
    pairs = zip(strip.records, of_frames, strict=True)
    return np.stack([patch_truth(record, layout, pose) for record, pose in pairs])


def load_strip(strip: Strip, layout: Layout) -> npt.NDArray[Any]:
    """Load the frames of a strip, uint8 or uint16 (F,H,W); raises DataError as `read_frame`."""
    return np.stack([read_frame(record.image, layout) for record in strip.records])


def _truth_in_boxes(
    mask: npt.NDArray[np.bool_], layout: Layout, pose: Pose | None
) -> npt.NDArray[np.int8]:
    truth = np.full((layout.vials, len(layout.regions)), NOMINAL, np.int8)
    for vial, region in np.ndindex(truth.shape):
        if is_hit(mask, layout, vial, region, pose=pose or AT_REST):
            truth[vial, region] = DEFECTIVE
    return truth


def _images_of(layout: Layout) -> dict[str, Any]:
    """Return what a layout says of images: neither its name nor how products are located."""
    fields: dict[str, Any] = json.loads(layout.to_json())
    return {name: value for name, value in fields.items() if name not in ("name", "locate")}


def _difference(expected: dict[str, Any], came: dict[str, Any]) -> str:
    """Say in which fields two layouts differ, and how."""
    differing = [name for name in expected if came[name] != expected[name]]
    return ", ".join(f"{name} {came[name]} instead of {expected[name]}" for name in differing)


def _strip(product: str, run: int, records: list[Record]) -> Strip:
    ordered = tuple(sorted(records, key=lambda record: record.frame))
    return Strip(product=product, run=run, defective=ordered[0].defective, records=ordered)


def _read_layout(path: Path) -> Layout:
    if not path.is_file():
        raise DataError(f"{path}: no such file; a dataset is a folder with {TABLE_NAME} and layout")
    return Layout.load(path)


def _header_problems(records: Iterable[Record], layout: Layout) -> Iterable[str]:
    size = {"width": layout.frame_width, "height": layout.frame_height}
    for record in records:
        yield from _one(header_problem(record.image, bit_depth=layout.bit_depth, **size))
        if record.mask is not None:
            yield from _one(mask_problem(record.mask, **size))


def _one(problem: str | None) -> list[str]:
    return [] if problem is None else [problem]
