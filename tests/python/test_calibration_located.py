"""Calibration of a bundle that locates: patches and truths where the product lies."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from gripped_product import (
    LAYOUT,
    frame_at,
    grip,
    product_locator,
    spoil,
    write_located_bundle,
    write_located_dataset,
)
from PIL import Image

import vialsight
from conftest import make_tiny_layout
from vialsight.bundle import read_manifest
from vialsight.calibration.fitting import calibrate
from vialsight.calibration.scores import score_split
from vialsight.data import DEFECTIVE, Dataset, load_frame
from vialsight.errors import DataError

pytestmark = pytest.mark.tensorflow

LOST = "calibration-defective-1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("located")
    return write_located_bundle(folder / "located.vsb", write_located_dataset(folder / "data"))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """The located product's dataset, free to be damaged."""
    return write_located_dataset(tmp_path / "data")


def scored(bundle: Path, dataset: Dataset, tmp_path: Path):
    part = dataset.select(split="calibration")
    loaded = vialsight.Bundle.load(bundle)
    return score_split(loaded, part, tmp_path / "out.vsb", loaded.components, identity="test")


def move_one_frame(dataset: Dataset, product: str) -> None:
    """Let the product lie three pixels elsewhere in its last frame: another one, or shaken."""
    record = next(r for r in dataset.records if (r.product, r.frame) == (product, 3))
    moved = frame_at((-3.5, 3.5, 0.0), np.random.default_rng(31))
    Image.fromarray(moved).save(record.image)


def test_patches_are_cut_where_the_product_lies(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    found = scored(bundle, dataset, tmp_path)
    locator, inspector = (
        product_locator().core(),
        vialsight.Inspector(vialsight.Bundle.load(bundle), require_thresholds=False),
    )
    for number, strip in enumerate(dataset.select(split="calibration").strips()):
        for place, record in enumerate(strip.records):
            frame = load_frame(record.image, 8)
            where = locator.locate(frame)
            pose = (where.dx, where.dy, where.turn)
            patches = vialsight.extract_patches(frame, LAYOUT, pose).reshape(-1, 32, 32)
            expected = inspector.score_patches(patches)
            np.testing.assert_allclose(found.numbers[number, place].ravel(), expected, atol=1e-6)


def test_truth_is_the_defects_place_on_the_product(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    found = scored(bundle, dataset, tmp_path)
    expected = np.zeros((3, 2, 2), np.int8)
    expected[:, 0, 1] = DEFECTIVE  # wherever the gripper held it
    for truth, defective in zip(found.truth, found.defective, strict=True):
        assert (truth == (expected if defective else 0)).all()


def test_data_need_not_say_that_products_are_located(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    silent = dataclasses.replace(dataset, layout=make_tiny_layout())
    loaded = vialsight.Bundle.load(bundle)
    said = calibrate(loaded, dataset, tmp_path / "one.vsb")
    assert calibrate(loaded, silent, tmp_path / "two.vsb").levels == said.levels


def test_nominal_strip_that_is_not_located(bundle: Path, dataset: Dataset, tmp_path: Path) -> None:
    spoil(dataset.records, "calibration-nominal-2", 2)
    loaded = vialsight.Bundle.load(bundle)
    with pytest.raises(DataError, match=r"calibration-nominal-2/run 1 is nominal.*-2\.png") as told:
        calibrate(loaded, dataset, tmp_path / "out.vsb")
    assert "take this one out of the calibration split" in str(told.value)


def test_nominal_strip_whose_frames_do_not_agree(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    move_one_frame(dataset, "calibration-nominal-2")
    with pytest.raises(
        DataError, match=r"nominal-2/run 1 is nominal.*within 1 px .* of each other"
    ):
        calibrate(vialsight.Bundle.load(bundle), dataset, tmp_path / "out.vsb")


@pytest.mark.parametrize("how", ["not found", "not in agreement"])
def test_defective_strip_that_is_not_located_is_left_out(
    bundle: Path, dataset: Dataset, tmp_path: Path, how: str
) -> None:
    if how == "not found":
        spoil(dataset.records, LOST, 2)
    else:
        move_one_frame(dataset, LOST)
    loaded, out = vialsight.Bundle.load(bundle), tmp_path / "out.vsb"
    result = calibrate(loaded, dataset, out)
    kept = tuple(r for r in dataset.records if r.product != LOST)
    without = calibrate(loaded, dataclasses.replace(dataset, records=kept), tmp_path / "kept.vsb")
    assert result.levels == without.levels
    assert [
        w for w in result.warnings if w.startswith(f"1 defective strips were not located ({LOST})")
    ]
    record = read_manifest(vialsight.Bundle.load(out))["calibration"]
    assert record["not_located"] == 1
    assert LOST in record["products"]
    assert (
        "not_located"
        not in read_manifest(vialsight.Bundle.load(tmp_path / "kept.vsb"))["calibration"]
    )


def test_all_runs_of_a_product_are_left_out_with_one(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    random = np.random.default_rng(37)
    pose, again = grip(random), []
    for record in dataset.select(split="calibration", label="defective").records:
        if record.product == LOST:
            image = record.image.with_name(f"again-{record.image.name}")
            Image.fromarray(frame_at(pose, random)).save(image)
            again.append(dataclasses.replace(record, image=image, run=2))
    spoil(again, LOST, 1)
    whole = dataclasses.replace(dataset, records=(*dataset.records, *again))
    found = scored(bundle, whole, tmp_path)
    assert found.not_located == (LOST,)
    assert len(found.numbers) == len(found.truth) == len(found.defective) == 7
    assert found.unit.tolist() == list(range(7))
