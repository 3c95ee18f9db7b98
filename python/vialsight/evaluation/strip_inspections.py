"""Inspecting the strips of a dataset as the line does, and keeping what an evaluation needs."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Pose, Progress
from vialsight.bundle import read_manifest
from vialsight.data import (
    DEFECTIVE,
    UNKNOWN,
    Dataset,
    KnownDefect,
    Strip,
    load_strip,
    strip_truth,
)
from vialsight.data.posed_masks import pose_of
from vialsight.errors import BundleError, DataError
from vialsight.evaluation.deciding_score import DecidingScore
from vialsight.evaluation.evidence import (
    LOCATE_STAGE,
    NOT_LOCATED,
    PICTURES_FOLDER,
    STAGES,
    Picture,
)
from vialsight.evaluation.patch_pictures import PictureTaker, patch_mask
from vialsight.evaluation.pose_evidence import Poses, poses_seen
from vialsight.evaluation.published_score import published_scores
from vialsight.files import atomic
from vialsight.files.unfinished import Arrays, Unfinished
from vialsight.line.inspection import poses_of
from vialsight.statistics.pixels import PixelCounts

_CHECKPOINT_NAME: Final = "checkpoint.npz"
# To be raised when the arrays get another shape or meaning: unfinished work is then begun anew.
_ARRAYS_VERSION: Final = 4


class Inspections:
    """The inspection of all strips, kept in a folder beside the result until it is done.

    Args:
        bundle: calibrated; the strip level's thresholds decide.
        part: what to inspect, its images decoded before.
        out: where the result will be; unfinished work lies beside it.
        defects: what is known of the defects.
        threads: of the backend; 0 means one per core.
    """

    def __init__(
        self,
        bundle: _core.Bundle,
        part: Dataset,
        out: Path,
        defects: tuple[KnownDefect, ...],
        threads: int,
    ) -> None:
        self.part, self.strips = part, _in_time_order(part)
        # Where the layout has its boxes; that of located products is known when they are found.
        self.truth = np.stack([strip_truth(strip, part.layout) for strip in self.strips])
        self.locates = bundle.locator is not None
        self.stages = (LOCATE_STAGE, *STAGES) if self.locates else STAGES
        names = dict.fromkeys(strip.product for strip in self.strips)
        self._number = {name: number for number, name in enumerate(names)}
        # The images have been decoded by now, and masks are above.
        self.data_sha256 = part.sha256(decode=False)
        self.folder = atomic.beside(out, ".partial")
        self._inspector = _core.Inspector(bundle, threads=threads)
        self._components = len(bundle.components)
        self._published = DecidingScore.of_manifest(read_manifest(bundle)).leaves_out_published
        self._masks = any(record.mask is not None for record in part.records)
        self._kinds = {defect.product: defect.kind for defect in defects}
        # Rows of the arrays belong to strips by their place: another order is other work.
        order = [strip.name for strip in self.strips]
        work = f"{bundle.sha256} {self.data_sha256} {self._kinds} {order}"
        text = f"evaluation {_ARRAYS_VERSION} {work}"
        self._identity = hashlib.sha256(text.encode()).hexdigest()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder of the work, for this process alone, until its result is written."""
        (self.folder / PICTURES_FOLDER).mkdir(parents=True, exist_ok=True)
        refusal = DataError(f"another process evaluates into {self.folder}; wait for it")
        with atomic.held_folder(self.folder, refusal):
            yield

    def inspect_all(self, progress: Progress | None) -> Arrays:
        """Inspect what is left to inspect; returns the arrays of all strips."""
        unfinished = Unfinished(self.folder / _CHECKPOINT_NAME, self._identity)
        return unfinished.resume(self._begin, len(self.strips), progress)

    def pixels_of(self, seen: Arrays) -> PixelCounts | None:
        """Return the counts of pixels, which share memory with `seen`; None without masks."""
        names = {name.removeprefix("pixels_"): a for name, a in seen.items() if "pixels_" in name}
        return PixelCounts.from_arrays(names) if names else None

    def poses_of(self, seen: Arrays) -> Poses | None:
        """Return where the products lay; None where they are not located."""
        return poses_seen(self.strips, seen["poses"], self.part.folder) if self.locates else None

    def pictures_of(self, seen: Arrays) -> tuple[Picture, ...]:
        """Return the pictures taken so far."""
        return tuple(Picture(**values) for values in json.loads(str(seen["pictures"])))

    def _begin(self, kept: Arrays | None) -> "_Inspecting":
        seen = self._nothing_seen() if kept is None else kept
        taker = PictureTaker(self._inspector, self.folder / PICTURES_FOLDER, self._kinds)
        taker.pictures = list(self.pictures_of(seen))
        places = [self._number[strip.product] for strip in self.strips]
        return _Inspecting(self, self._inspector, places, seen, taker)

    def _nothing_seen(self) -> Arrays:
        strips, shape = len(self.strips), self.truth.shape
        seen: Arrays = {
            "scores": np.full(shape, np.nan, np.float32),
            "component_scores": np.full((*shape, self._components), np.nan, np.float32),
            "accepted": np.zeros(strips, bool),
            "reasons": np.full(strips, "", "U32"),
            "times": np.zeros((strips, len(self.stages))),
            "truth": self.truth.copy(),
            "poses": np.zeros((strips, shape[1] if self.locates else 0, 5)),
            "pictures": np.array("[]"),
        }
        if self._published:
            seen["published"] = np.full(shape, np.nan, np.float32)
        if self._masks:
            counts = PixelCounts.empty(len(self._number), shape[-1])
            seen |= {f"pixels_{name}": array for name, array in counts.arrays().items()}
        return seen


class _Inspecting:
    """What is seen of the strips, filled strip by strip; see `files.unfinished`.

    Args:
        work: the strips and their truth.
        inspector: of the bundle that is evaluated.
        places: of each strip's product among the counts of pixels.
        seen: the arrays to fill.
        taker: knows the pictures that `seen` names.
    """

    def __init__(
        self,
        work: Inspections,
        inspector: _core.Inspector,
        places: Sequence[int],
        seen: Arrays,
        taker: PictureTaker,
    ) -> None:
        self._work, self._inspector, self._places = work, inspector, places
        self._seen, self._taker, self._pixels = seen, taker, work.pixels_of(seen)
        self._before: _Before | None = None

    def arrays(self) -> Arrays:
        """Return what was seen, pictures taken so far included."""
        pictures = [asdict(picture) for picture in self._taker.pictures]
        return {**self._seen, "pictures": np.array(json.dumps(pictures))}

    def do(self, number: int) -> None:
        """Inspect a strip as the line does, take its pictures, count its pixels."""
        rows = {name: a[self._places[number]].copy() for name, a in self._counts().items()}
        self._before = _Before(number=number, rows=rows, pictures=len(self._taker.pictures))
        strip, seen = self._work.strips[number], self._seen
        verdict = self._inspector.inspect(load_strip(strip, self._work.part.layout))
        if verdict.reason != NOT_LOCATED and not np.isfinite(verdict.scores).all():
            raise BundleError(
                f"{strip.name}: expected a score for every patch, but inspection ended with "
                f"{verdict.reason!r} ({self._inspector.health.last_fault}); leave the strip out, "
                "or run `vialsight verify` on the bundle"
            )
        seen["scores"][number] = verdict.scores
        seen["component_scores"][number] = verdict.component_scores
        if "published" in seen:
            seen["published"][number] = published_scores(self._inspector, verdict.scores.shape)
        seen["accepted"][number], seen["reasons"][number] = verdict.accepted, verdict.reason
        seen["times"][number] = [verdict.times[stage] for stage in self._work.stages]
        if self._work.locates:
            seen["poses"][number] = [_lying(location) for location in verdict.locations]
        seen["truth"][number] = self._truth_as_cut(number, verdict)
        self._taker.take(strip, verdict, seen["truth"][number])
        if self._pixels is not None:
            self._count_pixels(number, poses_of(verdict), self._pixels)

    def undo(self, number: int) -> None:
        """Put counts and pictures back; the rows of the strip are written anew."""
        before = self._before
        if before is None or before.number != number:
            return
        del self._taker.pictures[before.pictures :]
        for name, array in self._counts().items():
            array[self._places[number]] = before.rows[name]

    def _counts(self) -> Arrays:
        return {} if self._pixels is None else dict(self._pixels.arrays())

    def _truth_as_cut(self, number: int, verdict: _core.StripVerdict) -> npt.NDArray[np.int8]:
        """Return the truth (F,V,R) of a strip's patches where they were cut.

        Unknown where the product was not located: its patches show no place of it.
        """
        if verdict.reason == NOT_LOCATED:
            return np.full_like(self._work.truth[number], UNKNOWN)
        if not verdict.locations:
            return np.asarray(self._work.truth[number])
        poses = [pose_of(location) for location in verdict.locations]
        return strip_truth(self._work.strips[number], self._work.part.layout, poses)

    def _count_pixels(self, number: int, poses: Sequence[Pose | None], pixels: PixelCounts) -> None:
        strip, truth = self._work.strips[number], self._seen["truth"][number]
        for frame, vial, region in np.argwhere(truth != UNKNOWN).tolist():
            record = strip.records[frame]
            if truth[frame, vial, region] == DEFECTIVE and record.mask is None:
                continue
            values = self._inspector.map(frame, vial, region)
            if values is None:
                raise BundleError(f"{strip.name}: the core kept no map of frame {frame + 1}")
            mask = patch_mask(record, self._work.part.layout, vial, region, pose=poses[frame])
            pixels.add(self._places[number], region, values, mask)


def _lying(location: _core.Location) -> tuple[float, ...]:
    return *pose_of(location), location.residual, location.found


@dataclass(frozen=True, kw_only=True)
class _Before:
    """What was counted before a strip: an interruption may come when half of it is counted."""

    number: int
    rows: Arrays  # of the strip's product
    pictures: int


def _in_time_order(part: Dataset) -> tuple[Strip, ...]:
    """Return strips as their first frames come in the table, which is the order in time."""
    place = {record.image: number for number, record in enumerate(part.records)}
    return tuple(sorted(part.strips(), key=lambda s: min(place[r.image] for r in s.records)))
