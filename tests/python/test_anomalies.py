"""Synthetic anomalies: drawn through lens and sensor, labelled where they exceed the usual."""

import numpy as np
import pytest
from pydantic import ValidationError

from vialsight.models.anomalies.drawing import (
    ANOMALOUS,
    NOMINAL,
    UNCERTAIN,
    Drawing,
    Example,
)
from vialsight.models.anomalies.families import FAMILY_OF
from vialsight.models.anomalies.heaps import heap
from vialsight.models.anomalies.section import FAMILIES, AnomaliesConfig
from vialsight.models.anomalies.shapes import blob, cut, thread, union, window_around
from vialsight.models.pooling import block_means

SIZE = 96
USUAL = 0.005
# Nothing but the change itself: the same exposure, place, sharpness and noise.
STILL = {"gain": 0.0, "play": 0.0, "noise": 0.0, "blur": (1e-6, 1e-6), "second": 0.0}


def drawing(crop: int = SIZE, usual: float = USUAL, **settings: object) -> Drawing:
    spreads = np.full((2, SIZE // 2, SIZE // 2), usual, np.float32)
    return Drawing(AnomaliesConfig.model_validate(settings), spreads, crop)


def flat(value: float = 0.6) -> np.ndarray:
    return np.full((SIZE, SIZE), value, np.float32)


def textured() -> np.ndarray:
    rows, columns = np.indices((SIZE, SIZE)) / SIZE
    wave = 0.6 + 0.2 * np.sin(20.0 * columns) + 0.1 * np.cos(31.0 * rows)
    return (wave + 0.004 * np.random.default_rng(1).standard_normal((SIZE, SIZE))).astype("f4")


def only(family: str) -> dict[str, float]:
    return {name: float(name == family) for name in FAMILIES}


def drawn(count: int, patch: np.ndarray, **settings: object) -> list[Example]:
    draw = drawing(**settings)
    other = flat(0.3)
    return [draw(np.random.default_rng([7, i]), patch, other, 0) for i in range(count)]


def test_the_same_random_numbers_give_the_same_example() -> None:
    first, second = (drawn(20, textured(), crop=64) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_patch_that_is_not_changed_is_nominal_and_nearly_the_same() -> None:
    for example in drawn(20, textured(), probability=0.0, crop=64, gain=0.0, play=0.0):
        top, left = example.origin
        assert (example.label == NOMINAL).all()
        inside = textured()[top : top + 64, left : left + 64]
        assert np.abs(example.image - inside).mean() < 0.01


def test_crops_lie_anywhere_on_the_grid_of_labels() -> None:
    origins = np.array([e.origin for e in drawn(300, flat(), crop=64)])
    assert origins.min() == 0
    assert origins.max() == SIZE - 64
    assert (origins % 2 == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_changes_and_labels(family: str) -> None:
    examples = drawn(40, textured(), probability=1.0, families=only(family), **STILL)
    found = [example for example in examples if (example.label == ANOMALOUS).any()]
    assert len(found) > 20
    for example in found:
        place = np.kron(example.label == ANOMALOUS, np.ones((2, 2))) > 0
        change = np.abs(example.image - textured())
        if not place.all():
            assert change[place].mean() > 3.0 * change[~place].mean()
        assert 0.0 <= example.image.min() <= example.image.max() <= 1.0


def test_no_edge_of_a_change_is_sharper_than_the_lens_draws_it() -> None:
    sigma = 1.0
    examples = drawn(
        60,
        flat(),
        probability=1.0,
        families=only("absorbing"),
        lens_sigma=(sigma, sigma),
        full_well=1e12,
        **STILL,
    )
    for example in examples:
        change = example.image - 0.6
        steps = max(np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1))
        # Blurred by sigma, a step of height h rises by at most 0.40 h / sigma a pixel, and a
        # point of height h by 0.61 h / sigma. A pasted edge rises by h.
        height = change.max() - change.min()
        assert steps <= 0.62 * height / sigma + 1e-6


def test_noise_is_given_back_where_the_change_took_it_away() -> None:
    full_well, random = 2000.0, np.random.default_rng(3)
    level = 0.5
    noisy = level + np.sqrt(level / full_well) * random.standard_normal((SIZE, SIZE))
    settings = {**STILL, "probability": 1.0, "families": only("texture"), "radius": (40.0, 45.0)}
    stripes = (0.5 + 0.3 * np.sign(np.sin(np.arange(SIZE) / 3.0))).astype("f4")
    other = np.broadcast_to(stripes, (SIZE, SIZE)).copy()
    ratios = []
    for full in (full_well, 1e12):
        draw = drawing(full_well=full, **settings)
        made = [draw(np.random.default_rng(i), noisy.astype("f4"), other, 0) for i in range(30)]
        clean = drawing(full_well=1e12, **settings)
        bare = [clean(np.random.default_rng(i), noisy.astype("f4"), other, 0) for i in range(30)]
        places = [np.kron(e.label == ANOMALOUS, np.ones((2, 2))) > 0 for e in bare]
        added = [
            (a.image - b.image)[place].std()
            for a, b, place in zip(made, bare, places, strict=True)
            if place.sum() > 200
        ]
        ratios.append(np.mean(added) / np.sqrt(level / full_well))
    assert 0.3 < ratios[0] < 1.3
    assert ratios[1] == 0.0


def test_what_nominal_products_show_as_well_is_not_labelled() -> None:
    settings = {"probability": 1.0, "families": only("absorbing"), **STILL}
    rare = drawn(40, flat(), **settings)
    usual = drawn(40, flat(), usual=0.2, **settings)
    never = drawn(40, flat(), usual=10.0, **settings)
    counts = [
        sum(int((e.label == ANOMALOUS).sum()) for e in examples)
        for examples in (rare, usual, never)
    ]
    assert counts[0] > counts[1] > counts[2] == 0
    assert any((e.label == UNCERTAIN).any() for e in usual)
    for one, other in zip(rare, usual, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_the_label_lies_where_the_change_is() -> None:
    settings = {"probability": 1.0, "families": only("absorbing"), **STILL}
    rows, columns = np.indices((SIZE, SIZE))
    checked = 0
    for example in drawn(60, flat(), full_well=1e12, **settings):
        weight = np.abs(example.image - 0.6)
        label = np.kron(example.label == ANOMALOUS, np.ones((2, 2)))
        if weight.max() < 0.2:
            continue
        checked += 1
        for axis in (rows, columns):
            place = np.average(axis, weights=weight)
            assert np.average(axis, weights=label) == pytest.approx(place, abs=3.0)
    assert checked > 20


def test_what_lies_outside_the_region_of_interest_is_taught_as_nominal() -> None:
    settings = {"probability": 1.0, "families": only("absorbing"), **STILL}
    roi = np.ones((2, SIZE // 2, SIZE // 2), bool)
    roi[0, :, 20:] = False
    everywhere = drawing(**settings)
    inside = Drawing(everywhere.config, everywhere.spreads, SIZE, roi)
    hidden = 0
    for number in range(40):
        one, other = (
            draw(np.random.default_rng(number), flat(), flat(0.3), 0)
            for draw in (everywhere, inside)
        )
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.label[:, :20], other.label[:, :20])
        assert (other.label[:, 20:] == NOMINAL).all()
        hidden += int((one.label[:, 20:] != NOMINAL).any())
    assert hidden > 5


def test_exposure_changes_the_image_and_what_is_averaged_alike() -> None:
    for example in drawn(10, flat(), probability=0.0, **{**STILL, "gain": 0.2}):
        np.testing.assert_allclose(example.reduced, example.image.mean(), rtol=1e-5)


def test_averages_are_of_squares_of_four_pixels() -> None:
    patch = np.arange(64, dtype=np.float32).reshape(8, 8)
    expected = [[patch[:4, :4].mean(), patch[:4, 4:].mean()], [patch[4:, :4].mean(), 49.5]]
    np.testing.assert_allclose(block_means(patch, 4), expected)
    np.testing.assert_allclose(block_means(patch[None], 4), [expected])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("at", [(0.0, 0.0), (95.9, 95.9), (48.0, 0.0), (95.0, 3.0)])
def test_changes_at_the_edge_stay_inside_the_patch(family: str, at: tuple[float, float]) -> None:
    config = AnomaliesConfig()
    for number in range(15):
        patch = textured()
        window = FAMILY_OF[family](config, np.random.default_rng(number), patch, flat(), at)
        assert patch.shape == (SIZE, SIZE)
        assert np.isfinite(patch).all()
        if window is not None:
            outside = np.ones((SIZE, SIZE), bool)
            outside[window.slices] = False
            np.testing.assert_array_equal(patch[outside], textured()[outside])


def test_a_detail_that_stands_alone_is_repeated() -> None:
    rows, columns = np.indices((SIZE, SIZE))
    patch = flat()
    # A dot on flat glass, beside the dark half of the patch, which is no detail.
    patch[np.hypot(rows - 30, columns - 30) < 3.0] = 0.2
    patch[70:] = 0.1
    added = []
    for number in range(30):
        changed = patch.copy()
        random = np.random.default_rng(number)
        FAMILY_OF["repetition"](AnomaliesConfig(), random, changed, flat(), (30.0, 60.0))
        added.append(((changed < 0.75 * patch) & (rows < 66)).sum())
    # A dot has 29 pixels, and at least six are drawn; some lie on each other or outside.
    assert np.median(added) > 60


def test_heaps_gather_where_the_patch_has_edges() -> None:
    patch = flat()
    patch[50:] = 0.2
    near = {True: 0, False: 0}
    for number in range(200):
        for edged in near:
            random = np.random.default_rng(number)
            places = heap(random, patch if edged else flat(), (48.0, 48.0), 20)
            near[edged] += sum(47.0 <= y <= 52.0 for y, _ in places)
    assert near[True] > 2 * near[False]


def test_shapes_are_one_inside_and_zero_outside() -> None:
    random = np.random.default_rng(2)
    spot = blob(random, (40.0, 50.0), 8.0, SIZE, soft=1.0)
    piece = cut(random, (40.0, 50.0), 12.0, SIZE)
    line = thread(random, (40.0, 50.0), 30.0, 3.0, SIZE, wander=0.03)
    for shape in (spot, piece, line):
        assert shape is not None
        assert shape.values.shape == shape.window.shape
        assert shape.values.max() == 1.0
        assert shape.values.min() == 0.0
    both = union([found for found in (spot, piece) if found is not None])
    assert both is not None
    whole = np.zeros((SIZE, SIZE), np.float32)
    for shape in (spot, piece):
        assert shape is not None
        whole[shape.slices] = np.maximum(whole[shape.slices], shape.values)
    np.testing.assert_array_equal(both.values, whole[both.slices])


def test_a_window_outside_the_patch_is_none() -> None:
    assert window_around(-30.0, 10.0, 5.0, 5.0, SIZE) is None
    assert window_around(10.0, SIZE + 40.0, 5.0, 5.0, SIZE) is None
    assert union([]) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": (5.0, 2.0)}, "radius must go from smaller to larger"),
        ({"families": dict.fromkeys(FAMILIES, 0.0)}, "at least one family"),
        ({"probability": 1.5}, "probability"),
        ({"lens_sigma": (0.0, 1.0)}, "lens_sigma"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AnomaliesConfig.model_validate(settings)
