"""Plans of simulated sets: sizes, splits, defects, independence of random numbers."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from vialsight.errors import DataError
from vialsight.simulation.plan import DEFECT_KINDS, SET_NAMES, VIALS, Defect, plan_set

FULL_SIZES = {"train": (782, 0), "calibration": (60, 68), "kit": (120, 141)}


@pytest.mark.parametrize("name", SET_NAMES)
def test_full_sets_have_their_sizes(name):
    strips = plan_set(name).strips
    defective = sum(strip.label == "defective" for strip in strips)
    assert (len(strips) - defective, defective) == FULL_SIZES[name]


def test_training_set_has_the_papers_number_of_patches():
    plan = plan_set("train")
    assert plan.images * 20 == 2_815_200  # 782 strips × 10 runs × 18 images × 20 patches


def test_training_strips_are_split_nine_to_one():
    splits = [strip.split for strip in plan_set("train").strips]
    assert splits.count("validation") == 79
    assert splits.count("train") == 703


def test_smaller_sets_keep_the_proportion():
    strips = plan_set("kit", strips=26).strips
    assert sum(strip.label == "defective" for strip in strips) == 14
    assert len(strips) == 26


def test_smallest_sets_hold_what_their_users_need():
    assert {s.split for s in plan_set("train", strips=2).strips} == {"train", "validation"}
    assert {s.label for s in plan_set("kit", strips=2).strips} == {"nominal", "defective"}


def test_no_strip_is_in_two_sets_or_seeds():
    strips = [s for name in SET_NAMES for seed in (0, 1) for s in plan_set(name, seed=seed).strips]
    assert len({strip.product for strip in strips}) == len(strips)
    assert len({strip.entropy for strip in strips}) == len(strips)


def test_severities_of_every_kind_span_the_grey_zone():
    severities = defaultdict(list)
    for strip in plan_set("kit").strips:
        for defect in strip.defects:
            severities[defect.kind].append(defect.severity)
    assert set(severities) == set(DEFECT_KINDS)
    for kind, values in severities.items():
        thirds = np.histogram(values, bins=3, range=(0, 1))[0]
        assert (thirds > 0).all(), kind


def test_a_defect_changes_no_other_random_number():
    strip = plan_set("kit", strips=4).strips[-1]
    healthy = replace(strip, defects=())
    assert strip.defects
    assert strip.random("x", 1).random() == healthy.random("x", 1).random()
    assert strip.random("x", 1).random() != strip.random("x", 2).random()
    assert strip.random("x", 1).random() != strip.random("y", 1).random()


def test_a_bubble_in_the_neck_does_not_give_a_deformed_neck_away():
    strips = plan_set("kit").strips
    deformed = [s for s in strips if any(d.kind == "deformation_neck" for d in s.defects)]
    assert all(strip.defects[0].vial in strip.neck_bubbles for strip in deformed)
    nominal = [strip for strip in strips if not strip.defects]
    assert sum(bool(strip.neck_bubbles) for strip in nominal) >= 10


def test_identity_follows_everything_that_decides_the_pixels():
    identities = {
        plan_set(name, strips=strips, runs=runs, seed=seed).identity
        for name in SET_NAMES
        for strips in (4, 5)
        for runs in (1, 2)
        for seed in (0, 1)
    }
    assert len(identities) == 24
    assert plan_set("kit", strips=4).identity == plan_set("kit", strips=4).identity


def test_chosen_frames_are_recorded_without_rank_images():
    plan = plan_set("train", strips=2, runs=3, frames=(16, 1, 8))
    assert plan.frames == (1, 8, 16)
    assert (plan.rank_images, plan.images_per_run, plan.images) == (False, 3, 18)
    assert plan.strips == plan_set("train", strips=2, runs=3).strips


def test_identity_follows_chosen_frames():
    chosen = [None, (1, 8, 16), (1, 8), range(1, 17)]
    assert len({plan_set("train", strips=2, frames=frames).identity for frames in chosen}) == 4
    # A kit records these by itself; naming them makes no other set.
    assert plan_set("kit", frames=(16, 8, 1)) == plan_set("kit")


def test_identities_of_whole_sets_stay():
    """Sets on disk, shards and runs are known by them."""
    assert (
        plan_set("train").identity
        == "5fa098aa0df86819ba5cc9d167cc565511a8f6873e74b8494a268a9ef258b68e"
    )
    assert (
        plan_set("kit").identity
        == "c89febf0d7e3e97aa4ca9a9b7536f8ad33e5ef9e3976cd24f24410c26ea2f07b"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "test"}, "expected one of the sets train, calibration, kit; got 'test'"),
        ({"name": "kit", "strips": 1}, "the set 'kit' needs at least 2 strips; got 1"),
        ({"name": "kit", "strips": -3}, "at least 2 strips; got -3"),
        ({"name": "kit", "runs": 0}, "runs must be at least 1; got 0"),
        ({"name": "kit", "frames": (1, 17)}, "different numbers from 1 to 16.*; got 1, 17"),
        ({"name": "kit", "frames": (0,)}, "different numbers from 1 to 16.*; got 0"),
        ({"name": "kit", "frames": (8, 8)}, "different numbers from 1 to 16.*; got 8, 8"),
        ({"name": "kit", "frames": ()}, "at least one; got none"),
        ({"name": "kit", "seed": -1}, "seed must not be negative; got -1"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        plan_set(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "rust"}, "defect must be one of particle_upper, .*; got 'rust'"),
        ({"severity": 1.2}, r"severity must be in \[0, 1\]; got 1.2"),
        ({"severity": float("nan")}, r"severity must be in \[0, 1\]; got nan"),
        ({"vial": VIALS}, r"vial must be in \[0, 5\); got 5"),
    ],
)
def test_bad_defects_are_refused(changes, message):
    arguments = {"kind": "foam", "severity": 0.5, "vial": 0} | changes
    with pytest.raises(DataError, match=message):
        Defect(**arguments)
