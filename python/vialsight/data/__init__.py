"""Datasets on disk: tables, images, splits, adapters, and their patches."""

from vialsight.data.adapters import prepare_elpv, prepare_split
from vialsight.data.cutting import Cut, FrameCutter, NotLocatedError
from vialsight.data.dataset import (
    DEFECTIVE,
    NOMINAL,
    UNKNOWN,
    Dataset,
    Strip,
    load_strip,
    patch_truth,
    read_dataset,
    strip_truth,
    write_dataset,
)
from vialsight.data.defects import (
    DEFECTS_NAME,
    KnownDefect,
    check_defects,
    read_defects,
    write_defects,
)
from vialsight.data.geometry import Geometry
from vialsight.data.images import load_frame, load_mask, read_frame
from vialsight.data.locators import chosen_locator, find_locator
from vialsight.data.mvtec import prepare_mvtec
from vialsight.data.packing import dataset_groups, dataset_source, train_groups
from vialsight.data.patches import DatasetPatches
from vialsight.data.records import Record
from vialsight.data.shards.index import ShardIndex, read_index
from vialsight.data.shards.plan import Group, needed_bytes, plan_shards, require_space
from vialsight.data.shards.reading import ShardFolder, ShardPatches, check_shards, open_shards
from vialsight.data.shards.writing import unfinished_shards, write_shards
from vialsight.data.splits import Fractions, assign_splits

__all__ = [
    "DEFECTIVE",
    "DEFECTS_NAME",
    "NOMINAL",
    "UNKNOWN",
    "Cut",
    "Dataset",
    "DatasetPatches",
    "Fractions",
    "FrameCutter",
    "Geometry",
    "Group",
    "KnownDefect",
    "NotLocatedError",
    "Record",
    "ShardFolder",
    "ShardIndex",
    "ShardPatches",
    "Strip",
    "assign_splits",
    "check_defects",
    "check_shards",
    "chosen_locator",
    "dataset_groups",
    "dataset_source",
    "find_locator",
    "load_frame",
    "load_mask",
    "load_strip",
    "needed_bytes",
    "open_shards",
    "patch_truth",
    "plan_shards",
    "prepare_elpv",
    "prepare_mvtec",
    "prepare_split",
    "read_dataset",
    "read_defects",
    "read_frame",
    "read_index",
    "require_space",
    "strip_truth",
    "train_groups",
    "unfinished_shards",
    "write_dataset",
    "write_defects",
    "write_shards",
]
