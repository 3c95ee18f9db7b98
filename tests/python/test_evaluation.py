"""Measures against hand-counted values and textbook intervals; evaluation of a real bundle."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.data import Dataset
from vialsight.errors import BundleError, DataError
from vialsight.evaluation import evaluate
from vialsight.measures import Outcomes, measure


def outcomes(scores: list[float], defective: list[int], rejected: list[int]) -> Outcomes:
    return Outcomes(
        unit="strip",
        scores=np.array(scores, np.float32),
        defective=np.array(defective, bool),
        rejected=np.array(rejected, bool),
    )


class TestMeasure:
    def test_by_hand(self) -> None:
        # Nominal 0.1 0.2 0.4, defective 0.3 0.4; pairs won: 2 + 2.5 of 6.
        result = measure(outcomes([0.1, 0.2, 0.4, 0.3, 0.4], [0, 0, 0, 1, 1], [0, 0, 1, 0, 1]))
        assert (result.nominal, result.defective) == (3, 2)
        assert (result.false_rejects, result.detected) == (1, 1)
        assert result.detection_rate == 1 / 2
        assert result.false_reject_rate == 1 / 3
        assert result.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
        assert result.auroc == pytest.approx(4.5 / 6)

    def test_wilson_interval_of_eight_in_ten(self) -> None:
        # Centre and half-width from Wilson (1927) with z = 1.959964, computed by hand.
        result = measure(outcomes([0.5] * 10, [1] * 10, [1] * 8 + [0] * 2))
        assert result.detection_rate_interval == pytest.approx((0.490162, 0.943318), abs=1e-6)

    def test_no_defective_samples(self) -> None:
        result = measure(outcomes([0.1, 0.2], [0, 0], [0, 1]))
        assert result.detection_rate is None
        assert result.detection_rate_interval is None
        assert result.balanced_accuracy is None
        assert result.auroc is None
        assert result.false_reject_rate == 0.5


@pytest.mark.tensorflow
class TestEvaluate:
    def test_counts_units_of_the_test_split(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        result = evaluate(vialsight.Bundle.load(tiny_calibrated_bundle), tiny_dataset)
        counted = {m.unit: (m.nominal, m.defective) for m in result.measures}
        # 4 nominal and 3 defective strips of 3 frames and 2 vials; the defect is in vial 1, bottom.
        assert counted == {"top": (42, 0), "bottom": (33, 9), "vial": (11, 3), "strip": (4, 3)}

    def test_scores_are_the_inspectors(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        result = evaluate(bundle, tiny_dataset)
        strip = result.strips[0]
        assert strip.product == "test-defective-0"
        part = tiny_dataset.select(split="test").strips()[0]
        frames = [vialsight.extract_patches(_pixels(r.image), bundle.layout) for r in part.records]
        patches = np.concatenate(frames).reshape(-1, 32, 32)
        inspector = vialsight.Inspector(bundle)
        assert strip.score == pytest.approx(inspector.score_patches(patches).max(), abs=1e-6)

    def test_auroc_by_counting_pairs(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        result = evaluate(vialsight.Bundle.load(tiny_calibrated_bundle), tiny_dataset)
        bottom = result.outcomes[1]
        pairs = bottom.scores[bottom.defective][:, None] - bottom.scores[~bottom.defective][None]
        expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        assert result.measures[1].auroc == pytest.approx(expected)

    def test_identity(self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        identity = evaluate(bundle, tiny_dataset).identity
        assert identity["bundle_sha256"] == bundle.sha256
        assert identity["data_sha256"] == tiny_dataset.sha256()
        assert list(identity["thresholds"].values()) == bundle.thresholds["strip"]

    def test_images_without_masks_count_only_as_strips(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        records = tuple(dataclasses.replace(r, mask=None) for r in tiny_dataset.records)
        unmasked = dataclasses.replace(tiny_dataset, records=records)
        result = evaluate(vialsight.Bundle.load(tiny_calibrated_bundle), unmasked)
        counted = {m.unit: (m.nominal, m.defective) for m in result.measures}
        assert counted == {"top": (24, 0), "bottom": (24, 0), "vial": (8, 0), "strip": (4, 3)}

    @pytest.mark.parametrize(("source", "purpose"), [("train", "training"), ("calibration",) * 2])
    def test_products_that_were_used_before(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, source: str, purpose: str
    ) -> None:
        moved = tuple(
            dataclasses.replace(r, split="test") for r in tiny_dataset.records if r.split == source
        )
        overlapping = dataclasses.replace(tiny_dataset, records=moved)
        with pytest.raises(DataError, match=f"already used for {purpose}.*\n  {source}-"):
            evaluate(vialsight.Bundle.load(tiny_calibrated_bundle), overlapping)

    def test_uncalibrated_bundle(self, tiny_bundle: Path, tiny_dataset: Dataset) -> None:
        with pytest.raises(BundleError, match="is not calibrated; run `vialsight calibrate`"):
            evaluate(vialsight.Bundle.load(tiny_bundle), tiny_dataset)

    def test_strip_with_a_missing_frame(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        partial = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[:-1])
        with pytest.raises(DataError, match="test-defective-2/run 1: has 2"):
            evaluate(vialsight.Bundle.load(tiny_calibrated_bundle), partial)


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    return np.array(Image.open(path))
