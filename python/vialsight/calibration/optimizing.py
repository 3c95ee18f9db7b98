"""A bundle for another runtime or precision, with proof of what that changes.

TensorFlow in float32 is what a network was trained, frozen and proven with. Here the same network
runs on another runtime; its golden scores become that runtime's, the calibration set says how far
scores move, thresholds are fitted again, and verdicts before and after are compared one by one.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight import _core
from vialsight.aliases import Patches, Progress
from vialsight.bundle import (
    BFLOAT16,
    FLOAT32,
    INT8,
    LEVELS,
    OPENVINO,
    Runtime,
    read_manifest,
    with_calibration,
)
from vialsight.calibration.choice import choose
from vialsight.calibration.fitting import (
    SHARED,
    CalibrationResult,
    calibration_record,
    fit_levels,
)
from vialsight.calibration.normalisation import fit_definition, heatmap_scales
from vialsight.calibration.range_patches import range_patches
from vialsight.calibration.runtime_golden import golden_of
from vialsight.calibration.scores import CalibrationScores, score_split
from vialsight.calibration.thresholds import Objective, RunRule, parse_objective
from vialsight.calibration.verdicts import Comparison, compare_verdicts
from vialsight.data import Dataset
from vialsight.errors import CheckFailed, DataError
from vialsight.files import atomic
from vialsight.frozen_graph import QuantisedGraph

RUNTIMES: Final = (OPENVINO,)
PRECISIONS: Final = (FLOAT32, BFLOAT16, INT8)

# A graph, the names of its input and outputs, and patches, to the graph in integers of 8 bits; see
# `models.graph.quantised_graph`, which needs TensorFlow for Python.
Quantise = Callable[[bytes, str, Sequence[str], Iterable[Patches]], QuantisedGraph]


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
    quantise: Quantise | None = None,
    max_verdict_changes: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Optimized:
    """Write `bundle` for another runtime to `out`, unless it changes too many verdicts.

    `dataset` is the one `bundle` was calibrated on. `quantise` makes the graph for int8, of which
    ranges are measured on nominal patches of that. Both networks score its calibration split, the
    original in an Inspector that has proven it; interrupted, the same call goes on. `progress` is
    called with scored and total strips of either, one after the other.
    Raises DataError when the bundle is not calibrated or `dataset` is another, or `out` exists;
    BundleError when the runtime is not installed or cannot run the network here; CheckFailed, with
    nothing written, when more than `max_verdict_changes` verdicts of a level are others.
    """
    atomic.refuse_existing(out)
    manifest = read_manifest(bundle)
    _check_original(bundle, manifest)
    _check_precision(precision)
    part = dataset.select(split="calibration")
    part.require_layout(bundle.layout)
    data_sha256 = part.sha256()
    _check_same_data(manifest, data_sha256)
    quantised = _quantised(bundle, part, quantise) if precision == INT8 else None
    network = _network(bundle, runtime, precision, quantised, threads)
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
                (out, network, _identity(runtime, precision, network, quantised)),
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
            optimization=_record(found, data_sha256, max_verdict_changes, quantised),
            graph_def=None if quantised is None else quantised.graph_def,
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


def _check_precision(name: str) -> None:
    if name not in PRECISIONS:
        raise DataError(f"precision: expected one of {', '.join(PRECISIONS)}; got {name!r}")


def _quantised(bundle: _core.Bundle, part: Dataset, quantise: Quantise | None) -> QuantisedGraph:
    if quantise is None:
        raise ValueError("quantise: int8 needs it, got none")
    name = read_manifest(bundle)["input"]["name"]
    return quantise(bundle.model, name, list(bundle.outputs), range_patches(bundle, part))


def _network(
    bundle: _core.Bundle,
    runtime: str,
    precision: Any,
    quantised: QuantisedGraph | None,
    threads: int,
) -> _core.Network:
    model = None if quantised is None else quantised.graph_def
    return _core.Network(bundle, runtime=runtime, precision=precision, threads=threads, model=model)


def _identity(
    runtime: str, precision: str, network: _core.Network, quantised: QuantisedGraph | None
) -> str:
    """Return what stands for the network in what is kept for an interruption."""
    text = f"{runtime} {precision} {network.runtime_version}"
    if quantised is None:
        return text
    return f"{text} {hashlib.sha256(quantised.graph_def).hexdigest()}"


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
    apart = np.abs(before.scores.astype(np.float64) - after.scores.astype(np.float64))
    return Optimized(
        largest_score_difference=float(apart.max()),
        median_score_difference=float(np.median(apart)),
        verdicts=compare_verdicts((before, old), (after, new), rule),
        calibration=result,
    )


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


def _record(
    found: Optimized, data_sha256: str, most: int, quantised: QuantisedGraph | None
) -> dict[str, Any]:
    """Return the manifest's `optimization` object, as `Runtime` takes it."""
    record = {
        "data_sha256": data_sha256,
        "largest_score_difference": found.largest_score_difference,
        "median_score_difference": found.median_score_difference,
        "verdicts": {level: asdict(each) for level, each in found.verdicts.items()},
        "max_verdict_changes": most,
    }
    if quantised is not None:
        numbers = {"convolutions": quantised.convolutions, "patches": quantised.patches}
        record["quantised"] = numbers
    return record
