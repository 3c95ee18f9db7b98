"""What rewritings have to know of a convolution: only the plain kind is touched."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.models.graph.editable import EditableGraph, attribute
from vialsight.pinned import tf

Kernel = npt.NDArray[np.float32]

CONVOLUTION: Final = "Conv2D"
TRANSPOSED: Final = "Conv2DBackpropInput"
# Which input of a convolution is what it is applied to.
_SEEN: Final = {CONVOLUTION: 0, TRANSPOSED: 2}
_PLAIN: Final = (1, 1, 1, 1)


def kernel_of(graph: EditableGraph, node: Any) -> Kernel | None:
    """Return the kernel of a convolution that may be rewritten, otherwise None.

    (h,w,in,out), of a transposed convolution (h,w,out,in): float32, channels last, not dilated,
    padding SAME or VALID.
    """
    if node.op not in _SEEN or attribute(node, "padding").s not in (b"SAME", b"VALID"):
        return None
    if attribute(node, "data_format").s not in (b"", b"NHWC"):
        return None
    if tuple(attribute(node, "dilations").list.i) not in ((), _PLAIN):
        return None
    kernel = graph.constant(node.input[1])
    return None if kernel is None or kernel.dtype != np.float32 else kernel


def seen_by(node: Any) -> str:
    """Return the name of what a convolution is applied to."""
    return str(node.input[_SEEN[node.op]])


def stride_of(node: Any) -> tuple[int, int]:
    """Return the stride along height and width."""
    return tuple(attribute(node, "strides").list.i)[1:3]


def is_same(node: Any) -> bool:
    """Whether the padding is SAME."""
    return bool(attribute(node, "padding").s == b"SAME")


def add_convolution(
    graph: EditableGraph, name: str, seen: str, kernel: Kernel, *, padding: str = "SAME"
) -> str:
    """Add a convolution of stride 1 by kernel (h,w,in,out); return its name."""
    weights = graph.add_constant(f"{name}/kernel", kernel.astype(np.float32))
    attributes = {"strides": _PLAIN, "padding": padding, "data_format": "NHWC"}
    return graph.add(CONVOLUTION, name, (seen, weights), attributes)


def add_doubling(
    graph: EditableGraph, name: str, seen: str, kernel: Kernel, size: tuple[int, int]
) -> str:
    """Add a transposed convolution of stride 2, padding SAME, to `size`; return its name.

    `kernel` is (h,w,out,in). The batch is that of `seen`, whatever it is.
    """
    batch = _add_batch_size(graph, name, seen)
    rest = [
        graph.add_constant(f"{name}/shape/{i}", np.int32(n))
        for i, n in enumerate((*size, kernel.shape[2]))
    ]
    shape = graph.add("Pack", f"{name}/shape", (batch, *rest), {"N": 4, "axis": 0})
    _of_int32(graph, shape)
    weights = graph.add_constant(f"{name}/kernel", kernel.astype(np.float32))
    attributes = {"strides": (1, 2, 2, 1), "padding": "SAME", "data_format": "NHWC"}
    return graph.add(TRANSPOSED, name, (shape, weights, seen), attributes)


def _add_batch_size(graph: EditableGraph, name: str, of: str) -> str:
    shape = graph.add("Shape", f"{name}/whole_shape", (of,), {"out_type": tf.int32})
    ends = [
        graph.add_constant(f"{name}/batch/{i}", np.array([n], np.int32))
        for i, n in enumerate((0, 1, 1))
    ]
    options = {"Index": tf.int32, "shrink_axis_mask": 1}
    batch = graph.add("StridedSlice", f"{name}/batch", (shape, *ends), options)
    _of_int32(graph, batch)
    return batch


def _of_int32(graph: EditableGraph, name: str) -> None:
    graph.nodes[name].attr["T"].type = tf.int32.as_datatype_enum
