"""Graphs in integers of 8 bits against the same arithmetic in NumPy."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from vialsight.errors import DataError
from vialsight.frozen_graph import QuantisedGraph, import_graph
from vialsight.models.graph import quantised_graph

pytestmark = pytest.mark.tensorflow

Numbers = npt.NDArray[np.float64]
rng = np.random.default_rng(11)

FIRST, SECOND = (rng.normal(size=s).astype(np.float32) for s in ((3, 3, 1, 4), (3, 3, 4, 6)))
# (h,w,out,in), as transposed convolutions have it.
WIDER = rng.normal(size=(4, 4, 3, 6)).astype(np.float32)
LAST, BESIDE = (rng.normal(size=s).astype(np.float32) for s in ((1, 1, 3, 1), (3, 3, 4, 3)))
SLOPE = 0.3


def network(x: tf.Tensor) -> tf.Tensor:
    """Two convolutions of what is never negative, one of what may be, between two that stay."""
    first = tf.nn.relu(tf.nn.conv2d(x, FIRST, 2, "SAME"), name="first")
    beside = tf.nn.conv2d(first, BESIDE, 1, "SAME")
    second = tf.nn.leaky_relu(tf.nn.conv2d(first, SECOND, 1, "SAME"), SLOPE, name="second")
    shape = tf.stack([tf.shape(x)[0], 8, 8, 3])
    third = tf.nn.conv2d_transpose(second, WIDER, shape, 2, "SAME")
    third += tf.reduce_mean(beside, axis=(1, 2), keepdims=True)
    return tf.nn.conv2d(third, LAST, 1, "SAME")


def frozen(build: Callable[[tf.Tensor], tf.Tensor] = network) -> bytes:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 1), name="patches")
        tf.identity(build(x), name="out")
    kept = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ["out"])
    return bytes(kept.SerializeToString())


def run(graph: bytes, x: npt.NDArray[np.float32], *names: str) -> list[Numbers]:
    found = import_graph(graph, "patches", names or ("out",))(tf.constant(x[..., np.newaxis]))
    return [np.asarray(each, np.float64) for each in found]


def patches(count: int, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, 8, 8), np.float32)


@pytest.fixture(scope="module")
def quantised() -> QuantisedGraph:
    return quantised_graph(frozen(), "patches", ["out"], [patches(3, 1), patches(5, 2)])


def nodes_of(graph: bytes) -> dict[str, tf.compat.v1.NodeDef]:
    return {node.name: node for node in tf.compat.v1.GraphDef.FromString(graph).node}


def roundings(graph: bytes, operation: str) -> dict[str, tuple[Numbers, Numbers]]:
    """Bounds by the name of what is rounded."""
    nodes = nodes_of(graph)
    return {
        node.input[0]: tuple(
            np.asarray(tf.make_ndarray(nodes[name].attr["value"].tensor), np.float64)
            for name in node.input[1:]
        )
        for node in nodes.values()
        if node.op == operation
    }


def of_tensor(values: Numbers, seen: Numbers) -> Numbers:
    """`values` in steps whose range `seen` spans."""
    if seen.min() >= 0:
        step = seen.max() / 255
        return np.clip(np.floor(values / step + 0.5), 0, 255) * step
    step = max(-seen.min() / 128, seen.max() / 127)
    return np.clip(np.floor(values / step + 0.5), -128, 127) * step


def of_kernel(kernel: npt.NDArray[np.float32], output_axis: int) -> Numbers:
    """`kernel` in 127 steps either way of each output channel."""
    axes = tuple(axis for axis in range(4) if axis != output_axis)
    step = np.abs(kernel).max(axis=axes, keepdims=True).astype(np.float64) / 127
    return np.round(kernel / step) * step


def convolved(x: Numbers, kernel: Numbers) -> Numbers:
    """Convolution of stride 1 with zeros around, of an odd kernel (k,k,in,out)."""
    size = kernel.shape[0]
    wide = np.pad(x, ((0, 0), *(2 * [(size // 2, size // 2)]), (0, 0)))
    height, width = x.shape[1:3]
    return sum(
        np.einsum("nhwi,io->nhwo", wide[:, a : a + height, b : b + width], kernel[a, b])
        for a in range(size)
        for b in range(size)
    )


def doubled(x: Numbers, kernel: Numbers) -> Numbers:
    """Transposed convolution of stride 2 by a kernel (4,4,out,in) to twice the size."""
    count, height, width, _ = x.shape
    result = np.zeros((count, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for a in range(4):
        for b in range(4):
            part = np.einsum("nhwi,oi->nhwo", x, kernel[a, b])
            result[:, a : a + 2 * height : 2, b : b + 2 * width : 2] += part
    return result[:, 1:-1, 1:-1]


def test_it_computes_what_its_ranges_say(quantised: QuantisedGraph) -> None:
    seen = np.concatenate([patches(3, 1), patches(5, 2)])
    ranges = run(frozen(), seen, "first", "second")
    x = patches(16, 3) * 1.5  # beyond the ranges, too
    (first,) = run(frozen(), x, "first")
    taken = of_tensor(first, ranges[0])
    second = convolved(taken, of_kernel(SECOND, 3))
    second = of_tensor(np.where(second > 0, second, SLOPE * second), ranges[1])
    beside = convolved(taken, of_kernel(BESIDE, 3)).mean(axis=(1, 2), keepdims=True)
    expected = convolved(doubled(second, of_kernel(WIDER, 2)) + beside, LAST)
    (found,) = run(quantised.graph_def, x)
    # A value between two steps may be rounded otherwise in float32, and moves few others.
    assert np.mean(np.abs(found - expected) > 1e-4) < 0.01
    (exact,) = run(frozen(), x)
    assert np.mean(np.abs(found - exact) > 1e-3) > 0.5


def test_ranges_are_those_of_the_patches(quantised: QuantisedGraph) -> None:
    ranges = run(frozen(), np.concatenate([patches(3, 1), patches(5, 2)]), "first", "second")
    found = roundings(quantised.graph_def, "FakeQuantWithMinMaxVars")
    assert set(found) == {"first", "second"}
    np.testing.assert_allclose(found["first"], (0.0, ranges[0].max()), rtol=1e-6)
    low, high = found["second"]
    assert low == pytest.approx(-high * 128 / 127, rel=1e-6)
    assert low <= ranges[1].min() + 1e-5
    assert high >= ranges[1].max() - 1e-5
    assert min(ranges[1].min() - low, high - ranges[1].max()) == pytest.approx(0.0, abs=1e-5)
    assert quantised.patches == 8


def test_the_first_and_the_last_convolution_stay(quantised: QuantisedGraph) -> None:
    nodes = nodes_of(quantised.graph_def)
    convolutions = [n for n in nodes.values() if n.op in ("Conv2D", "Conv2DBackpropInput")]
    plain = [n for n in convolutions if nodes[n.input[1]].op == "Const"]
    assert quantised.convolutions == len(convolutions) - 2 == 3
    kernels = [tf.make_ndarray(nodes[node.input[1]].attr["value"].tensor) for node in plain]
    for expected, found in zip((FIRST, LAST), kernels, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_kernels_reach_from_end_to_end_of_each_channel(quantised: QuantisedGraph) -> None:
    found = roundings(quantised.graph_def, "FakeQuantWithMinMaxVarsPerChannel")
    for low, high in found.values():
        np.testing.assert_array_equal(low, -high)
    reach = sorted((high.tolist() for _, high in found.values()), key=len)
    assert list(map(len, reach)) == [3, 3, 6]
    np.testing.assert_allclose(reach[2], np.abs(SECOND).max(axis=(0, 1, 2)), rtol=1e-6)
    wider, beside = np.abs(WIDER).max(axis=(0, 1, 3)), np.abs(BESIDE).max(axis=(0, 1, 2))
    expected = sorted([wider.tolist(), beside.tolist()])
    np.testing.assert_allclose(sorted(reach[:2]), expected, rtol=1e-6)


def test_any_batch_is_taken_as_before(quantised: QuantisedGraph) -> None:
    x = patches(5, 4)
    (whole,) = run(quantised.graph_def, x)
    assert whole.shape == (5, 8, 8, 1)
    for i in range(5):
        np.testing.assert_allclose(run(quantised.graph_def, x[i : i + 1])[0][0], whole[i], atol=0.1)


def test_channels_that_are_always_zero_stay_zero() -> None:
    kernel = FIRST.copy()
    kernel[..., 1] = 0.0

    def build(x: tf.Tensor) -> tf.Tensor:
        zero = tf.nn.relu(-tf.nn.relu(tf.nn.conv2d(x, FIRST, 1, "SAME")))
        first = tf.nn.conv2d(x, kernel, 1, "SAME")
        of_zero = tf.nn.conv2d(zero, BESIDE * 0.0, 1, "SAME")
        return tf.nn.conv2d(tf.nn.conv2d(first, BESIDE, 1, "SAME") + of_zero, LAST, 1, "SAME")

    found = quantised_graph(frozen(build), "patches", ["out"], [patches(2, 1)])
    (before,), (after,) = run(frozen(build), patches(2, 1)), run(found.graph_def, patches(2, 1))
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())


def test_a_network_of_first_and_last_convolutions_is_refused() -> None:
    graph = frozen(lambda x: tf.nn.conv2d(tf.nn.conv2d(x, FIRST, 1, "SAME"), BESIDE, 1, "SAME"))
    with pytest.raises(DataError, match="expected a network with convolutions between its first"):
        quantised_graph(graph, "patches", ["out"], [patches(2, 1)])


def test_no_patches_are_refused() -> None:
    with pytest.raises(ValueError, match="expected patches to measure ranges on"):
        quantised_graph(frozen(), "patches", ["out"], [])
