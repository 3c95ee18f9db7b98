"""FLOP of graphs: by hand, by TensorFlow's profiler, by the layers of our networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vialsight.flops import graph_flop
from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.training.freezing import freeze_graph

pytestmark = pytest.mark.tensorflow


def small(batch: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    """Three by hand: 3x3 at half size, 2x2 back to full size, a product over places."""
    del training
    x = tf.nn.conv2d(batch, tf.ones((3, 3, 1, 5)), 2, "SAME")
    x = tf.nn.conv2d_transpose(x, tf.ones((2, 2, 7, 5)), tf.stack([tf.shape(x)[0], 8, 8, 7]), 2)
    rows = tf.reshape(x, (-1, 7)) @ tf.ones((7, 11))
    return {"reconstruction": tf.reshape(rows, (-1, 8, 8, 11))[..., :1]}


BY_HAND = 2 * (4 * 4 * 3 * 3 * 1 * 5 + 4 * 4 * 2 * 2 * 5 * 7 + 8 * 8 * 7 * 11)


def test_small_graph_by_hand() -> None:
    model = freeze_graph(small, 8, method="drae")
    assert graph_flop(model.graph_def, model.input_name, 8) == BY_HAND


@pytest.mark.parametrize("preset", ["drae-32", "line-S", "line-M"])
def test_networks_layer_by_layer(preset: str) -> None:
    generator = deployed_part(build_generator(NetworkOptions(patch_size=64, preset=preset)))
    model = freeze_graph(generator, 64, method="drae")
    expected = sum(layer_flop(layer) for layer in generator.layers)
    assert graph_flop(model.graph_def, model.input_name, 64) == expected


def layer_flop(layer: keras.layers.Layer) -> int:
    kernel = int(np.prod(layer.kernel.shape)) if hasattr(layer, "kernel") else 0
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return 2 * int(np.prod(layer.input.shape[1:3])) * kernel
    if isinstance(layer, keras.layers.Conv2D):
        return 2 * int(np.prod(layer.output.shape[1:3])) * kernel
    return 2 * kernel


def test_convolutions_agree_with_tensorflows_profiler() -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (1, 16, 16, 1), name="patches")
        x = tf.nn.conv2d(x, tf.ones((5, 5, 1, 8)), 2, "SAME")
        x = tf.nn.conv2d(x, tf.ones((3, 3, 8, 4)), 1, "VALID")
        tf.matmul(tf.reshape(x, (1, 144)), tf.ones((9, 144)), transpose_b=True)
    option = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    profile = tf.compat.v1.profiler.profile(graph, options={**option, "output": "none"})
    ours = graph_flop(graph.as_graph_def().SerializeToString(), "patches", 16)
    assert ours == profile.total_float_ops


def test_unknown_shapes_are_refused() -> None:
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.placeholder(tf.float32, (1, 8, 8, 1), name="patches")
        other = tf.compat.v1.placeholder(tf.float32, (1, None, None, 1))
        tf.nn.conv2d(other, tf.ones((3, 3, 1, 1)), 1, "SAME", name="blind")
    with pytest.raises(ValueError, match="Conv2D 'blind': expected a known shape"):
        graph_flop(graph.as_graph_def().SerializeToString(), "patches", 8)
