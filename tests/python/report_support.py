"""An evaluation made of random numbers: evidence and findings of any size, without a network."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vialsight.calibration.thresholds import RunRule
from vialsight.data import DEFECTIVE, NOMINAL, UNKNOWN, KnownDefect
from vialsight.evaluation.deciding_score import DecidingScore
from vialsight.evaluation.evidence import PICTURES_FOLDER, STAGES, Evidence, Picture
from vialsight.evaluation.pose_evidence import Poses
from vialsight.scores import msgms, ssim
from vialsight.statistics.knapp import ManualResult
from vialsight.statistics.pixels import PixelCounts

REGIONS = ("flag", "top_body", "liquid_body", "bottom")
THRESHOLDS = {
    "patch": (0.0160, 0.0381, 0.0460, 0.0297),
    "strip": (0.0172, 0.0402, 0.0478, 0.0311),
    "run": (0.0165, 0.0390, 0.0469, 0.0304),
}
KINDS = ("chip_cap", "deformation_neck", "emboss_missing", "particle")
PANEL = 96
PUBLISHED = DecidingScore(components=(ssim(),), combine=None, normalisation=None, reconstructs=True)


def evidence_of(
    folder: Path,
    *,
    strips: int = 24,
    defective: int = 10,
    runs: int = 10,
    frames: int = 3,
    vials: int = 5,
    regions: Sequence[str] = REGIONS,
    with_defects: bool = True,
    names: str = "S{:03d}",
    with_pictures: bool = True,
    seed: int = 0,
) -> Evidence:
    """Strips of which the first `defective` have one defect each, of severities from 0 to 1."""
    random = np.random.default_rng(seed)
    products = [names.format(number) for number in range(1, strips + 1)]
    defects = [
        KnownDefect(
            product=products[k],
            kind=KINDS[k % len(KINDS)],
            severity=round(float(random.uniform(0.05, 1.0)), 2),
            vial=int(random.integers(vials)) + 1,
        )
        for k in range(defective)
    ]
    order = np.concatenate([random.permutation(strips) for _ in range(runs)])
    levels = {level: values[: len(regions)] for level, values in THRESHOLDS.items()}
    scores, truth = _scores(random, order, defects, (frames, vials, len(regions)))
    accepted = ~(scores > np.array(levels["strip"], np.float32)).any(axis=(1, 2, 3))
    times = {
        "extract_s": random.gamma(40, 0.0002, len(order)),
        "infer_s": random.gamma(60, 0.0052, len(order)),
        "score_s": random.gamma(30, 0.0004, len(order)),
    }
    times["total_s"] = sum(times.values(), np.zeros(len(order)))
    times["after_last_frame_s"] = times["total_s"] / frames
    assert tuple(times) == STAGES
    shares = np.where(np.arange(strips) < defective, 0.85, 0.04)
    evidence = Evidence(
        folder=folder,
        identity=_identity(),
        score=PUBLISHED,
        thresholds=levels,
        rule=RunRule(),
        regions=tuple(regions),
        products=tuple(products[k] for k in order),
        runs=np.repeat(np.arange(1, runs + 1), strips),
        defective=order < defective,
        accepted=accepted,
        reasons=tuple("none" if good else "defect" for good in accepted),
        scores=scores,
        component_scores=scores[..., np.newaxis],
        published=None,
        truth=truth,
        times=times,
        pixels=_pixels(random, strips, defective, len(regions)) if with_defects else None,
        defects=tuple(defects) if with_defects else (),
        manual=tuple(
            ManualResult(product=p, inspections=50, rejects=int(random.binomial(50, share)))
            for p, share in zip(products, shares, strict=True)
        ),
        margin=0.05,
        pictures=(),
        limitations=("1 defective strip has no mask: its patches count in the strip tables only.",),
    )
    pictures = _pictures(evidence, random) if with_pictures else ()
    return Evidence(**{**vars(evidence), "pictures": pictures})


def combined(evidence: Evidence, *, seed: int = 1) -> Evidence:
    """Return evidence of the same φ, made the largest of two components: ssim, a worse msgms."""
    regions = len(evidence.regions)
    random = np.random.default_rng(seed)
    offset, scale = random.uniform(0.0, 0.1, (2, regions)), random.uniform(0.05, 3.0, (2, regions))
    worse = evidence.scores * random.uniform(0.2, 1.0, evidence.scores.shape)
    comparable = np.stack([evidence.scores, worse], axis=-1)
    components = (ssim(), msgms())
    score = DecidingScore(
        components=components,
        combine="largest",
        normalisation=tuple(
            {
                "component": component["name"],
                "offset": offset[place].tolist(),
                "scale": scale[place].tolist(),
                "map_scale": [1.0] * regions,
            }
            for place, component in enumerate(components)
        ),
        reconstructs=True,
    )
    numbers = (offset.T + comparable * scale.T).astype(np.float32)
    return dataclasses.replace(evidence, score=score, component_scores=numbers)


def located(
    evidence: Evidence, *, lost: Sequence[int] = (), truth: bool = False, seed: int = 2
) -> Evidence:
    """Return the same evidence of products that were located, but for the inspections `lost`.

    They lie scattered as in a gripper, 0.4 pixels farther right at the end than at the start.
    """
    random = np.random.default_rng(seed)
    count, frames = evidence.scores.shape[:2]
    grip = random.normal(0.0, (3.0, 2.5, 0.0035), (count, 1, 3))
    grip[..., 0] += np.linspace(0.0, 0.4, count)[:, np.newaxis]
    pose = grip + random.normal(0.0, (0.05, 0.05, 5e-5), (count, frames, 3))
    gone = np.isin(np.arange(count), lost)
    scores, components = evidence.scores.copy(), evidence.component_scores.copy()
    marks, found = evidence.truth.copy(), np.ones((count, frames), bool)
    scores[gone, -1], components[gone, -1] = np.nan, np.nan
    marks[gone], found[gone, -1] = UNKNOWN, False
    measured = pose + random.normal((1.5, -0.7, 1e-3), (0.03, 0.03, 3e-5), pose.shape)
    return dataclasses.replace(
        evidence,
        scores=scores,
        component_scores=components,
        truth=marks,
        accepted=evidence.accepted & ~gone,
        reasons=tuple(
            "not_located" if g else r for g, r in zip(gone, evidence.reasons, strict=True)
        ),
        times={"locate_s": random.gamma(40, 0.0004, count), **evidence.times},
        poses=Poses(
            images=tuple(
                tuple(f"images/{product}-{run}-{frame + 1}.png" for frame in range(frames))
                for product, run in zip(evidence.products, evidence.runs.tolist(), strict=True)
            ),
            pose=np.round(measured, 9),
            residual=np.round(random.gamma(20, 0.0005, (count, frames)), 9),
            found=found,
            truth=np.round(pose, 9) if truth else None,
        ),
    )


def small_kit(folder: Path, *, names: str = "S{:03d}") -> Evidence:
    """Return 16 strips in 10 runs of one frame: every kind of error, in little time."""
    return evidence_of(folder, strips=16, defective=7, frames=1, names=names)


def _scores(random, order, defects, shape):
    vials, regions = shape[1:]
    base = np.array(THRESHOLDS["patch"][:regions]) / 1.72
    strip_effect = random.normal(0, 0.11, (order.max() + 1, 1, vials, regions))
    drift = np.linspace(0, 0.12, len(order))[:, None, None, None]
    noise = random.normal(0, 0.12, (len(order), *shape))
    raise_by = np.zeros((len(order), *shape))
    truth = np.full((len(order), *shape), NOMINAL, np.int8)
    for k, defect in enumerate(defects):
        where = (order == k, slice(None), defect.vial - 1, k % regions)
        raise_by[where] = 0.35 + 2.6 * defect.severity
        truth[where] = DEFECTIVE
    if len(defects) > 1:
        truth[order == 1] = UNKNOWN
    scores = base * np.exp(strip_effect[order] + drift + noise + raise_by)
    return scores.astype(np.float32), truth


def _pixels(random, strips, defective, regions):
    """One small patch of every strip and region, with a square defect where there is one."""
    counts = PixelCounts.empty(strips, regions)
    for strip in range(strips):
        for region in range(regions):
            difference = np.abs(random.normal(0, 0.05, (24, 24)))
            mask = None
            if strip < defective and strip % regions == region:
                mask = np.zeros((24, 24), bool)
                mask[6:14, 8:16] = True
                difference += 0.12 * mask
            counts.add(strip, region, np.clip(difference, 0, 1).astype(np.float32), mask)
    return counts


def _identity():
    return {
        "bundle": "line <7> & co",
        "bundle_sha256": "3f" * 32,
        "test_data_sha256": "a1" * 32,
        "created": "2026-02-03T10:11:12Z",
        "level": "strip",
        "versions": {"vialsight": "0.1.0", "tensorflow": "2.21.0", "python": "3.11.2"},
        "machine": {"cpu": "Xeon E-2278GE", "cores": 8, "memory_gib": 64},
        "config": {"model": {"preset": "drae-64"}, "seed": 7, "regions": ["flag", "bottom"]},
    }


def _pictures(evidence, random):
    """One picture of every wrong inspection, of its worst patch, and eight samples."""
    (evidence.folder / PICTURES_FOLDER).mkdir(parents=True, exist_ok=True)
    thresholds = np.array(evidence.thresholds["strip"])
    pictures = []
    for s in range(len(evidence.products)):
        purpose = "sample" if s < 8 else ""
        if evidence.accepted[s] == evidence.defective[s]:
            purpose = "miss" if evidence.defective[s] else "false_reject"
        if not purpose:
            continue
        ratio = evidence.scores[s] / thresholds
        frame, vial, region = np.unravel_index(int(ratio.argmax()), ratio.shape)
        truth = int(evidence.truth[s, frame, vial, region])
        picture = Picture(
            file=f"{purpose}_{s:04d}.webp",
            purpose=purpose,
            product=evidence.products[s],
            run=int(evidence.runs[s]),
            frame=int(frame) + 1,
            vial=int(vial) + 1,
            region=evidence.regions[region],
            score=float(evidence.scores[s, frame, vial, region]),
            threshold=float(thresholds[region]),
            defective=None if truth == UNKNOWN else truth == DEFECTIVE,
        )
        _draw(evidence.folder / PICTURES_FOLDER / picture.file, picture, random)
        pictures.append(picture)
    return tuple(pictures)


def _draw(path, picture, random):
    y, x = np.mgrid[:PANEL, :PANEL] / PANEL
    clean = 0.35 + 0.4 * np.exp(-(((x - 0.5) / 0.2) ** 2)) + 0.05 * np.sin(12 * y)
    centre = random.uniform(0.25, 0.75, 2)
    mask = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.01
    seen = np.clip(clean + random.normal(0, 0.03, clean.shape) - 0.3 * mask, 0, 1)
    panels = [seen, clean, np.clip(4 * np.abs(seen - clean), 0, 1)]
    if picture.defective:
        panels.append(mask.astype(float))
    image = Image.fromarray((255 * np.hstack(panels)).astype(np.uint8))
    image.save(path, format="WEBP", quality=80)
