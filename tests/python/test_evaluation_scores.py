"""Evaluations of bundles whose score is not the paper's: combined, or a map of the network."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_page import PageParser
from score_bundles import calibrated, write_map_bundle
from sklearn.metrics import roc_auc_score

import vialsight
from vialsight.data import DEFECTIVE, UNKNOWN, Dataset, load_frame, load_mask
from vialsight.evaluation.evaluate import evaluate
from vialsight.evaluation.evidence import read_evidence
from vialsight.report import new_report, rebuild_report

pytestmark = pytest.mark.tensorflow


def reported(bundle: Path, dataset: Dataset) -> Path:
    """Evaluate beside the bundle; returns the report's folder."""
    out = bundle.with_name("report")
    with evaluate(vialsight.Bundle.load(bundle), dataset, out) as evidence:
        new_report(evidence, out)
    return out


@pytest.fixture(scope="module")
def map_bundle(tiny_dataset: Dataset, tmp_path_factory) -> Path:
    return write_map_bundle(tmp_path_factory.mktemp("map"), tiny_dataset)


@pytest.fixture(scope="module")
def map_report(map_bundle: Path, tiny_dataset: Dataset) -> Path:
    return reported(map_bundle, tiny_dataset)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tiny_dataset: Dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("combined") / "combined.vsb"
    return calibrated(tiny_bundle, tiny_dataset, out, "ssim", "residual_mean")


@pytest.fixture(scope="module")
def report(bundle: Path, tiny_dataset: Dataset) -> Path:
    """The report of strips of which one that looks nominal is called defective, without masks."""
    called = [
        dataclasses.replace(record, label="defective")
        if record.product == "test-nominal-1"
        else record
        for record in tiny_dataset.records
    ]
    return reported(bundle, dataclasses.replace(tiny_dataset, records=tuple(called)))


@pytest.fixture(scope="module")
def residual_report(tiny_bundle: Path, tiny_dataset: Dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("residual") / "residual.vsb"
    return reported(calibrated(tiny_bundle, tiny_dataset, out, "residual_mean"), tiny_dataset)


@pytest.fixture(scope="module")
def values(report: Path):
    return json.loads((report / "report.json").read_text())


@pytest.fixture(scope="module")
def numbers(bundle: Path, tiny_dataset: Dataset) -> np.ndarray:
    """Both components (S,F,V,R,2) of the test strips, from the network's outputs alone."""
    from conftest import reference_scores

    inspector = vialsight.Inspector(bundle)
    part = tiny_dataset.select(split="test")
    frames = [load_frame(record.image, 8) for record in part.records]
    patches = [vialsight.extract_patches(frame, part.layout) for frame in frames]
    x = np.concatenate(patches).reshape(-1, 32, 32)
    _, _, outputs = inspector.score_with_outputs(x)
    y = outputs["reconstruction"]
    residual = np.abs(x.astype(np.float64) - y).mean(axis=(1, 2))
    found = np.stack([reference_scores(x, y), residual], axis=-1)
    return found.reshape(-1, 3, 2, 2, 2)


class TestCombinedScore:
    """ssim and residual_mean, the largest of which decides, against scikit-image, -learn, NumPy."""

    def test_components_are_kept(self, report: Path, numbers: np.ndarray) -> None:
        evidence = read_evidence(report)
        assert evidence.score.names == ("ssim", "residual_mean")
        np.testing.assert_allclose(evidence.component_scores, numbers, atol=1e-5)

    def test_each_component_is_ranked_alone(
        self, values, bundle: Path, report: Path, numbers: np.ndarray
    ) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        entries = {e["component"]: e for e in manifest["score"]["normalisation"]}
        evidence = read_evidence(report)
        labels, bottom = evidence.defective, evidence.truth[..., 1].ravel()
        rows = {(r["component"], r["unit"]): r for r in values["score"]["measures"]}
        assert len(rows) == 6
        assert 0.5 < rows["ssim", "strip"]["auroc"] < 1.0
        for place, name in enumerate(("ssim", "residual_mean")):
            alone = numbers[..., place]
            offset, scale = entries[name]["offset"], entries[name]["scale"]
            largest = ((alone - offset) / scale).max(axis=(1, 2, 3))
            strip = rows[name, "strip"]
            assert strip["auroc"] == pytest.approx(roc_auc_score(labels, largest))
            assert (strip["nominal"], strip["defective"]) == (3, 4)
            known = bottom != UNKNOWN
            expected = roc_auc_score(bottom[known] == DEFECTIVE, alone[..., 1].ravel()[known])
            assert rows[name, "bottom"]["auroc"] == pytest.approx(expected)
            assert rows[name, "top"]["auroc"] is None

    def test_score_is_shown(self, values, report: Path) -> None:
        score = values["score"]
        assert (score["components"], score["combine"]) == (["ssim", "residual_mean"], "largest")
        page = (report / "report.html").read_text("utf-8")
        assert "φ is the largest of 2 numbers (ssim, residual_mean)" in page
        rows = [row for row in PageParser(page).rows if row[0].startswith(("ssim ", "φ "))]
        (ssim,) = (row for row in rows if row[0].startswith("ssim "))
        areas = {(r["component"], r["unit"]): r["auroc"] for r in score["measures"]}
        assert ssim[1].startswith(f"{areas['ssim', 'strip']:.4f}")
        assert ssim[3].startswith(f"{areas['ssim', 'bottom']:.4f}")
        (phi,) = (row for row in rows if row[0].startswith("φ "))
        assert phi[1].startswith(f"{values['strip']['auroc']:.4f}")

    def test_rebuilt_report_has_the_same_bytes(self, report: Path, tmp_path: Path) -> None:
        rebuild_report(report, tmp_path / "again")
        for name in ("report.html", "report.json", "components.csv", "scores.csv"):
            assert (report / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


class TestPublishedScore:
    """residual_mean decides; the paper's φ stands beside it, against scikit-image and -learn."""

    def test_is_kept_and_ranked(self, residual_report: Path, numbers: np.ndarray) -> None:
        evidence = read_evidence(residual_report)
        np.testing.assert_allclose(evidence.scores, numbers[..., 1], atol=1e-5)
        assert evidence.published is not None
        np.testing.assert_allclose(evidence.published, numbers[..., 0], atol=1e-5)
        score = json.loads((residual_report / "report.json").read_text())["score"]
        assert score["components"] == ["residual_mean"]
        rows = {(r["component"], r["unit"]): r["auroc"] for r in score["measures"]}
        assert set(rows) == {("published", unit) for unit in ("top", "bottom", "strip")}
        largest = numbers[..., 0].max(axis=(1, 2, 3))
        assert rows["published", "strip"] == pytest.approx(
            roc_auc_score(evidence.defective, largest)
        )

    def test_is_shown_beside_the_score(self, residual_report: Path) -> None:
        page = (residual_report / "report.html").read_text("utf-8")
        assert "φ is residual_mean: " in page
        rows = [row for row in PageParser(page).rows if "takes no part" in row[0]]
        values = json.loads((residual_report / "report.json").read_text())
        areas = {r["unit"]: r["auroc"] for r in values["score"]["measures"]}
        assert [row[1][:6] for row in rows] == [f"{areas['strip']:.4f}"]

    def test_rebuilt_report_has_the_same_bytes(self, residual_report: Path, tmp_path: Path) -> None:
        rebuild_report(residual_report, tmp_path / "again")
        for name in ("report.html", "report.json", "components.csv", "scores.csv"):
            assert (residual_report / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_is_not_repeated_where_it_takes_part(self, report: Path) -> None:
        assert read_evidence(report).published is None
        assert "takes no part" not in (report / "report.html").read_text("utf-8")


class TestNetworkWithoutReconstruction:
    def test_has_no_published_score(self, map_report: Path) -> None:
        assert read_evidence(map_report).published is None
        assert not (map_report / "components.csv").exists()

    def test_pictures_have_no_panel_for_it(self, map_report: Path) -> None:
        evidence = read_evidence(map_report)
        assert evidence.pictures
        for picture in evidence.pictures:
            with Image.open(map_report / "pictures" / picture.file) as image:
                assert image.size == (32 * (3 if picture.defective else 2), 32)

    def test_page_does_not_speak_of_it(self, map_report: Path) -> None:
        page = (map_report / "report.html").read_text("utf-8")
        assert "econstruction" not in page
        assert "φ is contrast: largest of output contrast" in page
        assert "Method: contrast. Score: contrast" in page

    def test_pixels_of_its_map(self, map_report: Path, tiny_dataset: Dataset) -> None:
        layout, maps, masks = tiny_dataset.layout, [], []
        for record in tiny_dataset.select(split="test").records:
            x = vialsight.extract_patches(load_frame(record.image, 8), layout)[:, 1]
            maps.append(40.0 * (x - 0.3) ** 2 - 3.0)
            mask = load_mask(record.mask) if record.mask else np.zeros((80, 96), bool)
            for vial in range(2):
                left, top, width, height = layout.box(vial, 1)
                masks.append(mask[top : top + height, left : left + width])
        expected = roc_auc_score(np.stack(masks).ravel(), np.concatenate(maps).ravel())
        values = json.loads((map_report / "report.json").read_text())
        bottom = next(row for row in values["pixels"] if row["region"] == "bottom")
        assert 0.6 < expected < 0.95
        assert bottom["auroc"] == pytest.approx(expected, abs=2e-3)
