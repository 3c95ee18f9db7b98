"""What the bindings accept and refuse; the numbers themselves are checked in test_core_*.py."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.errors import BundleError, DataError


def strided(array: np.ndarray) -> np.ndarray:
    """The same values with every second column of a wider array."""
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@pytest.fixture
def patches() -> np.ndarray:
    return np.random.default_rng(1).random((3, 32, 32), np.float32)


@pytest.mark.parametrize("function", [vialsight.ssim])
class TestImageStacks:
    def test_float64_is_refused(self, function, patches) -> None:
        with pytest.raises(TypeError, match=r"x: expected float32, got float64.*\(3, 32, 32\)"):
            function(patches.astype(np.float64), patches)

    def test_big_endian_is_refused(self, function, patches) -> None:
        with pytest.raises(TypeError, match=r"y: expected float32"):
            function(patches, patches.astype(">f4"))

    def test_missing_axis_is_refused(self, function, patches) -> None:
        with pytest.raises(ValueError, match="expected 3 axes"):
            function(patches[0], patches[0])

    def test_strided_memory_is_refused(self, function, patches) -> None:
        with pytest.raises(ValueError, match="C-contiguous"):
            function(strided(patches), patches)

    def test_different_shapes_are_refused(self, function, patches) -> None:
        with pytest.raises(ValueError, match="same shape"):
            function(patches, patches[:2])

    def test_no_images_give_no_results(self, function, patches) -> None:
        assert len(function(patches[:0], patches[:0])) == 0


class TestHeatmapScale:
    def test_half_a_scale_is_refused(self, patches) -> None:
        with pytest.raises(ValueError, match="both vmin and vmax"):
            vialsight.heatmap(patches, vmin=0.0)

    def test_empty_scale_is_refused(self, patches) -> None:
        with pytest.raises(ValueError, match="vmax"):
            vialsight.heatmap(patches, vmin=0.5, vmax=0.5)

    def test_other_arrays_are_refused(self, patches) -> None:
        with pytest.raises(TypeError, match="maps: expected float32, got float64"):
            vialsight.heatmap(patches.astype(np.float64))
        with pytest.raises(ValueError, match="expected 3 axes"):
            vialsight.heatmap(patches[0])
        with pytest.raises(ValueError, match="C-contiguous"):
            vialsight.heatmap(strided(patches))

    def test_no_maps_give_none(self, patches) -> None:
        assert len(vialsight.heatmap(patches[:0])) == 0


class TestExtraction:
    def test_float_frame_is_refused(self, tiny_layout) -> None:
        with pytest.raises(TypeError, match="uint8 or uint16"):
            vialsight.extract_patches(np.zeros((80, 96), np.float32), tiny_layout)

    def test_wrong_size_is_refused(self, tiny_layout) -> None:
        with pytest.raises(ValueError, match="96"):
            vialsight.extract_patches(np.zeros((96, 80), np.uint8), tiny_layout)

    def test_uint16_for_8_bits_is_refused(self, tiny_layout) -> None:
        with pytest.raises(ValueError, match="bit"):
            vialsight.extract_patches(np.zeros((80, 96), np.uint16), tiny_layout)

    def test_strided_pixels_are_refused(self, tiny_layout) -> None:
        with pytest.raises(ValueError, match="adjacent pixels"):
            vialsight.extract_patches(strided(np.zeros((80, 96), np.uint8)), tiny_layout)

    def test_upside_down_view_is_refused(self, tiny_layout) -> None:
        with pytest.raises(ValueError, match="top to bottom"):
            vialsight.extract_patches(np.zeros((80, 96), np.uint8)[::-1], tiny_layout)

    def test_padded_rows_are_read(self, tiny_layout) -> None:
        wide = np.random.default_rng(2).integers(0, 255, (80, 128), np.uint8)
        expected = vialsight.extract_patches(wide[:, :96].copy(), tiny_layout)
        np.testing.assert_array_equal(
            vialsight.extract_patches(wide[:, :96], tiny_layout), expected
        )

    def test_three_axes_are_refused(self, tiny_layout) -> None:
        with pytest.raises(ValueError, match="height, width"):
            vialsight.extract_patches(np.zeros((1, 80, 96), np.uint8), tiny_layout)


class TestLayout:
    def test_keeps_what_it_was_given(self, tiny_layout) -> None:
        assert tiny_layout.box(1, 0) == (50, 4, 40, 36)
        assert (tiny_layout.vials, tiny_layout.frames) == (2, 3)
        assert tiny_layout.patches_per_strip == 12
        assert vialsight.Layout.from_json(tiny_layout.to_json()) == tiny_layout

    def test_box_outside_the_frame_is_refused(self) -> None:
        with pytest.raises(DataError, match="box"):
            vialsight.Layout(
                name="x", frame_width=64, frame_height=64, regions=["a"], boxes=[[(60, 0, 32, 32)]]
            )

    def test_index_out_of_range(self, tiny_layout) -> None:
        with pytest.raises(IndexError, match="vial < 2"):
            tiny_layout.box(2, 0)

    def test_missing_file_is_named(self, tmp_path) -> None:
        with pytest.raises(DataError, match=r"nowhere\.json"):
            vialsight.Layout.load(tmp_path / "nowhere.json")


def test_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing"):
        vialsight.Bundle.load(tmp_path / "nothing.vsb")


@pytest.fixture(scope="module")
def inspector(tiny_calibrated_bundle: Path) -> vialsight.Inspector:
    return vialsight.Inspector(tiny_calibrated_bundle)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (3, 80, 96), np.uint8)


@pytest.mark.tensorflow
class TestInspector:
    def test_path_and_bundle_give_the_same(self, inspector, tiny_calibrated_bundle, frames) -> None:
        other = vialsight.Inspector(vialsight.Bundle.load(str(tiny_calibrated_bundle)), threads=1)
        np.testing.assert_allclose(
            other.inspect(frames).scores, inspector.inspect(frames).scores, atol=1e-6
        )

    def test_uncalibrated_bundle_is_refused(self, tiny_bundle) -> None:
        with pytest.raises(BundleError, match=r"no thresholds.*vialsight calibrate"):
            vialsight.Inspector(tiny_bundle)

    def test_slot_by_slot_equals_inspect(self, inspector, frames) -> None:
        expected = inspector.inspect(frames, strip_id=7)
        inspector.open(7, budget_s=60.0)
        for index, frame in enumerate(frames):
            inspector.submit(index, frame)
        verdict = inspector.close()
        assert (verdict.strip_id, verdict.verdict) == (7, expected.verdict)
        np.testing.assert_array_equal(verdict.scores, expected.scores)

    def test_verdict_follows_scores_and_thresholds(self, inspector, frames) -> None:
        verdict = inspector.inspect(frames)
        accepted = [bool(a) for a in (verdict.scores <= verdict.thresholds).all(axis=(0, 2))]
        assert verdict.vials == accepted
        assert verdict.accepted == all(accepted) == (verdict.verdict == "accept")
        assert verdict.reason == ("none" if verdict.accepted else "defect")
        assert verdict.slack_s == float("inf")

    def test_missing_frame_rejects(self, inspector, frames) -> None:
        verdict = inspector.inspect(frames[:2])
        assert (verdict.verdict, verdict.reason) == ("reject", "frame_missing")
        assert np.isnan(verdict.scores[2]).all()

    def test_too_many_frames_reject(self, inspector, frames) -> None:
        verdict = inspector.inspect(np.concatenate([frames, frames[:1]]))
        assert (verdict.verdict, verdict.reason) == ("reject", "frame_invalid")

    def test_wrong_frame_size_rejects(self, inspector) -> None:
        verdict = inspector.inspect(np.zeros((3, 40, 40), np.uint8))
        assert (verdict.verdict, verdict.reason) == ("reject", "frame_invalid")

    def test_no_time_rejects(self, inspector, frames) -> None:
        verdict = inspector.inspect(frames, budget_s=1e-6)
        assert (verdict.verdict, verdict.reason) == ("reject", "deadline_missed")
        assert verdict.vials == [False, False]

    def test_close_without_open_rejects(self, inspector) -> None:
        assert inspector.close().reason == "not_ready"

    def test_misuse_names_the_mistake(self, inspector, frames) -> None:
        with pytest.raises(BundleError, match="call open first"):
            inspector.submit(0, frames[0])
        inspector.open(1, budget_s=60.0)
        with pytest.raises(BundleError, match="still open"):
            inspector.open(2)
        with pytest.raises(ValueError, match="frame index"):
            inspector.submit(3, frames[0])
        assert inspector.close().verdict == "reject"

    @pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf"), 1e9])
    def test_senseless_budget_is_refused(self, inspector, frames, budget) -> None:
        with pytest.raises(ValueError, match="budget_s"):
            inspector.inspect(frames, budget_s=budget)

    def test_unknown_level_is_refused(self, tiny_calibrated_bundle) -> None:
        with pytest.raises(ValueError, match="'patch', 'strip' or 'run'"):
            vialsight.Inspector(tiny_calibrated_bundle, level="line")

    @pytest.mark.parametrize("dtype", [np.float64, np.int8, np.uint16])
    def test_other_patch_dtypes_are_refused(self, inspector, dtype) -> None:
        with pytest.raises(TypeError, match="float32"):
            inspector.score_patches(np.zeros((1, 32, 32), dtype))

    def test_other_patch_sizes_are_refused(self, inspector) -> None:
        with pytest.raises(ValueError, match=r"\(n, 32, 32\)"):
            inspector.score_patches(np.zeros((1, 16, 64), np.float32))

    def test_uint8_patches_are_scaled_by_255(self, inspector) -> None:
        pixels = np.random.default_rng(4).integers(0, 255, (5, 32, 32), np.uint8)
        as_floats = pixels.astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(
            inspector.score_patches(pixels), inspector.score_patches(as_floats)
        )

    @pytest.mark.parametrize("scale", [255.0, 4095.0, -1.0, 1.5])
    def test_floats_that_are_no_grey_values_are_refused(self, inspector, scale) -> None:
        patches = np.linspace(0, scale, 2 * 1024, dtype=np.float32).reshape(2, 32, 32)
        says = r"expected grey values from 0 to 1, got .*divide pixels by 2\^bit_depth - 1"
        with pytest.raises(ValueError, match=says):
            inspector.score_patches(patches)
        with pytest.raises(ValueError, match=says):
            vialsight.ssim(patches, patches)

    def test_no_patches_give_no_scores(self, inspector) -> None:
        assert inspector.score_patches(np.zeros((0, 32, 32), np.uint8)).shape == (0,)

    def test_images_are_those_of_the_last_strip(self, inspector, frames) -> None:
        verdict = inspector.inspect(frames)
        image, reconstruction = inspector.images(2, 1, 0)
        expected = vialsight.extract_patches(frames[2], inspector.bundle.layout)[1, 0]
        np.testing.assert_array_equal(image, expected)
        score = 1.0 - vialsight.ssim(image[np.newaxis], reconstruction[np.newaxis])[0]
        assert score == pytest.approx(verdict.scores[2, 1, 0], abs=1e-6)
        assert inspector.images(3, 0, 0) is None

    def test_map_is_that_of_the_score(self, inspector, frames) -> None:
        inspector.inspect(frames)
        image, reconstruction = inspector.images(2, 1, 0)
        np.testing.assert_allclose(
            inspector.map(2, 1, 0), np.abs(image - reconstruction), atol=1e-7
        )
        assert inspector.map(3, 0, 0) is None

    def test_components_of_one_are_the_scores(self, inspector, frames) -> None:
        verdict = inspector.inspect(frames)
        assert inspector.bundle.components == ["ssim"]
        np.testing.assert_array_equal(verdict.component_scores[..., 0], verdict.scores)

    def test_outputs_of_any_patches(self, inspector, patches) -> None:
        scores, components, outputs = inspector.score_with_outputs(patches, batch_size=2)
        np.testing.assert_array_equal(scores, inspector.score_patches(patches, batch_size=2))
        np.testing.assert_array_equal(components[:, 0], scores)
        expected = 1.0 - vialsight.ssim(patches, outputs["reconstruction"])
        np.testing.assert_allclose(scores, expected, atol=1e-7)

    def test_unknown_regions_are_refused(self, inspector, patches) -> None:
        with pytest.raises(ValueError, match="regions below 2, got 2"):
            inspector.score_patches(patches, regions=[0, 1, 2])
        with pytest.raises(ValueError, match="3 regions, or none, got 1"):
            inspector.score_patches(patches, regions=[0])
        with pytest.raises(ValueError, match="one per patch, or None"):
            inspector.score_patches(patches, regions=[])

    def test_statistics_add_up(self, tiny_calibrated_bundle, frames) -> None:
        inspector = vialsight.Inspector(tiny_calibrated_bundle)
        for _ in range(3):
            inspector.inspect(frames)
        inspector.inspect(frames[:1])
        inspector.close()
        statistics = inspector.statistics
        assert statistics.strips == 5
        assert statistics.accepted + sum(statistics.rejected.values()) == 5
        assert statistics.rejected["frame_missing"] == statistics.rejected["not_ready"] == 1

    def test_other_threads_run_while_it_computes(self, inspector) -> None:
        many = np.zeros((400, 32, 32), np.float32)
        worker = threading.Thread(target=inspector.score_patches, args=(many,))
        ticks = 0
        worker.start()
        while worker.is_alive():
            ticks += 1
            time.sleep(0)
        # With the GIL held, this loop could not have turned while C++ was computing.
        assert ticks > 10
