"""Batch norm at inference, a factor and an addend a channel, folded into what lies before it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vialsight.models.graph.convolution_nodes import CONVOLUTION, TRANSPOSED, kernel_of
from vialsight.models.graph.editable import EditableGraph, attribute

Channels = npt.NDArray[np.float64]


class Affine(NamedTuple):
    """y = factor · x + addend, by channel (c,)."""

    factor: Channels
    addend: Channels


def fold_batch_norms(graph: EditableGraph) -> int:
    """Scale and shift what a batch norm takes, where that is linear and feeds nothing else."""
    folded = 0
    for node in graph.of("FusedBatchNormV3"):
        affine = _affine_of(graph, node)
        if affine is None or not _can_take(graph, node.input[0]):
            continue
        graph.replace(node.name, _take(graph, node.input[0], affine))
        folded += 1
    return folded


def _affine_of(graph: EditableGraph, node: Any) -> Affine | None:
    # Attributes left out mean their defaults; no graph of ours leaves these out.
    if not {"is_training", "epsilon"} <= set(node.attr) or node.attr["is_training"].b:
        return None
    if attribute(node, "data_format").s not in (b"", b"NHWC"):
        return None
    given = [graph.constant(source) for source in node.input[1:5]]
    if any(value is None for value in given):
        return None
    scale, offset, mean, variance = (np.asarray(value, np.float64) for value in given)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon").f)
    return Affine(factor, offset - mean * factor)


def _can_take(graph: EditableGraph, name: str) -> bool:
    """Whether a tensor (n,h,w,c) of one user is linear in constants that can be scaled."""
    node = graph.nodes[name]
    if not graph.feeds_only_one(name):
        return False
    if node.op in (CONVOLUTION, TRANSPOSED):
        return kernel_of(graph, node) is not None
    if node.op == "BiasAdd":
        return graph.constant(node.input[1]) is not None and _can_take(graph, node.input[0])
    if node.op == "AddV2":
        return node.input[0] != node.input[1] and all(
            _can_take(graph, source) for source in node.input
        )
    return _is_row_of_product(graph, node)


def _is_row_of_product(graph: EditableGraph, node: Any) -> bool:
    """Whether a node is (n,1,1,c) made of a product (n,c) by a constant."""
    if node.op != "Reshape":
        return False
    product, shape = graph.source(node, 0), graph.shape(node.name)
    return (
        shape is not None
        and shape[1:3] == (1, 1)
        and product.op == "MatMul"
        and graph.shape(product.name) == (shape[0], shape[3])
        and graph.feeds_only_one(product.name)
        and not attribute(product, "transpose_b").b
        and _is_float32(graph.constant(product.input[1]))
    )


def _is_float32(value: npt.NDArray[Any] | None) -> bool:
    return value is not None and value.dtype == np.float32


def _take(graph: EditableGraph, name: str, affine: Affine) -> str:
    """Return the name of what is `affine` of a tensor, of which `_can_take` holds."""
    node = graph.nodes[name]
    taken: dict[str, Callable[..., str]] = {
        CONVOLUTION: _take_convolution,
        TRANSPOSED: _take_transposed,
        "BiasAdd": _take_bias,
        "AddV2": _take_sum,
        "Reshape": _take_product,
    }
    return taken[node.op](graph, node, affine)


def _take_convolution(graph: EditableGraph, node: Any, affine: Affine) -> str:
    scaled = _with_constant(graph, node, 1, affine.factor)
    return add_bias(graph, scaled, affine.addend)


def _take_transposed(graph: EditableGraph, node: Any, affine: Affine) -> str:
    scaled = _with_constant(graph, node, 1, affine.factor[:, np.newaxis])
    return add_bias(graph, scaled, affine.addend)


def _take_bias(graph: EditableGraph, node: Any, affine: Affine) -> str:
    bias = np.asarray(graph.constant(node.input[1]), np.float64)
    whole = affine._replace(addend=affine.addend + affine.factor * bias)
    return _take(graph, node.input[0], whole)


def _take_sum(graph: EditableGraph, node: Any, affine: Affine) -> str:
    """Shift the last summand that is a convolution, which runtimes then fuse with its bias."""
    shifted = 1 if graph.source(node, 1).op in (CONVOLUTION, "BiasAdd", "AddV2") else 0
    parts = [
        _take(graph, source, affine if i == shifted else affine._replace(addend=0 * affine.addend))
        for i, source in enumerate(node.input)
    ]
    return graph.add("AddV2", f"{node.name}/normalised", parts)


def _take_product(graph: EditableGraph, node: Any, affine: Affine) -> str:
    product = _with_constant(graph, graph.source(node, 0), 1, affine.factor)
    row = graph.add(
        "Reshape",
        f"{node.name}/normalised",
        (product, node.input[1]),
        {"Tshape": attribute(node, "Tshape")},
    )
    return add_bias(graph, row, affine.addend)


def _with_constant(graph: EditableGraph, node: Any, index: int, factor: Channels) -> str:
    """Add a copy of a node whose constant input is scaled; return its name."""
    value = np.asarray(graph.constant(node.input[index]), np.float64) * factor
    inputs = list(node.input)
    inputs[index] = graph.add_constant(f"{node.name}/scaled", value.astype(np.float32))
    return graph.add(node.op, f"{node.name}/normalised", inputs, dict(node.attr))


def add_bias(graph: EditableGraph, name: str, bias: Channels) -> str:
    """Add a constant (c,) to (n,h,w,c), unless it is zero; return the name of the sum."""
    if not np.any(bias):
        return name
    vector = graph.add_constant(f"{name}/bias", bias.astype(np.float32))
    return graph.add("BiasAdd", f"{name}/biased", (name, vector), {"data_format": "NHWC"})


def add_biases_plainly(graph: EditableGraph) -> int:
    """Turn sums of (n,h,w,c) with a constant by channel into `BiasAdd`."""
    changed = 0
    for node in graph.of("AddV2"):
        shape = graph.shape(node.name)
        if shape is None or len(shape) != 4 or shape[3] is None:
            continue
        for seen, other in (tuple(node.input), tuple(node.input)[::-1]):
            bias = graph.constant(other)
            if bias is None or graph.shape(seen) != shape or bias.dtype != np.float32:
                continue
            if bias.shape in ((shape[3],), (1, 1, 1, shape[3])):
                vector = graph.add_constant(f"{node.name}/bias", bias.reshape(-1))
                options = {"data_format": "NHWC"}
                graph.replace(
                    node.name, graph.add("BiasAdd", f"{node.name}/biased", (seen, vector), options)
                )
                changed += 1
                break
    return changed
