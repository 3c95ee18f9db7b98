"""`vialsight simulate SET --out DIR --shards`."""

from pathlib import Path

import numpy as np
import pytest
from simulation_support import SMALL_KIT, simulate

import vialsight
from conftest import kit_locator
from vialsight.data import load_frame, read_dataset
from vialsight.locator import ProductLocator, write_locator
from vialsight.simulation.product import bfs_layout


def located_by(kit: Path, folder: Path) -> ProductLocator:
    locator: ProductLocator = kit_locator(read_dataset(kit), bfs_layout(32))
    write_locator(folder / "locator", locator)
    return locator


def located_patches(frame: np.ndarray, locator: ProductLocator) -> np.ndarray:
    where = locator.core().locate(frame)
    return vialsight.extract_patches(frame, bfs_layout(32), (where.dx, where.dy, where.turn))


@pytest.mark.tensorflow
@pytest.mark.slow
def test_shards_hold_the_patches_of_the_rendered_images(tmp_path: Path, kit_folder: Path) -> None:
    import tensorflow as tf

    out, locator = tmp_path / "shards", located_by(kit_folder, tmp_path)
    arguments = (*SMALL_KIT, "--out", out, "--shards", "--patch-size", 32)
    assert "give --locator" in simulate(*arguments, code=2)
    arguments = (*arguments, "--locator", tmp_path / "locator")
    said = simulate(*arguments)
    assert said.startswith("kit: 9 of 9 images to write, about ")
    assert (out / "defects.csv").read_bytes() == (kit_folder / "defects.csv").read_bytes()
    expected = {
        (record.product, record.frame, vial, region): patch
        for record in read_dataset(kit_folder).records
        for vial, row in enumerate(located_patches(load_frame(record.image, 8), locator))
        for region, patch in enumerate(row)
    }
    features = {
        "patch": tf.io.FixedLenFeature([], tf.string),
        "product": tf.io.FixedLenFeature([], tf.string),
        **{n: tf.io.FixedLenFeature([], tf.int64) for n in ("frame", "vial", "region")},
    }
    shards = sorted(str(path) for path in out.glob("shard-*.tfrecord"))
    for record in tf.data.TFRecordDataset(shards):
        fields = tf.io.parse_single_example(record, features)
        place = tuple(int(fields[name]) for name in ("frame", "vial", "region"))
        patch = np.frombuffer(fields["patch"].numpy(), "<f4").reshape(32, 32)
        wanted = expected.pop((fields["product"].numpy().decode(), *place))
        np.testing.assert_array_equal(patch, wanted)
    assert not expected
    assert simulate(*arguments) == f"{out} is complete already; nothing to do\n"
