"""Pictures of whole frames: heat and boxes at the place where the product was seen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

import vialsight
from conftest import make_tiny_layout
from vialsight.data import Dataset
from vialsight.line.inspection import (
    Product,
    RejectedPatch,
    inspect_product,
    products_of_dataset,
    rejected_patches,
)
from vialsight.line.overview import heat_in_frame, overview, write_overviews

POSE = (4.25, -2.5, 0.03)
RED = [255, 26, 0]


def rejected(heatmap: np.ndarray, vial: int = 0, region: int = 0) -> RejectedPatch:
    return RejectedPatch(
        frame=0,
        vial=vial,
        region=region,
        score=0.5,
        threshold=0.25,
        image=heatmap,
        reconstruction=None,
        heatmap=heatmap.astype(np.float32),
    )


def smooth(size: int) -> np.ndarray:
    rows, columns = (np.indices((size, size)) + 0.5) / size
    return (0.5 + 0.5 * np.sin(9 * rows) * np.cos(7 * columns)).astype(np.float32)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("place", [(0, 0), (1, 1)])
def test_heat_lies_where_the_patch_was_cut(size: int, place: tuple[int, int]) -> None:
    """Against the map read at where each pixel of the frame lies on the product (SPEC §1)."""
    layout, heatmap = make_tiny_layout(patch_size=size), smooth(size)
    left, top, width, height = layout.box(*place)
    rows, columns = np.indices((80, 96)) + 0.5
    dx, dy, turn = POSE
    x, y = columns - 48 - dx, rows - 40 - dy
    u, v = (x - turn * y) / (1 + turn**2) + 48, (y + turn * x) / (1 + turn**2) + 40
    across, down = (u - left) / width * size - 0.5, (v - top) / height * size - 0.5
    expected = map_coordinates(heatmap, [down, across], order=1, mode="nearest")
    found = heat_in_frame(layout, [rejected(heatmap, *place)], pose=POSE)
    well_inside = (np.minimum(across, down) > 1) & (np.maximum(across, down) < size - 2)
    outside = (np.minimum(across, down) < -2) | (np.maximum(across, down) > size + 1)
    np.testing.assert_allclose(found[well_inside], expected[well_inside], atol=0.01)
    assert (found[outside] == 0).all()


def test_heat_of_overlapping_boxes_is_the_hotter() -> None:
    boxes = [[(4, 4, 32, 32), (20, 4, 32, 32)]]
    layout = make_tiny_layout(boxes=boxes)
    cold, hot = np.full((32, 32), 0.25), np.full((32, 32), 0.75)
    for pair in ((cold, hot), (hot, cold)):
        patches = [rejected(heat, 0, region) for region, heat in enumerate(pair)]
        assert heat_in_frame(layout, patches, pose=(0.0, 0.0, 0.0))[20, 28] == 0.75


def test_heat_beyond_the_frame_is_left_out() -> None:
    layout = make_tiny_layout()
    patch = rejected(np.ones((32, 32)), 1, 0)
    found = heat_in_frame(layout, [patch], pose=(30.0, 30.0, 0.0))
    assert found[60, 90] == 1.0
    assert found.shape == (80, 96)


def test_overview_is_the_frame_where_nothing_is_drawn() -> None:
    frame = np.full((80, 96), 128, np.uint8)
    picture = overview(frame, make_tiny_layout(), [rejected(np.zeros((32, 32)))], pose=POSE)
    assert picture.shape == (80, 96, 3)
    assert picture.dtype == np.uint8
    corners = np.array(vialsight.box_corners(make_tiny_layout(), 0, 0, POSE))
    assert picture[tuple(corners[2].astype(int)[::-1])].tolist() != [128] * 3
    assert (picture[-3:, :2] == 128).all()


def test_overview_shows_heat_in_red() -> None:
    frame = np.full((80, 96), 4000, np.uint16)
    heat = np.zeros((32, 32))
    heat[20:28, 16:24] = 1.0
    layout = make_tiny_layout(bit_depth=12)
    picture = overview(frame, layout, [rejected(heat, 0, 1)], pose=(0.0, 0.0, 0.0))
    assert picture[44 + 24, 4 + 20].tolist() == RED


def test_frame_in_which_nothing_was_found_has_no_boxes_but_words() -> None:
    frame = np.full((80, 96), 128, np.uint8)
    picture = overview(frame, make_tiny_layout(), [], pose=None, words="not located")
    assert (picture[40:] == 128).all()
    assert (picture[:40] != 128).any()


@pytest.mark.tensorflow
class TestWriting:
    def test_one_picture_per_rejected_frame(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        inspector = vialsight.Inspector(vialsight.Bundle.load(tiny_calibrated_bundle))
        for product in products_of_dataset(tiny_dataset.select(split="test")):
            inspected = inspect_product(inspector, product)
            frames = sorted({patch.frame for patch in rejected_patches(inspector, inspected)})
            paths = write_overviews(inspector, inspected, tmp_path, number=7)
            stem = f"0007-{product.name}-run1"
            assert [path.name for path in paths] == [f"{stem}-frame{f + 1}.png" for f in frames]
            for path in paths:
                with Image.open(path) as picture:
                    assert picture.size == (96, 80)

    def test_images_that_cannot_be_used_have_none(
        self, tiny_calibrated_bundle: Path, tmp_path: Path
    ) -> None:
        inspector = vialsight.Inspector(vialsight.Bundle.load(tiny_calibrated_bundle))
        missing = Product(name="p", images=(tmp_path / "a.png",) * 3)
        inspected = inspect_product(inspector, missing)
        assert write_overviews(inspector, inspected, tmp_path, number=1) == []
