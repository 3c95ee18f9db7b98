"""Pixel AUROC and per-region overlap from histograms: memory does not grow with the images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError
from vialsight.statistics.intervals import Interval, percentile_interval
from vialsight.statistics.ranking import auroc_of_counts
from vialsight.value_bins import ValueBins

# A bin is 3 % of its value wide: maps of a score have any range, and figures only need the order.
PIXEL_BINS: Final = ValueBins(octave_bits=5)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PixelCounts:
    """Pixels of a score's maps, counted per physical strip (K) and region (R) in B = PIXEL_BINS.

    `nominal`, `defective` int64 (K, R, B): pixels outside and inside the masks. `overlap` float64
    (K, R, B): per mask component the share of its pixels in each bin, summed over components.
    `components` int64 (K, R).
    """

    nominal: npt.NDArray[np.int64]
    defective: npt.NDArray[np.int64]
    overlap: FloatArray
    components: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, strips: int, regions: int) -> "PixelCounts":
        """Start with no patch counted, for K strips and R regions."""
        shape = (strips, regions, PIXEL_BINS.count)
        return cls(
            nominal=np.zeros(shape, np.int64),
            defective=np.zeros(shape, np.int64),
            overlap=np.zeros(shape, np.float64),
            components=np.zeros(shape[:2], np.int64),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "PixelCounts":
        """Restore what `arrays` gave; DataError when an array is missing or of another kind."""
        shape = np.shape(arrays["nominal"])[:2] if "nominal" in arrays else ()
        expected = cls.empty(*shape).arrays() if len(shape) == 2 else cls.empty(0, 0).arrays()
        for name, like in expected.items():
            found = arrays.get(name)
            if found is None or (found.shape, found.dtype) != (like.shape, like.dtype):
                came = "none" if found is None else f"{found.dtype} {found.shape}"
                raise DataError(
                    f"pixel counts: expected {name} as {like.dtype} {like.shape}, got {came}; "
                    "evaluate again"
                )
        return cls(**{name: arrays[name] for name in expected})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything counted, by name, to be stored; `from_arrays` restores it exactly."""
        names = ("nominal", "defective", "overlap", "components")
        return {name: getattr(self, name) for name in names}

    def add(
        self,
        strip: int,
        region: int,
        values: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Count one patch: its map `values` float32 (P, P), finite, and its `mask` bool (P, P).

        The mask is True on a defect. None means no defective pixel: leave out patches of defective
        products whose mask is not known. Raises DataError on a mask of another shape or values that
        are not finite.
        """
        bins = _bins(values)
        counts = _counted(bins)
        if mask is not None and mask.shape != values.shape:
            raise DataError(f"expected a mask of shape {values.shape}, got {mask.shape}")
        if mask is not None and mask.any():
            inside = _counted(bins[mask])
            self.defective[strip, region] += inside
            counts = counts - inside
            self._add_components(strip, region, bins, mask)
        self.nominal[strip, region] += counts

    def _add_components(
        self, strip: int, region: int, bins: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]
    ) -> None:
        from scipy.ndimage import label

        labels, number = label(mask, structure=np.ones((3, 3)))
        members = labels[mask]
        shares = 1 / np.bincount(members)[members]
        self.overlap[strip, region] += _counted(bins[mask], shares)
        self.components[strip, region] += number


def pixel_auroc(
    counts: PixelCounts, region: int | None, weights: npt.NDArray[Any] | None = None
) -> float | None:
    """AUROC of pixels in one region, or in all for None; `weights` (K,) per physical strip.

    None without nominal or without defective pixels. Pixels of one bin count as ties, which moves
    the figure by far less than 2e-3.
    """
    strips = len(counts.nominal)
    rows = np.ones((1, strips)) if weights is None else np.asarray(weights, np.float64)[None]
    area = _replicates(counts, region, rows)[0]
    return None if np.isnan(area) else float(area)


def pixel_interval(
    counts: PixelCounts, region: int | None, draws: npt.NDArray[np.integer[Any]]
) -> Interval | None:
    """Bootstrap interval of `pixel_auroc` over physical strips, `draws` int (B, K).

    None where it does not exist, or has no width (one strip, no error): it would claim certainty.
    """
    return percentile_interval(_replicates(counts, region, draws.astype(np.float64)), flat=False)


def per_region_overlap(counts: PixelCounts, region: int | None, limit: float = 0.3) -> float | None:
    """PRO: mean overlap of mask components, averaged over pixel false positive rates to `limit`.

    At a threshold, the overlap of a component (8-neighbourhood) is the share of its pixels at or
    above; the mean over components is integrated over the share of nominal pixels at or above, by
    trapezoids, and divided by `limit` in (0, 1]. 1 is perfect. None without components or nominal
    pixels. Source: Bergmann et al. 2021, IJCV 129:1038-1059, section 5.
    """
    nominal = _selected(counts.nominal, region).sum(axis=0)
    components = int(_selected(counts.components[..., None], region).sum())
    if components == 0 or nominal.sum() == 0:
        return None
    overlap = _from_the_highest(_selected(counts.overlap, region).sum(axis=0)) / components
    rate = _from_the_highest(nominal)
    rate /= rate[-1]
    return _area_to(rate, overlap, limit) / limit


def _bins(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    finite = np.isfinite(values)
    if not finite.all():
        raise DataError(
            f"expected finite values of a map, got {np.count_nonzero(~finite)} of {values.size} "
            "that are not; leave out patches that could not be scored"
        )
    return PIXEL_BINS.of(values)


def _counted(bins: npt.NDArray[np.int64], weights: FloatArray | None = None) -> npt.NDArray[Any]:
    return np.bincount(bins.ravel(), weights=weights, minlength=PIXEL_BINS.count)


def _selected(array: npt.NDArray[Any], region: int | None) -> FloatArray:
    """Take (K, R, n) of one region, or the sum over all, as float64 (K, n)."""
    chosen = array.sum(axis=1) if region is None else array[:, region]
    return np.asarray(chosen, np.float64)


def _replicates(counts: PixelCounts, region: int | None, weights: FloatArray) -> FloatArray:
    """AUROC float (B,) for each row of weights (B, K).

    All sums are of integers below 2**53, so that a threaded product gives the same in any order.
    """
    nominal, defective = (
        (weights @ _selected(array, region)).T[::-1] for array in (counts.nominal, counts.defective)
    )
    return auroc_of_counts(nominal, defective)


def _from_the_highest(counts: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(counts[::-1])])


def _area_to(x: FloatArray, y: FloatArray, limit: float) -> float:
    """Area under the line through (x, y), x rising, from 0 to `limit`, interpolated there."""
    from scipy.integrate import trapezoid

    inside = int(np.searchsorted(x, limit, side="right"))
    if inside == x.size:
        return float(trapezoid(y, x))
    step = (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
    last = y[inside - 1] + step * (y[inside] - y[inside - 1])
    return float(trapezoid(np.append(y[:inside], last), np.append(x[:inside], limit)))
