"""Scores, truths and differences of a calibration split, through the C++ core."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Patches, Progress
from vialsight.data import NOMINAL, Dataset, Strip, load_frame, strip_truth
from vialsight.errors import BundleError, DataError
from vialsight.files.unfinished import Arrays, Unfinished, partial_path

HEATMAP_QUANTILE: Final = 0.999
# Resolution of the heatmap's upper end: 1/65536 of the pixel range, in constant memory.
_DIFFERENCE_BINS: Final = 2**16


@dataclass(frozen=True, kw_only=True)
class CalibrationScores:
    """Scores float32 (S,F,V,R) and truth int8 (S,F,V,R) of S runs; unit int (S,) in [0, K).

    `defective` bool (S,). `differences` int64 (R,65536) counts |X - X̂| of nominal patches' pixels.
    """

    scores: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int8]
    unit: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]
    differences: npt.NDArray[np.int64]
    unfinished: Unfinished | None = None

    @property
    def defective_units(self) -> npt.NDArray[np.bool_]:
        """Labels of the K physical strips."""
        result = np.zeros(int(self.unit.max()) + 1, bool)
        result[self.unit] = self.defective
        return result

    @property
    def nominal_strips(self) -> int:
        """Count physical nominal strips."""
        return int((~self.defective_units).sum())

    def heatmap_vmax(self) -> tuple[float, ...]:
        """Return what almost no pixel of a nominal patch exceeds, per region."""
        return tuple(difference_quantile(counts) for counts in self.differences)

    def forget(self) -> None:
        """Remove what was kept for an interruption."""
        if self.unfinished is not None:
            self.unfinished.remove()


def score_split(
    bundle: _core.Bundle,
    part: Dataset,
    out: Path,
    *,
    identity: str,
    threads: int = 0,
    progress: Progress | None = None,
) -> CalibrationScores:
    """Score every run of every strip of `part`; `identity` stands for its content.

    Raises DataError for strips that are not whole or images that cannot be used, BundleError where
    the model gives no finite score.
    """
    strips = part.strips()
    products = {product: number for number, product in enumerate(part.products)}
    text = hashlib.sha256(f"calibration {bundle.sha256} {identity}".encode()).hexdigest()
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Unfinished(partial_path(out), text)
    inspector = _core.Inspector(bundle, threads=threads, require_thresholds=False)
    truth = np.stack([strip_truth(strip, part.layout) for strip in strips])

    def begin(kept: Arrays | None) -> _Scoring:
        return _Scoring(inspector, strips, truth, kept)

    arrays = unfinished.resume(begin, len(strips), progress)
    return CalibrationScores(
        scores=arrays["scores"],
        truth=truth,
        unit=np.array([products[strip.product] for strip in strips]),
        defective=np.array([strip.defective for strip in strips]),
        differences=arrays["differences"],
        unfinished=unfinished,
    )


def difference_quantile(counts: npt.NDArray[np.int64], quantile: float = HEATMAP_QUANTILE) -> float:
    """Return the `quantile` of |X - X̂| from its counts in equal bins over [0,1].

    Rounded up to a bin's end; never 0, so that a heatmap scale always has a width.
    """
    if not counts.any():
        raise DataError("the heatmap scale needs nominal patches; none were given")
    below = np.cumsum(counts)
    return float(np.searchsorted(below, quantile * below[-1]) + 1) / len(counts)


def count_differences(differences: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return how many values of [0,1] fall into each of the equal bins, int64 (65536,)."""
    bins = (differences * np.float32(_DIFFERENCE_BINS)).astype(np.int64)
    return np.bincount(np.minimum(bins, _DIFFERENCE_BINS - 1).ravel(), minlength=_DIFFERENCE_BINS)


class _Scoring:
    """Scores and counted differences of the strips, filled strip by strip; see `files.unfinished`.

    Args:
        inspector: of the bundle that scores.
        strips: S runs, whole.
        truth: int8 (S,F,V,R).
        kept: what was done before, None for nothing.
    """

    def __init__(
        self,
        inspector: _core.Inspector,
        strips: tuple[Strip, ...],
        truth: npt.NDArray[np.int8],
        kept: Arrays | None,
    ) -> None:
        self._inspector, self._strips, self._truth = inspector, strips, truth
        self._arrays = _nothing_scored(truth.shape) if kept is None else kept
        self._before: tuple[int, npt.NDArray[np.int64]] | None = None

    def arrays(self) -> Arrays:
        """Return scores and differences."""
        return self._arrays

    def do(self, number: int) -> None:
        """Score a strip and count its nominal differences."""
        counts = self._arrays["differences"]
        self._before = (number, counts.copy())
        found = self._score(number)
        nominal = self._truth[number] == NOMINAL
        for region in range(len(counts)):
            counts[region] += count_differences(found[..., region, :][nominal[..., region]])

    def undo(self, number: int) -> None:
        """Put the counts back; scores are written anew."""
        if self._before is not None and self._before[0] == number:
            self._arrays["differences"][:] = self._before[1]

    def _score(self, number: int) -> npt.NDArray[np.float32]:
        """Score frame by frame, in the batches of the line; returns |X - X̂| (F,V,R,P²)."""
        strip, scores, found = self._strips[number], self._arrays["scores"][number], []
        layout = self._inspector.bundle.layout
        for frame, record in enumerate(strip.records):
            patches = _patches(load_frame(record.image, layout.bit_depth), layout)
            phi, reconstructions = self._inspector.score_and_reconstruct(patches)
            if not np.isfinite(phi).all():
                raise BundleError(
                    f"{strip.name}: expected a finite score for every patch, the model gave "
                    f"{phi[~np.isfinite(phi)][0]}; it is not usable, freeze another checkpoint"
                )
            scores[frame] = phi.reshape(scores[frame].shape)
            found.append(np.abs(patches - reconstructions).reshape(*scores[frame].shape, -1))
        return np.stack(found)


def _nothing_scored(shape: tuple[int, ...]) -> Arrays:
    """Return the arrays before the first strip; scores of `shape` (S,F,V,R)."""
    return {
        "scores": np.full(shape, np.nan, np.float32),
        "differences": np.zeros((shape[-1], _DIFFERENCE_BINS), np.int64),
    }


def _patches(frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], layout: Layout) -> Patches:
    size = layout.patch_size
    return _core.extract_patches(frame, layout).reshape(-1, size, size)
