"""Thresholds against brute force and scikit-learn; calibrated bundles against their source."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.calibration import (
    best_threshold,
    calibrate,
    difference_quantile,
    fit_threshold,
)
from vialsight.data import Dataset
from vialsight.errors import BundleError, DataError


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def balanced_accuracy(threshold: float, nominal: np.ndarray, defective: np.ndarray) -> Fraction:
    """Exact, straight from the definition: φ <= t accepts."""
    accepted = sum(float(score) <= threshold for score in nominal)
    rejected = sum(float(score) > threshold for score in defective)
    return (Fraction(accepted, len(nominal)) + Fraction(rejected, len(defective))) / 2


class TestBestThreshold:
    def test_middle_of_the_gap_between_separable_classes(self) -> None:
        assert best_threshold(scores(0.125, 0.25), scores(0.75, 0.5)) == 0.375

    def test_widest_gap_among_equals(self) -> None:
        # By hand: both (0.25, 0.5) and (0.5625, 1) give 3/4; the second gap is wider.
        nominal, defective = scores(0.125, 0.5625), scores(0.5, 1.0)
        assert balanced_accuracy(0.3, nominal, defective) == Fraction(3, 4)
        assert balanced_accuracy(0.7, nominal, defective) == Fraction(3, 4)
        assert best_threshold(nominal, defective) == 0.78125

    def test_lowest_among_equally_wide_gaps(self) -> None:
        # (0.25, 0.5) and (0.75, 1) give 3/4 and are equally wide.
        assert best_threshold(scores(0.25, 0.75), scores(0.5, 1.0)) == 0.375

    def test_scores_that_differ_in_the_last_bit_are_separated(self) -> None:
        low = np.float32(0.3)
        high = np.nextafter(low, np.float32(1))
        threshold = best_threshold(scores(low), scores(high))
        assert float(low) <= threshold < float(high)

    def test_identical_scores_are_all_rejected(self) -> None:
        assert best_threshold(scores(0.5, 0.5), scores(0.5)) < 0.5

    def test_inverted_scores_are_never_better_than_one_half(self) -> None:
        nominal, defective = scores(0.8, 0.9), scores(0.1, 0.2)
        assert balanced_accuracy(
            best_threshold(nominal, defective), nominal, defective
        ) == Fraction(1, 2)

    @pytest.mark.parametrize("seed", range(20))
    def test_no_threshold_is_better(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        # Few distinct values make ties common.
        nominal = random.integers(0, 12, random.integers(1, 30)).astype(np.float32) / 16
        defective = random.integers(4, 16, random.integers(1, 30)).astype(np.float32) / 16
        everywhere = np.arange(-1, 18) / 16 + 1 / 32
        best = max(balanced_accuracy(t, nominal, defective) for t in everywhere)
        chosen = best_threshold(nominal, defective)
        assert balanced_accuracy(chosen, nominal, defective) == best

    def test_order_does_not_matter(self) -> None:
        random = np.random.default_rng(1)
        nominal = random.random(50, np.float32)
        defective = random.random(40, np.float32) + np.float32(0.3)
        expected = best_threshold(nominal, defective)
        assert best_threshold(random.permutation(nominal), defective[::-1]) == expected


class TestFit:
    def test_record_agrees_with_scikit_learn(self) -> None:
        from sklearn.metrics import balanced_accuracy_score, recall_score

        random = np.random.default_rng(4)
        nominal = random.normal(0.2, 0.1, 200).astype(np.float32)
        defective = random.normal(0.4, 0.1, 90).astype(np.float32)
        fit = fit_threshold(nominal, defective)
        labels = np.repeat([0, 1], [200, 90])
        verdicts = np.concatenate([nominal, defective]).astype(float) > fit.threshold
        assert fit.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, verdicts))
        assert fit.detection_rate == pytest.approx(recall_score(labels, verdicts))
        assert (fit.nominal, fit.defective) == (200, 90)

    def test_quantile_without_defective_samples(self) -> None:
        fit = fit_threshold(np.arange(1, 201, dtype=np.float32) / 256, scores(), quantile=0.99)
        # 0.99 · 199 = 197.01, hence the score after the 198th of 200.
        assert fit.threshold == 199 / 256
        assert fit.false_reject_rate == 1 / 200
        assert fit.detection_rate is None
        assert fit.balanced_accuracy is None

    def test_quantile_one_accepts_all(self) -> None:
        assert fit_threshold(scores(0.1, 0.7), scores(), quantile=1.0).false_reject_rate == 0.0

    def test_no_nominal_scores(self) -> None:
        with pytest.raises(DataError, match="needs nominal patches"):
            fit_threshold(scores(), scores(0.5))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_score_not_finite(self, bad: float) -> None:
        with pytest.raises(DataError, match="must be finite"):
            fit_threshold(scores(0.1, bad), scores(0.5))

    @pytest.mark.parametrize("quantile", [0.0, 1.01, -1.0, float("nan")])
    def test_quantile_out_of_range(self, quantile: float) -> None:
        with pytest.raises(DataError, match="quantile must be above 0"):
            fit_threshold(scores(0.1), scores(), quantile=quantile)


class TestDifferenceQuantile:
    def test_against_numpy(self) -> None:
        arrays = [
            np.random.default_rng(i).beta(1, 20, (5, 16, 16)).astype(np.float32) for i in range(4)
        ]
        expected = np.quantile(np.concatenate(arrays), 0.999)
        assert difference_quantile(iter(arrays)) == pytest.approx(expected, abs=2e-3)
        assert difference_quantile(iter(arrays), 0.5) == pytest.approx(
            np.quantile(np.concatenate(arrays), 0.5), abs=2**-16 + 1e-4
        )

    def test_never_zero_and_at_most_one(self) -> None:
        assert difference_quantile(iter([np.zeros((1, 4, 4), np.float32)])) == 2**-16
        assert difference_quantile(iter([np.ones((1, 4, 4), np.float32)])) == 1.0

    def test_no_patches(self) -> None:
        with pytest.raises(DataError, match="needs nominal patches"):
            difference_quantile(iter([]))


@pytest.mark.tensorflow
class TestCalibrate:
    def test_writes_thresholds_fitted_on_scores(
        self, tiny_bundle: Path, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        sets = bundle.thresholds
        assert sets["patch"] == sets["strip"] == sets["run"]
        # Scores made without our core must be classified as the manifest says.
        part = tiny_dataset.select(split="calibration")
        record = json.loads(bundle.manifest_json)["calibration"]["regions"][1]
        phi, defective = _independent_scores(bundle, part, region=1)
        rejected = phi > sets["patch"][1]
        assert record["defective"] == defective.sum() == 9
        assert record["nominal"] == (~defective).sum() == 39
        assert record["detection_rate"] == pytest.approx(rejected[defective].mean())
        assert record["false_reject_rate"] == pytest.approx(rejected[~defective].mean())

    def test_record(self, tiny_bundle: Path, tiny_calibrated_bundle: Path) -> None:
        parent = vialsight.Bundle.load(tiny_bundle)
        manifest = json.loads(vialsight.Bundle.load(tiny_calibrated_bundle).manifest_json)
        record = manifest["calibration"]
        assert record["parent_sha256"] == parent.sha256
        assert record["levels"] == {
            "patch": "fitted",
            "strip": "copied_from_patch",
            "run": "copied_from_patch",
        }
        # The top region never shows the defect: its threshold is a quantile, and says so.
        assert record["regions"][0]["defective"] == 0
        assert record["regions"][0]["detection_rate"] is None
        assert "nominal_quantile_0.995" in record["objective"]
        assert record["products"][0] == "calibration-defective-0"
        assert len(record["products"]) == 8
        assert manifest["heatmap"]["vmin"] == [0.0, 0.0]

    def test_keeps_the_source_bundle(self, tiny_bundle: Path, tiny_calibrated_bundle: Path) -> None:
        assert vialsight.Bundle.load(tiny_bundle).thresholds == dict.fromkeys(
            ("patch", "strip", "run")
        )
        for name in ("model.pb", "golden/inputs.npy", "golden/scores.npy"):
            assert (tiny_bundle / name).read_bytes() == (tiny_calibrated_bundle / name).read_bytes()

    def test_existing_output_is_kept(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.vsb"
        out.mkdir()
        with pytest.raises(BundleError, match="exists"):
            calibrate(vialsight.Bundle.load(tiny_bundle), tiny_dataset, out)
        assert list(out.iterdir()) == []

    def test_products_that_were_trained_on(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        records = [
            dataclasses.replace(record, split="calibration")
            if record.product in ("train-nominal-1", "validation-nominal-0")
            else record
            for record in tiny_dataset.records
        ]
        moved = dataclasses.replace(tiny_dataset, records=tuple(records))
        with pytest.raises(
            DataError, match=r"used for training.*\n  train-nominal-1\n  validation-"
        ):
            calibrate(vialsight.Bundle.load(tiny_bundle), moved, tmp_path / "out.vsb")
        assert list(tmp_path.iterdir()) == []

    def test_empty_calibration_split(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        empty = tiny_dataset.select(split="test")
        with pytest.raises(DataError, match="split 'calibration' is empty"):
            calibrate(vialsight.Bundle.load(tiny_bundle), empty, tmp_path / "out.vsb")

    def test_other_layout(self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
        from conftest import make_tiny_layout

        other = dataclasses.replace(tiny_dataset, layout=make_tiny_layout(name="other"))
        with pytest.raises(DataError, match="expected the bundle's layout"):
            calibrate(vialsight.Bundle.load(tiny_bundle), other, tmp_path / "out.vsb")

    def test_defective_images_without_masks(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        records = tuple(dataclasses.replace(r, mask=None) for r in tiny_dataset.records)
        unmasked = dataclasses.replace(tiny_dataset, records=records)
        with pytest.raises(DataError, match=r"without a mask.*\(9\)"):
            calibrate(vialsight.Bundle.load(tiny_bundle), unmasked, tmp_path / "out.vsb")


def _independent_scores(bundle, part, *, region):
    """φ of one region's patches by TensorFlow and scikit-image, and their truth by the masks."""
    import tensorflow as tf

    from conftest import reference_scores
    from vialsight.data import load_frame, load_mask

    graph = tf.compat.v1.GraphDef.FromString(bundle.model)
    function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    reconstruct = function.prune("patches:0", "reconstructions:0")
    patches, defective = [], []
    for record in part.records:
        frame = load_frame(record.image, 8)
        mask = load_mask(record.mask) if record.mask else np.zeros(frame.shape, bool)
        for vial in range(2):
            x, y, width, height = part.layout.box(vial, region)
            box = np.s_[y : y + height, x : x + width]
            image = tf.constant(frame[box][..., np.newaxis].astype(np.float32) / 255)
            patches.append(tf.image.resize(image, (32, 32), antialias=True).numpy())
            defective.append(bool(mask[box].any()))
    batch = np.stack(patches)
    outputs = reconstruct(tf.constant(batch)).numpy()
    return reference_scores(batch[..., 0], outputs[..., 0]), np.array(defective)
