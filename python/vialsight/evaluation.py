"""Evaluation: what a calibrated bundle does on held-out strips, through the C++ core."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.bundle import read_manifest, tensorflow_version, timestamp
from vialsight.data import DEFECTIVE, NOMINAL, UNKNOWN, Dataset, Strip, load_strip, patch_truth
from vialsight.data.records import refuse_overlap
from vialsight.errors import BundleError, DataError
from vialsight.measures import Evaluation, Outcomes, StripResult, measure

Progress = Callable[[int, int], None]

STRIP_LEVEL: Final = "strip"
VIAL_LEVEL: Final = "vial"


def evaluate(
    bundle: _core.Bundle,
    dataset: Dataset,
    *,
    level: str = STRIP_LEVEL,
    threads: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Inspect every strip of the test split and measure regions, vials and strips.

    `level` names the threshold set that decides. Patches and vials whose truth is unknown
    (defective, no mask) are left out of their tables, never out of the strip's. Raises DataError
    when the test split is empty, incomplete, or shares products with training or calibration;
    BundleError when the bundle is not calibrated or a strip could not be scored.
    """
    part = dataset.select(split="test")
    part.require_layout(bundle.layout)
    manifest = read_manifest(bundle)
    _refuse_used_products(part, manifest)
    strips, data_sha256 = part.strips(), dataset.sha256()
    inspector = _core.Inspector(bundle, threads=threads, level=_checked_level(level))
    collected = _Collected(part)
    for number, strip in enumerate(strips, start=1):
        collected.add(strip, inspector.inspect(load_strip(strip, part.layout)))
        if progress is not None:
            progress(number, len(strips))
    outcomes = collected.outcomes()
    return Evaluation(
        identity=_identity(bundle, manifest, data_sha256, level),
        measures=tuple(measure(outcome) for outcome in outcomes),
        outcomes=outcomes,
        strips=tuple(collected.strips),
    )


@dataclass
class _Collected:
    """Per-unit rows gathered strip by strip."""

    part: Dataset
    strips: list[StripResult] = field(default_factory=list)
    _scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _truths: list[npt.NDArray[np.int8]] = field(default_factory=list)
    _patch_rejects: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    _vial_rejects: list[list[bool]] = field(default_factory=list)

    def add(self, strip: Strip, verdict: _core.StripVerdict) -> None:
        if not np.isfinite(verdict.scores).all():
            raise BundleError(
                f"{strip.name}: expected a score for every patch, but inspection ended with "
                f"{verdict.reason!r}; run `vialsight verify` on the bundle"
            )
        layout = self.part.layout
        self._scores.append(verdict.scores)
        self._truths.append(np.stack([patch_truth(r, layout) for r in strip.records]))
        thresholds = np.asarray(verdict.thresholds, np.float64)
        self._patch_rejects.append(verdict.scores.astype(np.float64) > thresholds)
        self._vial_rejects.append([not accepted for accepted in verdict.vials])
        self.strips.append(_strip_result(strip, verdict))

    def outcomes(self) -> tuple[Outcomes, ...]:
        scores, truths = np.stack(self._scores), np.stack(self._truths)
        rejects = np.stack(self._patch_rejects)
        regions = [
            _known(name, scores[..., r], truths[..., r], rejects[..., r])
            for r, name in enumerate(self.part.layout.regions)
        ]
        return (*regions, self._vials(scores, truths), self._strips())

    def _vials(self, scores: npt.NDArray[np.float32], truths: npt.NDArray[np.int8]) -> Outcomes:
        """θ_v = max φ of a vial (paper eq. 14); one defective patch makes it defective."""
        unknown = np.where((truths == UNKNOWN).any(axis=(1, 3)), UNKNOWN, NOMINAL)
        truth = np.where((truths == DEFECTIVE).any(axis=(1, 3)), DEFECTIVE, unknown)
        return _known(VIAL_LEVEL, scores.max(axis=(1, 3)), truth, np.array(self._vial_rejects))

    def _strips(self) -> Outcomes:
        return Outcomes(
            unit=STRIP_LEVEL,
            scores=np.array([strip.score for strip in self.strips], np.float32),
            defective=np.array([strip.defective for strip in self.strips], bool),
            rejected=np.array([not strip.accepted for strip in self.strips], bool),
        )


def _known(
    unit: str,
    scores: npt.NDArray[np.float32],
    truths: npt.NDArray[Any],
    rejected: npt.NDArray[np.bool_],
) -> Outcomes:
    known = truths != UNKNOWN
    return Outcomes(
        unit=unit,
        scores=scores[known],
        defective=truths[known] == DEFECTIVE,
        rejected=rejected[known],
    )


def _strip_result(strip: Strip, verdict: _core.StripVerdict) -> StripResult:
    return StripResult(
        product=strip.product,
        run=strip.run,
        defective=strip.defective,
        accepted=verdict.accepted,
        reason=verdict.reason,
        score=float(verdict.scores.max()),
    )


def _refuse_used_products(part: Dataset, manifest: dict[str, Any]) -> None:
    if manifest["calibration"] is None:
        raise BundleError(
            f"bundle {manifest['name']!r} is not calibrated; run `vialsight calibrate` first"
        )
    refuse_overlap(part.products, manifest["provenance"]["training_products"], "training")
    refuse_overlap(part.products, manifest["calibration"]["products"], "calibration")


def _checked_level(level: str) -> Any:
    if level not in ("patch", "strip", "run"):
        raise DataError(f"level must be patch, strip or run; got {level!r}")
    return level


def _identity(
    bundle: _core.Bundle, manifest: dict[str, Any], data_sha256: str, level: str
) -> dict[str, Any]:
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "data_sha256": data_sha256,
        "level": level,
        "thresholds": dict(zip(bundle.layout.regions, manifest["thresholds"][level], strict=True)),
        "created": timestamp(datetime.now(timezone.utc)),
        "vialsight": _core.__version__,
        "tensorflow": tensorflow_version(),
        "trained_by": manifest["provenance"]["vialsight"],
        "training_data_sha256": manifest["provenance"]["data_sha256"],
        "calibration_data_sha256": manifest["calibration"]["data_sha256"],
    }
