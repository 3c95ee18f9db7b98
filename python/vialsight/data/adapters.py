"""Adapters: other people's folders as a dataset; images stay where they are."""

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vialsight._core import Layout
from vialsight.data.dataset import Dataset, read_dataset, write_dataset
from vialsight.data.defects import DEFECTS_NAME, KnownDefect, write_defects
from vialsight.data.images import image_size
from vialsight.data.independence import without_lookalikes
from vialsight.data.records import Record, check_files
from vialsight.data.splits import Fractions, assign_splits
from vialsight.errors import DataError
from vialsight.files import atomic

# Which solar cells; those of one crystal are alike, the polycrystalline ones all differ.
ELPV_CELLS: Final = ("mono", "poly", "all")
ELPV_NOMINAL: Final = Fractions(0.6, 0.05, 0.15, 0.2)
ELPV_DEFECTIVE: Final = Fractions(0.0, 0.0, 0.4, 0.6)
MVTEC_NOMINAL: Final = Fractions(0.8, 0.05, 0.15, 0.0)
MVTEC_DEFECTIVE: Final = Fractions(0.0, 0.0, 0.0, 1.0)
_IMAGE_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff")


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
    records = tuple(_elpv_records(_elpv_folder(), cells))
    check_files(records)
    layout = _whole_image_layout(f"elpv-{cells}", "cell", records[0].image, patch_size)
    split = assign_splits(records, nominal=nominal, defective=defective, seed=seed)
    return _write(out, layout, without_lookalikes(Dataset(out, layout, split)))


def prepare_mvtec(
    category: Path,
    out: Path,
    *,
    patch_size: int,
    seed: int,
    nominal: Fractions = MVTEC_NOMINAL,
    defective: Fractions = MVTEC_DEFECTIVE,
) -> Dataset:
    """Write a dataset folder from one category in the layout of MVTec AD.

    Reads `train/good`, `test/<defect>` and `ground_truth/<defect>/*_mask.png`; a product is one
    image. `nominal` splits `train/good`; `test/good` is always test; `defective` splits the rest.
    Raises DataError for a folder of another form, colour images, missing masks, or when `out`
    exists.
    """
    train, good, bad = _mvtec_records(category)
    check_files((*train, *good, *bad))
    layout = _whole_image_layout(category.resolve().name, "image", train[0].image, patch_size)
    split = assign_splits((*train, *bad), nominal=nominal, defective=defective, seed=seed)
    records = (*split, *good)
    return _write(out, layout, records, _mvtec_kinds(records))


def prepare_split(
    folder: Path, out: Path, *, seed: int, nominal: Fractions, defective: Fractions
) -> Dataset:
    """Write a dataset folder with the rows and layout of another, split anew by product.

    Raises DataError when `folder` is no valid dataset or `out` exists.
    """
    source = read_dataset(folder)
    split = assign_splits(source.records, nominal=nominal, defective=defective, seed=seed)
    return _write(out, source.layout, split)


def _write(
    out: Path,
    layout: Layout,
    records: tuple[Record, ...],
    defects: tuple[KnownDefect, ...] = (),
) -> Dataset:
    with atomic.new_folder(out) as folder:
        write_dataset(folder, layout, records)
        if defects:
            write_defects(folder / DEFECTS_NAME, defects)
        read_dataset(folder)
    return read_dataset(out)


def _whole_image_layout(name: str, region: str, image: Path, patch_size: int) -> Layout:
    width, height, bits = image_size(image)
    return Layout(
        name=name,
        frame_width=width,
        frame_height=height,
        bit_depth=bits,
        frames=1,
        regions=[region],
        boxes=[[(0, 0, width, height)]],
        patch_size=patch_size,
    )


def _elpv_folder() -> Path:
    # The package's own reader loads all 2,624 images; only where they lie is needed here.
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the Python package elpv-dataset is not installed; "
            "install it with: pip install 'vialsight[data]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _elpv_records(folder: Path, cells: str) -> Iterator[Record]:
    """Yield the cells of one type of `labels.csv`, whose columns are path, probability and type."""
    table = folder / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table}: no such file; reinstall with: pip install 'vialsight[data]'")
    for path, probability, cell_type in csv.reader(
        table.read_text(encoding="utf-8").splitlines(), delimiter=" ", skipinitialspace=True
    ):
        label = {0.0: "nominal", 1.0: "defective"}.get(float(probability))
        if cells in (cell_type.strip(), "all") and label is not None:
            yield Record(image=folder / path, product=Path(path).stem, label=label)


def _mvtec_records(
    category: Path,
) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]:
    """Return nominal training images, nominal test images and defective images."""
    for needed in ("train/good", "test"):
        if not (category / needed).is_dir():
            raise DataError(
                f"{category}: expected a category of MVTec AD with train/good and test/<defect>; "
                f"{needed} is missing"
            )
    train = tuple(_nominal(category, "train/good", ""))
    if not train:
        raise DataError(f"{category}/train/good: expected images ({', '.join(_IMAGE_SUFFIXES)})")
    good = tuple(_nominal(category, "test/good", "test"))
    defects = sorted(p.name for p in (category / "test").iterdir() if p.is_dir())
    bad = [r for name in defects if name != "good" for r in _defective(category, name)]
    return train, good, tuple(bad)


def _mvtec_kinds(records: tuple[Record, ...]) -> tuple[KnownDefect, ...]:
    """Return the class of each defective product: the folder below `test` that it came from."""
    return tuple(
        KnownDefect(product=record.product, kind=record.product.split("/")[1])
        for record in records
        if record.defective
    )


def _nominal(category: Path, folder: str, split: str) -> Iterator[Record]:
    for image in _images(category / folder):
        yield Record(image=image, product=f"{folder}/{image.stem}", label="nominal", split=split)


def _defective(category: Path, defect: str) -> Iterator[Record]:
    masks = (category / "ground_truth" / defect).absolute()
    for image in _images(category / "test" / defect):
        yield Record(
            image=image,
            product=f"test/{defect}/{image.stem}",
            label="defective",
            mask=masks / f"{image.stem}_mask.png" if masks.parent.is_dir() else None,
        )


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.absolute().iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    return sorted(found)
