"""`vialsight simulate SET --out DIR --shards`."""

from pathlib import Path

import numpy as np
import pytest
from simulation_support import SMALL_KIT, simulate

import vialsight
from vialsight.data import load_frame, read_dataset
from vialsight.simulation.product import bfs_layout


@pytest.mark.tensorflow
@pytest.mark.slow
def test_shards_hold_the_patches_of_the_rendered_images(tmp_path: Path, kit_folder: Path) -> None:
    import tensorflow as tf

    out = tmp_path / "shards"
    arguments = (*SMALL_KIT, "--out", out, "--shards", "--patch-size", 32)
    said = simulate(*arguments)
    assert said.startswith("kit: 9 of 9 images to write, about ")
    assert (out / "defects.csv").read_bytes() == (kit_folder / "defects.csv").read_bytes()
    expected = {
        (record.product, record.frame, vial, region): patch
        for record in read_dataset(kit_folder).records
        for vial, row in enumerate(
            vialsight.extract_patches(load_frame(record.image, 8), bfs_layout(32))
        )
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
