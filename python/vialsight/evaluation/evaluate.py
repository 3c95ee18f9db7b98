"""Evaluation: what a calibrated bundle does on held-out strips, through the C++ core.

Every strip is inspected as the line does it. What was seen is the evidence; the report is computed
from it alone.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from vialsight import _core
from vialsight.aliases import Progress
from vialsight.bundle import LEVELS, read_manifest, runtime_version, timestamp
from vialsight.calibration.thresholds import RunRule
from vialsight.data import (
    DEFECTS_NAME,
    Dataset,
    KnownDefect,
    check_defects,
    read_defects,
)
from vialsight.data.cutting import FrameCutter
from vialsight.data.fingerprints import Fingerprints
from vialsight.data.independence import (
    describe_images,
    independence_limits,
    refuse_seen_images,
    repeated_images,
)
from vialsight.data.records import refuse_overlap
from vialsight.errors import BundleError
from vialsight.evaluation.deciding_score import DecidingScore
from vialsight.evaluation.decisions import rejected_runs
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.strip_inspections import Inspections
from vialsight.files import atomic
from vialsight.line.machine import machine
from vialsight.locator import ProductLocator
from vialsight.statistics.manual import ManualResult


@dataclass(frozen=True, kw_only=True)
class ManualStudy:
    """The human inspectors' results per product, and the margin of the Knapp study."""

    results: tuple[ManualResult, ...]
    margin: float


@contextmanager
def evaluate(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    rule: RunRule | None = None,
    manual: ManualStudy | None = None,
    accept_lookalikes: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[Evidence]:
    """Inspect every run of the test split; yields the evidence, from which to write `out`.

    The work lies beside `out`, held for this process, until the block ends without error: only
    then is it forgotten. `rule` is the calibration's where None. An interrupted evaluation goes on
    when called again.
    Raises DataError when the test split is empty, incomplete, or was used for training or
    calibration, or when `out` exists; BundleError when the bundle is not calibrated, a strip could
    not be scored, or its verdict is not what its scores say.
    """
    atomic.refuse_existing(out)
    manifest = read_manifest(bundle)
    part = _independent_part(bundle, dataset, manifest)
    defects = _defects_of(part, dataset)
    _check_manual(manual, part)
    cutter = FrameCutter(bundle.layout, ProductLocator.of_bundle(bundle))
    described = describe_images(part, cutter)
    fingerprints = Fingerprints.from_bytes(bundle.fingerprints)
    notes = refuse_seen_images(part, described, fingerprints, accept_lookalikes=accept_lookalikes)
    work = Inspections(bundle, part, out, defects, threads)
    with work.held():
        # Another process may have ended between the first look and the hold.
        atomic.refuse_existing(out)
        seen = work.inspect_all(progress)
        evidence = Evidence(
            folder=work.folder,
            identity=_identity(bundle, manifest, work.data_sha256, threads),
            score=DecidingScore.of_manifest(manifest),
            thresholds={level: tuple(bundle.thresholds[level] or ()) for level in LEVELS},
            rule=rule or RunRule(**manifest["calibration"]["run_rule"]),
            regions=tuple(part.layout.regions),
            products=tuple(strip.product for strip in work.strips),
            runs=np.array([strip.run for strip in work.strips]),
            defective=np.array([strip.defective for strip in work.strips]),
            accepted=seen["accepted"],
            reasons=tuple(map(str, seen["reasons"])),
            scores=seen["scores"],
            component_scores=seen["component_scores"],
            published=seen.get("published"),
            truth=seen["truth"],
            times={stage: seen["times"][:, i] for i, stage in enumerate(work.stages)},
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
            poses=work.poses_of(seen),
        )
        _check_verdicts(evidence)
        yield evidence
        shutil.rmtree(work.folder)


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


def _identity(
    bundle: _core.Bundle, manifest: dict[str, Any], data_sha256: str, threads: int
) -> dict[str, Any]:
    calibration, provenance = manifest["calibration"], manifest["provenance"]
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "method": bundle.method,
        "layout": bundle.layout.name,
        "test_data_sha256": data_sha256,
        "calibration_data_sha256": calibration["data_sha256"],
        "calibration_objective": calibration["objective"],
        "calibration_created": calibration["created"],
        "training_data_sha256": provenance["data_sha256"],
        "training_config_sha256": provenance["config_sha256"],
        "training_seed": provenance["seed"],
        "trained_by": f"vialsight {provenance['vialsight']}, {_runtime(manifest)}",
        "evaluated_by": f"vialsight {_core.__version__}, "
        f"{bundle.runtime} {runtime_version(bundle.runtime)}",
        "git": _core.git_revision or None,
        "created": timestamp(datetime.now(timezone.utc)),
        "machine": machine(threads),
    }


def _runtime(manifest: dict[str, Any]) -> str:
    return f"{manifest['runtime']['name']} {manifest['provenance']['runtime_version']}"
