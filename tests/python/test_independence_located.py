"""Images of located products are remembered where the product lies in them."""

from pathlib import Path

import numpy as np
import pytest
from gripped_product import LAYOUT, product_locator, spoil, write_located_dataset

import vialsight
from vialsight.data import Dataset, load_frame
from vialsight.data.cutting import FrameCutter
from vialsight.data.fingerprints import Described, describe, stack
from vialsight.data.independence import describe_images


@pytest.fixture
def part(tmp_path: Path) -> Dataset:
    return write_located_dataset(tmp_path / "data").select(split="test")


@pytest.fixture(scope="module")
def cutter() -> FrameCutter:
    return FrameCutter(LAYOUT, product_locator())


def described(patches: np.ndarray) -> Described:
    return stack(iter([describe(patches.reshape(-1, 32, 32))]))


def test_described_where_the_product_lies(part: Dataset, cutter: FrameCutter) -> None:
    found, locator = describe_images(part, cutter), product_locator().core()
    for number, record in enumerate(part.records):
        frame = load_frame(record.image, 8)
        where = locator.locate(frame)
        patches = vialsight.extract_patches(frame, LAYOUT, (where.dx, where.dy, where.turn))
        assert found.content[number] == described(patches).content[0]


def test_described_as_it_is_where_it_is_not_found(part: Dataset, cutter: FrameCutter) -> None:
    record = part.records[4]
    spoil(part.records, record.product, record.frame)
    as_it_is = described(vialsight.extract_patches(load_frame(record.image, 8), LAYOUT))
    assert describe_images(part, cutter).content[4] == as_it_is.content[0]


def test_without_a_cutter_as_it_is(part: Dataset) -> None:
    frame = load_frame(part.records[0].image, 8)
    as_it_is = described(vialsight.extract_patches(frame, LAYOUT))
    assert describe_images(part).content[0] == as_it_is.content[0]
