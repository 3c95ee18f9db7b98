"""Packs an existing dataset folder into shards."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vialsight._core import Layout
from vialsight.data.dataset import Dataset
from vialsight.data.images import read_frame
from vialsight.data.pixels import Pixels
from vialsight.data.records import Record
from vialsight.data.shards.plan import Group


@dataclass(frozen=True)
class _Load:
    """Loads images when they are written; picklable."""

    records: tuple[Record, ...]
    layout: str  # JSON

    def __call__(self) -> list[Pixels]:
        layout = Layout.from_json(self.layout)
        return [read_frame(record.image, layout) for record in self.records]


def dataset_groups(dataset: Dataset, splits: Sequence[str]) -> list[Group]:
    """Return the images of these splits, one group per product and run, sorted by their names.

    Raises DataError for a split that holds no image.
    """
    runs: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for split in dict.fromkeys(splits):
        for record in dataset.select(split=split).records:
            runs[record.product, record.run].append(record)
    return [_group(runs[key], dataset.layout) for key in sorted(runs)]


def train_groups(dataset: Dataset) -> list[Group]:
    """Return the images of the train split as `dataset_groups` does; there may be none."""
    return dataset_groups(dataset, ["train"]) if dataset.in_splits("train").records else []


def dataset_source(dataset: Dataset) -> str:
    """Return what tells one dataset from another without decoding it: names and sizes of files."""
    rows = sorted([str(record.image), record.image.stat().st_size] for record in dataset.records)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _group(records: Sequence[Record], layout: Layout) -> Group:
    ordered = tuple(sorted(records, key=lambda record: record.frame))
    first = ordered[0]
    return Group(
        product=first.product,
        run=first.run,
        label=first.label,
        split=first.split,
        frames=tuple(record.frame for record in ordered),
        load=_Load(ordered, layout.to_json()),
    )
