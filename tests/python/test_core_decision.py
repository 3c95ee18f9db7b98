"""Decision of the C++ core against the rule of SPEC §6 written in NumPy."""

import numpy as np
import numpy.typing as npt
import pytest

import vialsight

THRESHOLDS = [0.1, 0.2, 0.3, 0.4]


@pytest.fixture(scope="module")
def layout() -> vialsight.Layout:
    return vialsight.Layout(
        name="test",
        frame_width=64,
        frame_height=64,
        frames=3,
        regions=["flag", "top_body", "liquid_body", "bottom"],
        boxes=[[(0, 0, 16, 16)] * 4 for _ in range(5)],
        patch_size=16,
    )


def _good() -> npt.NDArray[np.float32]:
    return np.full((3, 5, 4), 0.05, np.float32)


def test_all_under_their_thresholds_is_accepted(layout: vialsight.Layout) -> None:
    assert vialsight.decide(layout, _good(), THRESHOLDS) == ([True] * 5, True)


def test_a_score_equal_to_its_threshold_is_accepted(layout: vialsight.Layout) -> None:
    scores = _good()
    scores[1, 2, 0] = 0.25
    assert vialsight.decide(layout, scores, [0.25, 0.2, 0.3, 0.4])[1]
    scores[1, 2, 0] = np.nextafter(np.float32(0.25), np.float32(1))
    assert not vialsight.decide(layout, scores, [0.25, 0.2, 0.3, 0.4])[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.41])
@pytest.mark.parametrize("frame", range(3))
@pytest.mark.parametrize("vial", range(5))
def test_one_bad_patch_rejects_its_vial(
    layout: vialsight.Layout, bad: float, frame: int, vial: int
) -> None:
    scores = _good()
    scores[frame, vial, 3] = bad
    expected = [v != vial for v in range(5)]
    assert vialsight.decide(layout, scores, THRESHOLDS) == (expected, False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_threshold_that_is_not_finite_accepts_nothing(
    layout: vialsight.Layout, bad: float
) -> None:
    assert vialsight.decide(layout, _good(), [0.1, 0.2, bad, 0.4]) == ([False] * 5, False)


def test_random_scores_follow_the_rule(layout: vialsight.Layout) -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        scores = generator.random((3, 5, 4), dtype=np.float32)
        thresholds = generator.uniform(0.7, 1.0, 4)
        vials = (scores.astype(np.float64) <= thresholds).all(axis=(0, 2))
        expected = (vials.tolist(), bool(vials.all()))
        assert vialsight.decide(layout, scores, thresholds.tolist()) == expected


def test_scores_of_another_shape_are_refused(layout: vialsight.Layout) -> None:
    with pytest.raises(ValueError, match="shape"):
        vialsight.decide(layout, np.zeros((2, 5, 4), np.float32), THRESHOLDS)


def test_scores_of_another_dtype_are_refused(layout: vialsight.Layout) -> None:
    with pytest.raises(TypeError, match="float32"):
        vialsight.decide(layout, np.zeros((3, 5, 4)), THRESHOLDS)


def test_thresholds_of_another_number_are_refused(layout: vialsight.Layout) -> None:
    with pytest.raises(ValueError, match="one per region"):
        vialsight.decide(layout, _good(), [0.1, 0.2, 0.3])
