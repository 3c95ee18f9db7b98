"""Transposed convolutions, and convolutions of what was doubled by repeating pixels.

Doubling and a convolution k x k after it are one transposed convolution of stride 2 whose kernel,
(k+1) x (k+1), is theirs convolved with 2 x 2 ones: (k+1)²/4 products a pixel instead of k², and no
doubled image is ever written. Zeros that SAME padding adds stay the same zeros.
"""

from typing import Any, NamedTuple

import numpy as np

from vialsight.models.graph.convolution_nodes import (
    CONVOLUTION,
    TRANSPOSED,
    Kernel,
    add_convolution,
    add_doubling,
    is_same,
    kernel_of,
    seen_by,
    stride_of,
)
from vialsight.models.graph.editable import EditableGraph, attribute
from vialsight.pinned import tf


def straighten_transposed(graph: EditableGraph) -> int:
    """Make a transposed convolution of stride 1 a convolution by the turned kernel.

    Only with SAME padding and odd kernels, where both pad alike.
    """
    changed = 0
    for node in graph.of(TRANSPOSED):
        kernel = kernel_of(graph, node)
        if kernel is None or stride_of(node) != (1, 1) or not _pads_evenly(node, kernel):
            continue
        turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
        graph.replace(
            node.name, add_convolution(graph, f"{node.name}/straight", seen_by(node), turned)
        )
        changed += 1
    return changed


def _pads_evenly(node: Any, kernel: Kernel) -> bool:
    return is_same(node) and kernel.shape[0] % 2 == 1 and kernel.shape[1] % 2 == 1


def convolve_before_doubling(graph: EditableGraph) -> int:
    """Make doubling and the convolution after it one transposed convolution.

    What was joined with the doubled image along channels is convolved on its own, and added.
    """
    changed = 0
    for node in graph.of(CONVOLUTION):
        kernel = kernel_of(graph, node)
        if kernel is None or stride_of(node) != (1, 1) or not _pads_evenly(node, kernel):
            continue
        parts = _parts(graph, node.input[0])
        if parts is not None and any(part.small is not None for part in parts):
            graph.replace(node.name, _apart(graph, node, kernel, parts))
            changed += 1
    return changed


class _Part(NamedTuple):
    """Something a convolution sees: its name and channels, and what it doubles, if it does."""

    name: str
    channels: int
    small: str | None


def _parts(graph: EditableGraph, seen: str) -> list[_Part] | None:
    """Return what is joined along channels, in order; None where channels are not known.

    One part where nothing is joined, or others use what is.
    """
    node = graph.nodes[seen]
    joined = [seen]
    if node.op == "ConcatV2" and graph.feeds_only_one(seen):
        axis = graph.constant(node.input[-1])
        if axis is not None and int(axis) in (-1, 3):
            joined = list(node.input[:-1])
    parts = []
    for name in joined:
        channels = (graph.shape(name) or (None,))[-1]
        if channels is None:
            return None
        parts.append(_Part(name, channels, _doubled(graph, name)))
    return parts


def _apart(graph: EditableGraph, node: Any, kernel: Kernel, parts: list[_Part]) -> str:
    """Add a convolution for each kind of part; return the name of their sum."""
    terms, rest = [], []
    ends = np.cumsum([part.channels for part in parts])
    for part, own in zip(parts, np.split(kernel, ends[:-1], axis=2), strict=True):
        if part.small is None:
            rest.append((part.name, own))
            continue
        _, height, width, _ = graph.shape(part.small) or ()
        size = 2 * int(height or 0), 2 * int(width or 0)
        terms.append(add_doubling(graph, f"{node.name}/doubling", part.small, spread(own), size))
    if rest:
        names, kernels = zip(*rest, strict=True)
        terms.append(_of_rest(graph, node, list(names), np.concatenate(kernels, 2)))
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("AddV2", f"{node.name}/sum", (total, term))
    return total


def _of_rest(graph: EditableGraph, node: Any, rest: list[str], kernel: Kernel) -> str:
    seen = rest[0]
    if len(rest) > 1:
        axis = graph.add_constant(f"{node.name}/axis", np.int32(3))
        options = {"N": len(rest), "Tidx": tf.int32}
        seen = graph.add("ConcatV2", f"{node.name}/rest", (*rest, axis), options)
    return add_convolution(graph, f"{node.name}/direct", seen, kernel)


def spread(kernel: Kernel) -> Kernel:
    """Return the kernel (k+1,l+1,out,in) of a transposed convolution of stride 2.

    It does to an image what doubling it and `kernel` (k,l,in,out), k and l odd, do.
    """
    height, width, seen, made = kernel.shape
    wide = np.zeros((height + 1, width + 1, seen, made))
    for row in range(2):
        for column in range(2):
            wide[row : row + height, column : column + width] += kernel
    return np.asarray(wide[::-1, ::-1].transpose(0, 1, 3, 2), np.float32)


def _doubled(graph: EditableGraph, name: str) -> str | None:
    """Return what is doubled along height and width by repeating pixels, if `name` does that."""
    if not graph.feeds_only_one(name):
        return None
    node = graph.nodes[name]
    if node.op == "ResizeNearestNeighbor":
        return _resized(graph, node)
    return _repeated(graph, node)


def _resized(graph: EditableGraph, node: Any) -> str | None:
    small, size = graph.shape(node.input[0]), graph.constant(node.input[1])
    if small is None or size is None or attribute(node, "align_corners").b:
        return None
    if small[1] is None or small[2] is None:
        return None
    return node.input[0] if size.tolist() == [2 * small[1], 2 * small[2]] else None


def _repeated(graph: EditableGraph, node: Any) -> str | None:
    """Return x where a node is what `NearestUpsampling` makes of it.

    Pixels twice along channels, as rows twice as wide; rows twice, as twice as many.
    """
    rows = _twice(graph, node)
    pixels = None if rows is None else _twice(graph, graph.nodes[rows])
    if rows is None or pixels is None:
        return None
    small, between, whole = (graph.shape(n) for n in (pixels, rows, node.name))
    if small is None or between is None or whole is None or None in small[1:]:
        return None
    _, height, width, channels = small
    fits = between[1:] == (height, 2 * width * channels)  # type: ignore[operator]
    fits &= whole[1:] == (2 * height, 2 * width, channels)  # type: ignore[operator]
    return pixels if fits and len(between) == 3 else None


def _twice(graph: EditableGraph, reshaped: Any) -> str | None:
    """Return x where a node is Reshape(Concat(x, x) along the last axis)."""
    if reshaped.op != "Reshape":
        return None
    joined = graph.source(reshaped, 0)
    if joined.op != "ConcatV2" or len(joined.input) != 3 or joined.input[0] != joined.input[1]:
        return None
    axis, shape = graph.constant(joined.input[2]), graph.shape(joined.name)
    if axis is None or shape is None or int(axis) not in (-1, len(shape) - 1):
        return None
    return str(joined.input[0])
