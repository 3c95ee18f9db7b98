"""`poses.csv` of simulated sets: one row per image, and where the strip is really seen."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from simulation_support import small_kit, tree, write_quietly

from vialsight import extract_patches
from vialsight.data import read_dataset
from vialsight.simulation.optics import Camera, seen_pose
from vialsight.simulation.plan import plan_set
from vialsight.simulation.poses import write_poses
from vialsight.simulation.product import FRAME_HEIGHT, FRAME_WIDTH, bfs_layout
from vialsight.simulation.rendering import frame_poses, render_run
from vialsight.simulation.traits import run_traits

Float = npt.NDArray[np.float64]


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_one_row_per_image(kit_folder: Path) -> None:
    header, *rows = _rows(kit_folder / "poses.csv")
    assert header == ["image", "dx", "dy", "turn"]
    images = [r.image.relative_to(kit_folder).as_posix() for r in read_dataset(kit_folder).records]
    assert [row[0] for row in rows] == images


def test_rows_are_the_poses_of_their_frames(kit_folder: Path) -> None:
    _, *rows = _rows(kit_folder / "poses.csv")
    found = np.array([row[1:] for row in rows], np.float64)
    expected = np.concatenate([frame_poses(s, 1)[[0, 7, 15]] for s in small_kit().strips])
    assert np.all(np.abs(found - expected) <= [5.1e-7, 5.1e-7, 5.1e-10])


def test_rank_images_have_the_mean_of_their_run(tmp_path: Path) -> None:
    plan = plan_set("train", strips=2, runs=2)
    write_poses(tmp_path / "poses.csv", plan)
    _, *rows = _rows(tmp_path / "poses.csv")
    assert len(rows) == plan.images == 2 * 2 * 18
    values = np.array([row[1:] for row in rows], np.float64).reshape(4, 18, 3)
    for rank in (16, 17):
        np.testing.assert_allclose(values[:, rank], values[:, :16].mean(axis=1), rtol=0, atol=1e-6)
    assert [row[0].rpartition("/")[2] for row in rows[16:18]] == ["rank_min.png", "rank_max.png"]


def _with_spots(places: list[tuple[int, int]]) -> npt.NDArray[np.float32]:
    """A map of the strip with a bright spot at each place (x, y)."""
    strip = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.float32)
    for x, y in places:
        strip[y - 2 : y + 3, x - 2 : x + 3] = 1.0
    return strip


def _centre_of(picture: npt.NDArray[np.float32], place: tuple[int, int]) -> tuple[float, float]:
    """Centre of mass of the spot near a place, x and y."""
    reach = 60
    left, top = max(place[0] - reach, 0), max(place[1] - reach, 0)
    part = picture[top : place[1] + reach, left : place[0] + reach].astype(np.float64)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    return left + (x * part).sum() / part.sum(), top + (y * part).sum() / part.sum()


@pytest.mark.parametrize("degrees", [0.0, 0.25, -0.6])
def test_spots_are_seen_where_the_pose_says(degrees: float) -> None:
    turn = float(np.deg2rad(degrees))
    traits = replace(run_traits(small_kit().strips[0], 1), offset=(-8.3, 6.1), rotation_rad=turn)
    shake = (0.4, -0.7)
    places = [(704, 576), (120, 200), (1290, 200), (120, 950), (1290, 950)]
    camera = Camera(traits, np.ones((FRAME_HEIGHT, FRAME_WIDTH), np.float32))
    picture = camera.project(_with_spots(places), shake, outside=0.0)
    dx, dy, seen_turn = seen_pose(traits, shake)
    assert seen_turn == turn
    middle_x, middle_y = (FRAME_WIDTH - 1) / 2, (FRAME_HEIGHT - 1) / 2
    for place in places:
        u, v = place[0] - middle_x, place[1] - middle_y
        expected = (middle_x + u + dx + turn * v, middle_y + v + dy - turn * u)
        squeezed = abs(turn**2 * v)
        np.testing.assert_allclose(_centre_of(picture, place), expected, atol=0.002 + squeezed)


def _shift_between(first: Float, second: Float) -> Float:
    """How far the second patch lies from the first: least squares on its gradient, (x, y)."""
    down, across = np.gradient((first + second) / 2)
    matrix = np.stack([across.ravel(), down.ravel()], axis=1)
    return np.linalg.lstsq(matrix, (first - second).ravel(), rcond=None)[0]


def test_two_runs_of_a_strip_look_alike_where_their_poses_say() -> None:
    """The mould's marks at the outer vials' bottoms, cut at the pose, do not move."""
    strip, layout = small_kit().strips[0], bfs_layout(locate="none")
    runs = max(
        ((a, b) for a in range(1, 5) for b in range(a + 1, 5)),
        key=lambda pair: abs(np.subtract(*(frame_poses(strip, run)[0, 2] for run in pair))),
    )
    frames = [render_run(strip, run, (1,)).frames[0] for run in runs]
    poses = [tuple(frame_poses(strip, run)[0]) for run in runs]
    located = [extract_patches(f, layout, p) for f, p in zip(frames, poses, strict=True)]
    lying = [extract_patches(frame, layout) for frame in frames]
    for vial in (0, 4):
        first, second = (p[vial, 3].astype(np.float64) for p in located)
        assert np.abs(_shift_between(first, second)).max() < 0.1
        first, second = (p[vial, 3].astype(np.float64) for p in lying)
        assert np.abs(_shift_between(first, second)).max() > 0.5


def test_a_complete_folder_of_before_is_read_and_left_alone(
    kit_folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(kit_folder, tmp_path / "kit"))
    (out / "poses.csv").unlink()
    before = tree(out)
    assert len(read_dataset(out).records) == 9
    assert not write_quietly(small_kit(), out)
    assert tree(out) == before


def test_an_interrupted_folder_gets_it(kit_folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(kit_folder, tmp_path / "kit"))
    (out / "dataset.csv").unlink()
    (out / "poses.csv").unlink()
    (out / ".poses.csv.0123456789ab.tmp").write_text("image,d")
    assert write_quietly(small_kit(), out)
    assert tree(out) == tree(kit_folder)
