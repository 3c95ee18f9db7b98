"""Shards: written, read back, resumed; one test per malformation, named after it."""

import dataclasses
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shard_support as small
import tensorflow as tf

import vialsight
from vialsight.config import DataConfig
from vialsight.data import (
    Dataset,
    DatasetPatches,
    Group,
    check_shards,
    dataset_groups,
    dataset_source,
    open_shards,
    plan_shards,
    read_index,
    write_shards,
)
from vialsight.data.shards.index import content_sha256
from vialsight.errors import DataError
from vialsight.training.data import training_data

pytestmark = pytest.mark.tensorflow

Content = dict[str, Any]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def frames_of(split: str, bit_depth: int = 8) -> list[np.ndarray]:
    chosen = [g for g in small.groups(bit_depth=bit_depth) if g.split == split]
    return [frame for group in chosen for frame in group.load()]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small shards; shared: never write into them."""
    folder = tmp_path_factory.mktemp("shards")
    small.write(folder)
    return folder


@pytest.fixture
def own(shards: Path, tmp_path: Path) -> Path:
    """A copy free to be damaged."""
    return Path(shutil.copytree(shards, tmp_path / "own"))


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("bit_depth", "boxes", "dtype"),
        [
            (8, small.COPIED, "uint8"),
            (12, small.COPIED, "uint16"),
            (16, small.COPIED, "uint16"),
            (8, small.RESAMPLED, "float32"),
            (12, small.RESAMPLED, "float32"),
        ],
    )
    def test_equals_the_patches_of_the_core(
        self, bit_depth: int, boxes: list, dtype: str, tmp_path: Path
    ) -> None:
        layout = small.layout(bit_depth=bit_depth, boxes=boxes)
        chosen = small.groups(bit_depth=bit_depth)
        index = write_shards(tmp_path, layout, chosen, source="x", records_per_shard=24)
        assert index.dtype == dtype
        expected = np.concatenate(
            [
                vialsight.extract_patches(frame, layout).reshape(-1, small.P, small.P)
                for frame in frames_of("train", bit_depth)
            ]
        )
        patches = open_shards(tmp_path).patches("train")
        assert len(patches) == len(expected) == 96
        order = np.random.default_rng(1).permutation(96)
        np.testing.assert_array_equal(patches.read(order), expected[order])

    def test_plain_tensorflow_reads_them(self, shards: Path) -> None:
        features = {
            "patch": tf.io.FixedLenFeature([], tf.string),
            "product": tf.io.FixedLenFeature([], tf.string),
            "run": tf.io.FixedLenFeature([], tf.int64),
            "frame": tf.io.FixedLenFeature([], tf.int64),
            "vial": tf.io.FixedLenFeature([], tf.int64),
            "region": tf.io.FixedLenFeature([], tf.int64),
            "label": tf.io.FixedLenFeature([], tf.string),
        }
        files = sorted(str(path) for path in shards.glob("*.tfrecord"))
        records = [
            tf.io.parse_single_example(record, features)
            for record in tf.data.TFRecordDataset(files)
        ]
        assert len(records) == 120
        record = records[12 + 4 + 2]  # the second run's second frame, vial 1, region 0
        names = ("product", "run", "frame", "vial", "region", "label")
        assert [record[name].numpy() for name in names] == [b"train-0", 2, 8, 1, 0, b"nominal"]
        pixels = tf.reshape(tf.io.decode_raw(record["patch"], tf.uint8), (small.P, small.P))
        frame = small.groups()[1].load()[1]
        x, y, width, height = small.COPIED[1][0]
        np.testing.assert_array_equal(pixels, frame[y : y + height, x : x + width])

    def test_index_tells_sizes_hashes_and_products(self, shards: Path) -> None:
        index = json.loads((shards / "index.json").read_text())
        assert [s["split"] for s in index["shards"]] == ["train"] * 4 + ["validation"]
        assert [s["records"] for s in index["shards"]] == [24] * 5
        for shard in index["shards"]:
            content = (shards / shard["name"]).read_bytes()
            assert len(content) == shard["bytes"]
            assert hashlib.sha256(content).hexdigest() == shard["sha256"]
        assert index["products"] == {
            "train": {"nominal": [f"train-{n}" for n in range(4)], "defective": []},
            "validation": {"nominal": ["validation-0", "validation-1"], "defective": []},
        }
        assert sorted(p.name for p in shards.iterdir()) == [
            "index.json", *(f"shard-0000{n}.tfrecord" for n in range(5)),
        ]  # fmt: skip

    def test_digest_is_of_the_content_alone(self, shards: Path, tmp_path: Path) -> None:
        again = small.write(tmp_path / "again", source="another way to the same pixels")
        assert again.sha256 == read_index(shards).sha256
        other = small.groups()
        other[0] = dataclasses.replace(other[0], load=small.Noise(99))
        assert small.write(tmp_path / "other", other).sha256 != again.sha256

    def test_packed_dataset_holds_its_patches(self, tiny_dataset: Dataset, tmp_path: Path) -> None:
        groups = dataset_groups(tiny_dataset, ["train", "validation"])
        source = dataset_source(tiny_dataset)
        write_shards(tmp_path, tiny_dataset.layout, groups, source=source)
        for split, count in (("train", 48), ("validation", 24)):
            packed = open_shards(tmp_path).patches(split)
            loose = DatasetPatches(tiny_dataset.select(split=split))
            assert len(packed) == len(loose) == count
            every = np.arange(count)
            np.testing.assert_array_equal(packed.read(every), loose.read(every))

    def test_unequal_lengths_of_records(self, tmp_path: Path) -> None:
        names = ["a", "a-much-longer-name", "b"]
        chosen = [
            Group(
                product=name, run=1 + 200 * n, label="nominal", split="train", frames=small.FRAMES,
                load=small.Noise(n),
            )
            for n, name in enumerate(names)
        ]  # fmt: skip
        index = write_shards(tmp_path, small.layout(), chosen, source="x")
        assert len(index.shards[0].lengths) == 3
        expected = [vialsight.extract_patches(f, small.layout()) for g in chosen for f in g.load()]
        np.testing.assert_array_equal(
            open_shards(tmp_path).patches("train").read(np.arange(36)),
            np.concatenate(expected).reshape(-1, small.P, small.P),
        )


class TestReading:
    def test_threads_read_the_same_and_leave_no_file_open(self, shards: Path) -> None:
        patches = open_shards(shards).patches("train")
        expected = patches.read(np.arange(96))
        opened = len(list(Path("/proc/self/fd").iterdir()))
        orders = [np.random.default_rng(n).integers(0, 96, 40) for n in range(30)]
        with ThreadPoolExecutor(4) as pool:
            for order, found in zip(orders, pool.map(patches.read, orders), strict=True):
                np.testing.assert_array_equal(found, expected[order])
        assert len(list(Path("/proc/self/fd").iterdir())) <= opened

    @pytest.mark.parametrize("index", [-1, 96])
    def test_index_outside(self, shards: Path, index: int) -> None:
        with pytest.raises(IndexError, match=r"\[0, 96\)"):
            open_shards(shards).patches("train").read(np.array([index]))

    def test_split_without_shards(self, shards: Path) -> None:
        with pytest.raises(DataError, match="split 'test' has no shards; it has train, validation"):
            open_shards(shards).patches("test")


class TestTrainingData:
    def test_identity_needs_no_shard_to_be_read(self, own: Path) -> None:
        for path in own.glob("*.tfrecord"):
            path.write_bytes(bytes(path.stat().st_size))
        with training_data(DataConfig(path=own)) as data:
            identity = data.identity
        assert identity["data_sha256"] == read_index(own).sha256
        assert identity["folder"] == str(own)
        assert identity["training_products"] == [
            *(f"train-{n}" for n in range(4)), "validation-0", "validation-1",
        ]  # fmt: skip

    def test_golden_patches_come_from_validation_first(self, shards: Path) -> None:
        with training_data(DataConfig(path=shards)) as data:
            golden = data.golden_patches(count=20)
            validation, train = (
                part.read(np.arange(len(part))).reshape(-1, 2, small.P, small.P)
                for part in (data.validation, data.training)
            )
        assert golden.shape == (2, 20, small.P, small.P)
        for region in range(2):
            np.testing.assert_array_equal(golden[region, :12], validation[:, region])
            np.testing.assert_array_equal(golden[region, 12:], train[:8, region])

    def test_too_few_golden_patches(self, shards: Path) -> None:
        with training_data(DataConfig(path=shards)) as data, pytest.raises(DataError, match="61"):
            data.golden_patches(count=61)

    def test_defective_products_are_refused(self, tmp_path: Path) -> None:
        chosen = [
            dataclasses.replace(group, label="defective" if n == 8 else "nominal")
            for n, group in enumerate(small.groups())
        ]
        small.write(tmp_path, chosen)
        match = "defective images in the validation split.*\n  validation-0"
        with pytest.raises(DataError, match=match), training_data(DataConfig(path=tmp_path)):
            pass


class TestWriting:
    def test_plan_keeps_groups_whole_and_splits_apart(self) -> None:
        mixed = sorted(small.groups(), key=lambda g: (g.run, g.product))
        tasks = plan_shards(Path("x"), small.layout(), mixed, records_per_shard=30)
        assert [(t.number, t.images, {g.split for g in t.groups}) for t in tasks] == [
            (0, 9, {"train"}), (1, 9, {"train"}), (2, 6, {"train"}), (3, 6, {"validation"}),
        ]  # fmt: skip
        assert [g for t in tasks for g in t.groups if g.split == "train"] == [
            g for g in mixed if g.split == "train"
        ]

    def test_workers_write_the_same_bytes(self, shards: Path, tmp_path: Path) -> None:
        done: list[tuple[int, int]] = []
        with ThreadPoolExecutor(2) as pool:
            small.write(tmp_path, executor=pool, progress=lambda *now: done.append(now))
        assert content_of(tmp_path) == content_of(shards)
        assert done[0] == (0, 30)
        assert done[-1] == (30, 30)

    def test_killed_and_resumed_gives_the_same_bytes(self, shards: Path, tmp_path: Path) -> None:
        folder, marker = tmp_path / "out", tmp_path / "marker"
        program = [sys.executable, small.__file__, str(folder), str(marker)]
        with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:
            while not marker.exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        names = content_of(folder)
        assert {"writing.json", "shard-00000.tfrecord", "shard-00000.json"} < set(names)
        assert any(name.endswith(".tmp") for name in names)
        assert "index.json" not in names
        first = (folder / "shard-00000.tfrecord").stat().st_mtime_ns
        small.write(folder)
        assert content_of(folder) == content_of(shards)
        assert (folder / "shard-00000.tfrecord").stat().st_mtime_ns == first

    def test_killed_after_the_index_leaves_no_notes(self, own: Path, shards: Path) -> None:
        plan = read_index(own).plan
        (own / "writing.json").write_text(json.dumps({"plan": plan}))
        (own / "shard-00000.json").write_text("{}")
        small.write(own)
        assert content_of(own) == content_of(shards)

    def test_finished_folder_is_left_alone(self, shards: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
        assert small.write(shards) == read_index(shards)
        assert {path: path.stat().st_mtime_ns for path in shards.iterdir()} == before

    @pytest.mark.parametrize("changes", [{"source": "other"}, {"records_per_shard": 12}])
    def test_folder_with_other_shards(self, shards: Path, changes: dict) -> None:
        with pytest.raises(DataError, match="holds other shards"):
            small.write(shards, **changes)

    def test_folder_with_unfinished_other_shards(self, tmp_path: Path) -> None:
        (tmp_path / "writing.json").write_text(json.dumps({"plan": "0" * 64}))
        with pytest.raises(DataError, match="holds other shards"):
            small.write(tmp_path)

    def test_folder_with_a_dataset(self, own_dataset_folder: Path) -> None:
        with pytest.raises(DataError, match="holds a dataset"):
            small.write(own_dataset_folder)

    def test_folder_that_another_process_writes(self, tmp_path: Path) -> None:
        import fcntl

        holder = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process writes"):
            small.write(tmp_path)
        os.close(holder)

    def test_disk_without_space(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 10**5))
        match = r"0\.\d+ GB are needed, 0\.000 GB are free"
        with pytest.raises(DataError, match=match):
            small.write(tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_disk_that_refuses(self, shards: Path, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        try:
            with pytest.raises(
                DataError, match=r"shard-00000\.tfrecord: cannot be written \(.+\);"
            ):
                small.write(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert set(content_of(tmp_path)) == {"writing.json"}
        small.write(tmp_path)
        assert content_of(tmp_path) == content_of(shards)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda g: [], "no images"),
            (lambda g: [*g, g[0]], "given twice"),
            (lambda g: [dataclasses.replace(g[0], split="validation"), *g[1:]], "two splits"),
            (lambda g: [dataclasses.replace(g[0], label="defective"), *g[1:]], "two labels"),
            (lambda g: [dataclasses.replace(g[0], split="dev")], "split 'dev'"),
            (lambda g: [dataclasses.replace(g[0], frames=())], "no frames"),
            (lambda g: [dataclasses.replace(g[0], frames=(1,))], "expected 1 images, got 3"),
            (
                lambda g: [dataclasses.replace(g[0], load=small.Noise(1, 12))],
                "run 1 frame 1: expected a frame uint8",
            ),
        ],
    )
    def test_groups_that_cannot_be_written(
        self, change: Callable[[list[Group]], list[Group]], match: str, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match=match):
            write_shards(tmp_path, small.layout(), change(small.groups()), source="x")

    def test_pixel_above_the_bit_depth(self, tmp_path: Path) -> None:
        chosen = small.groups(bit_depth=16)
        with pytest.raises(DataError, match=r"pixels up to 4095 \(12 bit\)"):
            write_shards(tmp_path, small.layout(bit_depth=12), chosen, source="x")


def edit_index(folder: Path, change: Callable[[Content], object], *, sign: bool = True) -> None:
    path = folder / "index.json"
    content = json.loads(path.read_text())
    change(content)
    if sign:
        content["sha256"] = content_sha256(content)
    path.write_text(json.dumps(content))


class TestMalformedIndex:
    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda c: c.update(note="x"), "note: Extra inputs"),
            (lambda c: c.pop("dtype"), "dtype: Field required"),
            (lambda c: c.update(format_version=2), "format_version: Input should be 1"),
            (lambda c: c.update(dtype="uint16"), "gives patches of 32 pixels as uint8"),
            (lambda c: c.update(patch_size=64), "not of 64"),
            (lambda c: c["layout"].pop("regions"), "layout: "),
            (lambda c: c["shards"].append(c["shards"][0]), "shard-00000.tfrecord is listed more"),
            (lambda c: c["shards"][0].update(name="../shard-00000.tfrecord"), "shards.0.name"),
            (lambda c: c["shards"][0].update(split="dev"), "shards.0.split"),
            (lambda c: c["shards"][0].update(records=25), "stand for 24 records"),
            (lambda c: c["shards"][0].update(bytes=7), "not for 24 and 7"),
            (lambda c: c["shards"][0].update(lengths=[[24, 0]]), "shards.0.lengths"),
            (lambda c: c["shards"][0].update(sha256="f"), "shards.0.sha256"),
            (lambda c: c["shards"][0].update(extra=1), "shards.0.extra"),
            (lambda c: c["products"].pop("train"), "exactly the splits"),
            (lambda c: c["products"]["train"]["nominal"].append("validation-0"), "more than once"),
            (lambda c: c["products"]["train"].update(good=[]), "products.train.good"),
            (lambda c: c.update(shards=[]), "shards: "),
        ],
    )
    def test_wrong_content(self, own: Path, change: Callable[[Content], Any], match: str) -> None:
        edit_index(own, change)
        with pytest.raises(DataError, match=match):
            open_shards(own)

    def test_part_of_a_frame(self, own: Path) -> None:
        def shorten(content: Content) -> None:
            shard = content["shards"][0]
            length = shard["lengths"][0][1]
            shard.update(records=23, lengths=[[23, length]], bytes=23 * (length + 16))

        edit_index(own, shorten)
        with pytest.raises(DataError, match="whole frames of 4 patches: shard-00000"):
            open_shards(own)

    def test_changed_without_its_digest(self, own: Path) -> None:
        edit_index(own, lambda c: c["shards"][0].update(sha256="0" * 64), sign=False)
        with pytest.raises(DataError, match="the index was changed"):
            open_shards(own)

    @pytest.mark.parametrize("text", ["{", "[]", '{"sha256": 1, "sha256": 2}', "\udcff"])
    def test_no_index_at_all(self, own: Path, text: str) -> None:
        (own / "index.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(DataError, match="expected an index of shards"):
            open_shards(own)

    def test_missing(self, own: Path) -> None:
        (own / "index.json").unlink()
        with pytest.raises(DataError, match=r"index\.json: no such file"):
            open_shards(own)


def damage(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, change: Callable[[list[bytes]], None]) -> None:
    """Write a shard anew, its records and their CRCs well formed."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    change(records)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


class TestDamagedShard:
    def refused(self, folder: Path, match: str, index: int = 5) -> None:
        with pytest.raises(DataError, match=match):
            open_shards(folder).patches("train").read(np.array([index]))

    def record_bytes(self, folder: Path) -> int:
        return read_index(folder).shards[0].lengths[0][1] + 16

    def test_missing(self, own: Path) -> None:
        (own / "shard-00001.tfrecord").unlink()
        self.refused(own, r"shard-00001\.tfrecord: no such file")

    def test_wrong_size(self, own: Path) -> None:
        path = own / "shard-00001.tfrecord"
        path.write_bytes(path.read_bytes()[:-1])
        self.refused(own, r"shard-00001\.tfrecord: \d+ bytes, expected \d+")

    def test_flipped_byte_in_the_pixels(self, own: Path) -> None:
        size = self.record_bytes(own)
        damage(own / "shard-00000.tfrecord", 5 * size + size // 2)
        self.refused(own, r"shard-00000\.tfrecord: record 5 of 24 is damaged \(its CRC is wrong\)")
        open_shards(own).patches("train").read(np.array([4, 6]))

    def test_flipped_byte_in_the_crc(self, own: Path) -> None:
        damage(own / "shard-00000.tfrecord", 6 * self.record_bytes(own) - 1)
        self.refused(own, "record 5 of 24 is damaged")

    @pytest.mark.parametrize("offset", [0, 9])
    def test_flipped_byte_in_the_header(self, own: Path, offset: int) -> None:
        damage(own / "shard-00000.tfrecord", 5 * self.record_bytes(own) + offset)
        self.refused(own, "record 5 of 24 has a damaged header")

    def test_truncated_after_it_was_opened(self, own: Path) -> None:
        patches = open_shards(own).patches("train")
        path = own / "shard-00000.tfrecord"
        os.truncate(path, 5 * self.record_bytes(own) + 100)
        with pytest.raises(DataError, match=r"record 5 of 24 is cut off: 100 of \d+ bytes"):
            patches.read(np.array([5]))

    def test_removed_after_it_was_opened(self, own: Path) -> None:
        patches = open_shards(own).patches("train")
        (own / "shard-00000.tfrecord").unlink()
        with pytest.raises(DataError, match=r"shard-00000\.tfrecord: no such file"):
            patches.read(np.array([5]))

    def test_records_in_another_order(self, own: Path) -> None:
        rewrite(own / "shard-00000.tfrecord", lambda r: r.insert(5, r.pop(6)))
        self.refused(own, r"record 5 of 24 is of vial and region \(1, 0\), expected \(0, 1\)")

    def test_record_that_is_no_example(self, own: Path) -> None:
        rewrite(own / "shard-00000.tfrecord", lambda r: r.__setitem__(5, b"\xff" * len(r[5])))
        self.refused(own, r"record 5 of 24 is no tf\.train\.Example")

    def test_record_without_a_patch(self, own: Path) -> None:
        def rename(records: list[bytes]) -> None:
            records[5] = records[5].replace(b"\x05patch", b"\x05patsh")

        rewrite(own / "shard-00000.tfrecord", rename)
        self.refused(own, "record 5 of 24 holds no patch of 1024 bytes")


class TestCheck:
    def test_whole_shards(self, shards: Path) -> None:
        done: list[tuple[int, int]] = []
        assert check_shards(shards, progress=lambda *now: done.append(now)) == []
        assert done == [(n, 5) for n in range(1, 6)]

    def test_names_every_damaged_shard(self, own: Path) -> None:
        size = read_index(own).shards[0].lengths[0][1] + 16
        damage(own / "shard-00000.tfrecord", 7 * size + size // 2)
        rewrite(own / "shard-00001.tfrecord", lambda r: r.insert(0, r.pop()))
        (own / "shard-00002.tfrecord").write_bytes(b"")
        (own / "shard-00003.tfrecord").unlink()
        changed = "its SHA-256 is not that of the index"
        assert check_shards(own) == [
            f"shard-00000.tfrecord: {changed}; record 7 is damaged (its CRC is wrong)",
            f"shard-00001.tfrecord: {changed}; every record is whole: it is another shard",
            f"shard-00002.tfrecord: 0 bytes, expected {24 * size}",
            "shard-00003.tfrecord: no such file",
        ]
