"""Every rewriting of a graph against TensorFlow's run of the graph as it was."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from vialsight.frozen_graph import import_graph
from vialsight.models.graph import (
    REWRITINGS,
    UnsupportedGraphError,
    described,
    optimised_graph,
)
from vialsight.models.layers import NearestUpsampling

pytestmark = pytest.mark.tensorflow

Build = Callable[[tf.Tensor], tf.Tensor]
rng = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def frozen(build: Build, *size: int) -> bytes:
    """A graph of one output, "out", of an input (n,*size)."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, *size), name="patches")
        tf.identity(build(x), name="out")
    kept = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ["out"])
    return kept.SerializeToString()


def rewritten(graph: bytes, *names: str) -> tuple[bytes, dict[str, int]]:
    return optimised_graph(graph, "patches", ["out"], rewritings=names or REWRITINGS)


def run(graph: bytes, x: np.ndarray) -> np.ndarray:
    return import_graph(graph, "patches", ["out"])(tf.constant(x))[0].numpy()


def operations(graph: bytes) -> list[str]:
    return [node.op for node in tf.compat.v1.GraphDef.FromString(graph).node]


def check_equal(before: bytes, after: bytes, *size: int) -> None:
    """For several batches."""
    for count in (1, 2, 5):
        x = np.random.default_rng(count).normal(size=(count, *size)).astype(np.float32)
        expected, found = run(before, x), run(after, x)
        assert found.shape == expected.shape
        scale = np.max(np.abs(expected), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * scale)


def batch_norm(x: tf.Tensor, *, training: bool = False) -> tf.Tensor:
    channels = x.shape[-1]
    given = [normal(channels) for _ in range(3)], np.abs(normal(channels)) + 0.1
    (scale, offset, mean), variance = given
    return tf.compat.v1.nn.fused_batch_norm(
        x, scale, offset, mean=mean, variance=variance, epsilon=1e-3, is_training=training
    )[0]


def convolution(x: tf.Tensor, width: int, k: int = 3, *, s: int = 1, p: str = "SAME") -> tf.Tensor:
    return tf.nn.conv2d(x, normal(k, k, x.shape[-1], width), s, p)


def transposed(x: tf.Tensor, width: int, k: int, s: int, padding: str = "SAME") -> tf.Tensor:
    size = [n * s if padding == "SAME" else (n - 1) * s + k for n in x.shape[1:3]]
    shape = tf.stack([tf.shape(x)[0], *size, width])
    return tf.nn.conv2d_transpose(x, normal(k, k, width, x.shape[-1]), shape, s, padding)


def repeated(x: tf.Tensor) -> tf.Tensor:
    return NearestUpsampling()(x)


def resized(x: tf.Tensor, **options: bool) -> tf.Tensor:
    size = [2 * n for n in x.shape[1:3]]
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, **options)


@pytest.mark.parametrize(
    ("build", "folded"),
    [
        (lambda x: batch_norm(convolution(x, 5)), 1),
        (lambda x: batch_norm(convolution(x, 4, s=2, p="VALID")), 1),
        (lambda x: batch_norm(tf.nn.bias_add(convolution(x, 4, 1), normal(4))), 1),
        (lambda x: batch_norm(transposed(x, 6, 3, 2)), 1),
        (lambda x: batch_norm(transposed(x, 6, 4, 2)), 1),
        (lambda x: batch_norm(convolution(x, 4) + convolution(x, 4, 5)), 1),
        (lambda x: batch_norm(convolution(x, 4) + transposed(x, 4, 5, 1)), 1),
        (lambda x: batch_norm(batch_norm(convolution(x, 4))), 2),
        (lambda x: batch_norm(tf.nn.relu(batch_norm(convolution(x, 4)))), 1),
        (lambda x: batch_norm(convolution(x, 3) + x), 0),
        (batch_norm, 0),
        (lambda x: batch_norm(convolution(x, 4), training=True), 0),
    ],
)
def test_batch_norms(build: Build, folded: int) -> None:
    graph = frozen(build, 6, 9, 3)
    result, counts = rewritten(graph, "batch_norms")
    assert counts.get("batch_norms", 0) == folded
    check_equal(graph, result, 6, 9, 3)


def test_a_batch_norm_of_what_others_use_stays() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        shared = convolution(x, 3)
        return batch_norm(shared) + shared

    graph = frozen(build, 5, 5, 3)
    result, counts = rewritten(graph)
    assert "batch_norms" not in counts
    check_equal(graph, result, 5, 5, 3)


def test_a_batch_norm_of_a_sum_with_a_row_of_each_patch() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        row = tf.matmul(tf.reshape(x, (-1, 48)), normal(48, 7))
        row = tf.reshape(row, tf.stack([tf.shape(row)[0], 1, 1, 7]))
        return batch_norm(convolution(x, 7) + row)

    graph = frozen(build, 4, 4, 3)
    result, counts = rewritten(graph)
    assert (counts["batch_norms"], counts["shapes"]) == (1, 1)
    assert "FusedBatchNormV3" not in operations(result)
    check_equal(graph, result, 4, 4, 3)


@pytest.mark.parametrize(
    ("build", "changed"),
    [
        (lambda x: transposed(x, 5, 3, 1), 1),
        (lambda x: transposed(x, 5, 1, 1), 1),
        (lambda x: transposed(tf.nn.relu(transposed(x, 4, 5, 1)), 2, 3, 1), 2),
        (lambda x: transposed(x, 5, 4, 1), 0),
        (lambda x: transposed(x, 5, 3, 1, "VALID"), 0),
        (lambda x: transposed(x, 5, 3, 2), 0),
    ],
)
@pytest.mark.parametrize("size", [(6, 6, 3), (5, 8, 1)])
def test_transposed_convolutions(build: Build, changed: int, size: tuple[int, int, int]) -> None:
    graph = frozen(build, *size)
    result, counts = rewritten(graph, "transposed")
    assert counts.get("transposed", 0) == changed
    if changed:
        assert "Conv2DBackpropInput" not in operations(result)
        assert "Shape" not in operations(result)
    check_equal(graph, result, *size)


@pytest.mark.parametrize("double", [repeated, resized])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(4, 4, 6), (3, 5, 2), (1, 1, 3)])
def test_convolution_of_doubled(double: Build, kernel: int, size: tuple[int, int, int]) -> None:
    graph = frozen(lambda x: convolution(double(x), 4, kernel), *size)
    result, counts = rewritten(graph)
    assert counts["doubling"] == 1
    assert not {"Conv2D", "ConcatV2", "ResizeNearestNeighbor"} & set(operations(result))
    check_equal(graph, result, *size)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1), (0, 1, 0, 1)])
def test_convolution_of_doubled_beside_others(order: tuple[int, ...]) -> None:
    """0: a doubled image, 1: one of full size; with bias, batch norm and activation behind."""

    def build(x: tf.Tensor) -> tf.Tensor:
        parts = [repeated(convolution(x, 2 + i, s=2)) if k == 0 else x for i, k in enumerate(order)]
        joined = convolution(tf.concat(parts, -1), 5)
        return tf.nn.relu(batch_norm(tf.nn.bias_add(joined, normal(5))))

    graph = frozen(build, 8, 8, 3)
    result, counts = rewritten(graph)
    assert counts["doubling"] == 1
    assert counts["batch_norms"] == 1
    check_equal(graph, result, 8, 8, 3)


def tripled(x: tf.Tensor) -> tf.Tensor:
    size = [3 * n for n in x.shape[1:3]]
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size)


def repeated_otherwise(x: tf.Tensor) -> tf.Tensor:
    """As `repeated`, but pixels beside themselves as whole rows."""
    _, height, width, channels = x.shape
    wide = tf.reshape(x, (-1, height, width * channels))
    wide = tf.reshape(tf.concat([wide, wide], -1), (-1, height, 2 * width * channels))
    return tf.reshape(tf.concat([wide, wide], -1), (-1, 2 * height, 2 * width, channels))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: convolution(repeated(x), 4, 2),
        lambda x: convolution(repeated(x), 4, 3, p="VALID"),
        lambda x: convolution(repeated(x), 4, 3, s=2),
        lambda x: convolution(tripled(x), 4),
        lambda x: convolution(resized(x, align_corners=True), 4),
        lambda x: convolution(repeated_otherwise(x), 4),
        lambda x: convolution(tf.concat([repeated(x), repeated(x)], 1), 4),
        lambda x: convolution(tf.nn.relu(repeated(x)), 4),
    ],
)
def test_convolutions_that_stay(build: Build) -> None:
    graph = frozen(build, 4, 4, 3)
    result, counts = rewritten(graph)
    assert "doubling" not in counts
    check_equal(graph, result, 4, 4, 3)


def test_what_is_doubled_for_others_too_stays_doubled() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        doubled = repeated(x)
        return convolution(doubled, 3) + doubled

    graph = frozen(build, 4, 4, 3)
    result, counts = rewritten(graph)
    assert "doubling" not in counts
    check_equal(graph, result, 4, 4, 3)


def test_dilated_convolutions_stay() -> None:
    graph = frozen(
        lambda x: batch_norm(tf.nn.conv2d(x, normal(3, 3, 3, 4), 1, "SAME", dilations=2)), 8, 8, 3
    )
    result, counts = rewritten(graph)
    assert "batch_norms" not in counts
    check_equal(graph, result, 8, 8, 3)


@pytest.mark.parametrize(
    ("build", "name", "gone"),
    [
        (lambda x: tf.identity(tf.identity(x)) * 2.0, "identities", "x"),
        (lambda x: x * tf.math.rsqrt(tf.constant([4.0, 9.0, 16.0])), "constants", "Rsqrt"),
        (lambda x: tf.transpose(tf.transpose(x, (0, 3, 1, 2)), (0, 2, 3, 1)) + 1.0, "transposes",
         "Transpose"),
        (lambda x: tf.reshape(tf.reshape(x, (-1, 48)), (-1, 4, 4, 3)) + 1.0, "reshapes",
         "Reshape"),
        (lambda x: tf.concat([x, 2.0 * x], -1)[..., 3:6] + 1.0, "slices", "ConcatV2"),
    ],
)  # fmt: skip
def test_what_is_for_nothing_goes(build: Build, name: str, gone: str) -> None:
    graph = frozen(build, 4, 4, 3)
    result, counts = rewritten(graph, name)
    assert counts[name] > 0
    assert gone not in operations(result)
    check_equal(graph, result, 4, 4, 3)


@pytest.mark.parametrize(
    ("build", "kept"),
    [
        (lambda x: tf.transpose(tf.transpose(x, (0, 3, 1, 2)), (0, 3, 1, 2)), "Transpose"),
        (lambda x: tf.reshape(x, (-1, 2, 8, 3)), "Reshape"),
        (lambda x: tf.concat([x, 2.0 * x], -1)[..., 2:5], "ConcatV2"),
        (lambda x: tf.concat([x, 2.0 * x], 1)[..., 0:2], "ConcatV2"),
        (lambda x: tf.concat([x, 2.0 * x], -1)[..., 0:6:2], "ConcatV2"),
    ],
)
def test_what_is_for_something_stays(build: Build, kept: str) -> None:
    graph = frozen(build, 4, 4, 3)
    result, _ = rewritten(graph)
    assert kept in operations(result)
    check_equal(graph, result, 4, 4, 3)


def test_a_constant_that_would_grow_is_not_folded() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        wide = tf.cast(tf.constant(normal(48, 50)), tf.float64)
        return tf.cast(tf.matmul(tf.cast(tf.reshape(x, (-1, 48)), tf.float64), wide), tf.float32)

    graph = frozen(build, 4, 4, 3)
    result, counts = rewritten(graph)
    assert "constants" not in counts
    check_equal(graph, result, 4, 4, 3)


def test_equal_parts_are_computed_once() -> None:
    kernel = normal(3, 3, 3, 2)
    graph = frozen(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME") * tf.nn.conv2d(x, kernel, 1, "SAME"), 4, 4, 3
    )
    result, counts = rewritten(graph, "equals")
    assert counts["equals"] == 1
    assert operations(result).count("Conv2D") == 1
    check_equal(graph, result, 4, 4, 3)


def test_an_output_that_is_rewritten_keeps_its_name() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 3), name="patches")
        tf.nn.bias_add(convolution(x, 3), normal(3), name="first")
        tf.add(batch_norm(graph.get_tensor_by_name("first:0")), 0.5, name="second")
    given = graph.as_graph_def().SerializeToString()
    result, _ = optimised_graph(given, "patches", ["second", "first"])
    patches = tf.constant(normal(2, 4, 4, 3))
    before, after = (
        import_graph(g, "patches", ["first", "second"])(patches) for g in (given, result)
    )
    for expected, found in zip(before, after, strict=True):
        np.testing.assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max())


def test_the_same_graph_gives_the_same_bytes() -> None:
    graph = frozen(lambda x: batch_norm(convolution(repeated(x), 4)), 4, 4, 3)
    assert rewritten(graph) == rewritten(graph)


def test_nothing_is_left_to_do() -> None:
    graph = frozen(lambda x: tf.nn.relu(batch_norm(convolution(repeated(x), 4))), 4, 4, 3)
    once, _ = rewritten(graph)
    assert rewritten(once)[1] == {}


def test_no_attributes_are_left_behind() -> None:
    """An empty attribute is nothing to TensorFlow, and an error to other readers of the graph."""
    graph = frozen(lambda x: batch_norm(convolution(repeated(x), 4)), 4, 4, 3)
    result, _ = rewritten(graph)
    for node in tf.compat.v1.GraphDef.FromString(result).node:
        for key, value in node.attr.items():
            assert value.WhichOneof("value") is not None, (node.name, key)


def test_counts_as_a_text() -> None:
    assert described({"batch_norms": 3, "identities": 2}) == (
        "2 identities dropped, 3 batch norms folded"
    )


def test_outputs_besides_the_first_are_refused() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        ones = tf.ones(3)
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=ones, offset=ones, mean=ones, variance=ones, is_training=True
        ).batch_mean

    with pytest.raises(UnsupportedGraphError, match="expected the first outputs"):
        rewritten(frozen(build, 4, 4, 3))
