"""The frozen graph computes what the Keras model does, with few operations."""

import numpy as np
import pytest
import tensorflow as tf

from vialsight import scores
from vialsight.bundle import Model, Output
from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.training.freezing import (
    freeze_graph,
    golden,
    measure_locations,
    run_frozen,
)

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
    generator = build_generator(NetworkOptions(patch_size=32, **{"preset": "drae-16", **options}))
    generator(np.random.default_rng(1).random((8, 32, 32, 1), np.float32), training=True)
    return deployed_part(generator)


@pytest.fixture(scope="module")
def model() -> object:
    return network()


@pytest.fixture(scope="module")
def graph(model: object) -> Model:
    return freeze_graph(model, 32, method="drae")


def reconstructed(graph: Model, patches: np.ndarray) -> np.ndarray:
    return run_frozen(graph, patches)["reconstruction"]


def ops_of(graph: Model) -> list[str]:
    """Sorted names of the distinct operations, function library included."""
    definition = tf.compat.v1.GraphDef.FromString(graph.graph_def)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return sorted({node.op for node in nodes})


def test_graph_equals_the_model(model: object, graph: Model, patches: np.ndarray) -> None:
    expected = model(patches[..., np.newaxis], training=False)["reconstruction"].numpy()[..., 0]
    np.testing.assert_allclose(reconstructed(graph, patches), expected, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_any_number_of_patches(graph: Model, patches: np.ndarray, count: int) -> None:
    result = reconstructed(graph, patches[:count])
    assert result.shape == (count, 32, 32)
    np.testing.assert_allclose(result, reconstructed(graph, patches)[:count], atol=1e-6)


def test_graph_has_one_input_and_one_output(graph: Model) -> None:
    nodes = tf.compat.v1.GraphDef.FromString(graph.graph_def).node
    inputs = [node for node in nodes if node.op == "Placeholder"]
    assert [node.name for node in inputs] == ["patches"]
    assert inputs[0].attr["dtype"].type == tf.float32.as_datatype_enum
    assert [d.size for d in inputs[0].attr["shape"].shape.dim] == [-1, 32, 32, 1]
    used = {name.split(":")[0].lstrip("^") for node in nodes for name in node.input}
    assert [node.name for node in nodes if node.name not in used] == ["reconstruction"]


def test_ops_are_few_and_known(graph: Model) -> None:
    assert set(ops_of(graph)) <= COMMON_OPS


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ({"activation": "leaky_relu"}, {"LeakyRelu"}),
        ({"dtype": "mixed_bfloat16"}, {"Cast"}),
        ({"dtype": "mixed_float16"}, {"Cast"}),
        ({"preset": "line-M"}, {"Mul", "Transpose"}),
    ],
)
def test_ops_of_other_options(options: dict[str, object], extra: set[str]) -> None:
    graph = freeze_graph(network(**options), 32, method="drae")
    assert set(ops_of(graph)) <= COMMON_OPS | extra
    assert reconstructed(graph, np.zeros((1, 32, 32), np.float32)).dtype == np.float32


@pytest.mark.parametrize("preset", ["line-S", "line-M"])
def test_graph_of_a_line_preset_equals_the_model(preset: str, patches: np.ndarray) -> None:
    model = network(preset=preset)
    found = reconstructed(freeze_graph(model, 32, method="drae"), patches)
    expected = model(patches[..., np.newaxis], training=False)["reconstruction"].numpy()[..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_freezing_twice_gives_equal_bytes(model: object, graph: Model) -> None:
    assert freeze_graph(model, 32, method="drae").graph_def == graph.graph_def


def test_golden_scores_are_tensorflows(graph: Model, patches: np.ndarray) -> None:
    inputs = patches[:16].reshape(2, 8, 32, 32)
    result = golden(graph, [scores.ssim()], inputs, {})
    found = result.outputs["reconstruction"]
    given = result.inputs[..., np.newaxis]
    similarity = tf.image.ssim(given, found[..., np.newaxis], max_val=1.0)
    assert result.components.shape == (2, 8, 1)
    np.testing.assert_allclose(result.components[..., 0], 1 - similarity.numpy(), atol=1e-5)
    assert result.components.dtype == np.float32


def test_golden_patches_are_rounded_before_anything_is_computed(
    graph: Model, patches: np.ndarray
) -> None:
    inputs = patches[:16].reshape(2, 8, 32, 32)
    result = golden(graph, [scores.ssim()], inputs, {})
    rounded = (np.round(255.0 * inputs.astype(np.float64)) / 255.0).astype(np.float32)
    np.testing.assert_array_equal(result.inputs, rounded)
    again = golden(graph, [scores.ssim()], rounded, {})
    np.testing.assert_array_equal(again.outputs["reconstruction"], result.outputs["reconstruction"])
    np.testing.assert_array_equal(again.components, result.components)


# Patch i is of region i modulo 2: the second region's golden patches meet its own statistics.
def test_golden_components_are_measured_where_they_lie(graph: Model, patches: np.ndarray) -> None:
    component = scores.residual(smoothing=0.0)
    locations = measure_locations(graph, [component, scores.ssim()], patches[:60], 2)
    assert list(locations) == ["residual"]
    difference = np.abs(patches - reconstructed(graph, patches)).astype(np.float64)
    for region in range(2):
        nominal = difference[region:60:2]
        np.testing.assert_allclose(locations["residual"][0, region], nominal.mean(0), atol=1e-6)
        np.testing.assert_allclose(locations["residual"][1, region], nominal.std(0), atol=1e-6)
    inputs = np.stack([patches[:8], patches[8:16]])
    found = golden(graph, [component], inputs, locations).components[..., 0]
    mean, spread = locations["residual"].astype(np.float64)
    rounded = np.rint(patches[:16] * 255.0) / np.float32(255.0)
    difference = np.abs(rounded - reconstructed(graph, rounded)).astype(np.float64)
    expected = [
        ((difference[8 * r : 8 * r + 8] - mean[r]) / np.maximum(spread[r], 1e-3)).max((1, 2))
        for r in range(2)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_network_of_several_outputs(patches: np.ndarray) -> None:
    def several(batch: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        del training
        return {"reconstruction": batch / 2, "spots": batch[:, :2, :3], "unused": batch}

    roles = {"spots": "map", "reconstruction": "reconstruction"}
    model = freeze_graph(several, 32, roles=roles, method="pca")
    assert model.outputs == {
        "reconstruction": Output("reconstruction", 32, 32),
        "spots": Output("map", 2, 3),
    }
    found = run_frozen(model, patches)
    np.testing.assert_array_equal(found["spots"], patches[:, :2, :3])
    np.testing.assert_array_equal(found["reconstruction"], patches / 2)
