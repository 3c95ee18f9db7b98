"""The operations of a frozen graph with what they cost: FLOP, bytes, shapes.

FLOP are counted by `vialsight.flops`, which says what is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vialsight.flops import CONVOLUTIONS, operation_flop
from vialsight.frozen_graph import graph_for

Shape = tuple[int, ...]

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
    constants: set[str] = set()
    found = []
    for operation in graph_for(graph_def, input_name, patch_size, batch).get_operations():
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
    kind = operation.type
    return Operation(
        name=operation.name,
        kind=kind,
        constant=operation.name in constants,
        flop=operation_flop(operation),
        inputs=tuple(_value(tensor, constants) for tensor in operation.inputs),
        outputs=tuple(_value(tensor, constants) for tensor in operation.outputs),
        kernel=_shape(operation.inputs[1])[:2] if kind in CONVOLUTIONS else (),
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
