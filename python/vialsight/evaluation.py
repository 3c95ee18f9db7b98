"""Evaluation: what a calibrated bundle does on held-out strips, through the C++ core.

Every strip is inspected as the line does it. What was seen is written as evidence; the report is
computed from that evidence alone.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core, atomic
from vialsight.bundle import LEVELS, read_manifest, tensorflow_version, timestamp
from vialsight.data import (
    DEFECTIVE,
    DEFECTS_NAME,
    UNKNOWN,
    Dataset,
    KnownDefect,
    Strip,
    check_defects,
    load_strip,
    patch_truth,
    read_defects,
)
from vialsight.data.fingerprints import Fingerprints
from vialsight.data.independence import (
    describe_images,
    independence_limits,
    refuse_seen_images,
    repeated_images,
)
from vialsight.data.records import refuse_overlap
from vialsight.errors import BundleError, DataError
from vialsight.evidence import (
    PICTURES_FOLDER,
    STAGES,
    Evidence,
    Picture,
    read_evidence,
    write_evidence,
)
from vialsight.findings import Findings, find, rejected_runs
from vialsight.machine import machine
from vialsight.patch_pictures import PictureTaker, patch_mask
from vialsight.scoring import Checkpoint
from vialsight.statistics.manual import ManualResult
from vialsight.statistics.pixels import PixelCounts
from vialsight.thresholds import RunRule

Progress = Callable[[int, int], None]
WriteReport = Callable[[Evidence, Findings, Path], None]

_CHECKPOINT_NAME: Final = "checkpoint.npz"


@dataclass(frozen=True, kw_only=True)
class ManualStudy:
    """The human inspectors' results per product, and the margin of the Knapp study."""

    results: tuple[ManualResult, ...]
    margin: float


def evaluate(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    write_report: WriteReport,
    rule: RunRule | None = None,
    manual: ManualStudy | None = None,
    accept_lookalikes: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> tuple[Evidence, Findings]:
    """Inspect every run of the test split; write the evidence to `out` and compute its figures.

    `write_report` adds to the folder what is made of them, before it gets its name. `rule` is the
    calibration's where None. An interrupted evaluation goes on when called again.
    Raises DataError when the test split is empty, incomplete, or was used for training or
    calibration, or when `out` exists; BundleError when the bundle is not calibrated, a strip could
    not be scored, or its verdict is not what its scores say.
    """
    _refuse_existing(out)
    manifest = read_manifest(bundle)
    part = _independent_part(bundle, dataset, manifest)
    defects = _defects_of(part, dataset)
    _check_manual(manual, part)
    described = describe_images(part)
    fingerprints = Fingerprints.from_bytes(bundle.fingerprints)
    notes = refuse_seen_images(part, described, fingerprints, accept_lookalikes=accept_lookalikes)
    work = _Work(bundle, part, out, defects, threads)
    with work.held():
        # Another process may have ended between the first look and the hold.
        _refuse_existing(out)
        seen = work.inspect_all(progress)
        evidence = Evidence(
            folder=work.folder,
            identity=_identity(bundle, manifest, work.data_sha256, threads),
            thresholds={level: tuple(bundle.thresholds[level] or ()) for level in LEVELS},
            rule=rule or RunRule(**manifest["calibration"]["run_rule"]),
            regions=tuple(part.layout.regions),
            products=tuple(strip.product for strip in work.strips),
            runs=np.array([strip.run for strip in work.strips]),
            defective=np.array([strip.defective for strip in work.strips]),
            accepted=seen["accepted"],
            reasons=tuple(map(str, seen["reasons"])),
            scores=seen["scores"],
            truth=work.truth,
            times={stage: seen["times"][:, i] for i, stage in enumerate(STAGES)},
            pixels=work.pixels_of(seen),
            defects=defects,
            manual=() if manual is None else manual.results,
            margin=None if manual is None else manual.margin,
            pictures=work.pictures_of(seen),
            limitations=(
                *independence_limits(fingerprints),
                *notes,
                *repeated_images(part, described),
                *_rule_notes(rule, manifest),
                *_threshold_notes(manifest["calibration"]),
            ),
        )
        _check_verdicts(evidence)
        return _finish(evidence, work, out, write_report)


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise DataError(f"{out} exists; choose another name or remove it first")


class _Work:
    """The inspection of all strips, kept in a folder beside the result until it is done."""

    def __init__(
        self,
        bundle: _core.Bundle,
        part: Dataset,
        out: Path,
        defects: tuple[KnownDefect, ...],
        threads: int,
    ) -> None:
        self.part, self.strips = part, _in_time_order(part)
        self.truth = np.stack([_truth(strip, part) for strip in self.strips])
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
                f"{verdict.reason!r}; run `vialsight verify` on the bundle"
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


def _independent_part(bundle: _core.Bundle, dataset: Dataset, manifest: dict[str, Any]) -> Dataset:
    part = dataset.select(split="test")
    part.require_layout(bundle.layout)
    if manifest["calibration"] is None:
        raise BundleError(
            f"bundle {manifest['name']!r} is not calibrated; run `vialsight calibrate` first"
        )
    refuse_overlap(part.products, manifest["provenance"]["training_products"], "training")
    refuse_overlap(part.products, manifest["calibration"]["products"], "calibration")
    return part


def _threshold_notes(calibration: dict[str, Any]) -> Iterator[str]:
    """Say which thresholds were not fitted to what they decide on."""
    for level, record in calibration["levels"].items():
        if record["origin"] != "fitted":
            source = record["origin"].removeprefix("copied_from_")
            yield f"The thresholds of the {level} level are copies of the {source} level's."
        if record["optimality_gap"] > 0.0:
            yield (
                f"Better thresholds may exist for the {level} level, by at most "
                f"{record['optimality_gap']:.2g} of the objective."
            )
    blind = [r["region"] for r in calibration["regions"] if not r["defective"]]
    if blind and not calibration["objective"].startswith("nominal_"):
        yield (
            "The calibration had no defective patches of " + ", ".join(blind) + ": the patch "
            "thresholds there are quantiles of the nominal scores."
        )


def _rule_notes(rule: RunRule | None, manifest: dict[str, Any]) -> list[str]:
    fitted = RunRule(**manifest["calibration"]["run_rule"])
    if rule in (None, fitted):
        return []
    return [f"The thresholds of the run level were fitted for {fitted}, not for {rule}."]


def _in_time_order(part: Dataset) -> tuple[Strip, ...]:
    """Return strips as their first frames come in the table, which is the order in time."""
    place = {record.image: number for number, record in enumerate(part.records)}
    return tuple(sorted(part.strips(), key=lambda s: min(place[r.image] for r in s.records)))


def _truth(strip: Strip, part: Dataset) -> npt.NDArray[np.int8]:
    return np.stack([patch_truth(record, part.layout) for record in strip.records])


def _defects_of(part: Dataset, dataset: Dataset) -> tuple[KnownDefect, ...]:
    """Return the defects of a part's products; the table must fit the whole dataset."""
    path = part.folder / DEFECTS_NAME
    if not path.exists():
        return ()
    defects = read_defects(path)
    labels = {record.product: record.defective for record in dataset.records}
    check_defects(path, defects, labels, vials=part.layout.vials)
    products = set(part.products)
    return tuple(defect for defect in defects if defect.product in products)


def _check_manual(manual: ManualStudy | None, part: Dataset) -> None:
    """Fail before the work where the study could only fail after it."""
    from vialsight.statistics.knapp import study

    if manual is not None:
        machine_results = dict.fromkeys(part.products, (1, 0))
        study(manual.results, machine_results, {}, margin=manual.margin, replicates=2)


def _check_verdicts(evidence: Evidence) -> None:
    """Raise BundleError unless every verdict of the core is what its scores and thresholds say."""
    wrong = np.flatnonzero(rejected_runs(evidence, "strip") == evidence.accepted)
    if len(wrong):
        first = f"{evidence.products[wrong[0]]}/run {evidence.runs[wrong[0]]}"
        raise BundleError(
            f"{len(wrong)} verdicts of the core differ from what their scores say, the first on "
            f"{first}; do not use this installation"
        )


def _finish(
    evidence: Evidence, work: _Work, out: Path, write_report: WriteReport
) -> tuple[Evidence, Findings]:
    with atomic.new_folder(out) as folder:
        write_evidence(evidence, folder)
        # From the files, as whoever rebuilds the report will do.
        written = read_evidence(folder)
        findings = find(written)
        write_report(written, findings, folder)
    shutil.rmtree(work.folder)
    return written, findings


def _identity(
    bundle: _core.Bundle, manifest: dict[str, Any], data_sha256: str, threads: int
) -> dict[str, Any]:
    calibration, provenance = manifest["calibration"], manifest["provenance"]
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "layout": bundle.layout.name,
        "test_data_sha256": data_sha256,
        "calibration_data_sha256": calibration["data_sha256"],
        "calibration_objective": calibration["objective"],
        "calibration_created": calibration["created"],
        "training_data_sha256": provenance["data_sha256"],
        "training_config_sha256": provenance["config_sha256"],
        "training_seed": provenance["seed"],
        "trained_by": f"vialsight {provenance['vialsight']}, tensorflow {provenance['tensorflow']}",
        "evaluated_by": f"vialsight {_core.__version__}, tensorflow {tensorflow_version()}",
        "git": _core.git_revision or None,
        "created": timestamp(datetime.now(timezone.utc)),
        "machine": machine(threads),
    }
