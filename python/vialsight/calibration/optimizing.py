"""A bundle for another runtime or precision, with proof of what that changes.

TensorFlow in float32 is what a network was trained, frozen and proven with. Here the same network
runs on another runtime; its golden scores become that runtime's, the calibration set says how far
scores move, thresholds are fitted again, and verdicts before and after are compared one by one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Progress
from vialsight.bundle import FLOAT32, LEVELS, OPENVINO, Runtime, read_manifest, with_calibration
from vialsight.calibration.choice import choose
from vialsight.calibration.fitting import (
    SHARED,
    CalibrationResult,
    calibration_record,
    fit_levels,
    runs_of,
)
from vialsight.calibration.normalisation import fit_definition, heatmap_scales
from vialsight.calibration.runtime_golden import golden_of
from vialsight.calibration.scores import CalibrationScores, score_split
from vialsight.calibration.thresholds import Objective, RunRule, parse_objective
from vialsight.calibration.thresholds.joint import judged_right
from vialsight.data import Dataset
from vialsight.errors import CheckFailed, DataError
from vialsight.files import atomic

RUNTIMES: Final = (OPENVINO,)
PRECISIONS: Final = (FLOAT32, "bfloat16")

Thresholds = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Verdicts of one level on the calibration set: how many, and how many are others now."""

    units: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class Optimized:
    """What another runtime changed on the calibration set.

    Differences are |φ - φ of the original| of all patches; `verdicts` by level; `calibration` the
    thresholds fitted again.
    """

    largest_score_difference: float
    median_score_difference: float
    verdicts: dict[str, Comparison]
    calibration: CalibrationResult

    @property
    def most_changed(self) -> int:
        """The largest number of changed verdicts of a level."""
        return max(each.changed for each in self.verdicts.values())


def optimize(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    runtime: str = OPENVINO,
    precision: str = FLOAT32,
    max_verdict_changes: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Optimized:
    """Write `bundle` for another runtime to `out`, unless it changes too many verdicts.

    `dataset` is the one `bundle` was calibrated on. Both networks score its calibration split, the
    original in an Inspector that has proven it; interrupted, the same call goes on. `progress` is
    called with scored and total strips of either, one after the other.
    Raises DataError when the bundle is not calibrated or `dataset` is another, or `out` exists;
    BundleError when the runtime is not installed or cannot run the network here; CheckFailed, with
    nothing written, when more than `max_verdict_changes` verdicts of a level are others.
    """
    atomic.refuse_existing(out)
    manifest = read_manifest(bundle)
    _check_original(bundle, manifest)
    network = _core.Network(
        bundle, runtime=runtime, precision=_precision(precision), threads=threads
    )
    part = dataset.select(split="calibration")
    part.require_layout(bundle.layout)
    data_sha256 = part.sha256()
    _check_same_data(manifest, data_sha256)
    choice = choose(manifest["score"])
    before, after = (
        score_split(
            bundle,
            part,
            path,
            choice.names,
            identity=f"{data_sha256} {name}",
            network=run,
            threads=threads,
            progress=_half(progress, number),
        )
        for number, (path, run, name) in enumerate(
            (
                (atomic.beside(out, ".before.vsb"), None, "original"),
                (out, network, f"{runtime} {precision} {network.runtime_version}"),
            )
        )
    )
    fitted = fit_definition(manifest["score"], choice, after)
    original, phi = before.combined(bundle.make_score()), after.combined(bundle.make_score(fitted))
    objective, rule, shared = _asked(manifest["calibration"])
    result = fit_levels(phi, part.layout.regions, objective, rule, shared=shared)
    found = _compared(original, phi, bundle, result, rule)
    _check_verdicts(found, max_verdict_changes)
    outputs, components = golden_of(bundle, network)
    with_calibration(
        bundle,
        out,
        score=fitted,
        thresholds=result.thresholds,
        heatmap=heatmap_scales(choice, after),
        calibration=calibration_record(
            result,
            part,
            data_sha256=data_sha256,
            objective=manifest["calibration"]["objective"],
            rule=rule,
            not_located=after.not_located,
        ),
        fingerprints=bundle.fingerprints,
        runtime=Runtime(
            name=runtime,
            precision=precision,
            version=network.runtime_version,
            outputs=outputs,
            components=components,
            optimization=_record(found, data_sha256, max_verdict_changes),
        ),
    )
    before.forget()
    after.forget()
    return found


def _half(progress: Progress | None, number: int) -> Progress | None:
    """Return what the first or second (`number`) of two equal halves of the work reports to."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, 2 * total)


def _check_original(bundle: _core.Bundle, manifest: Mapping[str, Any]) -> None:
    if manifest["calibration"] is None:
        raise DataError(
            f"{bundle.path}: expected a calibrated bundle, whose verdicts can be compared; run: "
            "vialsight calibrate"
        )
    if bundle.runtime != "tensorflow" or bundle.precision != FLOAT32:
        raise DataError(
            f"{bundle.path}: expected a bundle as it was frozen (tensorflow, float32), got one for "
            f"{bundle.runtime}, {bundle.precision}; give the one that it was made from, "
            f"manifest sha256 {manifest['optimization']['parent_sha256']}"
        )


def _check_same_data(manifest: Mapping[str, Any], data_sha256: str) -> None:
    known = manifest["calibration"]["data_sha256"]
    if data_sha256 != known:
        raise DataError(
            f"expected the calibration split that the bundle was calibrated on (SHA-256 {known}), "
            f"got another ({data_sha256}); give that one, or calibrate the bundle on this one first"
        )


def _precision(name: str) -> Any:
    if name not in PRECISIONS:
        raise DataError(f"precision: expected one of {', '.join(PRECISIONS)}; got {name!r}")
    return name


def _asked(record: Mapping[str, Any]) -> tuple[Objective, RunRule, bool]:
    """Return what a calibration was asked for, of its record."""
    text = record["objective"]
    return (
        parse_objective(text.removesuffix(SHARED)),
        RunRule(**record["run_rule"]),
        text.endswith(SHARED),
    )


def _compared(
    before: CalibrationScores,
    after: CalibrationScores,
    bundle: _core.Bundle,
    result: CalibrationResult,
    rule: RunRule,
) -> Optimized:
    old = {level: np.array(bundle.thresholds[level]) for level in LEVELS}
    new = {level: np.array(values) for level, values in result.thresholds.items()}
    pairs = zip(_verdicts(before, old, rule), _verdicts(after, new, rule), strict=True)
    apart = np.abs(before.scores.astype(np.float64) - after.scores.astype(np.float64))
    return Optimized(
        largest_score_difference=float(apart.max()),
        median_score_difference=float(np.median(apart)),
        verdicts={
            level: Comparison(units=a.size, changed=int(np.count_nonzero(a != b)))
            for level, (a, b) in zip(LEVELS, pairs, strict=True)
        },
        calibration=result,
    )


def _verdicts(
    scored: CalibrationScores, thresholds: Thresholds, rule: RunRule
) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return one answer per unit of each of LEVELS.

    Which patches and strips are rejected; and which strips the runs judge right, where each has as
    many as the rule asks for, else which of all runs are rejected.
    """
    above = {level: scored.scores > values for level, values in thresholds.items()}
    patches = np.asarray(above["patch"], bool)
    strips, runs = (np.asarray(above[level].any(axis=(1, 2, 3)), bool) for level in LEVELS[1:])
    if (np.bincount(scored.unit) == rule.runs).all():
        runs = judged_right(runs_of(scored, rule), thresholds["run"])
    return patches, strips, runs


def _check_verdicts(found: Optimized, most: int) -> None:
    if found.most_changed <= most:
        return
    counts = ", ".join(
        f"{each.changed} of {each.units} at {level}" for level, each in found.verdicts.items()
    )
    raise CheckFailed(
        f"verdicts on the calibration set change: {counts} level, allowed {most}; nothing was "
        f"written. Scores moved by at most {found.largest_score_difference:.3g}. Choose another "
        "precision, or look at the strips concerned and allow it: --max-verdict-changes "
        f"{found.most_changed}"
    )


def _record(found: Optimized, data_sha256: str, most: int) -> dict[str, Any]:
    """Return the manifest's `optimization` object, as `Runtime` takes it."""
    return {
        "data_sha256": data_sha256,
        "largest_score_difference": found.largest_score_difference,
        "median_score_difference": found.median_score_difference,
        "verdicts": {level: asdict(each) for level, each in found.verdicts.items()},
        "max_verdict_changes": most,
    }
