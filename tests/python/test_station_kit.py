"""The challenge kit: what is in it, what it expects, and when there is none."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import located_support
import numpy as np
import pytest
from PIL import Image

import vialsight
from vialsight import _core
from vialsight.data import Dataset, write_dataset
from vialsight.errors import DataError
from vialsight.station import faults
from vialsight.station.kit import Kit, make_kit, read_kit

GOOD, DEFECTIVE = 1, 2
REASONS = ["frame_invalid", "frame_missing", "frame_stale"]


@pytest.fixture(scope="module")
def bundle(tiny_calibrated_bundle: Path) -> vialsight.Bundle:
    return vialsight.Bundle.load(tiny_calibrated_bundle)


@pytest.fixture(scope="module")
def strips(tiny_dataset: Dataset) -> Dataset:
    return tiny_dataset.in_splits("calibration", "test")


@pytest.fixture(scope="module")
def made(
    bundle: vialsight.Bundle, strips: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Kit]:
    out = tmp_path_factory.mktemp("kit") / "kit"
    return out, make_kit(bundle, strips, out, good=GOOD, defective=DEFECTIVE)


def raw(folder: Path, name: str | None) -> np.ndarray:
    assert name is not None
    return np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(80, 96)


class TestContents:
    def test_file_says_what_was_returned(self, made: tuple[Path, Kit]) -> None:
        folder, kit = made
        assert read_kit(folder) == kit
        plain = json.loads((folder / "kit.json").read_text())
        assert list(plain) == ["format", "bundle_sha256", "strips"]
        assert set(plain["strips"][0]) == {"name", "frames", "expected", "expected_reason"}
        assert plain["format"] == 1

    def test_of_this_bundle(self, made: tuple[Path, Kit], bundle: vialsight.Bundle) -> None:
        assert made[1].bundle_sha256 == bundle.sha256

    def test_expectations_are_those_of_labels_and_faults(self, made: tuple[Path, Kit]) -> None:
        found = [(strip.expected, strip.expected_reason) for strip in made[1].strips]
        assert found == [
            ("accept", None),
            *[("reject", "defect")] * DEFECTIVE,
            *[("reject", reason) for reason in REASONS],
        ]

    def test_pixels_are_those_of_the_images(self, made: tuple[Path, Kit], strips: Dataset) -> None:
        folder, kit = made
        images = {
            np.asarray(Image.open(record.image)).tobytes(): record for record in strips.records
        }
        for strip, label in zip(
            kit.strips, ["nominal"] * GOOD + ["defective"] * DEFECTIVE, strict=False
        ):
            for number, name in enumerate(strip.frames, start=1):
                record = images[raw(folder, name).tobytes()]
                assert (record.frame, record.label) == (number, label)

    def test_nothing_else_lies_in_the_folder(self, made: tuple[Path, Kit]) -> None:
        folder, kit = made
        named = {name for strip in kit.strips for name in strip.frames if name is not None}
        found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert found == {"kit.json", *named}

    def test_no_frame_but_the_repeated_one_comes_twice(self, made: tuple[Path, Kit]) -> None:
        folder, kit = made
        seen = [
            raw(folder, name).tobytes() for s in kit.strips for name in s.frames if name is not None
        ]
        assert len(seen) - len(set(seen)) == 1
        repeated = kit.strips[-1].frames
        assert raw(folder, repeated[1]).tobytes() == raw(folder, repeated[2]).tobytes()

    def test_faults(self, made: tuple[Path, Kit]) -> None:
        folder, kit = made
        blank, missing, _ = kit.strips[-3:]
        assert len(np.unique(raw(folder, blank.frames[-1]))) == 1
        assert missing.frames[-1] is None
        assert None not in missing.frames[:-1]


def test_a_core_that_asks_for_fresh_frames_judges_so(
    made: tuple[Path, Kit], bundle: vialsight.Bundle
) -> None:
    folder, kit = made
    inspector = _core.Inspector(bundle, require_fresh_frames=True)
    for number, strip in enumerate(kit.strips):
        inspector.open(number)
        for index, name in enumerate(strip.frames):
            if name is not None:
                try:
                    inspector.submit(index, raw(folder, name))
                except ValueError:
                    assert strip.expected_reason in REASONS
        verdict = inspector.close()
        assert verdict.verdict == strip.expected
        assert verdict.reason == (strip.expected_reason or "none")


class TestFaults:
    def test_repeated_frame_of_a_strip_of_one(self) -> None:
        frames, other = [np.zeros((2, 3), np.uint8)], [np.ones((2, 3), np.uint8)]
        assert faults.repeated_frame(frames, other)[0] is other[0]

    def test_moved_product_is_not_found_by_the_locator(self) -> None:
        frame = located_support.frame_at((1.0, 2.0, 0.0), seed=3)
        locator = located_support.locator()
        assert locator.core().locate(frame).found
        by = int(2 * locator.reach_px) + 1
        (moved,) = faults.moved_product([frame], [frame], by=by)
        assert moved is not None
        assert moved.shape == frame.shape
        assert (moved[:, by:] == frame[:, :-by]).all()
        assert not locator.core().locate(moved).found

    def test_only_bundles_that_locate_are_shown_a_moved_product(self) -> None:
        located = SimpleNamespace(locator={"reach_px": 16.0})
        fixed = SimpleNamespace(locator=None)

        def reasons(bundle: Any) -> dict[str, str]:
            return {fault.name: fault.reason for fault in faults.faults_of(bundle)}

        assert "moved-product" not in reasons(fixed)
        assert reasons(located)["moved-product"] == "not_located"
        # A frame that shows nothing is not searched for flat patches: there is no place for them.
        assert reasons(located)["blank-frame"] == "not_located"
        assert reasons(fixed)["blank-frame"] == "frame_invalid"


class TestRefusals:
    def test_too_few_good_strips(
        self, bundle: vialsight.Bundle, strips: Dataset, tmp_path: Path
    ) -> None:
        with pytest.raises(
            DataError, match="expected 103 nominal strips that the bundle clearly accepts, found "
        ):
            make_kit(bundle, strips, tmp_path / "kit", good=100)
        assert not (tmp_path / "kit").exists()

    def test_too_few_defective_strips(
        self, bundle: vialsight.Bundle, strips: Dataset, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match=r"expected 100 defective strips .* clearly rejects"):
            make_kit(bundle, strips, tmp_path / "kit", good=1, defective=100)

    def test_existing_folder(
        self, bundle: vialsight.Bundle, strips: Dataset, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="exists"):
            make_kit(bundle, strips, tmp_path)

    def test_other_layout(
        self, bundle: vialsight.Bundle, own_dataset_folder: Path, tmp_path: Path
    ) -> None:
        from conftest import make_tiny_layout
        from vialsight.data import read_dataset

        records = read_dataset(own_dataset_folder).records
        write_dataset(own_dataset_folder, make_tiny_layout(patch_size=48), records)
        with pytest.raises(DataError, match="expected the bundle's layout"):
            make_kit(bundle, read_dataset(own_dataset_folder), tmp_path / "kit")


class TestReading:
    @pytest.fixture
    def write(self, made: tuple[Path, Kit], tmp_path: Path) -> Callable[[Any], Path]:
        plain = json.loads((made[0] / "kit.json").read_text())

        def write(change: Any) -> Path:
            change(plain)
            (tmp_path / "kit.json").write_text(json.dumps(plain))
            return tmp_path

        return write

    def test_no_kit(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="vialsight station kit"):
            read_kit(tmp_path)

    def test_other_format(self, write: Callable[[Any], Path]) -> None:
        with pytest.raises(DataError, match="format"):
            read_kit(write(lambda kit: kit.update(format=2)))

    def test_unknown_key(self, write: Callable[[Any], Path]) -> None:
        with pytest.raises(DataError, match="more"):
            read_kit(write(lambda kit: kit.update(more=1)))

    def test_other_verdict(self, write: Callable[[Any], Path]) -> None:
        with pytest.raises(DataError, match=r"strips\.0\.expected"):
            read_kit(write(lambda kit: kit["strips"][0].update(expected="maybe")))

    @pytest.mark.parametrize("name", ["/etc/passwd", "../x.raw", "frames/../../x.raw", ""])
    def test_frame_elsewhere(self, write: Callable[[Any], Path], name: str) -> None:
        with pytest.raises(DataError, match=r"strips\.0\.frames.*below the kit"):
            read_kit(write(lambda kit: kit["strips"][0].update(frames=[name])))

    def test_no_strips(self, write: Callable[[Any], Path]) -> None:
        with pytest.raises(DataError, match="strips"):
            read_kit(write(lambda kit: kit.update(strips=[])))
