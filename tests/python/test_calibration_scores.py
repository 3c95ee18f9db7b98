"""Calibration of a chosen score: what decides, how it is normalised, where its heatmap ends."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.bundle import read_manifest
from vialsight.calibration.choice import Choice, choose
from vialsight.calibration.fitting import calibrate
from vialsight.calibration.normalisation import fit_definition, heatmap_scales, quantile_bin
from vialsight.calibration.scores import MAP_BINS, ComponentScores, count_values, score_split
from vialsight.data import DEFECTIVE, NOMINAL, Dataset, load_strip
from vialsight.errors import DataError

OFFERED = {
    "components": [{"name": name} for name in ("ssim", "residual", "msgms")],
    "decide": ["ssim"],
    "combine": None,
    "normalisation": None,
}
BOTH = ("ssim", "residual_mean")


def made_components(maps: list[list[np.ndarray]] | None = None) -> ComponentScores:
    """Numbers of nine runs of two components; the last three strips are defective."""
    random = np.random.default_rng(5)
    truth = np.full((9, 3, 2, 2), NOMINAL, np.int8)
    truth[6:, 0, 0, 1] = DEFECTIVE
    found = maps or [[random.random(500, np.float32)] * 2] * 2
    return ComponentScores(
        numbers=random.gamma(2.0, 0.1, (*truth.shape, 2)).astype(np.float32),
        map_values=np.array([[count_values(values) for values in row] for row in found]),
        truth=truth,
        unit=np.arange(9),
        defective=np.arange(9) >= 6,
    )


def sorted_quantile(values: np.ndarray, quantile: float) -> float:
    """The quantile between the two nearest of the sorted values, written out."""
    ordered = sorted(values.astype(float).ravel())
    place = quantile * (len(ordered) - 1)
    low = int(place)
    rest = place - low
    return ordered[low] + (rest * (ordered[low + 1] - ordered[low]) if rest else 0.0)


class TestChoose:
    def test_what_decides_now_goes_on(self) -> None:
        assert choose(OFFERED) == Choice(("ssim",), None)
        joined = {**OFFERED, "decide": ["msgms", "ssim"], "combine": "sum"}
        assert choose(joined) == Choice(("msgms", "ssim"), "sum")
        assert choose(joined, combine="largest") == Choice(("msgms", "ssim"), "largest")

    def test_names(self) -> None:
        joined = {**OFFERED, "decide": ["msgms", "ssim"], "combine": "sum"}
        assert choose(joined, ["residual"]) == Choice(("residual",), None)
        assert choose(joined, ["residual", "ssim"]) == Choice(("residual", "ssim"), "largest")
        assert choose(OFFERED, ["residual", "ssim"], "sum").combine == "sum"

    @pytest.mark.parametrize(
        ("names", "combine", "problem"),
        [
            (["mse"], None, r"that the bundle offers \(ssim, residual, msgms\); got 'mse'"),
            (["ssim", "ssim"], None, "each component once, got 'ssim' twice"),
            (["ssim", "msgms"], "mean", "expected one of largest, sum; got 'mean'"),
            (["ssim"], "largest", "expected several components.* got 'ssim' alone"),
            ([], "sum", "expected several components.* got 'ssim' alone"),
        ],
    )
    def test_refused(self, names: list[str], combine: str | None, problem: str) -> None:
        with pytest.raises(DataError, match=problem):
            choose(OFFERED, names, combine)


class TestNormalisation:
    def test_one_component_keeps_its_numbers(self) -> None:
        found = fit_definition(OFFERED, Choice(("residual",), None), made_components())
        assert found == {**OFFERED, "decide": ["residual"]}

    def test_median_and_quantile_of_nominal_strips(self) -> None:
        scored = made_components()
        found = fit_definition(OFFERED, Choice(("ssim", "residual"), "sum"), scored)
        assert (found["decide"], found["combine"]) == (["ssim", "residual"], "sum")
        for k, entry in enumerate(found["normalisation"]):
            assert entry["component"] == ("ssim", "residual")[k]
            for region in (0, 1):
                values = scored.numbers[:6, :, :, region, k]
                median = sorted_quantile(values, 0.5)
                assert entry["offset"][region] == pytest.approx(median, rel=1e-12)
                above = sorted_quantile(values, 0.95) - median
                assert entry["scale"][region] == pytest.approx(above, rel=1e-12)

    def test_numbers_that_are_all_equal(self) -> None:
        scored = made_components()
        scored.numbers[..., 1] = 0.25
        found = fit_definition(OFFERED, Choice(("ssim", "residual"), "sum"), scored)
        assert found["normalisation"][1]["offset"] == [0.25, 0.25]
        assert found["normalisation"][1]["scale"] == [1e-6, 1e-6]

    def test_scale_of_maps(self) -> None:
        random = np.random.default_rng(1)
        maps = [
            [random.beta(1, 20, 20_000).astype(np.float32), np.full(9, -3, np.float32)],
            [random.normal(-2, 5, 20_000).astype(np.float32), np.zeros(9, np.float32)],
        ]
        found = fit_definition(OFFERED, Choice(BOTH, "largest"), made_components(maps))
        (first, negative), (second, zero) = (e["map_scale"] for e in found["normalisation"])
        assert first == pytest.approx(sorted_quantile(maps[0][0], 0.999), rel=2e-3)
        assert second == pytest.approx(sorted_quantile(maps[1][0], 0.999), rel=2e-3)
        assert (negative, zero) == (1e-6, 2**-16)

    def test_without_nominal_strips(self) -> None:
        scored = made_components()
        scored.defective[:] = True
        with pytest.raises(DataError, match="needs nominal strips"):
            fit_definition(OFFERED, Choice(BOTH, "largest"), scored)


class TestHeatmapScales:
    def test_from_zero_to_what_almost_no_pixel_exceeds(self) -> None:
        values = np.random.default_rng(1).beta(1, 20, 20_000).astype(np.float32)
        scales = heatmap_scales(Choice(("ssim",), None), made_components([[values, values]]))
        assert scales.vmin == (0.0, 0.0)
        exact = np.sort(values)[int(np.ceil(0.999 * 20_000)) - 1]
        assert exact <= scales.vmax[0] <= exact * (1 + 2**-10)

    def test_map_with_negative_values_begins_at_its_median(self) -> None:
        values = np.random.default_rng(2).normal(-0.3, 2, 20_000).astype(np.float32)
        scales = heatmap_scales(Choice(("map",), None), made_components([[values, values]]))
        ordered = np.sort(values)
        assert scales.vmin[0] == pytest.approx(ordered[9_999], rel=2**-10)
        assert scales.vmin[0] <= ordered[9_999]
        assert scales.vmax[0] == pytest.approx(ordered[19_979], rel=2**-10)

    def test_map_of_logits_begins_where_nominal_pixels_end(self) -> None:
        values = np.random.default_rng(2).normal(-4, 1, 20_000).astype(np.float32)
        below = np.full(20, -2.6, np.float32)
        scales = heatmap_scales(Choice(("map",), None), made_components([[values, below]]))
        ordered = np.sort(values)
        median, high = (float(ordered[i]) for i in (9_999, 19_979))
        assert scales.vmin[0] == pytest.approx(high, rel=2**-10)
        assert scales.vmin[0] >= high
        assert scales.vmax[0] == pytest.approx(high + (high - median), abs=3 * 4 * 2**-10)
        assert (
            vialsight.heatmap(below[None, :, None], vmin=scales.vmin[1], vmax=scales.vmax[1]) == 0
        ).all()

    def test_map_that_is_zero_has_a_width(self) -> None:
        nothing = np.zeros(16, np.float32)
        scales = heatmap_scales(Choice(("ssim",), None), made_components([[nothing, nothing]]))
        assert (scales.vmin, scales.vmax) == ((0.0, 0.0), (2**-16, 2**-16))

    @pytest.mark.parametrize(("combine", "end"), [("largest", 1.0), ("sum", 2.0)])
    def test_maps_of_a_combination_are_scaled_before(self, combine: str, end: float) -> None:
        random = np.random.default_rng(3)
        maps = [
            [random.beta(5, 5, 20_000).astype(np.float32) for _ in range(2)],
            [random.beta(2, 9, 20_000).astype(np.float32), np.full(9, -3, np.float32)],
        ]
        scales = heatmap_scales(Choice(BOTH, combine), made_components(maps))
        assert scales.vmax == (end, end)
        for region, of_components in enumerate(zip(*maps, strict=True)):
            medians = [
                np.median(values) / np.quantile(values, 0.999) if values.max() > 0 else 0.0
                for values in of_components
            ]
            expected = max(medians) if combine == "largest" else sum(medians)
            assert scales.vmin[region] == pytest.approx(expected, rel=5e-3)

    @pytest.mark.parametrize("combine", ["largest", "sum"])
    def test_a_combination_of_equal_pixels_has_a_width(self, combine: str) -> None:
        same = np.full(16, 0.3, np.float32)
        scales = heatmap_scales(Choice(BOTH, combine), made_components([[same, same]] * 2))
        assert all(low < high for low, high in zip(scales.vmin, scales.vmax, strict=True))

    def test_no_patches(self) -> None:
        with pytest.raises(DataError, match="needs nominal patches"):
            quantile_bin(np.zeros(MAP_BINS.count, np.int64), 0.5)


@pytest.fixture(scope="module")
def combined_bundle(
    tiny_bundle: Path, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Calibrated with the sum of two components."""
    out = tmp_path_factory.mktemp("combined") / "combined.vsb"
    calibrate(vialsight.Bundle.load(tiny_bundle), tiny_dataset, out, score=BOTH, combine="sum")
    return out


@pytest.mark.tensorflow
class TestScoredSplit:
    def test_components_and_maps_of_the_frozen_graph(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        part = tiny_dataset.select(split="calibration")
        names = ("residual_mean", "ssim")
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        scored = score_split(bundle, part, tmp_path / "out.vsb", names, identity="x")
        inspector = vialsight.Inspector(bundle)
        kept = [[], []]
        for number, strip in enumerate(part.strips()):
            verdict = inspector.inspect(load_strip(strip, part.layout))
            np.testing.assert_array_equal(scored.numbers[number, ..., 1], verdict.scores)
            for place in itertools.product(range(3), range(2), range(2)):
                x, y = inspector.images(*place)
                difference = np.abs(x - y)
                mean = difference.astype(float).mean()
                assert scored.numbers[(number, *place, 0)] == pytest.approx(mean, abs=1e-6)
                if scored.truth[(number, *place)] == NOMINAL:
                    kept[place[2]].append(difference)
        for region in (0, 1):
            # Differences near a bin's edge may be rounded to either side.
            assert scored.map_values[1, region].sum() == np.size(kept[region])
            expected = np.cumsum(count_values(np.array(kept[region])))
            found = np.cumsum(scored.map_values[1, region])
            assert np.abs(found - expected).max() <= 1e-3 * expected[-1]


@pytest.mark.tensorflow
class TestCalibrate:
    @pytest.mark.parametrize("combine", ["largest", "sum"])
    def test_scores_of_the_line_are_those_that_were_fitted_to(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path, combine: str
    ) -> None:
        source, out = vialsight.Bundle.load(tiny_bundle), tmp_path / "out.vsb"
        names = ("ssim", "residual", "msgms")
        calibrate(source, tiny_dataset, out, score=names, combine=combine)
        bundle = vialsight.Bundle.load(out)
        definition = read_manifest(bundle)["score"]
        part = tiny_dataset.select(split="calibration")
        scored = score_split(source, part, tmp_path / "again", names, identity="x")
        phi = scored.combined(source.make_score(definition)).scores
        inspector = vialsight.Inspector(bundle)
        for number, strip in enumerate(part.strips()):
            verdict = inspector.inspect(load_strip(strip, part.layout))
            np.testing.assert_array_equal(verdict.scores, phi[number])
            np.testing.assert_array_equal(verdict.component_scores, scored.numbers[number])
        np.testing.assert_allclose(phi, _combined(scored.numbers, definition), rtol=1e-6)
        above = (phi > np.array(bundle.thresholds["strip"])).any(axis=(1, 2, 3))
        level = json.loads(bundle.manifest_json)["calibration"]["levels"]["strip"]
        assert level["detection_rate"] == above[scored.defective].mean()
        assert level["false_reject_rate"] == above[~scored.defective].mean()

    def test_single_component(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.vsb"
        calibrate(vialsight.Bundle.load(tiny_bundle), tiny_dataset, out, score=["ssim_local"])
        bundle = vialsight.Bundle.load(out)
        score = read_manifest(bundle)["score"]
        assert (score["decide"], score["combine"], score["normalisation"]) == (
            ["ssim_local"], None, None,
        )  # fmt: skip
        assert bundle.components == ["ssim_local"]
        for region in (0, 1):
            vmin, vmax = bundle.heatmap_scale(region)
            assert vmin <= 0.0 < vmax

    def test_what_decides_goes_on_when_calibrated_again(
        self, combined_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        source, out = vialsight.Bundle.load(combined_bundle), tmp_path / "out.vsb"
        records = [
            dataclasses.replace(record, split="calibration")
            for record in tiny_dataset.select(split="test").records
        ]
        calibrate(source, dataclasses.replace(tiny_dataset, records=tuple(records)), out)
        before, after = (
            read_manifest(bundle)["score"] for bundle in (source, vialsight.Bundle.load(out))
        )
        assert (after["decide"], after["combine"]) == (before["decide"], before["combine"])
        assert after["normalisation"] != before["normalisation"]

    def test_goes_on_after_an_interruption_within_a_strip(
        self, tiny_bundle: Path, tiny_dataset: Dataset, combined_bundle: Path, tmp_path: Path
    ) -> None:
        bundle, out = vialsight.Bundle.load(tiny_bundle), tmp_path / "out.vsb"
        counted, calls = itertools.count(), []

        def interrupted(maps: np.ndarray) -> np.ndarray:
            # Two components of two regions: five strips of three frames, and two of the next strip.
            if next(counted) == 17 * 4:
                raise KeyboardInterrupt
            return count_values(maps)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vialsight.calibration.scores.count_values", interrupted)
            with pytest.raises(KeyboardInterrupt):
                calibrate(bundle, tiny_dataset, out, score=BOTH, combine="sum")
        assert not out.exists()

        def count(done: int, _: int) -> None:
            calls.append(done)

        calibrate(bundle, tiny_dataset, out, score=BOTH, combine="sum", progress=count)
        assert calls == [6, 7, 8]
        assert [path.name for path in tmp_path.iterdir()] == ["out.vsb"]
        found, whole = (read_manifest(vialsight.Bundle.load(p)) for p in (out, combined_bundle))
        for key in ("score", "thresholds", "heatmap"):
            assert found[key] == whole[key]

    def test_other_components_begin_anew(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        bundle, out, calls = vialsight.Bundle.load(tiny_bundle), tmp_path / "out.vsb", []

        def interrupt(done: int, _: int) -> None:
            calls.append(done)
            raise KeyboardInterrupt

        for names in (BOTH, ("ssim",)):
            with pytest.raises(KeyboardInterrupt):
                calibrate(bundle, tiny_dataset, out, score=names, progress=interrupt)
        assert calls == [1, 1]

    def test_component_that_is_not_offered(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        bundle = vialsight.Bundle.load(tiny_bundle)
        with pytest.raises(DataError, match=r"\(ssim, ssim_local, .*\); got 'mse'"):
            calibrate(bundle, tiny_dataset, tmp_path / "out.vsb", score=["mse"])
        assert list(tmp_path.iterdir()) == []


def _combined(numbers: np.ndarray, definition: dict) -> np.ndarray:
    """φ (S,F,V,R) of numbers (S,F,V,R,K), by SPEC §5.2 in float64."""
    entries = definition["normalisation"]
    excess = [
        (numbers[..., k].astype(float) - np.array(entry["offset"])) / np.array(entry["scale"])
        for k, entry in enumerate(entries)
    ]
    if definition["combine"] == "largest":
        return np.max(excess, axis=0)
    return np.sum(np.maximum(0.0, excess), axis=0)
