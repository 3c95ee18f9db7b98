"""The operations of a frozen graph with what they cost: FLOP, bytes, shapes.

FLOP are counted as `vialsight.models.flops.graph_flop` counts them, which says what is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Shape = tuple[int, ...]

CONVOLUTIONS: Final = ("Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative")
_PRODUCTS: Final = ("MatMul", "BatchMatMulV2")
_SOURCES: Final = ("Const", "Placeholder")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor: which operation made it, whether it is the same for all patches, shape, bytes."""

    producer: str
    constant: bool
    shape: Shape
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation with known shapes; `kernel` is that of a convolution or product, else ()."""

    name: str
    kind: str
    constant: bool
    flop: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    kernel: Shape = ()

    @property
    def shape(self) -> str:
        """Shapes without the batch, in words: `256x256x4 -> 128x128x8, 3x3`."""
        # The image that is seen: a transposed convolution's first input may be the size to make.
        seen = max((v.shape for v in self.inputs if not v.constant), key=len, default=())
        made = self.outputs[0].shape if self.outputs else ()
        return shape_words(seen[1:], made[1:], self.kernel)


def shape_words(seen: Shape, made: Shape, kernel: Shape) -> str:
    """Return the shapes that an operation sees and makes, and its kernel's, in words."""
    text = f"{_times(seen)} -> {_times(made)}"
    return f"{text}, {_times(kernel)}" if kernel else text


def read_operations(
    graph_def: bytes, input_name: str, patch_size: int, batch: int
) -> list[Operation]:
    """Return the operations of a serialised frozen GraphDef for `batch` patches, in their order.

    Raises ValueError where TensorFlow cannot tell a shape that counts. Loads TensorFlow.
    """
    from vialsight.pinned import tf

    definition = tf.compat.v1.GraphDef.FromString(graph_def)
    with tf.Graph().as_default() as graph:
        patch = tf.compat.v1.placeholder(tf.float32, (batch, patch_size, patch_size, 1))
        tf.import_graph_def(definition, input_map={f"{input_name}:0": patch}, name="")
        constants: set[str] = set()
        found = []
        for operation in graph.get_operations():
            if operation.type == "Const" or (
                operation.type not in _SOURCES
                and operation.inputs
                and all(tensor.op.name in constants for tensor in operation.inputs)
            ):
                constants.add(operation.name)
            found.append(_read(operation, constants))
    return found


def total_flop(operations: Iterable[Operation]) -> int:
    """Return the sum over operations."""
    return sum(operation.flop for operation in operations)


def _read(operation: Any, constants: set[str]) -> Operation:
    kind, heavy = operation.type, operation.type in (*CONVOLUTIONS, *_PRODUCTS)
    if heavy:
        _require_shapes(operation)
    return Operation(
        name=operation.name,
        kind=kind,
        constant=operation.name in constants,
        flop=_flop(operation) if heavy else 0,
        inputs=tuple(_value(tensor, constants) for tensor in operation.inputs),
        outputs=tuple(_value(tensor, constants) for tensor in operation.outputs),
        kernel=_shape(operation.inputs[1])[:2] if kind in CONVOLUTIONS else (),
    )


def _flop(operation: Any) -> int:
    """Return two for each multiply-add of a convolution or product."""
    right = _shape(operation.inputs[1])
    if operation.type in _PRODUCTS:
        transposed = operation.get_attr("transpose_b" if operation.type == "MatMul" else "adj_y")
        return 2 * _size(_shape(operation.inputs[0])) * right[-2 if transposed else -1]
    # A transposed convolution meets its kernel at every place it reads, others where they write.
    backwards = operation.type == "Conv2DBackpropInput"
    places = _shape(operation.inputs[2] if backwards else operation.outputs[0])[:3]
    return 2 * _size(places) * _size(right)


def _require_shapes(operation: Any) -> None:
    for tensor in (*operation.inputs, *operation.outputs):
        if not tensor.shape.is_fully_defined():
            raise ValueError(
                f"{operation.type} {operation.name!r}: expected a known shape of {tensor.name}, "
                f"got {tensor.shape}; was the graph frozen for patches of another size?"
            )


def _value(tensor: Any, constants: set[str]) -> Value:
    shape = _shape(tensor)
    return Value(
        producer=tensor.op.name,
        constant=tensor.op.name in constants,
        shape=shape,
        bytes=_size(shape) * int(tensor.dtype.size or 0),
    )


def _shape(tensor: Any) -> Shape:
    """Return a shape; of one that is not known, nothing."""
    known = tensor.shape.is_fully_defined()
    return tuple(int(size) for size in tensor.shape) if known else ()


def _size(shape: Iterable[int]) -> int:
    return int(np.prod(list(shape), dtype=np.int64))


def _times(shape: Iterable[int]) -> str:
    return "x".join(str(size) for size in shape) or "1"
