"""Inspecting the strips of a dataset as the line does, and keeping what an evaluation needs."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.data import (
    DEFECTIVE,
    UNKNOWN,
    Dataset,
    KnownDefect,
    Strip,
    load_strip,
    strip_truth,
)
from vialsight.errors import BundleError, DataError
from vialsight.evaluation.evidence import PICTURES_FOLDER, STAGES, Picture
from vialsight.evaluation.patch_pictures import PictureTaker, patch_mask
from vialsight.files import atomic
from vialsight.files.unfinished import Checkpoint
from vialsight.statistics.pixels import PixelCounts

Progress = Callable[[int, int], None]

_CHECKPOINT_NAME: Final = "checkpoint.npz"


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
        self.truth = np.stack([strip_truth(strip, part.layout) for strip in self.strips])
        names = dict.fromkeys(strip.product for strip in self.strips)
        self._number = {name: number for number, name in enumerate(names)}
        # The images have been decoded by now, and masks are above.
        self.data_sha256 = part.sha256(decode=False)
        self.folder = out.with_name(f".{out.name}.partial")
        self._inspector = _core.Inspector(bundle, threads=threads)
        self._masks = any(record.mask is not None for record in part.records)
        self._kinds = {defect.product: defect.kind for defect in defects}
        # Rows of the arrays belong to strips by their place: another order is other work.
        order = [strip.name for strip in self.strips]
        self._identity = hashlib.sha256(
            f"evaluation {bundle.sha256} {self.data_sha256} {self._kinds} {order}".encode()
        ).hexdigest()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder of the work, for this process alone, until its result is written."""
        (self.folder / PICTURES_FOLDER).mkdir(parents=True, exist_ok=True)
        refusal = DataError(f"another process evaluates into {self.folder}; wait for it")
        with atomic.held_folder(self.folder, refusal):
            yield

    def inspect_all(self, progress: Progress | None) -> dict[str, npt.NDArray[Any]]:
        """Inspect what is left to inspect; returns the arrays of all strips."""
        checkpoint = Checkpoint(self.folder / _CHECKPOINT_NAME, self._identity)
        done, seen = checkpoint.load() or (0, self._nothing_seen())
        pixels = self.pixels_of(seen)
        taker = PictureTaker(self._inspector, self.folder / PICTURES_FOLDER, self._kinds)
        taker.pictures = list(self.pictures_of(seen))

        def arrays() -> dict[str, npt.NDArray[Any]]:
            seen["pictures"] = np.array(json.dumps([asdict(p) for p in taker.pictures]))
            return seen

        before = None
        try:
            for number in range(done, len(self.strips)):
                before = self._before(number, pixels, taker)
                self._inspect(number, seen, pixels, taker)
                done = number + 1
                checkpoint.save_now_and_then(done, arrays)
                if progress is not None:
                    progress(done, len(self.strips))
        except KeyboardInterrupt:
            if before is not None and before.number == done:
                before.restore(pixels, taker)
            checkpoint.save(done, arrays())
            raise
        return arrays()

    def _before(self, number: int, pixels: PixelCounts | None, taker: PictureTaker) -> "_Before":
        place = self._number[self.strips[number].product]
        counts = {} if pixels is None else pixels.arrays()
        rows = {name: array[place].copy() for name, array in counts.items()}
        return _Before(number=number, place=place, rows=rows, pictures=len(taker.pictures))

    def pixels_of(self, seen: dict[str, npt.NDArray[Any]]) -> PixelCounts | None:
        """Return the counts of pixels, which share memory with `seen`; None without masks."""
        names = {name.removeprefix("pixels_"): a for name, a in seen.items() if "pixels_" in name}
        return PixelCounts.from_arrays(names) if names else None

    def pictures_of(self, seen: dict[str, npt.NDArray[Any]]) -> tuple[Picture, ...]:
        """Return the pictures taken so far."""
        return tuple(Picture(**values) for values in json.loads(str(seen["pictures"])))

    def _nothing_seen(self) -> dict[str, npt.NDArray[Any]]:
        strips, shape = len(self.strips), self.truth.shape
        seen: dict[str, npt.NDArray[Any]] = {
            "scores": np.full(shape, np.nan, np.float32),
            "accepted": np.zeros(strips, bool),
            "reasons": np.full(strips, "", "U32"),
            "times": np.zeros((strips, len(STAGES))),
            "pictures": np.array("[]"),
        }
        if self._masks:
            counts = PixelCounts.empty(len(self._number), shape[-1])
            seen |= {f"pixels_{name}": array for name, array in counts.arrays().items()}
        return seen

    def _inspect(
        self,
        number: int,
        seen: dict[str, npt.NDArray[Any]],
        pixels: PixelCounts | None,
        taker: PictureTaker,
    ) -> None:
        strip, truth = self.strips[number], self.truth[number]
        verdict = self._inspector.inspect(load_strip(strip, self.part.layout))
        if not np.isfinite(verdict.scores).all():
            raise BundleError(
                f"{strip.name}: expected a score for every patch, but inspection ended with "
                f"{verdict.reason!r} ({self._inspector.health.last_fault}); leave the strip out, "
                "or run `vialsight verify` on the bundle"
            )
        seen["scores"][number], seen["accepted"][number] = verdict.scores, verdict.accepted
        seen["reasons"][number] = verdict.reason
        seen["times"][number] = [verdict.times[stage] for stage in STAGES]
        taker.take(strip, verdict, truth)
        if pixels is not None:
            self._count_pixels(number, strip, truth, pixels)

    def _count_pixels(
        self, number: int, strip: Strip, truth: npt.NDArray[np.int8], pixels: PixelCounts
    ) -> None:
        for frame, vial, region in np.argwhere(truth != UNKNOWN).tolist():
            record = strip.records[frame]
            if truth[frame, vial, region] == DEFECTIVE and record.mask is None:
                continue
            images = self._inspector.images(frame, vial, region)
            if images is None:
                raise BundleError(f"{strip.name}: the core kept no images of frame {frame + 1}")
            mask = patch_mask(record, self.part.layout, vial, region)
            difference = np.abs(images[0] - images[1])
            pixels.add(self._number[strip.product], region, difference, mask)


@dataclass(frozen=True, kw_only=True)
class _Before:
    """What was counted before a strip: an interruption may come when half of it is counted."""

    number: int
    place: int  # of its product among the counts
    rows: dict[str, npt.NDArray[Any]]
    pictures: int

    def restore(self, pixels: PixelCounts | None, taker: PictureTaker) -> None:
        """Put it back, so that the strip can be inspected again."""
        del taker.pictures[self.pictures :]
        for name, array in ({} if pixels is None else pixels.arrays()).items():
            array[self.place] = self.rows[name]


def _in_time_order(part: Dataset) -> tuple[Strip, ...]:
    """Return strips as their first frames come in the table, which is the order in time."""
    place = {record.image: number for number, record in enumerate(part.records)}
    return tuple(sorted(part.strips(), key=lambda s: min(place[r.image] for r in s.records)))
