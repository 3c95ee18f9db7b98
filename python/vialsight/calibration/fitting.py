"""Calibration: thresholds per region for three levels and the heatmap's scale, into a new bundle.

Positive = defective; a patch is accepted when φ <= t. Fitting is exact and deterministic: no
sampling, integer counts, ties resolved by rule.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Progress
from vialsight.bundle import LEVELS, read_manifest, with_calibration
from vialsight.calibration.choice import choose
from vialsight.calibration.normalisation import fit_definition, heatmap_scales
from vialsight.calibration.scores import CalibrationScores, score_split
from vialsight.calibration.strip_cutting import not_located_notes
from vialsight.calibration.thresholds import (
    Objective,
    RunRule,
    Runs,
    best_threshold,
    count_right,
    fit_joint,
    fit_joint_quantile,
    goal_of,
    quantile_bound,
    quantile_threshold,
    span_text,
    tail_threshold,
)
from vialsight.calibration.thresholds.objectives import (
    BALANCED_ACCURACY,
    NOMINAL_QUANTILE,
    NOMINAL_TAIL,
)
from vialsight.data import DEFECTIVE, NOMINAL, Dataset
from vialsight.data.cutting import FrameCutter
from vialsight.data.fingerprints import Fingerprints
from vialsight.data.independence import describe_images, refuse_seen_images, repeated_images
from vialsight.data.records import raise_listed, refuse_overlap
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.locator import ProductLocator

Scores = npt.NDArray[np.float32]

DEFAULT_OBJECTIVE: Final = Objective(BALANCED_ACCURACY)
DEFAULT_QUANTILE: Final = Fraction("0.995")
FITTED: Final = "fitted"
# What the objective of a calibration with one threshold ends in.
SHARED: Final = ", one threshold for all regions"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What thresholds do on the units they were fitted to; rates are None without such units.

    `false_reject_bound` is the upper 95 % confidence bound of the false reject rate where the fit
    saw nominal units only; it counts physical strips as the independent units.
    """

    nominal: int
    defective: int
    detection_rate: float | None
    false_reject_rate: float
    balanced_accuracy: float | None
    false_reject_bound: float | None


@dataclass(frozen=True, kw_only=True)
class LevelFit:
    """Thresholds (R,) of a level, where they come from, what they do on the level's units.

    `optimality_gap` is 0 where no other combination serves the objective better.
    """

    origin: str
    thresholds: tuple[float, ...]
    fit: Fit
    optimality_gap: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """Fits per level and, for the patch level, per region.

    `warnings` say in sentences what the data did not allow.
    """

    regions: tuple[str, ...]
    region_fits: tuple[Fit, ...]
    levels: dict[str, LevelFit]
    warnings: tuple[str, ...]

    @property
    def thresholds(self) -> dict[str, tuple[float, ...]]:
        """By level, one for each region."""
        return {level: self.levels[level].thresholds for level in LEVELS}


def calibrate(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    score: Sequence[str] = (),
    combine: str | None = None,
    objective: Objective = DEFAULT_OBJECTIVE,
    rule: RunRule | None = None,
    quantile: Fraction = DEFAULT_QUANTILE,
    shared: bool = False,
    accept_lookalikes: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Fit thresholds on the calibration split of `dataset` and write them into a new bundle.

    `score` names the components that shall decide, of those the bundle offers, and `combine` how
    several become one number ("largest" or "sum"); without names, what decides now goes on.
    `quantile` is the share of nominal units to accept where no defective ones are given. `shared`
    fits one threshold for all regions at the levels of strip and run: fewer to fit, where scores of
    regions mean the same, as logits of one network do. Scoring can be interrupted: the same call
    goes on. `progress` is called with scored and total strips.
    Raises DataError when such a score is not offered, the layout differs from the bundle's, the
    split is empty or incomplete, its products or images were trained on, patches cannot be
    labelled, or `out` exists.
    """
    rule = rule or RunRule()
    manifest = read_manifest(bundle)
    choice = choose(manifest["score"], score, combine)
    part = dataset.select(split="calibration")
    part.require_layout(bundle.layout)
    atomic.refuse_existing(out)
    refuse_overlap(part.products, manifest["provenance"]["training_products"], "training")
    _check_labelled(part)
    cutter = FrameCutter(bundle.layout, ProductLocator.of_bundle(bundle))
    described = describe_images(part, cutter)
    # The images were decoded just now; masks are, where truths are read.
    data_sha256 = part.sha256(decode=False)
    fingerprints = Fingerprints.from_bytes(bundle.fingerprints)
    notes = refuse_seen_images(part, described, fingerprints, accept_lookalikes=accept_lookalikes)
    scored = score_split(
        bundle, part, out, choice.names, identity=data_sha256, threads=threads, progress=progress
    )
    definition = fit_definition(manifest["score"], choice, scored)
    phi = scored.combined(bundle.make_score(definition))
    result = fit_levels(phi, part.layout.regions, objective, rule, quantile, shared=shared)
    with_calibration(
        bundle,
        out,
        score=definition,
        thresholds=result.thresholds,
        heatmap=heatmap_scales(choice, scored),
        calibration=calibration_record(
            result,
            part,
            data_sha256=data_sha256,
            objective=_described(objective, shared),
            rule=rule,
            not_located=scored.not_located,
        ),
        fingerprints=fingerprints.with_calibration(described).to_bytes(),
    )
    scored.forget()
    repeated = repeated_images(part, described)
    lost = not_located_notes(scored.not_located)
    return replace(result, warnings=(*result.warnings, *lost, *notes, *repeated))


def fit_levels(
    scored: CalibrationScores,
    regions: list[str],
    objective: Objective,
    rule: RunRule,
    quantile: Fraction = DEFAULT_QUANTILE,
    *,
    shared: bool = False,
) -> CalibrationResult:
    """Fit all three levels to scores; raises DataError when they cannot be fitted.

    With `shared` strips and runs have one threshold for all regions.
    """
    if not np.isfinite(scored.scores).all():
        raise DataError("scores must be finite to fit a threshold; the model is not usable")
    if not (~scored.defective).any():
        raise DataError("thresholds need nominal strips in the calibration split; none were given")
    warnings: list[str] = []
    whole = objective
    if not objective.nominal_only and not scored.defective.any():
        whole = Objective(NOMINAL_QUANTILE, quantile)
        share = f"{float(quantile):g}"
        warnings.append(f"no defective strips: thresholds accept a share of {share} instead")
    patch, region_fits = _fit_patch_level(scored, regions, whole, quantile, warnings)
    largest = _largest(scored)
    # One number of a run: its largest score, whatever the region.
    seen = largest.max(axis=1, keepdims=True) if shared else largest
    strip = _fit_whole(_strip_runs(scored, seen), whole, scored)
    run = _fit_run_level(scored, whole, rule, warnings, largest=seen, strip=strip)
    if shared:
        strip, run = (
            replace(fit, thresholds=fit.thresholds * len(regions)) for fit in (strip, run)
        )
    return CalibrationResult(
        regions=tuple(regions),
        region_fits=region_fits,
        levels={"patch": patch, "strip": strip, "run": run},
        warnings=tuple(warnings),
    )


def fit_region(
    nominal: Scores, defective: Scores, objective: Objective, *, strips: int
) -> tuple[float, Fit]:
    """Return the threshold of φ of nominal (n,) and defective (m,) patches, and what it does.

    `strips` is how many physical nominal strips the patches come from: patches of one strip are
    not independent, so the confidence bound counts strips.
    """
    if len(nominal) == 0:
        raise DataError("a threshold needs nominal patches of its region; none were given")
    if objective.kind == NOMINAL_QUANTILE and objective.value is not None:
        threshold = quantile_threshold(nominal, objective.value)
    elif objective.kind == NOMINAL_TAIL and objective.value is not None:
        threshold = tail_threshold(nominal, objective.value)
    else:
        goal = goal_of(objective, len(nominal), len(defective))
        threshold = best_threshold(nominal, defective, goal)
    false_rejects = int(np.count_nonzero(nominal.astype(np.float64) > threshold))
    detected = int(np.count_nonzero(defective.astype(np.float64) > threshold))
    fit = _fit(false_rejects, len(nominal), detected, len(defective))
    if objective.nominal_only:
        fit = _with_bound(fit, strips)
    return threshold, fit


def _fit_patch_level(
    scored: CalibrationScores,
    regions: list[str],
    objective: Objective,
    quantile: Fraction,
    warnings: list[str],
) -> tuple[LevelFit, tuple[Fit, ...]]:
    fits, strips = [], scored.nominal_strips
    for region, name in enumerate(regions):
        scores, truth = scored.scores[..., region], scored.truth[..., region]
        nominal, defective = scores[truth == NOMINAL], scores[truth == DEFECTIVE]
        chosen = objective
        if not objective.nominal_only and not len(defective):
            chosen = Objective(NOMINAL_QUANTILE, quantile)
            warnings.append(
                f"region {name!r}: no defective patches; its patch threshold accepts a share of "
                f"{float(quantile):g} of the nominal ones"
            )
        try:
            fits.append(fit_region(nominal, defective, chosen, strips=strips))
        except DataError as error:
            raise DataError(f"region {name!r}: {error}") from error
    thresholds, region_fits = zip(*fits, strict=True)
    total = _sum_of(region_fits)
    if objective.nominal_only:
        total = _with_bound(total, strips)
    return LevelFit(origin=FITTED, thresholds=thresholds, fit=total), region_fits


def _fit_run_level(
    scored: CalibrationScores,
    objective: Objective,
    rule: RunRule,
    warnings: list[str],
    *,
    largest: npt.NDArray[np.float64],
    strip: LevelFit,
) -> LevelFit:
    counts = np.bincount(scored.unit)
    copied = LevelFit(
        origin="copied_from_strip",
        thresholds=strip.thresholds,
        fit=strip.fit,
        optimality_gap=strip.optimality_gap,
    )
    if (counts != rule.runs).any():
        warnings.append(
            f"the run level needs strips with {rule.runs} runs each, these have "
            f"{span_text(counts)}: "
            "its thresholds are copies of the strip level's"
        )
        return copied
    if objective.kind == NOMINAL_TAIL:
        return copied
    runs = replace(runs_of(scored, rule), scores=largest)
    return _fit_whole(runs, objective, scored)


def _fit_whole(runs: Runs, objective: Objective, scored: CalibrationScores) -> LevelFit:
    """Fit all regions at once to whole runs or strips."""
    gap = 0.0
    if objective.nominal_only:
        thresholds = _nominal_thresholds(runs, objective)
    else:
        joint = fit_joint(runs, objective)
        thresholds, gap = joint.thresholds, joint.gap
    nominal, defective = int((~runs.defective).sum()), int(runs.defective.sum())
    accepted, rejected = count_right(runs, np.array(thresholds))
    fit = _fit(nominal - accepted, nominal, rejected, defective)
    if objective.nominal_only:
        fit = _with_bound(fit, scored.nominal_strips)
    return LevelFit(origin=FITTED, thresholds=thresholds, fit=fit, optimality_gap=gap)


def _nominal_thresholds(runs: Runs, objective: Objective) -> tuple[float, ...]:
    nominal = ~runs.defective
    kept = nominal[runs.unit]
    number = np.cumsum(nominal) - 1
    good = Runs(
        scores=runs.scores[kept],
        unit=number[runs.unit[kept]],
        defective=np.zeros(int(nominal.sum()), bool),
        agree=runs.agree,
    )
    share = objective.value or Fraction(0)
    if objective.kind == NOMINAL_QUANTILE:
        return tuple(map(float, fit_joint_quantile(good, share)))
    # Any region rejects, so each may take its part of the share only (Bonferroni).
    part = share / good.scores.shape[1]
    return tuple(tail_threshold(column, part) for column in good.scores.T)


def _strip_runs(scored: CalibrationScores, largest: npt.NDArray[np.float64]) -> Runs:
    return Runs(
        scores=largest,
        unit=np.arange(len(scored.scores)),
        defective=scored.defective,
    )


def runs_of(scored: CalibrationScores, rule: RunRule) -> Runs:
    """Return strips of several runs, judged by `rule`, with the largest score of each region."""
    return Runs(
        scores=_largest(scored),
        unit=scored.unit,
        defective=scored.defective_units,
        agree=rule.agree,
    )


def _largest(scored: CalibrationScores) -> npt.NDArray[np.float64]:
    """Return the largest score of each region in each run, (S,R)."""
    return np.asarray(scored.scores.max(axis=(1, 2)), np.float64)


def _fit(false_rejects: int, nominal: int, detected: int, defective: int) -> Fit:
    both = nominal and defective
    right = detected * nominal + (nominal - false_rejects) * defective
    return Fit(
        nominal=nominal,
        defective=defective,
        detection_rate=detected / defective if defective else None,
        false_reject_rate=false_rejects / nominal,
        balanced_accuracy=right / (2 * nominal * defective) if both else None,
        false_reject_bound=None,
    )


def _sum_of(fits: tuple[Fit, ...]) -> Fit:
    """Return the counts of all regions' patches together."""
    nominal, defective = sum(f.nominal for f in fits), sum(f.defective for f in fits)
    false_rejects = round(sum(f.false_reject_rate * f.nominal for f in fits))
    detected = round(sum((f.detection_rate or 0.0) * f.defective for f in fits))
    return _fit(false_rejects, nominal, detected, defective)


def _with_bound(fit: Fit, strips: int) -> Fit:
    above = int(np.ceil(fit.false_reject_rate * strips - 1e-9))
    return Fit(**{**asdict(fit), "false_reject_bound": quantile_bound(above, strips)})


def _check_labelled(part: Dataset) -> None:
    if part.layout.patches_per_frame == 1:
        return
    unknown = [str(r.image) for r in part.records if r.defective and r.mask is None]
    raise_listed(
        "defective images without a mask, which says in what patches the defect lies; "
        "add masks or leave these images out of the calibration split",
        unknown,
    )


def _described(objective: Objective, shared: bool) -> str:
    return f"{objective}{SHARED if shared else ''}"


def calibration_record(
    result: CalibrationResult,
    part: Dataset,
    *,
    data_sha256: str,
    objective: str,
    rule: RunRule,
    not_located: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the manifest's `calibration` object, as `with_calibration` takes it."""
    levels = {
        level: {
            "origin": fitted.origin,
            **asdict(fitted.fit),
            "optimality_gap": fitted.optimality_gap,
        }
        for level, fitted in result.levels.items()
    }
    regions = zip(result.regions, result.region_fits, strict=True)
    return {
        "objective": objective,
        "data_sha256": data_sha256,
        "levels": levels,
        "run_rule": asdict(rule),
        "regions": [{"region": name, **asdict(fit)} for name, fit in regions],
        "products": list(part.products),
        **({"not_located": len(not_located)} if not_located else {}),
    }
