"""Calibration of three levels; calibrated bundles against their source and an independent model."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.calibration.fitting import calibrate, fit_levels
from vialsight.calibration.scores import CalibrationScores
from vialsight.calibration.thresholds import RunRule, parse_objective
from vialsight.data import DEFECTIVE, NOMINAL, Dataset
from vialsight.errors import BundleError, DataError


def made_scores(
    *, nominal: int = 20, defective: int = 16, runs: int = 1, seed: int = 0
) -> CalibrationScores:
    """Two frames, two vials, two regions; a defective strip has one patch of region 1 raised."""
    random = np.random.default_rng(seed)
    strips = nominal + defective
    scores = random.gamma(4.0, 0.01, (strips * runs, 2, 2, 2)).astype(np.float32)
    truth = np.full(scores.shape, NOMINAL, np.int8)
    unit = np.repeat(np.arange(strips), runs)
    truth[unit >= nominal, 0, 0, 1] = DEFECTIVE
    scores[truth == DEFECTIVE] += random.exponential(0.1, int((truth == DEFECTIVE).sum()))
    return CalibrationScores(
        scores=scores,
        truth=truth,
        unit=unit,
        defective=unit >= nominal,
    )


def fit(
    scored: CalibrationScores,
    objective: str = "balanced_accuracy",
    rule: str = "7/10",
    *,
    shared: bool = False,
):
    agree, runs = map(int, rule.split("/"))
    return fit_levels(
        scored,
        ["top", "bottom"],
        parse_objective(objective),
        RunRule(agree=agree, runs=runs),
        shared=shared,
    )


class TestFitLevels:
    def test_strip_level_agrees_with_scikit_learn(self) -> None:
        from sklearn.metrics import balanced_accuracy_score, recall_score

        scored = made_scores()
        level = fit(scored).levels["strip"]
        above = scored.scores.astype(float) > np.array(level.thresholds)
        rejected = above.any(axis=(1, 2, 3))
        assert level.fit.balanced_accuracy == pytest.approx(
            balanced_accuracy_score(scored.defective, rejected)
        )
        assert level.fit.detection_rate == pytest.approx(recall_score(scored.defective, rejected))
        assert (level.fit.nominal, level.fit.defective) == (20, 16)
        assert level.optimality_gap == 0.0

    def test_strip_level_rejects_fewer_good_strips_than_patch_thresholds_do(self) -> None:
        # "Any patch rejects" adds up false rejects: why the paper tunes anew (its §6.4).
        scored = made_scores(nominal=200, defective=100)
        result = fit(scored)
        above = scored.scores > np.array(result.levels["patch"].thresholds)
        by_patch = above.any(axis=(1, 2, 3))[~scored.defective].mean()
        assert result.levels["strip"].fit.false_reject_rate < by_patch

    @pytest.mark.parametrize("runs", [1, 5])
    def test_one_threshold_for_all_regions_is_the_best_single_one(self, runs: int) -> None:
        scored = made_scores(nominal=60, defective=40, runs=runs)
        result = fit(scored, rule="4/5", shared=True)
        for level, agree in (("strip", 1), ("run", 4)):
            fitted = result.levels[level]
            assert len(set(fitted.thresholds)) == 1
            if runs == 1 and level == "run":
                continue  # A copy of the strip level's.
            largest = scored.scores.astype(float).max(axis=(1, 2, 3))
            unit = scored.unit if level == "run" else np.arange(len(largest))
            bad = scored.defective_units if level == "run" else scored.defective

            def balanced(threshold: float, unit=unit, bad=bad, agree=agree) -> float:
                above = np.bincount(unit, largest > threshold)  # noqa: B023
                right = np.where(bad, above, np.bincount(unit) - above) >= agree
                return (right[bad].mean() + right[~bad].mean()) / 2

            best = max(balanced(value) for value in (-np.inf, *largest))
            assert balanced(fitted.thresholds[0]) == pytest.approx(best)
            assert fitted.fit.balanced_accuracy == pytest.approx(best)
        # Patches of each region keep their own.
        assert len(set(result.levels["patch"].thresholds)) == 2

    def test_run_level_counts_whole_strips(self) -> None:
        scored = made_scores(runs=5)
        level = fit(scored, rule="4/5").levels["run"]
        rejected = (scored.scores > np.array(level.thresholds)).any(axis=(1, 2, 3))
        times = np.bincount(scored.unit, rejected)
        right = np.where(np.arange(36) < 20, 5 - times, times) >= 4
        assert level.origin == "fitted"
        assert (level.fit.nominal, level.fit.defective) == (20, 16)
        assert level.fit.false_reject_rate == pytest.approx(1 - right[:20].mean())
        assert level.fit.detection_rate == pytest.approx(right[20:].mean())

    @pytest.mark.parametrize("runs", [1, 5])
    def test_run_level_is_copied_and_says_so_when_runs_do_not_fit(self, runs: int) -> None:
        result = fit(made_scores(runs=runs))
        assert result.levels["run"].origin == "copied_from_strip"
        assert result.levels["run"].thresholds == result.levels["strip"].thresholds
        assert any(f"10 runs each, these have {runs}" in text for text in result.warnings)

    def test_runs_of_unequal_number(self) -> None:
        scored = made_scores(runs=3)
        kept = np.arange(len(scored.unit)) != 0
        uneven = dataclasses.replace(
            scored,
            scores=scored.scores[kept],
            truth=scored.truth[kept],
            unit=scored.unit[kept],
            defective=scored.defective[kept],
        )
        result = fit(uneven, rule="2/3")
        assert result.levels["run"].origin == "copied_from_strip"
        assert any("these have 2 to 3" in text for text in result.warnings)

    def test_region_without_defective_patches_gets_a_quantile_and_a_warning(self) -> None:
        result = fit(made_scores())
        top = result.region_fits[0]
        assert (top.defective, top.detection_rate, top.balanced_accuracy) == (0, None, None)
        assert top.false_reject_rate <= 0.005
        assert any("region 'top': no defective patches" in text for text in result.warnings)

    def test_no_defective_strips_at_all(self) -> None:
        result = fit(made_scores(defective=0, nominal=50))
        assert any("no defective strips" in text for text in result.warnings)
        for level in ("patch", "strip"):
            assert result.levels[level].fit.detection_rate is None
            assert result.levels[level].fit.false_reject_rate <= 0.005
        # 0 of 50 rejected: by the rule of three, about 3/50 cannot be excluded.
        assert result.levels["strip"].fit.false_reject_bound == pytest.approx(0.0582, abs=1e-4)

    def test_nominal_quantile_counts_strips(self) -> None:
        scored = made_scores(nominal=400)
        level = fit(scored, "nominal_quantile=0.95").levels["strip"]
        assert 0.045 <= level.fit.false_reject_rate <= 0.05
        assert level.fit.false_reject_bound > 0.05

    def test_nominal_tail_goes_beyond_the_data(self) -> None:
        scored = made_scores(nominal=1000)
        largest = scored.scores[~scored.defective].max(axis=(0, 1, 2))
        level = fit(scored, "nominal_tail=0.0001").levels["strip"]
        assert (np.array(level.thresholds) > 0.95 * largest).all()
        assert fit(scored, "nominal_tail=0.0001").levels["run"].origin == "copied_from_strip"

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_score_not_finite(self, bad: float) -> None:
        scored = made_scores()
        scored.scores[3, 0, 1, 1] = bad
        with pytest.raises(DataError, match="must be finite"):
            fit(scored)

    def test_no_nominal_strips(self) -> None:
        with pytest.raises(DataError, match="need nominal strips"):
            fit(made_scores(nominal=0))

    def test_one_strip(self) -> None:
        result = fit(made_scores(nominal=1, defective=0))
        assert result.levels["strip"].fit.false_reject_bound == pytest.approx(0.95)

    def test_same_result_in_any_order(self) -> None:
        scored = made_scores(runs=3)
        order = np.random.default_rng(0).permutation(len(scored.unit))
        shuffled = dataclasses.replace(
            scored,
            scores=scored.scores[order],
            truth=scored.truth[order],
            unit=scored.unit[order],
            defective=scored.defective[order],
        )
        assert fit(shuffled, rule="2/3") == fit(scored, rule="2/3")

    def test_full_kit(self) -> None:
        # 2,610 runs of 60 patches: the size of the paper's test kit.
        scored = made_scores(nominal=120, defective=141, runs=10)
        result = fit(scored)
        assert {level.optimality_gap for level in result.levels.values()} == {0.0}


@pytest.mark.tensorflow
class TestCalibrate:
    def test_writes_thresholds_fitted_on_scores(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        sets = bundle.thresholds
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
        assert record["objective"] == "balanced_accuracy"
        assert record["run_rule"] == {"agree": 7, "runs": 10}
        origins = {name: level["origin"] for name, level in record["levels"].items()}
        assert origins == {"patch": "fitted", "strip": "fitted", "run": "copied_from_strip"}
        strip = record["levels"]["strip"]
        assert (strip["nominal"], strip["defective"]) == (5, 3)
        # The top region never shows the defect: its threshold is a quantile.
        assert record["regions"][0]["defective"] == 0
        assert record["regions"][0]["detection_rate"] is None
        assert record["products"][0] == "calibration-defective-0"
        assert len(record["products"]) == 8
        assert manifest["heatmap"]["vmin"] == [0.0, 0.0]

    def test_keeps_the_source_bundle(self, tiny_bundle: Path, tiny_calibrated_bundle: Path) -> None:
        assert vialsight.Bundle.load(tiny_bundle).thresholds == dict.fromkeys(
            ("patch", "strip", "run")
        )
        for name in ("model.pb", "golden/inputs.npy", "golden/scores.npy"):
            assert (tiny_bundle / name).read_bytes() == (tiny_calibrated_bundle / name).read_bytes()

    def test_goes_on_after_an_interruption(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tiny_calibrated_bundle: Path, tmp_path: Path
    ) -> None:
        bundle, out, calls = vialsight.Bundle.load(tiny_bundle), tmp_path / "out.vsb", []

        def interrupt(done: int, _: int) -> None:
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            calibrate(bundle, tiny_dataset, out, progress=interrupt)
        assert not out.exists()
        calibrate(bundle, tiny_dataset, out, progress=lambda done, _: calls.append(done))
        assert calls == [6, 7, 8]
        assert [path.name for path in tmp_path.iterdir()] == ["out.vsb"]
        whole = vialsight.Bundle.load(tiny_calibrated_bundle)
        assert vialsight.Bundle.load(out).thresholds == whole.thresholds
        assert vialsight.Bundle.load(out).heatmap_scale(1) == whole.heatmap_scale(1)

    def test_existing_output_is_kept(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.vsb"
        out.mkdir()
        with pytest.raises(DataError, match="exists"):
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

    def test_images_that_were_trained_on_under_another_name(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        records = [
            dataclasses.replace(record, split="calibration", product="renamed")
            if record.product == "train-nominal-1"
            else record
            for record in tiny_dataset.records
        ]
        moved = dataclasses.replace(tiny_dataset, records=tuple(records))
        for accept in (False, True):
            with pytest.raises(DataError, match=r"\(3\):\n.*train-nominal-1-1.*same pixels"):
                calibrate(
                    vialsight.Bundle.load(tiny_bundle),
                    moved,
                    tmp_path / "out.vsb",
                    accept_lookalikes=accept,
                )

    def test_empty_calibration_split(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        empty = tiny_dataset.select(split="test")
        with pytest.raises(DataError, match="split 'calibration' is empty"):
            calibrate(vialsight.Bundle.load(tiny_bundle), empty, tmp_path / "out.vsb")

    def test_other_layout(self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
        from conftest import BOXES, make_tiny_layout

        other = dataclasses.replace(tiny_dataset, layout=make_tiny_layout(boxes=BOXES[::-1]))
        with pytest.raises(DataError, match="expected the bundle's layout"):
            calibrate(vialsight.Bundle.load(tiny_bundle), other, tmp_path / "out.vsb")

    def test_defective_images_without_masks(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        records = tuple(dataclasses.replace(r, mask=None) for r in tiny_dataset.records)
        unmasked = dataclasses.replace(tiny_dataset, records=records)
        with pytest.raises(DataError, match=r"without a mask.*\(9\)"):
            calibrate(vialsight.Bundle.load(tiny_bundle), unmasked, tmp_path / "out.vsb")

    def test_quantile_of_the_nominal_is_recorded(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.vsb"
        objective = parse_objective("nominal_quantile=0.8")
        calibrate(vialsight.Bundle.load(tiny_bundle), tiny_dataset, out, objective=objective)
        record = json.loads(vialsight.Bundle.load(out).manifest_json)["calibration"]
        assert record["objective"] == "nominal_quantile=0.8"
        # Two of the five strips are worst in one region each: the threshold can take both or none.
        # None of 5 above: what cannot be excluded is 1 - 0.05^(1/5).
        assert record["levels"]["strip"]["false_reject_rate"] == 0.0
        assert record["levels"]["strip"]["false_reject_bound"] == pytest.approx(1 - 0.05 ** (1 / 5))

    def test_model_that_fails_on_some_patches(self, tiny_dataset: Dataset, tmp_path: Path) -> None:
        bundle = vialsight.Bundle.load(_dazzled_bundle(tmp_path / "dazzled.vsb", tiny_dataset))
        with pytest.raises(
            BundleError, match=r"calibration-.*/run 1: expected a finite score.*nan"
        ):
            calibrate(bundle, tiny_dataset, tmp_path / "out.vsb")
        assert [path.name for path in tmp_path.iterdir()] == ["dazzled.vsb"]


def _dazzled_bundle(out: Path, dataset: Dataset) -> Path:
    """A bundle whose model gives NaN for pixels brighter than those of its golden ones."""
    import keras

    from vialsight import scores
    from vialsight.bundle import Provenance, write_bundle
    from vialsight.config import DataConfig
    from vialsight.training import freezing
    from vialsight.training.data import training_data

    with training_data(DataConfig(path=dataset.folder)) as data:
        inputs = data.golden_patches(count=8)
        fingerprints = data.fingerprints().to_bytes()
    size = inputs.shape[-1]
    limit = float(inputs.max()) + 1e-3
    # Brighter pixels overflow in the second layer; the third makes 0 times infinity of them.
    patches = result = keras.Input((size, size, 1))
    for weight, bias in ((1e38, -1e38 * limit), (1e38, 0.0), (0.0, 0.0)):
        layer = keras.layers.Conv2D(1, 1, activation="relu" if bias else None)
        result = layer(result)
        layer.set_weights([np.full((1, 1, 1, 1), weight), np.array([bias])])
    network = keras.Model(patches, {"reconstruction": result})
    model = freezing.freeze_graph(network, size, method="drae")
    components = [scores.ssim()]
    write_bundle(
        out,
        layout=dataset.layout,
        model=model,
        golden=freezing.golden(model, components, inputs, {}),
        score=scores.definition(components),
        provenance=Provenance(
            config_sha256="0" * 64, data_sha256=dataset.sha256(), seed=3, training_products=[]
        ),
        fingerprints=fingerprints,
    )
    return out


def _independent_scores(bundle, part, *, region):
    """φ of one region's patches by TensorFlow and scikit-image, and their truth by the masks."""
    import tensorflow as tf

    from conftest import reference_scores
    from vialsight.data import load_frame, load_mask

    graph = tf.compat.v1.GraphDef.FromString(bundle.model)
    function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    reconstruct = function.prune("patches:0", "reconstruction:0")
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
