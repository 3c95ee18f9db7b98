"""Inspection through a bundle that locates: poses, pictures of frames, and timing."""

from pathlib import Path

import numpy as np
import pytest
from gripped_product import product_locator, spoil, write_located_bundle, write_located_dataset
from PIL import Image

import vialsight
from vialsight.calibration.fitting import calibrate
from vialsight.data import Dataset, load_frame
from vialsight.line.bench import measure_latency
from vialsight.line.inspection import inspect_product, poses_of, products_of_dataset
from vialsight.line.overview import write_overviews
from vialsight.line.soak import run_slots

pytestmark = pytest.mark.tensorflow

LOST = ("test-nominal-1", "test-defective-2")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Of two test products a frame is noise."""
    made = write_located_dataset(tmp_path_factory.mktemp("spoilt") / "data")
    for product in LOST:
        spoil(made.records, product, 2)
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> vialsight.Bundle:
    folder = tmp_path_factory.mktemp("located")
    frozen = vialsight.Bundle.load(write_located_bundle(folder / "located.vsb", dataset))
    calibrate(frozen, dataset, folder / "line.vsb")
    return vialsight.Bundle.load(folder / "line.vsb")


def test_inspection_says_where_products_lie(
    bundle: vialsight.Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    inspector = vialsight.Inspector(bundle)
    locator = product_locator().core()
    for product in products_of_dataset(dataset.select(split="test")):
        inspected = inspect_product(inspector, product)
        poses = inspected.to_json()["poses"]
        for path, pose in zip(product.images, poses, strict=True):
            where = locator.locate(load_frame(path, 8))
            assert (pose["found"], pose["reason"]) == (where.found, where.reason)
            assert pose["dx"] == where.dx
        names = {path.name for path in write_overviews(inspector, inspected, tmp_path, number=1)}
        if product.name in LOST:
            assert inspected.reason == "not_located"
            assert f"0001-{product.name}-run1-frame2.png" in names


def test_without_a_locator_there_is_no_pose(
    tiny_calibrated_bundle: Path, tiny_dataset: Dataset
) -> None:
    inspector = vialsight.Inspector(vialsight.Bundle.load(tiny_calibrated_bundle))
    product = products_of_dataset(tiny_dataset.select(split="test"))[0]
    assert "poses" not in inspect_product(inspector, product).to_json()


def test_poses_of_a_verdict(bundle: vialsight.Bundle, dataset: Dataset) -> None:
    strips = {strip.product: strip for strip in dataset.select(split="test").strips()}
    frames = np.stack([load_frame(r.image, 8) for r in strips[LOST[0]].records])
    verdict = vialsight.Inspector(bundle).inspect(frames)
    poses = poses_of(verdict)
    assert [pose is None for pose in poses] == [False, True, False]
    where = verdict.locations[0]
    assert poses[0] == (where.dx, where.dy, where.turn)


def test_frame_without_the_product_is_shown_with_the_reason(
    bundle: vialsight.Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    inspector = vialsight.Inspector(bundle)
    products = products_of_dataset(dataset.select(split="test"))
    lost = next(product for product in products if product.name == LOST[0])
    inspected = inspect_product(inspector, lost)
    paths = write_overviews(inspector, inspected, tmp_path, number=1)
    shown = np.array(Image.open(next(p for p in paths if p.stem.endswith("frame2"))))
    gray = load_frame(lost.images[1], 8)
    assert (shown[40:] == gray[40:, :, np.newaxis]).all()
    assert (shown != gray[..., np.newaxis]).any()


def test_made_strips_are_located(bundle: vialsight.Bundle) -> None:
    inspector = vialsight.Inspector(bundle, require_fresh_frames=True)
    result = run_slots(inspector, seconds=0.5, budget_s=0.1)
    assert result["frames_not_located"] == 0
    assert "not_located" not in result["verdicts"]
    assert measure_latency(bundle, None, count=2, budget_ms=500)["latency_ms"]["locate"]["min"] > 0
