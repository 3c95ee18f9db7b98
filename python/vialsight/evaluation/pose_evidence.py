"""Where the products of an evaluation lay: `poses.csv` of the evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Pose
from vialsight.data import Strip
from vialsight.data.records import path_text
from vialsight.errors import DataError
from vialsight.files.tables import read_table

POSES_NAME: Final = "poses.csv"
COLUMNS: Final = ("image", "product", "run", "frame", "dx", "dy", "turn", "residual", "found")
# There only where the data come with the truth, as a simulator's do.
TRUE_COLUMNS: Final = ("true_dx", "true_dy", "true_turn")
_TRUTH_COLUMNS: Final = ("image", "dx", "dy", "turn")
_FOUND: Final = {"yes": True, "no": False}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Poses:
    """Poses of the F frames of each of S inspections.

    images (S,F): as the data name them; pose float64 (S,F,3): dx and dy in pixels, turn in radians,
    of a frame not found where the search ended; residual float64 and found bool (S,F); truth
    float64 (S,F,3), NaN where it is not known, or None where nothing is.
    """

    images: tuple[tuple[str, ...], ...]
    pose: Floats
    residual: Floats
    found: npt.NDArray[np.bool_]
    truth: Floats | None = None


def poses_seen(strips: Sequence[Strip], seen: Floats, folder: Path) -> Poses:
    """Return the poses (S,F,5) of dx, dy, turn, residual and found of strips of a dataset's folder.

    The truth is taken from the folder's own poses.csv, where a simulator wrote one.
    """
    images = tuple(tuple(path_text(folder, r.image) for r in strip.records) for strip in strips)
    known = read_true_poses(folder / POSES_NAME)
    unknown = (np.nan, np.nan, np.nan)
    return Poses(
        images=images,
        pose=seen[..., :3],
        residual=seen[..., 3],
        found=seen[..., 4] != 0.0,
        truth=np.array([[known.get(i, unknown) for i in row] for row in images]) if known else None,
    )


def read_true_poses(path: Path) -> dict[str, Pose]:
    """Read the poses that a simulator wrote, by image; empty where the file is not one of those.

    Raises DataError for a row without three finite numbers.
    """
    if not path.is_file():
        return {}
    header, rows = read_table(path, hint="a simulator writes it")
    if header != _TRUTH_COLUMNS:
        return {}
    return {cells[0]: _true_pose(path, line, cells[1:]) for line, cells in rows}


def pose_rows(
    poses: Poses, products: Sequence[str], runs: Iterable[int]
) -> Iterable[Sequence[Any]]:
    """Yield the rows of `poses.csv`, header first; pixels to 1e-6, turns and residuals to 1e-9."""
    yield COLUMNS if poses.truth is None else (*COLUMNS, *TRUE_COLUMNS)
    for number, (product, run) in enumerate(zip(products, runs, strict=True)):
        for frame, image in enumerate(poses.images[number]):
            found = "yes" if poses.found[number, frame] else "no"
            residual = f"{poses.residual[number, frame]:.9f}"
            truth = [] if poses.truth is None else _true_cells(poses.truth[number, frame])
            lying = _cells(poses.pose[number, frame])
            yield (image, product, run, frame + 1, *lying, residual, found, *truth)


def poses_of_rows(
    rows: Sequence[Mapping[str, str]], strips: Sequence[tuple[str, str]], frames: int
) -> Poses:
    """Restore what `pose_rows` gave, of strips by product and run, as text.

    Raises ValueError or KeyError unless the rows are those of the strips, in their order.
    """
    expected = [(*strip, str(frame + 1)) for strip in strips for frame in range(frames)]
    if expected != [(row["product"], row["run"], row["frame"]) for row in rows]:
        raise ValueError(f"{POSES_NAME} does not hold the frames of the strips in their order")
    shape = (len(strips), frames)
    images = [row["image"] for row in rows]
    found = np.array([_FOUND[row["found"]] for row in rows]).reshape(shape)
    pose = _columns(rows, ("dx", "dy", "turn")).reshape(*shape, 3)
    residual = _columns(rows, ("residual",)).reshape(shape)
    if not np.isfinite(pose[found]).all() or not np.isfinite(residual[found]).all():
        raise ValueError(f"{POSES_NAME} has frames that were found, but not where")
    return Poses(
        images=tuple(tuple(images[i : i + frames]) for i in range(0, len(images), frames)),
        pose=pose,
        residual=residual,
        found=found,
        truth=_columns(rows, TRUE_COLUMNS).reshape(*shape, 3) if "true_dx" in rows[0] else None,
    )


def _columns(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> Floats:
    return np.array([[row[name] or "nan" for name in names] for row in rows], np.float64)


def _cells(pose: Floats) -> tuple[str, ...]:
    return f"{pose[0]:.6f}", f"{pose[1]:.6f}", f"{pose[2]:.9f}"


def _true_cells(pose: Floats) -> tuple[str, ...]:
    return _cells(pose) if np.isfinite(pose).all() else ("", "", "")


def _true_pose(path: Path, line: int, cells: Sequence[str]) -> Pose:
    try:
        dx, dy, turn = map(float, cells)
    except ValueError:
        dx = dy = turn = np.nan
    if not np.isfinite([dx, dy, turn]).all():
        raise DataError(
            f"{path}: line {line}: expected dx, dy and turn as finite numbers, got "
            f"{','.join(cells)!r}; correct it, or remove the file: only the report's check reads it"
        )
    return dx, dy, turn
