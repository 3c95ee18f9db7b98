"""What a frozen network costs: its graph's own convolutions and matrix products, counted."""

from typing import Any, Final

import numpy as np

from vialsight.frozen_graph import graph_for

# By operation: whose places its kernel, input 1, is applied to; None: the output's. A transposed
# convolution multiplies every pixel of its input by the kernel, the others every one they make.
CONVOLUTIONS: Final[dict[str, int | None]] = {
    "Conv2D": None,
    "Conv2DBackpropInput": 2,
    "DepthwiseConv2dNative": None,
}
PRODUCTS: Final = ("MatMul", "BatchMatMulV2")


def graph_flop(graph_def: bytes, input_name: str, patch_size: int) -> int:
    """Return the floating-point operations for one patch: two a multiply-add.

    `graph_def` is a serialised frozen GraphDef that takes (n,P,P,1); biases, normalisations,
    activations and sums are left out, some percent in our networks. `freeze` states it of the graph
    as trained: rewritten (`models/graph`), that of `grdnet`, `line-M`, has 0.78 of it. Raises
    ValueError when a shape that counts is not known. Loads TensorFlow.
    """
    graph = graph_for(graph_def, input_name, patch_size, 1)
    return sum(operation_flop(operation) for operation in graph.get_operations())


def operation_flop(operation: Any) -> int:
    """Return the floating-point operations of one operation of a graph, 0 of those not counted.

    Raises ValueError when a shape that counts is not known.
    """
    if operation.type in CONVOLUTIONS:
        places = CONVOLUTIONS[operation.type]
        seen = operation.outputs[0] if places is None else operation.inputs[places]
        count, height, width, _ = _shape(operation, seen)
        return 2 * count * height * width * int(np.prod(_shape(operation, operation.inputs[1])))
    if operation.type in PRODUCTS:
        left, right = (_shape(operation, tensor) for tensor in operation.inputs)
        transposed = operation.get_attr("transpose_b" if operation.type == "MatMul" else "adj_y")
        return 2 * int(np.prod(left)) * right[-2 if transposed else -1]
    return 0


def _shape(operation: Any, tensor: Any) -> list[int]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise ValueError(
            f"{operation.type} {operation.name!r}: expected a known shape of {tensor.name}, got "
            f"{shape}; was the graph frozen for patches of another size?"
        )
    return [int(size) for size in shape]
