"""Images seen before are recognised, by pixels and by looks; other products are not."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vialsight
from vialsight.data import Dataset, read_dataset, write_dataset
from vialsight.data.fingerprints import (
    Fingerprints,
    describe,
    joined,
    lookalike_limit,
    nearest,
    stack,
)
from vialsight.data.independence import (
    describe_images,
    independence_limits,
    refuse_seen_images,
    without_lookalikes,
)
from vialsight.errors import BundleError, DataError


@pytest.fixture(scope="module")
def strips(kit_folder: Path) -> list[np.ndarray]:
    """Nine frames of three simulated strips: products that all look alike to the eye."""
    dataset = read_dataset(kit_folder)
    return [np.array(Image.open(record.image)) for record in dataset.records]


@pytest.fixture(scope="module")
def layout(kit_folder: Path) -> vialsight.Layout:
    return read_dataset(kit_folder).layout


def described(frames: list[np.ndarray], layout: vialsight.Layout):
    size = layout.patch_size
    return stack(
        describe(vialsight.extract_patches(frame, layout).reshape(-1, size, size))
        for frame in frames
    )


def saved_as_jpeg(frame: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=80)
    return np.array(Image.open(file))


def noisy(frame: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0.0, 2.0, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def darker(frame: np.ndarray) -> np.ndarray:
    return np.rint(frame * 0.97).astype(np.uint8)


class TestSeen:
    def test_same_pixels(self, strips: list[np.ndarray], layout: vialsight.Layout) -> None:
        seen = Fingerprints.of_training(described(strips[:6], layout))
        found = seen.seen(described([strips[7], strips[2]], layout))
        assert found["training, same pixels"].tolist() == [1]
        assert found["training, looks alike"].tolist() == []

    @pytest.mark.parametrize("alter", [saved_as_jpeg, noisy, darker])
    def test_altered_copies_look_alike(self, alter, strips, layout) -> None:
        seen = Fingerprints.of_training(described(strips[:6], layout))
        found = seen.seen(described([alter(frame) for frame in strips[:6]], layout))
        assert found["training, same pixels"].tolist() == []
        assert found["training, looks alike"].tolist() == [0, 1, 2, 3, 4, 5]

    def test_other_strips_are_far(self, strips, layout) -> None:
        seen = Fingerprints.of_training(described(strips[:6], layout))
        found = seen.seen(described(strips[6:], layout))
        assert all(len(indices) == 0 for indices in found.values())

    def test_calibration_is_remembered_too(self, strips, layout) -> None:
        seen = Fingerprints.of_training(described(strips[:3], layout))
        seen = seen.with_calibration(described(strips[3:6], layout))
        found = seen.seen(described([strips[4], noisy(strips[5])], layout))
        assert found["calibration, same pixels"].tolist() == [0]
        assert found["calibration, looks alike"].tolist() == [1]

    def test_without_training_images_calibration_is_still_remembered(self, strips, layout) -> None:
        seen = Fingerprints.unknown(1000)
        assert not seen.training_known
        assert "known to be different by product only" in independence_limits(seen)[0]
        seen = seen.with_calibration(described(strips[:6], layout))
        assert seen.seen(described([strips[1]], layout))["calibration, same pixels"].tolist() == [0]
        assert seen.training_images == 1000

    def test_flat_images(self) -> None:
        flat = stack(iter([describe(np.full((2, 16, 16), 0.5, np.float32))]))
        found = Fingerprints.of_training(flat).seen(flat)
        assert found["training, same pixels"].tolist() == [0]


class TestBytes:
    def test_round_trip(self, strips, layout) -> None:
        seen = Fingerprints.of_training(described(strips[:3], layout))
        seen = seen.with_calibration(described(strips[3:5], layout))
        back = Fingerprints.from_bytes(seen.to_bytes())
        for field in dataclasses.fields(Fingerprints):
            np.testing.assert_array_equal(getattr(back, field.name), getattr(seen, field.name))
        assert back.to_bytes() == seen.to_bytes()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"any bytes"])
    def test_broken(self, content: bytes) -> None:
        with pytest.raises(BundleError, match=r"fingerprints.npz: expected the arrays reference"):
            Fingerprints.from_bytes(content)

    def test_missing_array(self) -> None:
        from vialsight.files.npz import npz_bytes

        with pytest.raises(BundleError, match="training_bits"):
            Fingerprints.from_bytes(npz_bytes({"reference": np.zeros(3)}))


class TestNearest:
    def test_against_counting_one_by_one(self) -> None:
        random = np.random.default_rng(0)
        rows, known = (random.integers(0, 256, (n, 5), np.uint8) for n in (7, 11))
        expected = [
            min(
                sum(int(a ^ b).bit_count() for a, b in zip(row, other, strict=True))
                for other in known
            )
            for row in rows
        ]
        assert nearest(rows, known).tolist() == expected

    def test_limit(self) -> None:
        assert [lookalike_limit(n) for n in (10, 180, 256)] == [1, 5, 7]

    def test_joined(self, strips, layout) -> None:
        whole = described(strips[:4], layout)
        parts = joined([whole.rows([0, 1]), whole.rows([2, 3])])
        np.testing.assert_array_equal(parts.content, whole.content)
        np.testing.assert_array_equal(parts.features, whole.features)


class TestTrainingData:
    def test_shards_and_folder_are_remembered_alike(
        self, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        from vialsight.config import DataConfig
        from vialsight.data import dataset_groups, dataset_source, write_shards
        from vialsight.training.data import training_data

        splits = ("train", "validation")
        groups = dataset_groups(tiny_dataset, splits)
        shards, source = tmp_path / "shards", dataset_source(tiny_dataset)
        write_shards(shards, tiny_dataset.layout, groups, source=source, records_per_shard=24)
        found = []
        for folder in (shards, tiny_dataset.folder):
            with training_data(DataConfig(path=folder)) as data:
                found.append(data.fingerprints())
        one, two = found
        np.testing.assert_array_equal(one.reference, two.reference)
        assert sorted(one.training_content.tolist()) == sorted(two.training_content.tolist())
        assert one.training_images == two.training_images == 18
        # As many as there are, and each of an image of the table.
        images = describe_images(tiny_dataset.in_splits(*splits))
        assert set(one.training_content.tolist()) == set(images.content.tolist())

    def test_images_rendered_while_training_are_counted_only(self) -> None:
        from vialsight.config import DataConfig, SimulateConfig
        from vialsight.training.data import training_data

        simulate = SimulateConfig(strips=4, runs=1, patch_size=32, workers=1)
        with training_data(DataConfig(simulate=simulate)) as data:
            fingerprints = data.fingerprints()
        assert not fingerprints.training_known
        assert fingerprints.training_images == 4 * 18


class TestRefusal:
    def test_lookalikes_are_refused_unless_accepted(self, tiny_dataset: Dataset, tmp_path) -> None:
        seen = Fingerprints.of_training(describe_images(tiny_dataset.select(split="train")))
        copy = _altered_copy(tiny_dataset, tmp_path)
        images = describe_images(copy)
        with pytest.raises(DataError, match=r"seen before.*\(1\):\n.*copy.png \(training, looks"):
            refuse_seen_images(copy, images, seen, accept_lookalikes=False)
        notes = refuse_seen_images(copy, images, seen, accept_lookalikes=True)
        assert len(notes) == 1
        assert "1 images look like images of training" in notes[0]

    def test_lookalikes_are_left_out_of_a_prepared_split(
        self, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        copy = _altered_copy(tiny_dataset, tmp_path)
        records = (*tiny_dataset.records, *copy.records)
        kept = without_lookalikes(dataclasses.replace(tiny_dataset, records=records))
        assert [r.split for r in kept if r.product == "copy"] == [""]
        before = {r.image: r.split for r in tiny_dataset.records}
        assert all(r.split == before[r.image] for r in kept if r.product != "copy")


def _altered_copy(dataset: Dataset, folder: Path) -> Dataset:
    """One image: a training image with noise, under another name."""
    source = dataset.select(split="train").records[0]
    pixels = np.array(Image.open(source.image)).astype(int)
    changed = np.clip(pixels + np.random.default_rng(0).integers(-1, 2, pixels.shape), 0, 255)
    Image.fromarray(changed.astype(np.uint8)).save(folder / "copy.png")
    record = dataclasses.replace(source, image=folder / "copy.png", product="copy", split="test")
    write_dataset(folder, dataset.layout, [record])
    return dataclasses.replace(dataset, records=(record,))
