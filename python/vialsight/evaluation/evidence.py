"""What an evaluation saw, in files: every score, truth, verdict and time of every strip.

All figures of a report are computed from these files and nothing else, so a report can be rebuilt,
and checked by other means, without images or network.
"""

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vialsight.calibration.thresholds import RunRule
from vialsight.data import (
    DEFECTIVE,
    DEFECTS_NAME,
    NOMINAL,
    UNKNOWN,
    KnownDefect,
    read_defects,
    write_defects,
)
from vialsight.data.records import raise_listed
from vialsight.errors import DataError
from vialsight.evaluation.deciding_score import DecidingScore
from vialsight.evaluation.pose_evidence import POSES_NAME, Poses, pose_rows, poses_of_rows
from vialsight.evaluation.published_score import PUBLISHED_NAME
from vialsight.files import atomic
from vialsight.files.npz import npz_arrays, npz_bytes
from vialsight.files.tables import table_text
from vialsight.statistics.manual import ManualResult, read_manual
from vialsight.statistics.pixels import PixelCounts

IDENTITY_NAME: Final = "identity.json"
STRIPS_NAME: Final = "strips.csv"
SCORES_NAME: Final = "scores.csv"
PICTURES_NAME: Final = "pictures.csv"
PIXELS_NAME: Final = "pixels.npz"
MANUAL_NAME: Final = "manual.csv"
PICTURES_FOLDER: Final = "pictures"
EVIDENCE_NAMES: Final = (
    IDENTITY_NAME,
    STRIPS_NAME,
    SCORES_NAME,
    PICTURES_NAME,
    PIXELS_NAME,
    DEFECTS_NAME,
    MANUAL_NAME,
    POSES_NAME,
)
TRUTH_NAMES: Final = {NOMINAL: "nominal", DEFECTIVE: "defective", UNKNOWN: "unknown"}
# What files raise that are complete but hold something else.
_READ_ERRORS: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    OverflowError,
    RecursionError,
    BadZipFile,
    csv.Error,
)
_DEFECTIVE_OF_LABEL: Final = {"nominal": False, "defective": True}
_ACCEPTED_OF_VERDICT: Final = {"accept": True, "reject": False}
STAGES: Final = ("extract_s", "infer_s", "score_s", "total_s", "after_last_frame_s")
# Before the others, where products are located.
LOCATE_STAGE: Final = "locate_s"
NOT_LOCATED: Final = "not_located"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One patch as a picture under `pictures/`: input, reconstruction, heatmap and mask, in a row.

    `purpose` is miss, false_reject or sample; frame and vial count from 1; `defective` is the
    patch's truth, None where it is unknown. The mask panel is there for defective patches only, the
    reconstruction's where the network gives one.
    """

    file: str
    purpose: str
    product: str
    run: int
    frame: int
    vial: int
    region: str
    score: float
    threshold: float
    defective: bool | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """S inspected runs of K physical strips, in order of acquisition.

    scores φ float32 (S,F,V,R), made of component_scores float32 (S,F,V,R,C) as `score` says;
    published float32 (S,F,V,R), the paper's φ where it takes no part in that, None else; truth
    int8 (S,F,V,R) of NOMINAL, DEFECTIVE, UNKNOWN, as the patches were cut; defective and accepted
    (the line's verdict with the strip set) bool (S,); runs int64 (S,); times float64 (S,) seconds
    per stage. `thresholds` has one value per region for each level.
    """

    folder: Path
    identity: dict[str, Any]
    score: DecidingScore
    thresholds: dict[str, tuple[float, ...]]
    rule: RunRule
    regions: tuple[str, ...]
    products: tuple[str, ...]
    runs: npt.NDArray[np.int64]
    defective: npt.NDArray[np.bool_]
    accepted: npt.NDArray[np.bool_]
    reasons: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    component_scores: npt.NDArray[np.float32]
    published: npt.NDArray[np.float32] | None
    truth: npt.NDArray[np.int8]
    times: dict[str, npt.NDArray[np.float64]]
    pixels: PixelCounts | None
    defects: tuple[KnownDefect, ...]
    manual: tuple[ManualResult, ...]
    margin: float | None  # of the Knapp study, stated before it
    pictures: tuple[Picture, ...]
    limitations: tuple[str, ...]  # what the data did not allow, in sentences
    poses: Poses | None = None  # where products are located

    @property
    def not_located(self) -> npt.NDArray[np.bool_]:
        """Which inspections (S,) were rejected because the product was not found.

        Their patches have no truth, and no score where nothing was cut.
        """
        return np.array([reason == NOT_LOCATED for reason in self.reasons], bool)

    @property
    def strip_of(self) -> npt.NDArray[np.int64]:
        """Number of the physical strip of each run, (S,), counted as they first appear."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(name, len(numbers)) for name in self.products])

    @property
    def defective_strips(self) -> npt.NDArray[np.bool_]:
        """Labels of the K physical strips."""
        strip = self.strip_of
        labels = np.zeros(int(strip.max()) + 1, bool)
        labels[strip] = self.defective
        return labels


def write_evidence(evidence: Evidence, folder: Path) -> None:
    """Write all files of the evidence into an existing folder, `identity.json` with their hashes.

    Pictures are copied from the evidence's own folder, unless it is this one.
    """
    atomic.write_text(folder / STRIPS_NAME, table_text(_strip_rows(evidence)))
    atomic.write_text(folder / SCORES_NAME, table_text(_score_rows(evidence)))
    pictures = [["" if v is None else v for v in vars(p).values()] for p in evidence.pictures]
    header = [field.name for field in fields(Picture)]
    atomic.write_text(folder / PICTURES_NAME, table_text([header, *pictures]))
    if evidence.pixels is not None:
        atomic.write_bytes(folder / PIXELS_NAME, npz_bytes(evidence.pixels.arrays()))
    if evidence.defects:
        write_defects(folder / DEFECTS_NAME, evidence.defects)
    if evidence.poses is not None:
        lying = pose_rows(evidence.poses, evidence.products, evidence.runs.tolist())
        atomic.write_text(folder / POSES_NAME, table_text(lying))
    if evidence.manual:
        rows = [[m.product, m.inspections, m.rejects] for m in evidence.manual]
        header = ["product", "inspections", "rejects"]
        atomic.write_text(folder / MANUAL_NAME, table_text([header, *rows]))
    _copy_pictures(evidence, folder)
    # Last, since it vouches for the others.
    atomic.write_json(folder / IDENTITY_NAME, _description(evidence, folder))


def copy_evidence(evidence: Evidence, folder: Path) -> None:
    """Copy the files of written evidence into another existing folder, byte for byte."""
    for name in EVIDENCE_NAMES:
        if (evidence.folder / name).exists():
            shutil.copyfile(evidence.folder / name, folder / name)
    _copy_pictures(evidence, folder)


def _copy_pictures(evidence: Evidence, folder: Path) -> None:
    """Copy the evidence's pictures into `folder`, unless they are there already."""
    source, target = evidence.folder / PICTURES_FOLDER, folder / PICTURES_FOLDER
    target.mkdir(exist_ok=True)
    if source.resolve() != target.resolve():
        for picture in evidence.pictures:
            shutil.copyfile(source / picture.file, target / picture.file)


def read_evidence(folder: Path) -> Evidence:
    """Read what `write_evidence` wrote; raises DataError when it is incomplete or altered."""
    try:
        description = json.loads((folder / IDENTITY_NAME).read_text("utf-8"))
        _check_files(folder, description["files"])
        strips, scores = _rows(folder / STRIPS_NAME), _rows(folder / SCORES_NAME)
        return _evidence(folder, description, strips, scores)
    except _READ_ERRORS as error:
        raise DataError(
            f"{folder}: expected the report folder that `vialsight evaluate` wrote, cannot read "
            f"it ({type(error).__name__}: {error})"
        ) from error


def _description(evidence: Evidence, folder: Path) -> dict[str, Any]:
    """Return the contents of `identity.json`."""
    names = [name for name in EVIDENCE_NAMES[1:] if (folder / name).exists()]
    names += [f"{PICTURES_FOLDER}/{picture.file}" for picture in evidence.pictures]
    return {
        "identity": evidence.identity,
        "score": evidence.score.to_json(),
        "thresholds": evidence.thresholds,
        "rule": asdict(evidence.rule),
        "regions": evidence.regions,
        "shape": evidence.scores.shape[1:],
        "margin": evidence.margin,
        "limitations": evidence.limitations,
        "files": {name: atomic.file_sha256(folder / name) for name in names},
    }


def _check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Raise DataError listing the files that are not as they were when `identity.json` was made."""
    problems = []
    for name, digest in expected.items():
        if not (folder / name).is_file():
            problems.append(f"{name}: missing")
        elif atomic.file_sha256(folder / name) != digest:
            problems.append(f"{name}: altered")
    added = [name for name in EVIDENCE_NAMES[1:] if name not in expected]
    problems += [f"{name}: added" for name in added if (folder / name).exists()]
    raise_listed(
        f"{folder}: not as `vialsight evaluate` wrote it; take the original files, or evaluate "
        "again",
        problems,
    )


def _evidence(
    folder: Path,
    description: dict[str, Any],
    strips: Sequence[Mapping[str, str]],
    scores: Sequence[Mapping[str, str]],
) -> Evidence:
    shape = (len(strips), *description["shape"])
    score = DecidingScore.from_json(description["score"])
    may_miss = np.repeat([row["reason"] == NOT_LOCATED for row in strips], np.prod(shape[1:]))
    values = _finite_column(scores, "score", may_miss).reshape(shape)
    columns = [_finite_column(scores, name, may_miss) for name in _component_columns(score)]
    components = np.stack(columns, -1).reshape(*shape, -1) if columns else values[..., np.newaxis]
    published = _finite_column(scores, PUBLISHED_NAME, may_miss) if _published(scores) else None
    score.comparable(components[:1])  # raises where the normalisation is not that of these arrays
    numbers = {name: number for number, name in TRUTH_NAMES.items()}
    truth = np.array([numbers[row["truth"]] for row in scores], np.int8).reshape(shape)
    _check_order(strips, scores, description)
    return Evidence(
        folder=folder,
        identity=description["identity"],
        score=score,
        thresholds={level: tuple(t) for level, t in description["thresholds"].items()},
        rule=RunRule(**description["rule"]),
        regions=tuple(description["regions"]),
        products=tuple(row["product"] for row in strips),
        runs=np.array([row["run"] for row in strips], np.int64),
        defective=np.array([_DEFECTIVE_OF_LABEL[row["label"]] for row in strips]),
        accepted=np.array([_ACCEPTED_OF_VERDICT[row["verdict"]] for row in strips]),
        reasons=tuple(row["reason"] for row in strips),
        scores=values,
        component_scores=components,
        published=None if published is None else published.reshape(shape),
        truth=truth,
        times={
            stage: np.array([row[stage] for row in strips], np.float64)
            for stage in (LOCATE_STAGE, *STAGES)
            if stage != LOCATE_STAGE or stage in strips[0]
        },
        pixels=_pixels(folder / PIXELS_NAME),
        defects=read_defects(folder / DEFECTS_NAME) if (folder / DEFECTS_NAME).exists() else (),
        manual=read_manual(folder / MANUAL_NAME) if (folder / MANUAL_NAME).exists() else (),
        margin=description["margin"],
        pictures=tuple(_picture(row) for row in _rows(folder / PICTURES_NAME)),
        limitations=tuple(description["limitations"]),
        poses=_poses(folder / POSES_NAME, strips, shape[1]),
    )


def _component_columns(score: DecidingScore) -> tuple[str, ...]:
    """Return the columns that hold components; none where there is one, which is the score."""
    return tuple(f"score.{name}" for name in score.names) if len(score.names) > 1 else ()


def _published(scores: Sequence[Mapping[str, str]]) -> bool:
    """Return whether the paper's φ stands beside the score."""
    return bool(scores) and PUBLISHED_NAME in scores[0]


def _finite_column(
    rows: Sequence[Mapping[str, str]], name: str, may_miss: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    values = np.array([row[name] or "nan" for row in rows], np.float32)
    if not (np.isfinite(values) | may_miss).all():
        raise ValueError(f"{SCORES_NAME} holds values of {name!r} that are not finite")
    return values


def _check_order(
    strips: Sequence[Mapping[str, str]],
    scores: Sequence[Mapping[str, str]],
    description: dict[str, Any],
) -> None:
    """Raise ValueError unless the rows of scores are those of the strips, in the same order."""
    regions = description["regions"]
    places = [
        (str(frame + 1), str(vial + 1), regions[region])
        for frame, vial, region in np.ndindex(*description["shape"])
    ]
    expected = [(row["product"], row["run"], *place) for row in strips for place in places]
    columns = ("product", "run", "frame", "vial", "region")
    if expected != [tuple(row[name] for name in columns) for row in scores]:
        raise ValueError(f"{SCORES_NAME} does not hold the strips of {STRIPS_NAME} in their order")


def _strip_rows(evidence: Evidence) -> Iterable[Sequence[Any]]:
    yield ("product", "run", "label", "verdict", "reason", *evidence.times)
    for number, product in enumerate(evidence.products):
        yield (
            product,
            int(evidence.runs[number]),
            "defective" if evidence.defective[number] else "nominal",
            "accept" if evidence.accepted[number] else "reject",
            evidence.reasons[number],
            *(repr(float(evidence.times[stage][number])) for stage in evidence.times),
        )


def _score_rows(evidence: Evidence) -> Iterable[Sequence[Any]]:
    columns = _component_columns(evidence.score)
    beside = () if evidence.published is None else (PUBLISHED_NAME,)
    yield ("product", "run", "frame", "vial", "region", "truth", "score", *columns, *beside)
    places = list(np.ndindex(evidence.scores.shape[1:]))
    for number, product in enumerate(evidence.products):
        run = int(evidence.runs[number])
        scores, truth = evidence.scores[number], evidence.truth[number]
        components = evidence.component_scores[number]
        published = None if evidence.published is None else evidence.published[number]
        for place in places:
            frame, vial, region = place
            name = TRUTH_NAMES[int(truth[place])]
            numbers = [scores[place], *components[place][: len(columns)]]
            numbers += [] if published is None else [published[place]]
            # Nine digits give the same float32 back; what was not scored is an empty cell.
            texts = (f"{number:.9g}" if np.isfinite(number) else "" for number in numbers)
            yield (product, run, frame + 1, vial + 1, evidence.regions[region], name, *texts)


def _picture(row: Mapping[str, str]) -> Picture:
    return Picture(
        file=row["file"],
        purpose=row["purpose"],
        product=row["product"],
        run=int(row["run"]),
        frame=int(row["frame"]),
        vial=int(row["vial"]),
        region=row["region"],
        score=float(row["score"]),
        threshold=float(row["threshold"]),
        defective={"True": True, "False": False, "": None}[row["defective"]],
    )


def _pixels(path: Path) -> PixelCounts | None:
    if not path.exists():
        return None
    return PixelCounts.from_arrays(npz_arrays(path.read_bytes()))


def _poses(path: Path, strips: Sequence[Mapping[str, str]], frames: int) -> Poses | None:
    if not path.exists():
        return None
    return poses_of_rows(_rows(path), [(row["product"], row["run"]) for row in strips], frames)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))
