"""The roofline of a graph, by hand."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import tensorflow as tf

pytestmark = pytest.mark.tensorflow

TOOL = Path(__file__).resolve().parents[2] / "tools" / "roofline.py"


@pytest.fixture(scope="module")
def roofline() -> ModuleType:
    specification = importlib.util.spec_from_file_location("roofline", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_layers_by_hand(roofline: ModuleType) -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 1), name="patches")
        x = tf.nn.relu(tf.nn.conv2d(x, tf.ones((3, 3, 1, 5)), 2, "SAME"))
        tf.matmul(tf.reshape(x, (-1, 80)), tf.ones((80, 3)))
    found = list(roofline.layers_of(graph.as_graph_def().SerializeToString(), 2, 8))
    convolution = (2 * 2 * 16 * 9 * 5, 2 * 64 + 9 * 5 + 2 * 16 * 5)
    product = (2 * 2 * 80 * 3, 2 * 80 + 80 * 3 + 2 * 3)
    assert [tuple(layer) for layer in found] == [convolution, product]


def test_a_layer_takes_the_longer_of_arithmetic_and_bytes(roofline: ModuleType) -> None:
    arithmetic = roofline.Layer(flop=24_000_000_000, numbers=1)
    memory = roofline.Layer(flop=1, numbers=160_000_000)
    assert roofline.least_ms([arithmetic], 24.0, 640.0, 4) == pytest.approx(1.0)
    assert roofline.least_ms([memory], 24.0, 640.0, 4) == pytest.approx(1.0)
    assert roofline.least_ms([memory, arithmetic], 24.0, 640.0, 2) == pytest.approx(1.5)
