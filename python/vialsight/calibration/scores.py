"""Scores, truths and map values of a calibration split, through the C++ core."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Patches, Progress
from vialsight.bundle import read_manifest
from vialsight.calibration.strip_cutting import StripCutter
from vialsight.data import NOMINAL, Dataset, Strip, strip_truth
from vialsight.errors import BundleError
from vialsight.files.unfinished import Arrays, Unfinished, partial_path
from vialsight.scores import choice
from vialsight.value_bins import ValueBins

# Quantiles of a map within 0.1 %, in half a megabyte per region and component.
MAP_BINS: Final = ValueBins(octave_bits=10)
# To be raised when the arrays get another shape or meaning: unfinished work is then begun anew.
_ARRAYS_VERSION: Final = 2

Numbers = npt.NDArray[np.float32]
_Run = Callable[[Patches], dict[str, Numbers]]


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
    each component's own map of nominal patches. `not_located` are the defective products that are
    not among the strips, because the line rejects a run of theirs unseen. The rest as there.
    """

    numbers: Numbers
    map_values: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int8]
    unit: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]
    not_located: tuple[str, ...] = ()
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
    network: _core.Network | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> ComponentScores:
    """Compute components `names` of every run of every strip of `part`.

    Of the outputs of `network`; by default, of the bundle's own in an Inspector that has proven it.

    A defective product of which a run is not located is left out with all its runs, so that strips
    stay whole. `identity` stands for the content of `part`. Raises DataError for strips that are
    not whole, images that cannot be used and nominal strips that are not located, BundleError where
    the model gives no finite score.
    """
    strips = part.strips()
    text = f"calibration {_ARRAYS_VERSION} {bundle.sha256} {' '.join(names)} {identity}"
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Unfinished(partial_path(out), hashlib.sha256(text.encode()).hexdigest())
    run = _proven(bundle, threads) if network is None else network.run
    offered = read_manifest(bundle)["score"]
    components = [bundle.make_score(choice(offered, name)) for name in names]
    truth = np.stack([strip_truth(strip, part.layout) for strip in strips])

    def begin(kept: Arrays | None) -> _Scoring:
        return _Scoring(run, StripCutter(bundle), components, strips=strips, truth=truth, kept=kept)

    arrays = unfinished.resume(begin, len(strips), progress)
    products = np.array([strip.product for strip in strips])
    lost = np.unique(products[~arrays["located"]])
    kept = ~np.isin(products, lost)
    return ComponentScores(
        numbers=arrays["numbers"][kept],
        map_values=arrays["map_values"],
        truth=arrays["truth"][kept],
        unit=np.unique(products[kept], return_inverse=True)[1],
        defective=np.array([strip.defective for strip in strips])[kept],
        not_located=tuple(lost.tolist()),
        unfinished=unfinished,
    )


def count_values(maps: Numbers) -> npt.NDArray[np.int64]:
    """Return how many values of finite maps fall into each of MAP_BINS."""
    return np.bincount(MAP_BINS.of(maps).ravel(), minlength=MAP_BINS.count)


def _proven(bundle: _core.Bundle, threads: int) -> _Run:
    inspector = _core.Inspector(bundle, threads=threads, require_thresholds=False)
    return lambda patches: inspector.score_with_outputs(patches)[2]


class _Scoring:
    """Numbers and counted map values of the strips, filled strip by strip; see `files.unfinished`.

    Args:
        run: the network, from patches (n,P,P) to its outputs.
        cutter: cuts patches of strips.
        components: K scores of one component each.
        strips: S runs, whole.
        truth: int8 (S,F,V,R), where the layout has its boxes.
        kept: what was done before, None for nothing.
    """

    def __init__(
        self,
        run: _Run,
        cutter: StripCutter,
        components: Sequence[_core.Score],
        *,
        strips: tuple[Strip, ...],
        truth: npt.NDArray[np.int8],
        kept: Arrays | None,
    ) -> None:
        self._run, self._components = run, components
        self._strips, self._cutter = strips, cutter
        self._arrays = _nothing_scored(truth, len(components)) if kept is None else kept
        self._before: tuple[int, npt.NDArray[np.int64]] | None = None

    def arrays(self) -> Arrays:
        """Return numbers, counts, truth as the patches were cut, and which strips were located."""
        return self._arrays

    def do(self, number: int) -> None:
        """Score a strip frame by frame, in the batches of the line, and count its nominal maps."""
        self._before = (number, self._arrays["map_values"].copy())
        cut = self._cutter.cut(self._strips[number])
        self._arrays["located"][number] = cut is not None
        if cut is None:
            return
        self._arrays["truth"][number] = cut.truth
        for frame, patches in enumerate(cut.patches):
            outputs = self._run(patches)
            for k, component in enumerate(self._components):
                _, found = component.run(patches, outputs)
                _require_finite(found, self._strips[number])
                numbers = self._arrays["numbers"][number, frame, ..., k]
                numbers[:] = found.reshape(numbers.shape)
                self._count(k, component.maps(patches, outputs), cut.truth[frame])

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


def _nothing_scored(truth: npt.NDArray[np.int8], components: int) -> Arrays:
    """Return the arrays before the first strip, of which `truth` (S,F,V,R) is known."""
    return {
        "numbers": np.full((*truth.shape, components), np.nan, np.float32),
        "map_values": np.zeros((components, truth.shape[-1], MAP_BINS.count), np.int64),
        "truth": truth.copy(),
        "located": np.ones(len(truth), bool),
    }


def _require_finite(numbers: Numbers, strip: Strip) -> None:
    if not np.isfinite(numbers).all():
        raise BundleError(
            f"{strip.name}: expected a finite score for every patch, the model gave "
            f"{numbers[~np.isfinite(numbers)][0]}; it is not usable, freeze another checkpoint"
        )
