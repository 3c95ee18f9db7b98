"""Adapters: other people's images as a dataset; they stay where they are."""

import csv
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vialsight._core import Layout
from vialsight.data.dataset import Dataset, read_dataset, write_dataset
from vialsight.data.geometry import AS_FOUND
from vialsight.data.independence import without_lookalikes
from vialsight.data.intake import tell_of_black_masks
from vialsight.data.records import Record, check_files
from vialsight.data.splits import Fractions, assign_splits
from vialsight.errors import DataError
from vialsight.files import atomic

# Which solar cells; those of one crystal are alike, the polycrystalline ones all differ.
ELPV_CELLS: Final = ("mono", "poly", "all")
ELPV_NOMINAL: Final = Fractions(0.6, 0.05, 0.15, 0.2)
ELPV_DEFECTIVE: Final = Fractions(0.0, 0.0, 0.4, 0.6)

log = logging.getLogger(__name__)


def prepare_elpv(
    out: Path,
    *,
    patch_size: int,
    seed: int,
    cells: str = ELPV_CELLS[0],
    nominal: Fractions = ELPV_NOMINAL,
    defective: Fractions = ELPV_DEFECTIVE,
) -> Dataset:
    """Write a dataset folder of the solar cells of the package `elpv-dataset`.

    `cells` is `mono` (monocrystalline), `poly` (polycrystalline) or `all`. Defect probability 0 is
    nominal, 1 is defective, cells in between are left out; a product is one cell: one frame, one
    vial, one region. Cells that look like one of an earlier split are in no split (see
    `independence.without_lookalikes`). Raises DataError when the package is missing or `out`
    exists. Source: Deitsch et al., doi:10.1016/j.solener.2019.02.067.
    """
    if cells not in ELPV_CELLS:
        raise DataError(f"cells must be one of {', '.join(ELPV_CELLS)}; got {cells!r}")
    cells_found = tuple(_elpv_records(_elpv_folder(), cells))
    records = tuple(record for record in cells_found if record is not None)
    log.info(
        "%d cells used, %d left out: experts were not sure of them",
        len(records),
        len(cells_found) - len(records),
    )
    check_files(records)
    images = [record.image for record in records]
    layout, _ = AS_FOUND.layout(f"elpv-{cells}", "cell", images, patch_size, log.info)
    split = assign_splits(records, nominal=nominal, defective=defective, seed=seed)
    return _write(out, layout, without_lookalikes(Dataset(out, layout, split)))


def prepare_split(
    folder: Path, out: Path, *, seed: int, nominal: Fractions, defective: Fractions
) -> Dataset:
    """Write a dataset folder with the rows and layout of another, split anew by product.

    Raises DataError when `folder` is no valid dataset or `out` exists.
    """
    source = read_dataset(folder)
    split = assign_splits(source.records, nominal=nominal, defective=defective, seed=seed)
    tell_of_black_masks(split, log.warning)
    return _write(out, source.layout, split)


def _write(out: Path, layout: Layout, records: tuple[Record, ...]) -> Dataset:
    with atomic.new_folder(out) as folder:
        write_dataset(folder, layout, records)
        read_dataset(folder)
    return read_dataset(out)


def _elpv_folder() -> Path:
    # The package's own reader loads all 2,624 images; only where they lie is needed here.
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the Python package elpv-dataset is not installed; "
            "install it with: pip install 'vialsight[data]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _elpv_records(folder: Path, cells: str) -> Iterator[Record | None]:
    """Yield the cells of one type of `labels.csv`; None where the label is uncertain.

    Its columns are path, probability of a defect and type.
    """
    table = folder / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table}: no such file; reinstall with: pip install 'vialsight[data]'")
    for path, probability, cell_type in csv.reader(
        table.read_text(encoding="utf-8").splitlines(), delimiter=" ", skipinitialspace=True
    ):
        label = {0.0: "nominal", 1.0: "defective"}.get(float(probability))
        if cells not in (cell_type.strip(), "all"):
            continue
        if label is None:
            yield None
        else:
            yield Record(image=folder / path, product=Path(path).stem, label=label)
