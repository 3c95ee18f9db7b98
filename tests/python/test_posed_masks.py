"""Masks at a pose, against poses solved for each pixel on its own."""

import dataclasses
import json

import numpy as np
import pytest

import vialsight
from conftest import make_tiny_layout
from vialsight.data import DEFECTIVE, NOMINAL, Dataset, Record, patch_truth, strip_truth
from vialsight.data.posed_masks import AT_REST, is_hit, mask_in_patch, shares_of_box
from vialsight.errors import DataError

POSE = (4.25, -2.5, 0.03)
PLACES = [(vial, region) for vial in range(2) for region in range(2)]


@pytest.fixture(scope="module")
def layout() -> vialsight.Layout:
    return make_tiny_layout()


def product_of(x: float, y: float, pose: tuple[float, float, float]) -> tuple[float, float]:
    """Where a point of the frame lies on the product at rest: SPEC §1 "Pose", solved for (u, v)."""
    dx, dy, turn = pose
    u, v = np.linalg.solve([[1.0, turn], [-turn, 1.0]], [x - 48 - dx, y - 40 - dy])
    return u + 48, v + 40


def one_pixel(x: int, y: int) -> np.ndarray:
    mask = np.zeros((80, 96), bool)
    mask[y, x] = True
    return mask


@pytest.mark.parametrize(("vial", "region"), PLACES)
def test_every_pixel_is_in_the_box_that_it_is_seen_in(layout, vial: int, region: int) -> None:
    left, top, width, height = layout.box(vial, region)
    for y, x in np.ndindex(80, 96):
        u, v = product_of(x + 0.5, y + 0.5, POSE)
        inside = left <= u < left + width and top <= v < top + height
        assert is_hit(one_pixel(x, y), layout, vial, region, pose=POSE) == inside, (x, y)


@pytest.mark.parametrize(("vial", "region"), PLACES)
def test_at_rest_a_box_is_its_pixels(layout, vial: int, region: int) -> None:
    left, top, width, height = layout.box(vial, region)
    for y, x in np.ndindex(80, 96):
        inside = left <= x < left + width and top <= y < top + height
        assert is_hit(one_pixel(x, y), layout, vial, region, pose=AT_REST) == inside


def test_shares_count_from_the_corner_seen_top_left(layout) -> None:
    corners = np.array(vialsight.box_corners(layout, 1, 0, POSE))
    expected = [[0, 0], [1, 0], [1, 1], [0, 1]]
    np.testing.assert_allclose(
        shares_of_box(corners, layout, 1, 0, pose=POSE), expected, atol=1e-12
    )


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(("vial", "region"), PLACES)
def test_cells_are_those_in_which_the_defect_is_seen(size: int, vial: int, region: int) -> None:
    """Of a disc: cells it covers are defective, cells it does not touch are not."""
    layout = make_tiny_layout(patch_size=size)
    left, top, width, height = layout.box(vial, region)
    centre = np.array([left + 0.4 * width, top + 0.6 * height])
    seen = np.zeros((80, 96), bool)
    for y, x in np.ndindex(80, 96):
        seen[y, x] = np.hypot(*(product_of(x + 0.5, y + 0.5, POSE) - centre)) <= 8.0
    patch = mask_in_patch(seen, layout, vial, region, pose=POSE)
    assert patch.shape == (size, size)
    rows, columns = np.indices((size, size)) + 0.5
    middles = np.stack([left + columns / size * width, top + rows / size * height], axis=-1)
    distance = np.linalg.norm(middles - centre, axis=-1)
    reach = 0.75 + 0.5 * np.hypot(width / size, height / size)
    assert patch[distance <= 8.0 - reach].all()
    assert not patch[distance > 8.0 + reach].any()


def test_patch_beyond_the_frame_has_no_defect_there(layout) -> None:
    everywhere = np.ones((80, 96), bool)
    patch = mask_in_patch(everywhere, layout, 0, 0, pose=(-12.0, 0.0, 0.0))
    assert not patch[:, :8].any()
    assert patch[:, 10:].all()


def defective_record(dataset: Dataset) -> Record:
    return dataset.select(split="test", label="defective").records[0]


def test_truth_follows_the_pose(tiny_dataset: Dataset) -> None:
    # The defect lies in columns 10 to 25 and rows 50 to 65, in the bottom box of the first vial.
    record, layout = defective_record(tiny_dataset), tiny_dataset.layout
    assert patch_truth(record, layout, AT_REST).tolist() == patch_truth(record, layout).tolist()
    assert patch_truth(record, layout, (0.0, 12.0, 0.0)).tolist() == [
        [DEFECTIVE, DEFECTIVE],
        [NOMINAL, NOMINAL],
    ]
    assert (patch_truth(record, layout, (30.0, 0.0, 0.0)) == NOMINAL).all()


def test_truth_of_a_strip_takes_a_pose_for_each_frame(tiny_dataset: Dataset) -> None:
    strip = tiny_dataset.select(split="test", label="defective").strips()[0]
    poses = [AT_REST, (30.0, 0.0, 0.0), (0.0, 12.0, 0.0)]
    expected = [
        patch_truth(record, tiny_dataset.layout, pose)
        for record, pose in zip(strip.records, poses, strict=True)
    ]
    assert strip_truth(strip, tiny_dataset.layout, poses).tolist() == np.stack(expected).tolist()


def test_layouts_may_differ_in_how_products_are_located(tiny_dataset: Dataset) -> None:
    located = make_tiny_layout(locate="rigid")
    tiny_dataset.require_layout(located)
    dataclasses.replace(tiny_dataset, layout=located).require_layout(make_tiny_layout())


def test_layouts_may_differ_in_nothing_else(tiny_dataset: Dataset) -> None:
    fields = json.loads(make_tiny_layout(locate="rigid").to_json())
    other = vialsight.Layout.from_json(json.dumps(fields | {"frames": 2}))
    with pytest.raises(DataError, match="expected the bundle's layout"):
        tiny_dataset.require_layout(other)
