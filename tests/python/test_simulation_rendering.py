"""Rendered runs: the same bytes always, and masks that lie where the defect is."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from vialsight import _core
from vialsight.errors import DataError
from vialsight.simulation.plan import ALL_FRAMES, DEFECT_KINDS, INSPECTED_FRAMES, Defect, plan_set
from vialsight.simulation.product import FRAME_HEIGHT, FRAME_WIDTH, bfs_layout
from vialsight.simulation.rendering import rank_images, render_run

STRIPS = plan_set("train", strips=4, seed=3).strips


# With a bubble in the neck that a neck may be deformed over.
HEALTHY = replace(STRIPS[1], neck_bubbles=(3,))


def with_defect(kind: str, severity: float):
    """The healthy strip with one defect."""
    return replace(HEALTHY, defects=(Defect(kind=kind, severity=severity, vial=3),))


@pytest.fixture(scope="module")
def whole_run():
    return render_run(STRIPS[0], 2, ALL_FRAMES).frames


def test_frames_are_8_bit_pictures_of_the_layouts_size(whole_run):
    assert whole_run.shape == (16, FRAME_HEIGHT, FRAME_WIDTH)
    assert whole_run.dtype == np.uint8
    assert render_run(STRIPS[0], 2, [4]).masks is None


def test_boxes_of_the_frame_are_the_patches(whole_run):
    layout = bfs_layout(locate="none")
    patches = _core.extract_patches(whole_run[0], layout)
    x, y, width, height = layout.box(3, 2)
    np.testing.assert_array_equal(
        patches[3, 2], (whole_run[0, y : y + height, x : x + width] / np.float32(255))
    )


def test_a_frame_does_not_depend_on_what_was_rendered_before(whole_run):
    render_run(STRIPS[2], 1, [1])
    render_run(STRIPS[3], 1, [1])
    again = render_run(STRIPS[0], 2, INSPECTED_FRAMES).frames
    np.testing.assert_array_equal(again, whole_run[[number - 1 for number in INSPECTED_FRAMES]])


def test_frames_runs_and_strips_differ(whole_run):
    others = [
        whole_run[8],
        render_run(STRIPS[0], 1, [8]).frames[0],
        render_run(STRIPS[2], 2, [8]).frames[0],
    ]
    for other in others:
        assert (np.abs(whole_run[7].astype(int) - other) > 8).mean() > 0.002


def test_rank_images_are_the_extremes(whole_run):
    low, high = rank_images(whole_run)
    ordered = np.sort(whole_run, axis=0)
    np.testing.assert_array_equal(low, ordered[0])
    np.testing.assert_array_equal(high, ordered[-1])
    # The surface moves: dark wherever it once was, bright wherever it once was not.
    body = (slice(560, 740), slice(60, 270))
    assert (low[body] < 90).mean() > 2 * (whole_run[7][body] < 90).mean()
    assert (high[body] < 90).mean() < 0.5 * (whole_run[7][body] < 90).mean()


@pytest.fixture(scope="module")
def faultless():
    return render_run(HEALTHY, 1, [8]).frames[0].astype(float)


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_masks_hold_what_differs_from_the_faultless_strip(kind, faultless):
    energies = []
    for severity in (0.2, 0.9):
        run = render_run(with_defect(kind, severity), 1, [8])
        difference = (run.frames[0] - faultless) ** 2
        mask = run.masks[0]
        assert mask.any()
        assert difference[mask].sum() >= 0.95 * difference.sum()
        # A mask that marks everything would hold all energy too: most of what it marks must differ.
        assert (difference[mask] > 0).mean() > 0.5
        columns = np.flatnonzero(mask.any(axis=0))
        assert columns.min() >= 24 + 3 * 272 - 12
        assert columns.max() < 24 + 4 * 272 + 12
        energies.append(difference.sum())
    assert energies[1] > 1.3 * energies[0]


def test_frames_are_the_same_without_masks():
    plan = with_defect("foam", 0.7)
    bare = render_run(plan, 1, [8], with_masks=False)
    assert bare.masks is None
    np.testing.assert_array_equal(bare.frames, render_run(plan, 1, [8]).frames)


@pytest.mark.parametrize("kind", ["particle_upper", "particle_liquid", "black_spot_body"])
def test_what_sticks_to_the_plastic_moves_with_it(kind):
    numbers = (1, 6, 11, 16)
    run = render_run(with_defect(kind, 0.8), 1, numbers)
    flag = (slice(70, 300), slice(856, 1080))
    for frame, mask in zip(run.frames[1:], run.masks[1:], strict=True):
        moved, _, _ = phase_cross_correlation(
            run.frames[0][flag].astype(float), frame[flag].astype(float), upsample_factor=20
        )
        way = np.argwhere(mask).mean(axis=0) - np.argwhere(run.masks[0]).mean(axis=0)
        # A mask is whole pixels, whose choice follows the light behind it.
        np.testing.assert_allclose(way, -moved, atol=0.8)


def test_foam_moves_with_the_liquid():
    run = render_run(with_defect("foam", 0.9), 1, (1, 16))
    first, last = (np.argwhere(mask) for mask in run.masks)
    slopes = [np.polyfit(points[:, 1], points[:, 0], 1)[0] for points in (first, last)]
    assert abs(slopes[1] - slopes[0]) > 0.1


@pytest.mark.parametrize(
    ("run", "frames", "message"),
    [
        (0, [1], "run must be at least 1; got 0"),
        (1, [0], r"frames must be numbers from 1 to 16; got \[0\]"),
        (1, [1, 17], r"from 1 to 16; got \[1, 17\]"),
        (1, [], r"from 1 to 16; got \[\]"),
    ],
)
def test_runs_and_frames_that_do_not_exist_are_refused(run, frames, message):
    with pytest.raises(DataError, match=message):
        render_run(STRIPS[0], run, frames)
