"""Calibration: thresholds per region and the heatmap's fixed scale, into a new bundle.

Positive = defective; a patch is accepted when φ <= t. Fitting is exact and deterministic: no
sampling, integer counts, ties resolved by rule.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.bundle import LEVELS, HeatmapScales, read_manifest, with_calibration
from vialsight.data import DEFECTIVE, NOMINAL, Dataset, DatasetPatches
from vialsight.data.records import raise_listed, refuse_overlap
from vialsight.errors import DataError

Scores = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

DEFAULT_QUANTILE: Final = 0.995
HEATMAP_QUANTILE: Final = 0.999
OBJECTIVE: Final = "balanced_accuracy"
# Resolution of the heatmap's upper end: 1/65536 of the pixel range, in constant memory.
_DIFFERENCE_BINS: Final = 2**16
_CHUNK_PATCHES: Final = 64


@dataclass(frozen=True, kw_only=True)
class ThresholdFit:
    """A threshold and what it does on the scores it was fitted to.

    Rates are null where no defective sample was given.
    """

    threshold: float
    nominal: int
    defective: int
    detection_rate: float | None
    false_reject_rate: float
    balanced_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """Fits in the order of the layout's regions, and the upper ends of the heatmap scale."""

    regions: tuple[str, ...]
    fits: tuple[ThresholdFit, ...]
    heatmap_vmax: tuple[float, ...]


def fit_threshold(
    nominal: Scores, defective: Scores, *, quantile: float = DEFAULT_QUANTILE
) -> ThresholdFit:
    """Choose the threshold of one region from φ of nominal (n,) and defective (m,) patches.

    With defective samples: the largest balanced accuracy (see `best_threshold`). Without: the
    smallest nominal score that accepts a share `quantile` of the nominal patches.
    Raises DataError when there is no nominal score or one of all is not finite.
    """
    _check_scores(nominal, defective)
    if not 0.0 < quantile <= 1.0:
        raise DataError(f"quantile must be above 0 and at most 1; got {quantile}")
    if len(defective) == 0:
        threshold = float(np.quantile(nominal.astype(np.float64), quantile, method="higher"))
    else:
        threshold = best_threshold(nominal, defective)
    return _describe(threshold, nominal, defective)


def best_threshold(nominal: Scores, defective: Scores) -> float:
    """Return the threshold with the largest balanced accuracy, for φ of (n,) and (m,) patches.

    Candidates are the midpoints between neighbouring distinct scores and one value outside each
    end. Among equals the middle of the widest gap is taken, which leaves the largest margin to
    the nearest score on either side; among equally wide gaps the lowest, which rejects more.
    """
    scores = np.unique(np.concatenate([nominal, defective])).astype(np.float64)
    candidates, gaps = _candidates(scores)
    accepted_nominal = np.searchsorted(np.sort(nominal), candidates, side="right")
    accepted_defective = np.searchsorted(np.sort(defective), candidates, side="right")
    rejected_defective = len(defective) - accepted_defective
    # Twice n·m times the balanced accuracy, in integers: equal is equal.
    merit = rejected_defective * len(nominal) + accepted_nominal * len(defective)
    best = np.flatnonzero(merit == merit.max())
    return float(candidates[best[np.argmax(gaps[best])]])


def difference_quantile(
    differences: Iterator[npt.NDArray[np.float32]], quantile: float = HEATMAP_QUANTILE
) -> float:
    """Return the `quantile` of |X - X̂| over all pixels of all arrays, values in [0,1].

    Rounded up to a multiple of 2^-16; never 0, so that a heatmap scale always has a width.
    """
    counts = np.zeros(_DIFFERENCE_BINS, np.int64)
    for array in differences:
        bins = np.minimum((array * np.float32(_DIFFERENCE_BINS)).astype(np.int64), counts.size - 1)
        counts += np.bincount(bins.ravel(), minlength=counts.size)
    if not counts.any():
        raise DataError("the heatmap scale needs nominal patches; none were given")
    below = np.cumsum(counts)
    return float(np.searchsorted(below, quantile * below[-1]) + 1) / _DIFFERENCE_BINS


def calibrate(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    quantile: float = DEFAULT_QUANTILE,
    threads: int = 0,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Fit thresholds on the calibration split of `dataset` and write them into a new bundle.

    The strip and run sets get the patch set's values, marked `copied_from_patch`. `progress` is
    called with scored and total patches. Raises DataError when the layout differs from the
    bundle's, the split is empty, products were trained on, or patches cannot be labelled;
    BundleError when `out` exists.
    """
    part = dataset.select(split="calibration")
    part.require_layout(bundle.layout)
    manifest = read_manifest(bundle)
    refuse_overlap(part.products, manifest["provenance"]["training_products"], "training")
    _check_labelled(part)
    data_sha256 = dataset.sha256()
    result = _fit_regions(bundle, part, quantile, threads, progress)
    with_calibration(
        bundle,
        out,
        thresholds={level: [fit.threshold for fit in result.fits] for level in LEVELS},
        heatmap=HeatmapScales(vmin=[0.0] * len(result.fits), vmax=result.heatmap_vmax),
        calibration=_record(result, part, data_sha256, quantile),
    )
    return result


def _candidates(
    scores: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return thresholds between and outside distinct sorted scores, and the width of their gaps.

    The outer two have no second neighbour: width 0 makes them the last choice among equals.
    """
    lowest = np.nextafter(np.float32(scores[0]), np.float32(-np.inf)).astype(np.float64)
    middles = scores[:-1] + np.diff(scores) / 2.0
    candidates = np.concatenate([[lowest], middles, [scores[-1]]])
    return candidates, np.concatenate([[0.0], np.diff(scores), [0.0]])


def _check_scores(nominal: Scores, defective: Scores) -> None:
    if len(nominal) == 0:
        raise DataError("a threshold needs nominal patches of its region; none were given")
    if not (np.isfinite(nominal).all() and np.isfinite(defective).all()):
        raise DataError("scores must be finite to fit a threshold; the model is not usable")


def _describe(threshold: float, nominal: Scores, defective: Scores) -> ThresholdFit:
    false_rejects = int(np.count_nonzero(nominal.astype(np.float64) > threshold))
    detected = int(np.count_nonzero(defective.astype(np.float64) > threshold))
    n, m = len(nominal), len(defective)
    return ThresholdFit(
        threshold=threshold,
        nominal=n,
        defective=m,
        detection_rate=detected / m if m else None,
        false_reject_rate=false_rejects / n,
        balanced_accuracy=(detected * n + (n - false_rejects) * m) / (2 * n * m) if m else None,
    )


def _check_labelled(part: Dataset) -> None:
    if part.layout.patches_per_frame == 1:
        return
    unknown = [str(r.image) for r in part.records if r.defective and r.mask is None]
    raise_listed(
        "defective images without a mask, which says in what patches the defect lies; "
        "add masks or leave these images out of the calibration split",
        unknown,
    )


def _fit_regions(
    bundle: _core.Bundle, part: Dataset, quantile: float, threads: int, progress: Progress | None
) -> CalibrationResult:
    inspector = _core.Inspector(bundle, threads=threads, require_thresholds=False)
    patches = DatasetPatches(part)
    scores = _score(inspector, patches, progress)
    truth, regions = patches.truth, patches.regions
    fits, vmax = [], []
    for region, name in enumerate(part.layout.regions):
        nominal = np.flatnonzero((regions == region) & (truth == NOMINAL))
        defective = np.flatnonzero((regions == region) & (truth == DEFECTIVE))
        fits.append(_fit_named(name, scores[nominal], scores[defective], quantile))
        vmax.append(difference_quantile(_differences(inspector, patches, nominal)))
    return CalibrationResult(
        regions=tuple(part.layout.regions), fits=tuple(fits), heatmap_vmax=tuple(vmax)
    )


def _fit_named(name: str, nominal: Scores, defective: Scores, quantile: float) -> ThresholdFit:
    try:
        return fit_threshold(nominal, defective, quantile=quantile)
    except DataError as error:
        raise DataError(f"region {name!r}: {error}") from error


def _score(
    inspector: _core.Inspector, patches: DatasetPatches, progress: Progress | None
) -> Scores:
    scores = np.empty(len(patches), np.float32)
    for indices in _chunks(np.arange(len(patches))):
        scores[indices] = inspector.score_patches(patches.read(indices))
        if progress is not None:
            progress(int(indices[-1]) + 1, len(patches))
    return scores


def _differences(
    inspector: _core.Inspector, patches: DatasetPatches, indices: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.float32]]:
    for chunk in _chunks(indices):
        inputs = patches.read(chunk)
        yield np.abs(inputs - inspector.reconstruct(inputs))


def _chunks(indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(indices), _CHUNK_PATCHES):
        yield indices[start : start + _CHUNK_PATCHES]


def _record(
    result: CalibrationResult, part: Dataset, data_sha256: str, quantile: float
) -> dict[str, Any]:
    """Return the manifest's `calibration` object."""
    copied = dict.fromkeys(LEVELS[1:], "copied_from_patch")
    without = any(fit.defective == 0 for fit in result.fits)
    return {
        "objective": f"{OBJECTIVE}_or_nominal_quantile_{quantile:g}" if without else OBJECTIVE,
        "data_sha256": data_sha256,
        "levels": {"patch": "fitted", **copied},
        "regions": [
            _region_record(name, fit) for name, fit in zip(result.regions, result.fits, strict=True)
        ],
        "products": list(part.products),
    }


def _region_record(name: str, fit: ThresholdFit) -> dict[str, Any]:
    return {
        "region": name,
        "nominal": fit.nominal,
        "defective": fit.defective,
        "detection_rate": fit.detection_rate,
        "false_reject_rate": fit.false_reject_rate,
        "balanced_accuracy": fit.balanced_accuracy,
    }
