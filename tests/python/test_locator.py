"""The locator as data: identity, folder, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from locator_images import HEIGHT, WIDTH, drawn

from vialsight import _core
from vialsight._core import Layout
from vialsight.errors import DataError
from vialsight.locator import ProductLocator, read_locator, write_locator

POSES = np.array([(0.0, 0.0, 0.0), (3.0, -2.0, 0.01)])


def made(**changes) -> ProductLocator:
    frames = np.stack([_core.reduced_frame(drawn(p, noise=n), 2) for n, p in enumerate(POSES)])
    fields = {
        "model": "rigid",
        "frame_width": WIDTH,
        "frame_height": HEIGHT,
        "bit_depth": 8,
        "scale": 2,
        "template": frames[0],
        "weights": np.ones_like(frames[0]),
        "reach_px": 8.0,
        "reach_turn": 0.02,
        "residual_limit": 0.1,
        "apart_px": 1.5,
        "apart_turn": 0.001,
        "golden_frames": frames,
    }
    fields |= changes
    if "golden_poses" not in fields:
        names = ("template", "weights", "scale", "reach_px", "reach_turn", "residual_limit")
        core = _core.Locator(**{name: fields[name] for name in names}, kind="rigid")
        found = [core.locate_reduced(frame) for frame in frames]
        fields["golden_poses"] = np.float32([(f.dx, f.dy, f.turn) for f in found])
    return ProductLocator(**fields)


@pytest.fixture(scope="module")
def locator() -> ProductLocator:
    return made()


@pytest.fixture
def folder(tmp_path, locator):
    write_locator(tmp_path / "locator", locator)
    return tmp_path / "locator"


def layout(**changes) -> Layout:
    fields = {"name": "blobs", "frame_width": WIDTH, "frame_height": HEIGHT, "regions": ["all"]}
    fields |= {"boxes": [[(0, 0, WIDTH, HEIGHT)]], "patch_size": 64, "locate": "rigid"}
    return Layout(**(fields | changes))


def test_a_drawn_product_is_found_where_it_was_drawn(locator):
    assert np.abs(locator.golden_poses - POSES)[:, :2].max() < 0.05
    assert np.abs(locator.golden_poses - POSES)[:, 2].max() < 1e-3


def test_a_folder_gives_the_locator_back(folder, locator):
    again = read_locator(folder)
    assert again.sha256 == locator.sha256
    assert again.to_manifest() == locator.to_manifest()
    assert {name: array.tolist() for name, array in again.arrays().items()} == {
        name: array.tolist() for name, array in locator.arrays().items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"reach_px": 9.0},
        {"reach_turn": 0.021},
        {"residual_limit": 0.2},
        {"apart_px": 2.0},
        {"apart_turn": 0.002},
        {"weights": np.full((HEIGHT // 2, WIDTH // 2), 2.0, np.float32)},
    ],
)
def test_every_field_is_part_of_the_identity(locator, changes):
    assert dataclasses.replace(locator, **changes).sha256 != locator.sha256


def test_golden_frames_are_part_of_the_identity(locator):
    swapped = {"golden_frames": locator.golden_frames[::-1].copy()}
    swapped["golden_poses"] = locator.golden_poses[::-1].copy()
    assert dataclasses.replace(locator, **swapped).sha256 != locator.sha256


def test_an_existing_folder_is_refused(folder, locator):
    with pytest.raises(DataError, match="exists"):
        write_locator(folder, locator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reach_px": float("nan")}, "reach_px"),
        ({"reach_turn": 1.0}, "reach_turn"),
        ({"residual_limit": 0.0}, "residual_limit"),
        ({"apart_px": -1.0}, "apart_px"),
        ({"apart_turn": -1.0}, "apart_turn"),
        ({"scale": 0}, "scale"),
        ({"scale": 3}, "template"),
        ({"model": "none"}, "kind|none"),
        ({"frame_width": WIDTH + 2}, "template"),
        ({"weights": np.zeros((HEIGHT // 2, WIDTH // 2), np.float32)}, "weights"),
        ({"weights": np.ones((HEIGHT // 2, WIDTH // 2), np.float64)}, "weights"),
        ({"weights": np.ones((2, 2), np.float32)}, "weights"),
        ({"template": np.full((HEIGHT // 2, WIDTH // 2), np.nan, np.float32)}, "template"),
        ({"golden_frames": np.ones((1, 2, 2), np.float32)}, "golden_frames"),
        ({"golden_poses": np.zeros((1, 3), np.float32)}, "golden frames"),
        ({"golden_poses": np.full((2, 3), 0.1, np.float32)}, "golden frame 0"),
    ],
)
def test_what_is_no_locator_is_refused(locator, changes, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(locator, **changes)


def test_a_layout_that_it_was_fitted_for_is_taken(locator):
    locator.require_fits(layout())


@pytest.mark.parametrize(
    "changes", [{"locate": "translation"}, {"locate": "none"}, {"bit_depth": 10}]
)
def test_another_layout_is_refused(locator, changes):
    with pytest.raises(DataError, match="does not fit the layout"):
        locator.require_fits(layout(**changes))


@pytest.mark.parametrize(
    "name",
    ["locator.json", "template.npy", "weights.npy", "golden_frames.npy", "golden_poses.npy"],
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}: no such file"):
        read_locator(folder)


@pytest.mark.parametrize("name", ["locator.json", "template.npy"])
def test_a_cut_file_is_named(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=f"{name}: not a readable"):
        read_locator(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"scale": "2"},
        {"model": "none"},
        {"format_version": 2},
        {"reach_px": None},
        {"apart_px": True},
    ],
)
def test_a_field_outside_the_schema_is_named(folder, changes):
    path = folder / "locator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match=next(iter(changes))):
        read_locator(folder)
