"""Convolutions in integers of 8 bits: what they take, and their kernels, rounded within ranges.

A rounding is a `FakeQuantWithMinMaxVars`, of kernels by output channel. A runtime that multiplies
integers reads it as what it is; TensorFlow computes the same in float32. Zero is among the values
rounded to in every range, so that padding and what a ReLU leaves stay exact.

The first and the last convolution on any path stay as they are (docs/runtimes.md has the figures):
what the first takes are patches, or differences from what was expected, which would drown in the
rounding; what the last takes would be cut off where it is larger than any nominal patch makes it,
and so would the outputs.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from vialsight.aliases import Patches
from vialsight.errors import DataError
from vialsight.frozen_graph import QuantisedGraph
from vialsight.models.graph.convolution_nodes import CONVOLUTION, TRANSPOSED, kernel_of, seen_by
from vialsight.models.graph.editable import EditableGraph, UnsupportedGraphError
from vialsight.models.graph.ranges import measured_ranges
from vialsight.models.graph.rewritings import optimised_graph
from vialsight.pinned import tf

_BITS: Final = 8
# Of values of either sign: -128 … 127 steps.
_NEGATIVE_STEPS: Final = 128
# What a tensor, or a channel of a kernel, that is always zero is said to reach.
_LEAST: Final = 1e-6
_SWAPPED: Final = (0, 1, 3, 2)


def quantised_graph(
    graph_def: bytes, input_name: str, output_names: Sequence[str], batches: Iterable[Patches]
) -> QuantisedGraph:
    """Return a frozen graph whose convolutions round what they take and multiply by to 8 bits.

    `graph_def` is a serialised GraphDef of a network (n,P,P,1) to outputs, which keep names, shapes
    and types; `batches` are patches (n,P,P) in [0,1], on which ranges are measured. Raises
    DataError where no convolution lies between two, and for a graph that no method of ours makes.
    """
    graph = _plain_graph(graph_def, input_name, output_names)
    convolutions = _inner(graph)
    if not convolutions:
        raise DataError(
            "expected a network with convolutions between its first and its last, which integers "
            "could compute; found none; choose another precision"
        )
    seen = sorted({seen_by(node) for node in convolutions})
    ranges, patches = measured_ranges(graph.serialised(), input_name, seen, batches)
    rounded = {name: _round_tensor(graph, name, *ranges[name]) for name in seen}
    for node in convolutions:
        _round_inputs(graph, node, rounded[seen_by(node)])
    graph.tidy()
    return QuantisedGraph(
        graph_def=graph.serialised(), convolutions=len(convolutions), patches=patches
    )


def _plain_graph(graph_def: bytes, input_name: str, output_names: Sequence[str]) -> EditableGraph:
    """Return a graph whose kernels are constants; what was optimised before stays as it is."""
    try:
        graph_def, _ = optimised_graph(graph_def, input_name, output_names)
        return EditableGraph(graph_def, input_name, output_names)
    except UnsupportedGraphError as error:
        raise DataError(f"the network cannot be computed in integers: {error}") from error


def _inner(graph: EditableGraph) -> list[Any]:
    """Return the convolutions with another before and another behind them."""
    nodes = list(graph.nodes.values())
    after: set[str] = set()
    for node in nodes:
        if _convolves(node) or any(source in after for source in node.input):
            after.add(node.name)
    before: set[str] = set()
    for node in reversed(nodes):
        if _convolves(node) or node.name in before:
            before.update(node.input)
    return [
        node
        for node in nodes
        if _convolves(node)
        and node.name in before
        and seen_by(node) in after
        and kernel_of(graph, node) is not None
    ]


def _convolves(node: Any) -> bool:
    return node.op in (CONVOLUTION, TRANSPOSED)


def _round_tensor(graph: EditableGraph, name: str, low: float, high: float) -> str:
    """Add a rounding of a tensor: in steps from 0 on where it is never negative."""
    if low >= 0.0:
        low, high = 0.0, max(high, _LEAST)
    else:
        low = -max(-low, high * _NEGATIVE_STEPS / (_NEGATIVE_STEPS - 1))
        high = -low * (_NEGATIVE_STEPS - 1) / _NEGATIVE_STEPS
    bounds = (np.float32(low), np.float32(high))
    return _add_rounding(graph, "FakeQuantWithMinMaxVars", name, bounds, narrow=False)


def _round_inputs(graph: EditableGraph, node: Any, seen: str) -> None:
    kernel = kernel_of(graph, node)
    assert kernel is not None
    inputs = list(node.input)
    if node.op == CONVOLUTION:
        inputs[:2] = seen, _round_kernel(graph, inputs[1], kernel)
    else:
        # Its output channels come third, and a rounding by channel goes by the last.
        turned = graph.add_constant(f"{node.name}/kernel/turned", kernel.transpose(_SWAPPED))
        order = graph.add_constant(f"{node.name}/kernel/order", np.array(_SWAPPED, np.int32))
        rounded = _round_kernel(graph, turned, kernel.transpose(_SWAPPED))
        options = {"Tperm": tf.int32}
        inputs[1] = graph.add("Transpose", f"{node.name}/kernel", (rounded, order), options)
        inputs[2] = seen
    node.input[:] = inputs


def _round_kernel(graph: EditableGraph, name: str, kernel: Any) -> str:
    """Add a rounding of a kernel (h,w,in,out) to -127 … 127 steps of each output channel."""
    reach = np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), _LEAST).astype(np.float32)
    operation = "FakeQuantWithMinMaxVarsPerChannel"
    return _add_rounding(graph, operation, name, (-reach, reach), narrow=True)


def _add_rounding(
    graph: EditableGraph, operation: str, of: str, bounds: tuple[Any, Any], *, narrow: bool
) -> str:
    ends = [
        graph.add_constant(f"{of}/{end}", value)
        for end, value in zip(("low", "high"), bounds, strict=True)
    ]
    options = {"num_bits": _BITS, "narrow_range": narrow}
    name = graph.add(operation, f"{of}/rounded", (of, *ends), options)
    # Of float32 always: these operations have no type to say.
    del graph.nodes[name].attr["T"]
    return name
