"""Folders in the form of MVTec AD as a dataset: every file is used, or listed with a reason."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight.aliases import Progress
from vialsight.data.dataset import Dataset, read_dataset, write_dataset
from vialsight.data.defects import DEFECTS_NAME, KnownDefect, write_defects
from vialsight.data.fits import Fit
from vialsight.data.geometry import AS_FOUND, Geometry
from vialsight.data.images import image_header, load_any, load_mask
from vialsight.data.intake import IMAGE, INTAKE_NAME, MASK, Intake, tell_of_black_masks
from vialsight.data.records import Record, raise_listed
from vialsight.data.splits import Fractions, assign_splits
from vialsight.errors import DataError
from vialsight.files import atomic

MVTEC_NOMINAL: Final = Fractions(0.8, 0.05, 0.15, 0.0)
MVTEC_DEFECTIVE: Final = Fractions(0.0, 0.0, 0.0, 1.0)
_TRAIN: Final = "train/good"
_GOOD: Final = "test/good"
_MASKS: Final = "ground_truth"
_MASK_ENDINGS: Final = ("_mask", "")

log = logging.getLogger(__name__)


def prepare_mvtec(
    category: Path,
    out: Path,
    *,
    patch_size: int,
    seed: int,
    nominal: Fractions = MVTEC_NOMINAL,
    defective: Fractions = MVTEC_DEFECTIVE,
    geometry: Geometry = AS_FOUND,
    progress: Progress | None = None,
) -> Dataset:
    """Write a dataset folder from one category in the layout of MVTec AD.

    Reads `train/good`, `test/<defect>` and `ground_truth/<defect>/*_mask.png`, folders below them
    included; a product is one image. `nominal` splits `train/good`; `test/good` is always test;
    `defective` splits the rest. Images that `geometry` changes are written into `out`, the others
    stay where they are; `out/intake.csv` lists every file. Raises DataError for a folder of
    another form, images that cannot be used, missing masks, or when `out` exists.
    """
    atomic.refuse_existing(out)
    found = _Category.read(category)
    split = assign_splits(
        (*found.train, *found.bad), nominal=nominal, defective=defective, seed=seed
    )
    records = (*split, *found.good)
    images = [record.image for record in records]
    name = category.resolve().name
    layout, fit = geometry.layout(name, "image", images, patch_size, log.info)
    with atomic.new_folder(out) as folder:
        if fit is not None:
            records = _fitted(records, fit, folder, progress)
        write_dataset(folder, layout, records)
        write_defects(folder / DEFECTS_NAME, _kinds(records))
        found.intake.write(folder / INTAKE_NAME)
        read_dataset(folder)
        found.intake.tell(log.info)
        tell_of_black_masks(records, log.warning)
    return read_dataset(out)


@dataclass(frozen=True)
class _Category:
    """Nominal training images, nominal test images and defective images."""

    intake: Intake
    train: tuple[Record, ...]
    good: tuple[Record, ...]
    bad: tuple[Record, ...]

    @classmethod
    def read(cls, category: Path) -> "_Category":
        for needed in (_TRAIN, "test"):
            if not (category / needed).is_dir():
                raise DataError(
                    f"{category}: expected a category of MVTec AD with train/good and "
                    f"test/<defect>; {needed} is missing"
                )
        intake = Intake(category.absolute())
        train = tuple(_records(intake, _TRAIN, "nominal"))
        if not train:
            raise DataError(f"{category}/{_TRAIN}: expected images, found none")
        good = tuple(replace(r, split="test") for r in _records(intake, _GOOD, "nominal"))
        defects = [name for name in intake.folders("test") if name != "good"]
        bad = [r for name in defects for r in _records(intake, f"test/{name}", "defective")]
        if (category / _MASKS).is_dir():
            bad = _with_masks(intake, bad)
        elsewhere = "not part of a category: train/good, test/<defect>, ground_truth/<defect>"
        intake.leave_out_others("", ("train", "test", _MASKS), elsewhere)
        intake.leave_out_others("train", ("good",), "training takes train/good only")
        return cls(intake, train, good, tuple(bad))


def _records(intake: Intake, folder: str, label: str) -> list[Record]:
    records = []
    for image in intake.images(folder):
        intake.use(image, IMAGE)
        product = image.relative_to(intake.root).with_suffix("").as_posix()
        records.append(Record(image=image, product=product, label=label))
    return records


def _with_masks(intake: Intake, records: Sequence[Record]) -> list[Record]:
    """Return the records with their masks, named as their images, with `_mask` or without."""
    masks = {path.with_suffix(""): path for path in intake.images(_MASKS)}
    masked, missing = [], []
    for record in records:
        stem = intake.root / _MASKS / Path(record.product).relative_to("test")
        candidates = [stem.with_name(stem.name + ending) for ending in _MASK_ENDINGS]
        mask = next((masks[name] for name in candidates if name in masks), None)
        if mask is None:
            missing.append(f"{record.image}: {candidates[0]}.png")
            continue
        intake.use(mask, MASK)
        masked.append(replace(record, mask=mask))
    raise_listed("defective images whose mask is missing", missing)
    for mask in masks.values():
        intake.leave_out(mask, "no image of test has this mask")
    return masked


def _kinds(records: Sequence[Record]) -> tuple[KnownDefect, ...]:
    """Return the class of each defective product: the folder below `test` that it came from."""
    return tuple(
        KnownDefect(product=record.product, kind=record.product.split("/")[1])
        for record in records
        if record.defective
    )


def _fitted(
    records: Sequence[Record], fit: Fit, folder: Path, progress: Progress | None
) -> tuple[Record, ...]:
    """Write images of another size, and their masks, into a dataset folder; return the records."""
    result, changed = [], 0
    for done, record in enumerate(records, 1):
        header = image_header(record.image)
        fits = (header.width, header.height) == fit.size
        changed += not fits
        result.append(record if fits else _one_fitted(record, fit, folder))
        if progress is not None:
            progress(done, len(records))
    log.info(
        "%s of %s images changed to %dx%d (--fit %s) and written beside dataset.csv",
        f"{changed:,}",
        f"{len(records):,}",
        *fit.size,
        fit.kind,
    )
    return tuple(result)


def _one_fitted(record: Record, fit: Fit, folder: Path) -> Record:
    pixels = load_any(record.image)
    image = _saved(fit.image(pixels), folder / "images" / f"{record.product}.png")
    if record.mask is None:
        return replace(record, image=image)
    mask = load_mask(record.mask)
    if mask.shape != pixels.shape:
        raise DataError(
            f"{record.mask}: expected a mask of {pixels.shape[1]}x{pixels.shape[0]} pixels as its "
            f"image has, got {mask.shape[1]}x{mask.shape[0]}"
        )
    path = folder / "masks" / f"{record.product}.png"
    return replace(record, image=image, mask=_saved(fit.mask(mask), path))


def _saved(pixels: npt.NDArray[Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = pixels * np.uint8(255) if pixels.dtype == bool else pixels
    Image.fromarray(shown).save(path)
    return path
