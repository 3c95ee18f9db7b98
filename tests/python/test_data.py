"""dataset.csv, images, splits, patches: one test per malformed input, named after it."""

import csv
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vialsight import extract_patches
from vialsight.config import DataConfig
from vialsight.data import (
    DEFECTIVE,
    NOMINAL,
    UNKNOWN,
    Dataset,
    DatasetPatches,
    Fractions,
    Record,
    assign_splits,
    load_frame,
    load_mask,
    patch_truth,
    read_dataset,
    write_dataset,
)
from vialsight.errors import DataError
from vialsight.training.data import training_data

Rows = list[list[str]]
IMAGE, PRODUCT, RUN, FRAME, LABEL, SPLIT, MASK = range(7)


def edit(folder: Path, change: Callable[[Rows], object]) -> None:
    path = folder / "dataset.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def set_cell(row: int, column: int, value: str) -> Callable[[Rows], object]:
    return lambda rows: rows[row].__setitem__(column, value)


def refused(folder: Path, match: str) -> str:
    with pytest.raises(DataError, match=match) as caught:
        read_dataset(folder)
    return str(caught.value)


class TestReading:
    def test_reads_all_records(self, tiny_dataset: Dataset) -> None:
        assert len(tiny_dataset.records) == 63
        record = tiny_dataset.records[1]
        assert (record.product, record.run, record.frame) == ("train-nominal-0", 1, 2)
        assert record.image.is_absolute()

    def test_writing_and_reading_again_changes_nothing(
        self, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        write_dataset(tmp_path, tiny_dataset.layout, tiny_dataset.records)
        again = read_dataset(tmp_path)
        assert again.records == tiny_dataset.records
        assert again.layout == tiny_dataset.layout

    def test_a_dataset_written_to_a_relative_folder_is_read_again(
        self, tmp_path: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        folder = Path("here")
        folder.mkdir()
        Image.fromarray(load_frame(tiny_dataset.records[0].image, 8)).save(folder / "a.png")
        record = dataclasses.replace(tiny_dataset.records[0], image=folder / "a.png")
        write_dataset(folder, tiny_dataset.layout, [record])
        assert read_dataset(folder).records[0].image == tmp_path / "here" / "a.png"
        assert (folder / "dataset.csv").read_text().splitlines()[1].startswith("a.png,")

    def test_paths_inside_the_folder_are_written_relative(self, tiny_dataset_folder: Path) -> None:
        second_line = (tiny_dataset_folder / "dataset.csv").read_text().splitlines()[1]
        assert second_line == "train-nominal-0-1.png,train-nominal-0,1,1,nominal,train,"

    def test_missing_table(self, tmp_path: Path, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "dataset.csv").unlink()
        refused(own_dataset_folder, r"dataset\.csv: no such file")

    def test_missing_layout(self, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "layout.json").unlink()
        refused(own_dataset_folder, r"layout\.json: no such file")

    def test_broken_layout(self, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "layout.json").write_text('{"format_version": 1}')
        refused(own_dataset_folder, "name")

    def test_missing_column(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: [row.pop(MASK) for row in rows])
        refused(own_dataset_folder, "missing: mask")

    def test_unknown_column(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: [row.append("operator") for row in rows])
        refused(own_dataset_folder, "unknown: operator")

    def test_row_of_other_length(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: rows[3].pop())
        refused(own_dataset_folder, "line 4: 6 cells")

    def test_empty_table(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: rows.__delitem__(slice(1, None)))
        refused(own_dataset_folder, "the table is empty")

    def test_binary_table(self, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "dataset.csv").write_bytes(b"\xff\xfe\x00")
        refused(own_dataset_folder, "expected a UTF-8 CSV table")

    def test_unknown_label(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(1, LABEL, "good"))
        refused(own_dataset_folder, "line 2: label must be nominal or defective, got 'good'")

    def test_unknown_split(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(2, SPLIT, "dev"))
        refused(own_dataset_folder, "line 3: split must be train, .* got 'dev'")

    @pytest.mark.parametrize("value", ["0", "-1", "1.0", "", "one", "٣", "99999999999"])
    @pytest.mark.parametrize("column", [RUN, FRAME])
    def test_run_or_frame_no_positive_integer(
        self, own_dataset_folder: Path, column: int, value: str
    ) -> None:
        edit(own_dataset_folder, set_cell(1, column, value))
        refused(own_dataset_folder, "line 2: (run|frame) must be an integer from 1")

    def test_empty_product(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(1, PRODUCT, " "))
        refused(own_dataset_folder, "line 2: product is empty")

    @pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "a\0b"])
    def test_product_that_is_not_one_line(self, own_dataset_folder: Path, name: str) -> None:
        edit(own_dataset_folder, set_cell(1, PRODUCT, name))
        refused(own_dataset_folder, "product must be text on one line")

    def test_mask_of_a_nominal_image(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(1, MASK, "x.png"))
        refused(own_dataset_folder, "a nominal image has no defect mask")

    def test_image_listed_twice(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: rows[2].__setitem__(IMAGE, rows[1][IMAGE]))
        refused(own_dataset_folder, r"listed more than once \(1\):\n.*train-nominal-0-1\.png")

    def test_frame_listed_twice(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(2, FRAME, "1"))
        refused(own_dataset_folder, "product 'train-nominal-0' run 1 frame 1")

    def test_product_in_two_splits(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(1, SPLIT, "test"))
        refused(own_dataset_folder, "more than one split.*\n.*'train-nominal-0': test, train")

    def test_product_with_two_labels(self, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, set_cell(1, LABEL, "defective"))
        refused(own_dataset_folder, "more than one label.*\n.*'train-nominal-0'")

    def test_missing_files_are_all_counted_and_ten_named(self, own_dataset_folder: Path) -> None:
        for path in sorted(own_dataset_folder.glob("train-*.png")):
            path.unlink()
        message = refused(own_dataset_folder, r"do not exist \(12\)")
        assert message.count(".png") == 10
        assert "and 2 more" in message

    def test_missing_mask(self, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "test-defective-0-1-mask.png").unlink()
        refused(own_dataset_folder, r"test-defective-0-1-mask\.png")

    def test_image_of_other_size(self, own_dataset_folder: Path) -> None:
        Image.new("L", (10, 12)).save(own_dataset_folder / "train-nominal-1-1.png")
        refused(own_dataset_folder, r"train-nominal-1-1\.png: expected 96x80 .* got 10x12")

    def test_mask_of_other_size(self, own_dataset_folder: Path) -> None:
        Image.new("L", (10, 12)).save(own_dataset_folder / "test-defective-0-1-mask.png")
        refused(own_dataset_folder, "mask.png: expected 96x80")

    def test_colour_image(self, own_dataset_folder: Path) -> None:
        Image.new("CMYK", (96, 80)).save(own_dataset_folder / "train-nominal-1-1.tif")
        (own_dataset_folder / "train-nominal-1-1.tif").rename(
            own_dataset_folder / "train-nominal-1-1.png"
        )
        refused(own_dataset_folder, "expected 8-bit grayscale pixels, got colours .* convert it")

    def test_sixteen_bit_image_for_an_eight_bit_layout(self, own_dataset_folder: Path) -> None:
        pixels = np.zeros((80, 96), np.uint16)
        Image.fromarray(pixels).save(own_dataset_folder / "train-nominal-1-1.png")
        refused(own_dataset_folder, "expected 8-bit grayscale pixels, got 16-bit.*bit_depth")

    def test_file_that_is_no_image(self, own_dataset_folder: Path) -> None:
        (own_dataset_folder / "train-nominal-1-1.png").write_text("not an image")
        refused(own_dataset_folder, r"train-nominal-1-1\.png: expected a complete PNG")


class TestSelecting:
    def test_selects_by_split_and_label(self, tiny_dataset: Dataset) -> None:
        part = tiny_dataset.select(split="test", label="defective")
        assert part.products == tuple(f"test-defective-{i}" for i in range(3))

    def test_empty_split(self, tiny_dataset: Dataset) -> None:
        nominal = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[:3])
        with pytest.raises(DataError, match="split 'test' is empty; images per split: train 3"):
            nominal.select(split="test")

    def test_strips_are_ordered_by_frame(self, tiny_dataset: Dataset) -> None:
        shuffled = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[::-1])
        strip = shuffled.strips()[0]
        assert [record.frame for record in strip.records] == [1, 2, 3]
        assert len(shuffled.strips()) == 21

    def test_strip_with_a_missing_frame(self, tiny_dataset: Dataset) -> None:
        part = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[1:])
        with pytest.raises(
            DataError, match=r"exactly 3 frames \(1\):\n  train-nominal-0/run 1: has 2"
        ):
            part.strips()


class TestHash:
    def test_depends_on_content_not_on_place_or_order(
        self, tiny_dataset: Dataset, own_dataset_folder: Path
    ) -> None:
        def reverse(rows: Rows) -> None:
            rows[1:] = rows[:0:-1]

        edit(own_dataset_folder, reverse)
        assert read_dataset(own_dataset_folder).sha256() == tiny_dataset.sha256()

    def test_changes_with_one_pixel(self, tiny_dataset: Dataset, own_dataset_folder: Path) -> None:
        path = own_dataset_folder / "train-nominal-0-1.png"
        pixels = np.array(Image.open(path))
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(path)
        assert read_dataset(own_dataset_folder).sha256() != tiny_dataset.sha256()

    def test_changes_with_a_split(self, tiny_dataset: Dataset, own_dataset_folder: Path) -> None:
        edit(own_dataset_folder, lambda rows: [row.__setitem__(SPLIT, "test") for row in rows[1:4]])
        assert read_dataset(own_dataset_folder).sha256() != tiny_dataset.sha256()

    def test_truncated_image_is_named(self, own_dataset_folder: Path) -> None:
        path = own_dataset_folder / "train-nominal-0-1.png"
        path.write_bytes(path.read_bytes()[:-200])
        dataset = read_dataset(own_dataset_folder)
        with pytest.raises(DataError, match=r"train-nominal-0-1\.png: expected a complete"):
            dataset.sha256()


class TestImages:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
    def test_eight_bit(self, tmp_path: Path, suffix: str) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (7, 9), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"frame.{suffix}")
        frame = load_frame(tmp_path / f"frame.{suffix}", 8)
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, pixels)

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bit(self, tmp_path: Path, suffix: str) -> None:
        pixels = np.random.default_rng(0).integers(0, 65536, (7, 9), np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"frame.{suffix}")
        frame = load_frame(tmp_path / f"frame.{suffix}", 12)
        assert frame.dtype == np.uint16
        assert frame.dtype.isnative
        np.testing.assert_array_equal(frame, pixels)

    def test_big_endian_tiff(self, tmp_path: Path) -> None:
        import tifffile

        pixels = np.random.default_rng(0).integers(0, 65536, (7, 9), np.uint16)
        tifffile.imwrite(tmp_path / "frame.tif", pixels, byteorder=">")
        np.testing.assert_array_equal(load_frame(tmp_path / "frame.tif", 16), pixels)

    def test_tiff_with_several_pages(self, tmp_path: Path) -> None:
        pages = [Image.new("L", (4, 4)), Image.new("L", (4, 4))]
        pages[0].save(tmp_path / "frame.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(DataError, match="expected one image, the file holds several"):
            load_frame(tmp_path / "frame.tif", 8)

    def test_eight_bit_image_for_a_deeper_layout(self, tmp_path: Path) -> None:
        Image.new("L", (4, 4)).save(tmp_path / "frame.png")
        with pytest.raises(DataError, match=r"expected 16-bit grayscale \(bit_depth 12\)"):
            load_frame(tmp_path / "frame.png", 12)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            load_frame(tmp_path / "frame.png", 8)

    def test_one_bit_mask(self, tmp_path: Path) -> None:
        pixels = np.eye(8, dtype=bool)
        Image.fromarray(pixels).save(tmp_path / "mask.png")
        np.testing.assert_array_equal(load_mask(tmp_path / "mask.png"), pixels)


class TestTruth:
    def test_mask_marks_the_patch_it_touches(self, tiny_dataset: Dataset) -> None:
        record = tiny_dataset.select(split="test", label="defective").records[0]
        expected = [[NOMINAL, DEFECTIVE], [NOMINAL, NOMINAL]]
        assert patch_truth(record, tiny_dataset.layout).tolist() == expected

    def test_unknown_without_a_mask(self, tiny_dataset: Dataset) -> None:
        record = tiny_dataset.select(split="test", label="defective").records[0]
        unmasked = dataclasses.replace(record, mask=None)
        assert (patch_truth(unmasked, tiny_dataset.layout) == UNKNOWN).all()

    def test_nominal(self, tiny_dataset: Dataset) -> None:
        assert (patch_truth(tiny_dataset.records[0], tiny_dataset.layout) == NOMINAL).all()


class TestSplits:
    @staticmethod
    def records(nominal: int, defective: int, runs: int = 2) -> tuple[Record, ...]:
        return tuple(
            Record(image=Path(f"{label}{i}-{run}"), product=f"{label}{i}", run=run, label=label)
            for label, count in (("nominal", nominal), ("defective", defective))
            for i in range(count)
            for run in range(1, runs + 1)
        )

    def counts(self, records: tuple[Record, ...], label: str) -> list[int]:
        chosen = {(r.product, r.split) for r in records if r.label == label}
        splits = [split for _, split in chosen]
        return [splits.count(name) for name in ("train", "validation", "calibration", "test")]

    def test_counts_by_largest_remainder(self) -> None:
        # 588 · (0.6, 0.05, 0.15, 0.2) = 352.8, 29.4, 88.2, 117.6; 313 · (0.4, 0.6) = 125.2, 187.8
        split = assign_splits(
            self.records(588, 313),
            nominal=Fractions.parse("60/5/15/20"),
            defective=Fractions.parse("0/0/40/60"),
            seed=0,
        )
        assert self.counts(split, "nominal") == [353, 29, 88, 118]
        assert self.counts(split, "defective") == [0, 0, 125, 188]

    def test_same_seed_same_split_in_any_order(self) -> None:
        options = {"nominal": Fractions.parse("25/25/25/25"), "defective": Fractions(0, 0, 0, 1)}
        records = self.records(20, 5)
        once = assign_splits(records, **options, seed=1)
        again = assign_splits(records[::-1], **options, seed=1)
        assert sorted(once, key=str) == sorted(again, key=str)
        assert once != assign_splits(records, **options, seed=2)

    @pytest.mark.parametrize("text", ["60/40", "60/5/15/x", "", "60/5/15/20/0"])
    def test_not_four_percentages(self, text: str) -> None:
        with pytest.raises(DataError, match="expected four percentages"):
            Fractions.parse(text)

    @pytest.mark.parametrize("text", ["60/5/15/25", "-10/50/30/30", "nan/0/0/0", "inf/0/0/0"])
    def test_percentages_that_do_not_sum(self, text: str) -> None:
        with pytest.raises(DataError, match="split fractions must"):
            Fractions.parse(text)


class TestPatches:
    def test_equal_direct_extraction(self, tiny_dataset: Dataset) -> None:
        patches = DatasetPatches(tiny_dataset)
        assert len(patches) == 63 * 4
        indices = np.array([5, 0, 251, 5, 6])
        frames = [load_frame(tiny_dataset.records[i // 4].image, 8) for i in indices]
        expected = [
            extract_patches(frame, tiny_dataset.layout)[i % 4 // 2, i % 2]
            for frame, i in zip(frames, indices, strict=True)
        ]
        np.testing.assert_array_equal(patches.read(indices), expected)
        assert patches.regions[indices].tolist() == [1, 0, 1, 1, 0]

    @pytest.mark.parametrize("cache_bytes", [0, 40_000, 2**30])
    def test_cache_changes_nothing_in_any_thread(
        self, tiny_dataset: Dataset, cache_bytes: int
    ) -> None:
        expected = DatasetPatches(tiny_dataset, cache_bytes=0).read(np.arange(252))
        patches = DatasetPatches(tiny_dataset, cache_bytes=cache_bytes)
        orders = [np.random.default_rng(seed).permutation(252) for seed in range(8)]
        with ThreadPoolExecutor(4) as pool:
            for order, read in zip(orders, pool.map(patches.read, orders), strict=True):
                np.testing.assert_array_equal(read, expected[order])

    @pytest.mark.parametrize("indices", [[-1], [252]])
    def test_index_outside(self, tiny_dataset: Dataset, indices: list[int]) -> None:
        with pytest.raises(IndexError, match=r"\[0, 252\)"):
            DatasetPatches(tiny_dataset).read(np.array(indices))

    def test_indices_of_wrong_type(self, tiny_dataset: Dataset) -> None:
        with pytest.raises(TypeError, match="int64"):
            DatasetPatches(tiny_dataset).read(np.array([0.0]))

    def test_image_that_vanished_is_named(self, own_dataset_folder: Path) -> None:
        patches = DatasetPatches(read_dataset(own_dataset_folder))
        (own_dataset_folder / "train-nominal-0-1.png").unlink()
        with pytest.raises(DataError, match=r"train-nominal-0-1\.png: no such file"):
            patches.read(np.array([0]))

    def test_golden_patches_come_from_validation_first(self, tiny_dataset: Dataset) -> None:
        with training_data(DataConfig(path=tiny_dataset.folder)) as data:
            golden = data.golden_patches(count=8)
        assert golden.shape == (2, 8, 32, 32)
        validation = DatasetPatches(tiny_dataset.select(split="validation"))
        np.testing.assert_array_equal(golden[1, 0], validation.read(np.array([1]))[0])

    def test_too_few_golden_patches(self, tiny_dataset: Dataset) -> None:
        with (
            training_data(DataConfig(path=tiny_dataset.folder)) as data,
            pytest.raises(DataError, match=r"at least 100 patches of every region.*got 36"),
        ):
            data.golden_patches(count=100)


def test_a_table_that_is_not_right_is_refused_or_read_whole(
    tmp_path: Path, tiny_dataset: Dataset
) -> None:
    """Random damage to dataset.csv: never a traceback, never a row that is passed over."""
    random = np.random.default_rng(5)
    write_dataset(tmp_path, tiny_dataset.layout, tiny_dataset.records)
    whole = (tmp_path / "dataset.csv").read_bytes()
    rows = len(tiny_dataset.records)
    inserts = [b"\n", b",", b'"', b"\0", b"\xe9", b"\r\n", b"\xef\xbb\xbf", b"train", b" ", b"-1"]
    outcomes = {True: 0, False: 0}
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(int(random.integers(1, 4))):
            at = int(random.integers(len(content)))
            action = int(random.integers(3))
            if action == 0:
                content[at : at + int(random.integers(1, 6))] = b""
            elif action == 1:
                content[at:at] = inserts[int(random.integers(len(inserts)))]
            else:
                content[at] = int(random.integers(256))
        (tmp_path / "dataset.csv").write_bytes(content)
        try:
            found = len(read_dataset(tmp_path).records)
        except DataError:
            outcomes[False] += 1
            continue
        outcomes[True] += 1
        # An empty line is no row; every other line is.
        lines = [line for line in bytes(content).decode("utf-8-sig").splitlines() if line]
        assert found == len(lines) - 1
    assert min(outcomes.values()) > 10
    assert rows > 10
