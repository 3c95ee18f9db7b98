"""Evaluation of a bundle that locates, from images to report."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from gripped_product import (
    LAYOUT,
    product_locator,
    spoil,
    write_located_bundle,
    write_located_dataset,
)

import vialsight
from conftest import make_tiny_layout
from vialsight.calibration.fitting import calibrate
from vialsight.data import DEFECTIVE, UNKNOWN, Dataset, load_frame
from vialsight.evaluation.evaluate import evaluate
from vialsight.evaluation.evidence import Evidence, read_evidence
from vialsight.evaluation.patch_pictures import patch_mask
from vialsight.report import new_report, rebuild_report

pytestmark = pytest.mark.tensorflow

LOST = ("test-nominal-1", "test-defective-2")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("located")
    dataset = write_located_dataset(folder / "data")
    frozen = vialsight.Bundle.load(write_located_bundle(folder / "located.vsb", dataset))
    calibrate(frozen, dataset, folder / "line.vsb")
    return folder / "line.vsb"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The located product's data, with its truth; of two test products a frame is noise."""
    made = write_located_dataset(tmp_path_factory.mktemp("spoilt") / "data", with_truth=True)
    for product in LOST:
        spoil(made.records, product, 2)
    return made


def reported(bundle: Path, dataset: Dataset, out: Path) -> Path:
    with evaluate(vialsight.Bundle.load(bundle), dataset, out) as evidence:
        new_report(evidence, out)
    return out


@pytest.fixture(scope="module")
def report(bundle: Path, dataset: Dataset) -> Path:
    return reported(bundle, dataset, bundle.with_name("report"))


@pytest.fixture(scope="module")
def evidence(report: Path) -> Evidence:
    return read_evidence(report)


@pytest.fixture(scope="module")
def values(report: Path):
    return json.loads((report / "report.json").read_text("utf-8"))


def test_products_that_are_not_found_are_rejects(evidence: Evidence, values) -> None:
    reasons = dict(zip(evidence.products, evidence.reasons, strict=True))
    assert {name for name, reason in reasons.items() if reason == "not_located"} == set(LOST)
    assert not evidence.accepted[evidence.not_located].any()
    assert (evidence.truth[evidence.not_located] == UNKNOWN).all()
    assert (values["strip"]["nominal"], values["strip"]["defective"]) == (4, 3)
    assert {row["unit"]: row["nominal"] + row["defective"] for row in values["patch"]} == {
        "top": 30,
        "bottom": 30,
        "vial": 10,
    }


def test_scores_are_of_patches_where_the_product_lies(
    bundle: Path, dataset: Dataset, evidence: Evidence
) -> None:
    inspector = vialsight.Inspector(vialsight.Bundle.load(bundle))
    locator = product_locator().core()
    for number in np.flatnonzero(~evidence.not_located).tolist():
        records = [r for r in dataset.records if r.product == evidence.products[number]]
        for frame, record in enumerate(records):
            pixels = load_frame(record.image, 8)
            where = locator.locate(pixels)
            pose = (where.dx, where.dy, where.turn)
            patches = vialsight.extract_patches(pixels, LAYOUT, pose).reshape(-1, 32, 32)
            scores = inspector.score_patches(patches)
            np.testing.assert_allclose(evidence.scores[number, frame].ravel(), scores, atol=1e-6)


def test_defects_are_where_they_are_on_the_product(evidence: Evidence) -> None:
    expected = np.zeros((3, 2, 2), np.int8)
    expected[:, 0, 1] = DEFECTIVE
    for truth in evidence.truth[evidence.defective & ~evidence.not_located]:
        assert (truth == expected).all()


def test_mask_of_a_patch_is_where_the_defect_is_on_the_product(dataset: Dataset) -> None:
    # u from -38 to -26 and v from 14 to 26, in a box that begins at (-44, 4).
    locator = product_locator().core()
    for record in dataset.select(split="test", label="defective").records:
        where = locator.locate(load_frame(record.image, 8))
        if not where.found:
            continue
        mask = patch_mask(record, LAYOUT, 0, 1, pose=(where.dx, where.dy, where.turn))
        assert mask[11:21, 7:17].all()
        mask[9:23, 5:19] = False
        assert not mask.any()


def test_poses_are_the_truth(report: Path, values) -> None:
    with (report / "poses.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [row for row in rows if row["found"] == "yes"]
    assert len(rows) - len(found) == len(LOST)
    for row in found:
        assert float(row["dx"]) == pytest.approx(float(row["true_dx"]), abs=0.2)
        assert float(row["turn"]) == pytest.approx(float(row["true_turn"]), abs=5e-3)
    assert rows[0]["image"].endswith("-1.png")
    poses = values["poses"]
    assert (poses["frames"], poses["frames_not_located"]) == (21, 2)
    assert (poses["inspections"], poses["not_located"]) == (7, 2)
    assert all(row["error_worst"] < 0.2 for row in poses["coordinates"][:2])


def test_times_say_how_long_locating_took(evidence: Evidence, values) -> None:
    assert next(iter(evidence.times)) == "locate_s"
    assert (evidence.times["locate_s"] > 0).all()
    assert values["latency"][0]["stage"] == "locate"


def test_rebuilt_report_has_the_same_bytes(report: Path, tmp_path: Path) -> None:
    rebuild_report(report, tmp_path / "again")
    for path in report.iterdir():
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_data_need_not_say_that_products_are_located(
    bundle: Path, dataset: Dataset, evidence: Evidence, tmp_path: Path
) -> None:
    silent = dataclasses.replace(dataset, layout=make_tiny_layout())
    again = read_evidence(reported(bundle, silent, tmp_path / "report"))
    assert np.array_equal(again.scores, evidence.scores, equal_nan=True)
