"""Scores, truths and map values of a calibration split, through the C++ core."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Patches, Progress
from vialsight.bundle import read_manifest
from vialsight.data import NOMINAL, Dataset, Strip, load_frame, strip_truth
from vialsight.errors import BundleError
from vialsight.files.unfinished import Arrays, Unfinished, partial_path
from vialsight.scores import choice
from vialsight.value_bins import ValueBins

# Quantiles of a map within 0.1 %, in half a megabyte per region and component.
MAP_BINS: Final = ValueBins(octave_bits=10)

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CalibrationScores:
    """φ float32 (S,F,V,R) and truth int8 (S,F,V,R) of S runs; unit int (S,) in [0, N) of N strips.

    `defective` bool (S,).
    """

    scores: Numbers
    truth: npt.NDArray[np.int8]
    unit: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]

    @property
    def defective_units(self) -> npt.NDArray[np.bool_]:
        """Labels of the N physical strips."""
        result = np.zeros(int(self.unit.max()) + 1, bool)
        result[self.unit] = self.defective
        return result

    @property
    def nominal_strips(self) -> int:
        """Count physical nominal strips."""
        return int((~self.defective_units).sum())


@dataclass(frozen=True, kw_only=True)
class ComponentScores:
    """What `CalibrationScores` are made of: K components, not yet combined.

    `numbers` float32 (S,F,V,R,K); `map_values` int64 (K,R,bins) counts, in MAP_BINS, the values of
    each component's own map of nominal patches. The rest as there.
    """

    numbers: Numbers
    map_values: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int8]
    unit: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]
    unfinished: Unfinished | None = None

    def combined(self, score: _core.Score) -> CalibrationScores:
        """Return φ as `score`, of the same components in the same order, makes it on the line."""
        phi = score.combine(self.numbers.reshape(-1, self.numbers.shape[-1]))
        return CalibrationScores(
            scores=phi.reshape(self.truth.shape),
            truth=self.truth,
            unit=self.unit,
            defective=self.defective,
        )

    def of_nominal_strips(self, k: int) -> list[Numbers]:
        """Return component `k` of the nominal patches of nominal strips, one array per region."""
        numbers, truth = self.numbers[~self.defective, ..., k], self.truth[~self.defective]
        regions = range(truth.shape[-1])
        return [numbers[..., r][truth[..., r] == NOMINAL] for r in regions]

    def forget(self) -> None:
        """Remove what was kept for an interruption."""
        if self.unfinished is not None:
            self.unfinished.remove()


def score_split(
    bundle: _core.Bundle,
    part: Dataset,
    out: Path,
    names: Sequence[str],
    *,
    identity: str,
    threads: int = 0,
    progress: Progress | None = None,
) -> ComponentScores:
    """Compute components `names` of every run of every strip of `part`.

    `identity` stands for the content of `part`. Raises DataError for strips that are not whole or
    images that cannot be used, BundleError where the model gives no finite score.
    """
    strips = part.strips()
    products = {product: number for number, product in enumerate(part.products)}
    text = f"calibration {bundle.sha256} {' '.join(names)} {identity}"
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Unfinished(partial_path(out), hashlib.sha256(text.encode()).hexdigest())
    inspector = _core.Inspector(bundle, threads=threads, require_thresholds=False)
    offered = read_manifest(bundle)["score"]
    components = [bundle.make_score(choice(offered, name)) for name in names]
    truth = np.stack([strip_truth(strip, part.layout) for strip in strips])

    def begin(kept: Arrays | None) -> _Scoring:
        return _Scoring(inspector, components, strips, truth, kept)

    arrays = unfinished.resume(begin, len(strips), progress)
    return ComponentScores(
        numbers=arrays["numbers"],
        map_values=arrays["map_values"],
        truth=truth,
        unit=np.array([products[strip.product] for strip in strips]),
        defective=np.array([strip.defective for strip in strips]),
        unfinished=unfinished,
    )


def count_values(maps: Numbers) -> npt.NDArray[np.int64]:
    """Return how many values of finite maps fall into each of MAP_BINS."""
    return np.bincount(MAP_BINS.of(maps).ravel(), minlength=MAP_BINS.count)


class _Scoring:
    """Numbers and counted map values of the strips, filled strip by strip; see `files.unfinished`.

    Args:
        inspector: of the bundle whose network is run.
        components: K scores of one component each.
        strips: S runs, whole.
        truth: int8 (S,F,V,R).
        kept: what was done before, None for nothing.
    """

    def __init__(
        self,
        inspector: _core.Inspector,
        components: Sequence[_core.Score],
        strips: tuple[Strip, ...],
        truth: npt.NDArray[np.int8],
        kept: Arrays | None,
    ) -> None:
        self._inspector, self._components = inspector, components
        self._strips, self._truth = strips, truth
        self._arrays = _nothing_scored(truth.shape, len(components)) if kept is None else kept
        self._before: tuple[int, npt.NDArray[np.int64]] | None = None

    def arrays(self) -> Arrays:
        """Return numbers and counts."""
        return self._arrays

    def do(self, number: int) -> None:
        """Score a strip frame by frame, in the batches of the line, and count its nominal maps."""
        self._before = (number, self._arrays["map_values"].copy())
        layout = self._inspector.bundle.layout
        for frame, record in enumerate(self._strips[number].records):
            patches = _patches(load_frame(record.image, layout.bit_depth), layout)
            _, _, outputs = self._inspector.score_with_outputs(patches)
            for k, component in enumerate(self._components):
                _, found = component.run(patches, outputs)
                _require_finite(found, self._strips[number])
                numbers = self._arrays["numbers"][number, frame, ..., k]
                numbers[:] = found.reshape(numbers.shape)
                self._count(k, component.maps(patches, outputs), self._truth[number, frame])

    def undo(self, number: int) -> None:
        """Put the counts back; numbers are written anew."""
        if self._before is not None and self._before[0] == number:
            self._arrays["map_values"][:] = self._before[1]

    def _count(self, k: int, maps: Numbers, truth: npt.NDArray[np.int8]) -> None:
        """Count the maps (V·R,h,w) of component `k` where `truth` (V,R) is nominal."""
        by_region = maps.reshape(*truth.shape, *maps.shape[1:])
        for region in range(truth.shape[1]):
            nominal = by_region[truth[:, region] == NOMINAL, region]
            self._arrays["map_values"][k, region] += count_values(nominal)


def _nothing_scored(shape: tuple[int, ...], components: int) -> Arrays:
    """Return the arrays before the first strip, whose truth is of `shape` (S,F,V,R)."""
    return {
        "numbers": np.full((*shape, components), np.nan, np.float32),
        "map_values": np.zeros((components, shape[-1], MAP_BINS.count), np.int64),
    }


def _require_finite(numbers: Numbers, strip: Strip) -> None:
    if not np.isfinite(numbers).all():
        raise BundleError(
            f"{strip.name}: expected a finite score for every patch, the model gave "
            f"{numbers[~np.isfinite(numbers)][0]}; it is not usable, freeze another checkpoint"
        )


def _patches(frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], layout: Layout) -> Patches:
    size = layout.patch_size
    return _core.extract_patches(frame, layout).reshape(-1, size, size)
