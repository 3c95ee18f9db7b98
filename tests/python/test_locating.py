"""Fitting a locator to a small drawn product, whose poses are known."""

import numpy as np
import pytest
from locator_images import HEIGHT, WIDTH, drawn, group

from vialsight import _core
from vialsight._core import Layout
from vialsight.data import alignment
from vialsight.data.locating import fit_locator
from vialsight.errors import DataError


def layout(locate="rigid", frames=2) -> Layout:
    return Layout(
        name="blobs",
        frame_width=WIDTH,
        frame_height=HEIGHT,
        regions=["all"],
        boxes=[[(16, 12, 96, 72)]],
        patch_size=64,
        frames=frames,
        locate=locate,
    )


def poses(count: int, *, turn: float = 0.008) -> np.ndarray:
    """True poses (count, 2 frames, 3); within a run they shake."""
    random = np.random.default_rng(7)
    held = random.normal(0.0, (2.0, 1.5, turn), (count, 1, 3)).clip(-9.0, 9.0)
    held[..., 2] = held[..., 2].clip(-0.02, 0.02)
    return held + random.normal(0.0, (0.1, 0.1, 0.0), (count, 2, 3))


def groups(truth: np.ndarray, change=lambda frame: frame):
    pictures = [
        [change(drawn(pose, noise=2 * number + k)) for k, pose in enumerate(run)]
        for number, run in enumerate(truth)
    ]
    return [group(number, run) for number, run in enumerate(pictures)]


def found(fit) -> np.ndarray:
    return np.array([(row.dx, row.dy, row.turn) for row in fit.rows])


def error(fit, truth: np.ndarray) -> np.ndarray:
    difference = found(fit) - truth.reshape(-1, 3)
    return np.abs(difference - np.median(difference, axis=0)) * (1.0, 1.0, 40.0)


@pytest.fixture(scope="module")
def truth():
    return poses(30)


@pytest.fixture(scope="module")
def fit(truth):
    return fit_locator(layout(), groups(truth))


def test_poses_are_the_drawn_ones_and_their_median_is_about_zero(fit, truth):
    assert error(fit, truth).max() < 0.25
    # Of those frames of which the template is made it is.
    assert np.abs(np.median(found(fit), axis=0) * (1.0, 1.0, 40.0)).max() < 0.25


def test_locating_a_product_that_moves_is_worth_it(fit):
    assert fit.spread_after < 0.5 * fit.spread_before


def test_the_same_frames_give_the_same_bits(fit, truth):
    assert fit_locator(layout(), groups(truth)).locator.sha256 == fit.locator.sha256


def test_frames_of_a_run_may_be_twice_as_far_apart_as_seen(fit):
    runs = found(fit).reshape(-1, 2, 3)
    seen = np.abs(runs[:, 0] - runs[:, 1]).max(axis=0)
    assert fit.locator.apart_px == pytest.approx(max(1.0, 2.0 * seen[:2].max()))
    assert fit.locator.apart_turn == pytest.approx(max(1e-3, 2.0 * seen[2]))


def test_single_frames_may_be_as_far_apart_as_the_reach(truth):
    locator = fit_locator(layout(), groups(truth[:, :1])).locator
    assert (locator.reach_px, locator.apart_px) == (12.0, 24.0)


def test_the_residual_limit_is_twice_the_largest(fit):
    largest = max(row.residual for row in fit.rows)
    assert fit.locator.residual_limit == pytest.approx(2.0 * largest)


def test_a_translation_does_not_turn():
    truth = poses(30, turn=0.0)
    fit = fit_locator(layout("translation"), groups(truth))
    assert error(fit, truth).max() < 0.25
    assert (fit.locator.reach_turn, fit.locator.apart_turn) == (0.0, 0.0)


def jaws(frame: np.ndarray) -> np.ndarray:
    """Dark bars that stand still, of more contrast than the product."""
    frame = frame.copy()
    frame[:10, 20:44] = 10
    frame[:10, 80:104] = 10
    return frame


def test_what_stands_still_gets_no_weight_and_holds_nothing(truth):
    fit = fit_locator(layout(), groups(truth, jaws))
    scale = fit.locator.scale
    edges = fit.locator.weights[: 8 // scale + 1, [20 // scale, 43 // scale, 80 // scale]]
    assert (edges == 0.0).all()
    assert error(fit, truth).max() < 0.25


@pytest.mark.parametrize("change", [lambda frame: frame, jaws])
def test_a_product_that_stands_still_keeps_its_weight(change):
    truth = np.zeros((20, 2, 3))
    fit = fit_locator(layout(), groups(truth, change))
    assert (fit.locator.weights > 0.0).mean() > 0.95
    assert error(fit, truth).max() < 0.1


def test_a_frame_unlike_the_others_is_named(truth):
    spoilt = groups(truth)
    blank = np.full((HEIGHT, WIDTH), 200, np.uint8)
    spoilt[4] = group(4, [spoilt[4].load()[0], blank])
    with pytest.raises(DataError, match=r"(?s)take them out.*'product-004' run 1 frame 2"):
        fit_locator(layout(), spoilt)


def test_frames_without_structure_are_refused():
    flat = [group(n, [np.full((HEIGHT, WIDTH), 100, np.uint8)] * 2) for n in range(10)]
    with pytest.raises(DataError, match=r'cannot be located.*"locate": "none"'):
        fit_locator(layout(), flat)


def test_a_layout_that_locates_nothing_is_refused(truth):
    with pytest.raises(DataError, match="nothing to fit"):
        fit_locator(layout("none"), groups(truth))


def test_one_frame_is_too_few(truth):
    with pytest.raises(DataError, match="at least 2 frames, got 1"):
        fit_locator(layout(), groups(truth[:1, :1]))


def test_progress_counts_groups(truth):
    calls: list[tuple[int, int]] = []
    fit_locator(layout(), groups(truth[:5]), lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5, 5)


def test_one_frame_as_the_template_leads_to_the_same_alignment() -> None:
    """The start that is left where the median of all frames shows no product."""
    truth = poses(12, turn=0.006)
    frames = [frame for group in groups(truth) for frame in group.load()]
    setup = alignment.Setup(layout())
    reduced = np.stack([_core.reduced_frame(f, setup.scale, bit_depth=8) for f in frames])
    spread = alignment.spread_of(reduced)
    alone = alignment._from_one_frame(setup, reduced, spread)
    assert isinstance(alone, alignment.Aligned)
    usual = alignment.align(setup, reduced)
    assert alone.spread.mean() < 1.1 * usual.spread.mean() < 0.5 * spread.mean()


def test_one_frame_of_products_that_lie_anyhow_leads_nowhere() -> None:
    noise = np.random.default_rng(0).random((8, HEIGHT, WIDTH)).astype(np.float32)
    setup = alignment.Setup(layout())
    reduced = noise[:, : setup.shape[0], : setup.shape[1]]
    alone = alignment._from_one_frame(setup, reduced, alignment.spread_of(reduced))
    assert "cannot be located" in str(alone)
