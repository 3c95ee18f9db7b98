"""Pixel figures from histograms against scikit-learn and brute force on the pixels themselves."""

import dataclasses
import io

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from vialsight.errors import DataError
from vialsight.statistics.intervals import resampled_strips
from vialsight.statistics.pixels import (
    PIXEL_BINS,
    PixelCounts,
    per_region_overlap,
    pixel_auroc,
    pixel_interval,
)

STRIPS, REGIONS, EDGE, PER_STRIP = 6, 2, 32, 3


@dataclasses.dataclass
class Patch:
    strip: int
    region: int
    values: np.ndarray
    mask: np.ndarray | None


# Of a difference: as it is, as deviations of either sign, and as numbers far above 1.
MAPS = {"difference": (1.0, 0.0), "signed": (40.0, -1.0), "large": (20_000.0, 50.0)}


@pytest.fixture(scope="module", params=MAPS.values(), ids=MAPS)
def patches(request: pytest.FixtureRequest) -> list[Patch]:
    """Half the strips nominal; small values, larger and uneven under blobs of the masks."""
    factor, offset = request.param
    random = np.random.default_rng(11)
    made = []
    for strip, region, _ in np.ndindex(STRIPS, REGIONS, PER_STRIP):
        difference = random.gamma(2.0, 0.01, (EDGE, EDGE))
        mask = blobs(random) if strip < STRIPS // 2 else None
        if mask is not None:
            difference = difference + mask * random.uniform(-0.01, 0.08) * random.random(mask.shape)
        values = np.float32(factor * np.clip(difference, 0, 1) + offset)
        made.append(Patch(strip, region, values, mask))
    return made


def blobs(random: np.random.Generator) -> np.ndarray:
    """Boxes of 1 to 8 pixels edge, and two pixels which touch by a corner: one component."""
    mask = np.zeros((EDGE, EDGE), bool)
    for _ in range(3):
        y, x = random.integers(0, EDGE - 8, 2)
        height, width = random.integers(1, 9, 2)
        mask[y : y + height, x : x + width] = True
    mask[30, 30] = mask[31, 31] = True
    return mask


def counted(patches: list[Patch]) -> PixelCounts:
    counts = PixelCounts.empty(STRIPS, REGIONS)
    for patch in patches:
        counts.add(patch.strip, patch.region, patch.values, patch.mask)
    return counts


def chosen(patches: list[Patch], region: int | None) -> list[Patch]:
    return [patch for patch in patches if region in (None, patch.region)]


def truth_of(patch: Patch) -> np.ndarray:
    return np.zeros(patch.values.shape, bool) if patch.mask is None else patch.mask


def area_of(patches: list[Patch]) -> float:
    truth = np.concatenate([truth_of(patch).ravel() for patch in patches])
    return roc_auc_score(truth, np.concatenate([patch.values.ravel() for patch in patches]))


def shares_from(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of the values at or above each threshold."""
    return 1 - np.searchsorted(np.sort(values), thresholds, side="left") / values.size


def overlap_by_brute_force(patches: list[Patch], limit: float) -> float:
    """Each distinct value as threshold; overlap averaged over components one by one."""
    components = []
    for patch in patches:
        labels, number = label(truth_of(patch), structure=np.ones((3, 3)))
        components += [patch.values[labels == i] for i in range(1, number + 1)]
    nominal = np.concatenate([patch.values[~truth_of(patch)] for patch in patches])
    thresholds = np.unique(np.concatenate([patch.values.ravel() for patch in patches]))[::-1]
    rates = np.append(0, shares_from(nominal, thresholds))
    overlaps = np.append(0, np.mean([shares_from(c, thresholds) for c in components], axis=0))
    grid = np.linspace(0, limit, 20_001)
    values = np.interp(grid, rates, overlaps)
    return float((values[1:] + values[:-1]).mean() / 2)


@pytest.mark.parametrize("region", [0, 1, None])
class TestAgainstPixels:
    def test_auroc(self, patches: list[Patch], region: int | None) -> None:
        expected = area_of(chosen(patches, region))
        assert 0.6 < expected < 0.99
        assert pixel_auroc(counted(patches), region, None) == pytest.approx(expected, abs=2e-3)

    def test_weighted_auroc_is_that_of_repeated_strips(
        self, patches: list[Patch], region: int | None
    ) -> None:
        weights = np.array([2, 0, 1, 1, 3, 0])
        repeated = [p for p in chosen(patches, region) for _ in range(weights[p.strip])]
        found = pixel_auroc(counted(patches), region, weights)
        assert found == pytest.approx(area_of(repeated), abs=2e-3)

    @pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
    def test_per_region_overlap(
        self, patches: list[Patch], region: int | None, limit: float
    ) -> None:
        expected = overlap_by_brute_force(chosen(patches, region), limit)
        found = per_region_overlap(counted(patches), region, limit)
        assert found == pytest.approx(expected, abs=5e-3)

    def test_interval(self, patches: list[Patch], region: int | None) -> None:
        draws = resampled_strips(np.arange(STRIPS) < STRIPS // 2, replicates=60, seed=2)
        areas = [
            area_of([p for p in chosen(patches, region) for _ in range(draw[p.strip])])
            for draw in draws
        ]
        expected = tuple(np.percentile(areas, [2.5, 97.5]))
        found = pixel_interval(counted(patches), region, draws)
        assert found == pytest.approx(expected, abs=2e-3)


class TestOverlapByHand:
    """Nominal pixels 0.0 (90) and 0.5 (10); a component of 4 pixels 0.8, one of 2: 0.5 and 0.0."""

    @pytest.fixture
    def counts(self) -> PixelCounts:
        difference, mask = np.zeros((1, 106), np.float32), np.zeros((1, 106), bool)
        difference[0, :10] = 0.5
        mask[0, 90:94], difference[0, 90:94] = True, 0.8
        mask[0, 100:102], difference[0, 100] = True, 0.5
        counts = PixelCounts.empty(1, 1)
        counts.add(0, 0, difference, mask)
        return counts

    def test_counts(self, counts: PixelCounts) -> None:
        assert (counts.nominal.sum(), counts.defective.sum()) == (100, 6)
        assert counts.components.item() == 2
        # 32 bins an octave from 2^-16 on, which follow the 1025 of values up to it:
        # 0.5 begins the 15th octave after, 0.8 = 0.5 · 1.6 lies in its bin int(0.6 · 32) = 19.
        assert counts.defective[0, 0, [1024, 1505, 1524]].tolist() == [1, 1, 4]
        assert counts.overlap[0, 0, [1024, 1505, 1524]].tolist() == [0.5, 0.5, 1.0]

    def test_area(self, counts: PixelCounts) -> None:
        # Points (rate, overlap): (0, 0.5), (0.1, 0.75), (1, 1). To 0.1: 0.0625 of 0.1.
        assert per_region_overlap(counts, 0, 0.1) == pytest.approx(0.625)
        # On to 0.3: overlap 0.75 + 0.25 * 2 / 9; area 0.2 * (0.75 + 0.5 / 18).
        assert per_region_overlap(counts, 0) == pytest.approx((0.0625 + 0.15 + 0.1 / 18) / 0.3)


class TestEdges:
    def test_without_masks(self) -> None:
        counts = PixelCounts.empty(2, 1)
        counts.add(0, 0, np.full((4, 4), 0.1, np.float32), None)
        counts.add(1, 0, np.full((4, 4), 0.1, np.float32), np.zeros((4, 4), bool))
        assert counts.nominal.sum() == 32
        assert pixel_auroc(counts, 0, None) is None
        assert per_region_overlap(counts, None) is None
        assert pixel_interval(counts, 0, np.ones((5, 2), int)) is None

    def test_no_error_gives_no_interval(self) -> None:
        counts = PixelCounts.empty(2, 1)
        mask = np.eye(4, dtype=bool)
        for strip in range(2):
            counts.add(strip, 0, mask.astype(np.float32), mask)
        assert pixel_auroc(counts, 0, None) == 1.0
        assert per_region_overlap(counts, 0) == pytest.approx(1.0)
        assert pixel_interval(counts, 0, np.array([[2, 0], [1, 1], [0, 2]])) is None

    def test_largest_values_of_either_sign_have_bins(self) -> None:
        counts, largest = PixelCounts.empty(1, 1), np.finfo(np.float32).max
        counts.add(0, 0, np.array([[-largest, 0.0, largest]], np.float32), None)
        assert np.flatnonzero(counts.nominal).tolist() == [0, 1024, PIXEL_BINS.count - 1]

    @pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
    def test_value_that_is_not_finite(self, value: float) -> None:
        values = np.array([[0.1, value]], np.float32)
        with pytest.raises(DataError, match="expected finite values of a map, got 1 of 2 that"):
            PixelCounts.empty(1, 1).add(0, 0, values, None)

    def test_mask_of_another_shape(self) -> None:
        with pytest.raises(DataError, match=r"mask of shape \(4, 4\), got \(4, 5\)"):
            PixelCounts.empty(1, 1).add(
                0, 0, np.zeros((4, 4), np.float32), np.zeros((4, 5), dtype=bool)
            )


class TestStorage:
    def test_restored_exactly(self, patches: list[Patch]) -> None:
        counts, file = counted(patches), io.BytesIO()
        np.savez_compressed(file, **counts.arrays())
        file.seek(0)
        with np.load(file) as stored:
            restored = PixelCounts.from_arrays(dict(stored))
        for name, array in counts.arrays().items():
            np.testing.assert_array_equal(restored.arrays()[name], array, strict=True)

    def test_array_missing(self) -> None:
        arrays = PixelCounts.empty(2, 3).arrays()
        del arrays["overlap"]
        with pytest.raises(DataError, match=r"overlap as float64 .* got none"):
            PixelCounts.from_arrays(arrays)

    def test_nothing_stored(self) -> None:
        with pytest.raises(DataError, match="expected nominal"):
            PixelCounts.from_arrays({})

    def test_array_of_another_shape(self) -> None:
        arrays = PixelCounts.empty(2, 3).arrays() | {"components": np.zeros((3, 2), np.int64)}
        with pytest.raises(DataError, match=r"components as int64 \(2, 3\), got int64 \(3, 2\)"):
            PixelCounts.from_arrays(arrays)

    def test_array_of_another_kind(self) -> None:
        arrays = PixelCounts.empty(2, 3).arrays()
        arrays["nominal"] = arrays["nominal"].astype(np.float32)
        with pytest.raises(DataError, match="nominal as int64"):
            PixelCounts.from_arrays(arrays)
