"""The frozen graph computes what the Keras model does, with few operations."""

import numpy as np
import pytest
import tensorflow as tf

from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.training.freezing import FrozenGraph, freeze_graph, golden, run_frozen

pytestmark = pytest.mark.tensorflow

COMMON_OPS = {
    "AddV2", "AvgPool", "BiasAdd", "ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput",
    "FusedBatchNormV3", "Identity", "MatMul", "Pack", "Placeholder", "Relu", "Reshape", "Shape",
    "Sigmoid", "Squeeze", "StridedSlice",
}  # fmt: skip


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return np.random.default_rng(0).random((61, 32, 32), np.float32)


def network(**options: object) -> object:
    generator = build_generator(NetworkOptions(patch_size=32, preset="drae-16", **options))
    generator(np.random.default_rng(1).random((8, 32, 32, 1), np.float32), training=True)
    return deployed_part(generator)


@pytest.fixture(scope="module")
def model() -> object:
    return network()


@pytest.fixture(scope="module")
def graph(model: object) -> FrozenGraph:
    return freeze_graph(model, 32)


def ops_of(graph: FrozenGraph) -> list[str]:
    """Sorted names of the distinct operations, function library included."""
    definition = tf.compat.v1.GraphDef.FromString(graph.graph_def)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return sorted({node.op for node in nodes})


def test_graph_equals_the_model(model: object, graph: FrozenGraph, patches: np.ndarray) -> None:
    expected = model(patches[..., np.newaxis], training=False).numpy()[..., 0]
    np.testing.assert_allclose(run_frozen(graph, patches), expected, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_any_number_of_patches(graph: FrozenGraph, patches: np.ndarray, count: int) -> None:
    result = run_frozen(graph, patches[:count])
    assert result.shape == (count, 32, 32)
    np.testing.assert_allclose(result, run_frozen(graph, patches)[:count], atol=1e-6)


def test_graph_has_one_input_and_one_output(graph: FrozenGraph) -> None:
    nodes = tf.compat.v1.GraphDef.FromString(graph.graph_def).node
    inputs = [node for node in nodes if node.op == "Placeholder"]
    assert [node.name for node in inputs] == ["patches"]
    assert inputs[0].attr["dtype"].type == tf.float32.as_datatype_enum
    assert [d.size for d in inputs[0].attr["shape"].shape.dim] == [-1, 32, 32, 1]
    used = {name.split(":")[0].lstrip("^") for node in nodes for name in node.input}
    assert [node.name for node in nodes if node.name not in used] == ["reconstructions"]


def test_ops_are_few_and_known(graph: FrozenGraph) -> None:
    assert set(ops_of(graph)) <= COMMON_OPS


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ({"activation": "leaky_relu"}, {"LeakyRelu"}),
        ({"dtype": "mixed_bfloat16"}, {"Cast"}),
        ({"dtype": "mixed_float16"}, {"Cast"}),
    ],
)
def test_ops_of_other_options(options: dict[str, object], extra: set[str]) -> None:
    graph = freeze_graph(network(**options), 32)
    assert set(ops_of(graph)) <= COMMON_OPS | extra
    assert run_frozen(graph, np.zeros((1, 32, 32), np.float32)).dtype == np.float32


def test_freezing_twice_gives_equal_bytes(model: object, graph: FrozenGraph) -> None:
    assert freeze_graph(model, 32).graph_def == graph.graph_def


def test_golden_scores_are_tensorflows(graph: FrozenGraph, patches: np.ndarray) -> None:
    inputs = patches[:16].reshape(2, 8, 32, 32)
    result = golden(graph, inputs)
    similarity = tf.image.ssim(
        inputs[..., np.newaxis], result.reconstructions[..., np.newaxis], max_val=1.0
    )
    np.testing.assert_allclose(result.scores, 1 - similarity.numpy(), atol=1e-5)
    assert result.scores.dtype == np.float32
