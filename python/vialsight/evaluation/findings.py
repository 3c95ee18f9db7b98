"""The figures of an evaluation, computed from its evidence and nothing else.

Positive = defective: detection rate = TPR, false reject rate = 1 - TNR. Counts are integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.data import DEFECTIVE, UNKNOWN
from vialsight.data.defects import ALL_KINDS
from vialsight.evaluation.component_measures import ComponentMeasures, component_measures
from vialsight.evaluation.decisions import Decisions, confirmed, decide, rejected_runs
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.measures import Measures, rate
from vialsight.evaluation.pose_measures import PoseMeasures, not_located_notes, pose_measures
from vialsight.evaluation.reject_zone import decide_on_reject_zone
from vialsight.statistics.drift import rank_correlation
from vialsight.statistics.intervals import Interval, proportion_interval, resampled_strips
from vialsight.statistics.knapp import KnappStudy, study
from vialsight.statistics.pixels import per_region_overlap, pixel_auroc, pixel_interval

SEVERITIES: Final = ("low", "middle", "high")


@dataclass(frozen=True, kw_only=True)
class PixelMeasures:
    """How well the score's map finds a region's defective pixels; None without masks."""

    region: str
    auroc: float | None
    auroc_interval: Interval | None
    per_region_overlap: float | None


@dataclass(frozen=True, kw_only=True)
class ClassMeasures:
    """Detection of one class of defects, at one band of severity ("all", "low", "middle", "high").

    `strips` are physical strips, `inspections` their runs, `detected` the runs rejected,
    `confirmed` the strips that the run rule classifies right (None where it cannot be applied).
    """

    kind: str
    severity: str
    strips: int
    inspections: int
    detected: int
    detection_rate: float | None
    detection_rate_interval: Interval | None
    confirmed: int | None


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Wall-clock time of one stage over all strips, in milliseconds."""

    stage: str
    mean_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Spearman's rank correlation of nominal strips' largest scores with their order in time.

    One value per physical strip, the mean over its runs, which are not independent.
    """

    region: str
    strips: int
    rho: float | None
    p_value: float | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All figures of a report.

    `patch`, `strip` and `run` are as in `Decisions`, of all strips; `reject_zone` is the same of
    those that people reject and the nominal ones, None without such strips or a Knapp study.
    `components` are empty where one component decides, and that is the paper's.
    """

    patch: tuple[Measures, ...]
    strip: Measures
    run: Measures | None
    components: tuple[ComponentMeasures, ...]
    pixels: tuple[PixelMeasures, ...]
    classes: tuple[ClassMeasures, ...]
    latency: tuple[Latency, ...]
    drift: tuple[Drift, ...]
    knapp: KnappStudy | None
    reject_zone: Decisions | None
    poses: PoseMeasures | None
    limitations: tuple[str, ...]


def find(evidence: Evidence) -> Findings:
    """Compute every figure; the same evidence gives the same figures, to the last bit."""
    draws = resampled_strips(evidence.defective_strips)
    decisions, notes = decide(evidence, draws)
    knapp = _knapp(evidence)
    return Findings(
        patch=decisions.patch,
        strip=decisions.strip,
        run=decisions.run,
        components=component_measures(evidence, draws),
        pixels=_pixel_measures(evidence, draws),
        classes=_class_measures(evidence),
        latency=_latencies(evidence),
        drift=_drifts(evidence),
        knapp=knapp,
        reject_zone=None if knapp is None else decide_on_reject_zone(evidence, knapp),
        poses=pose_measures(evidence),
        limitations=(*notes, *_label_notes(evidence)),
    )


def _pixel_measures(evidence: Evidence, draws: npt.NDArray[np.int32]) -> tuple[PixelMeasures, ...]:
    pixels = evidence.pixels
    if pixels is None:
        return ()
    return tuple(
        PixelMeasures(
            region=name,
            auroc=pixel_auroc(pixels, region),
            auroc_interval=pixel_interval(pixels, region, draws),
            per_region_overlap=per_region_overlap(pixels, region),
        )
        for name, region in [*((n, r) for r, n in enumerate(evidence.regions)), ("all", None)]
    )


def _class_measures(evidence: Evidence) -> tuple[ClassMeasures, ...]:
    """Measure each class of defects, then all classes by severity in three equal bands."""
    kinds = sorted({defect.kind for defect in evidence.defects})
    rows = [
        _class_row(
            evidence, kind, ALL_KINDS, {d.product for d in evidence.defects if d.kind == kind}
        )
        for kind in kinds
    ]
    for band in SEVERITIES:
        products = {d.product for d in evidence.defects if severity_band(d.severity) == band}
        if products:
            rows.append(_class_row(evidence, ALL_KINDS, band, products))
    return tuple(rows)


def severity_band(severity: float | None) -> str | None:
    """Return low, middle or high: the thirds of [0, 1]; None where the severity is unknown."""
    if severity is None:
        return None
    return SEVERITIES[min(int(severity * 3), 2)]


def _class_row(evidence: Evidence, kind: str, severity: str, products: set[str]) -> ClassMeasures:
    names = np.array([name in products for name in evidence.products], bool)
    rejected = rejected_runs(evidence, "strip")
    numbers, strip = np.unique(evidence.strip_of[names], return_inverse=True)
    totals = np.bincount(strip, minlength=len(numbers))
    hits = np.bincount(strip, rejected[names], minlength=len(numbers)).astype(np.int64)
    draws = resampled_strips(np.ones(len(numbers), bool))
    fits = (totals == evidence.rule.runs).all()
    return ClassMeasures(
        kind=kind,
        severity=severity,
        strips=len(numbers),
        inspections=int(totals.sum()),
        detected=int(hits.sum()),
        detection_rate=rate(int(hits.sum()), int(totals.sum())),
        detection_rate_interval=proportion_interval(hits, totals, draws),
        confirmed=int(confirmed(evidence, "run")[numbers].sum()) if fits else None,
    )


def _latencies(evidence: Evidence) -> tuple[Latency, ...]:
    rows = []
    for stage, seconds in evidence.times.items():
        p50, p99 = np.percentile(seconds, [50, 99])
        mean, largest = seconds.mean(), seconds.max()
        figures = (float(1e3 * value) for value in (mean, p50, p99, largest))
        mean_ms, p50_ms, p99_ms, max_ms = figures
        rows.append(
            Latency(
                stage=stage.removesuffix("_s"),
                mean_ms=mean_ms,
                p50_ms=p50_ms,
                p99_ms=p99_ms,
                max_ms=max_ms,
            )
        )
    return tuple(rows)


def _drifts(evidence: Evidence) -> tuple[Drift, ...]:
    strip, largest = evidence.strip_of, evidence.scores.max(axis=(1, 2)).astype(np.float64)
    chosen = ~evidence.defective & ~evidence.not_located
    numbers, position = np.unique(strip[chosen], return_inverse=True)
    rows = []
    for region, name in enumerate(evidence.regions):
        sums = np.bincount(position, largest[chosen, region], minlength=len(numbers))
        correlation = rank_correlation(sums / np.bincount(position)) if len(numbers) else None
        rho, p_value = correlation or (None, None)
        rows.append(Drift(region=name, strips=len(numbers), rho=rho, p_value=p_value))
    return tuple(rows)


def _knapp(evidence: Evidence) -> KnappStudy | None:
    """Study the machine against the manual results, with the line's thresholds."""
    if not evidence.manual or evidence.margin is None:
        return None
    rejected = rejected_runs(evidence, "strip")
    machine: dict[str, tuple[int, int]] = {}
    for product, reject in zip(evidence.products, rejected.tolist(), strict=True):
        inspections, rejects = machine.get(product, (0, 0))
        machine[product] = (inspections + 1, rejects + reject)
    kinds = {defect.product: defect.kind for defect in evidence.defects}
    return study(evidence.manual, machine, kinds, margin=evidence.margin)


def _label_notes(evidence: Evidence) -> Iterator[str]:
    """Say what the labels did not allow."""
    if not evidence.defective.any():
        yield "There are no defective strips: nothing is known of the detection rate."
    if evidence.defective.all():
        yield "There are no nominal strips: nothing is known of the false reject rate."
    for region, name in enumerate(evidence.regions):
        if evidence.defective.any() and not (evidence.truth[..., region] == DEFECTIVE).any():
            yield f"Region {name!r} has no patch known to be defective: no detection rate for it."
    unlabelled = (evidence.truth == UNKNOWN).any(axis=(1, 2, 3)) & ~evidence.not_located
    unknown = int(unlabelled.sum())
    if unknown:
        yield (
            f"{unknown} inspections of defective strips have no mask: they count for whole "
            "strips, not for regions, vials and pixels."
        )
    yield from not_located_notes(evidence)
    if len(set(evidence.products)) < 2:
        yield "There is one physical strip only: no interval means anything."
