"""Rewritings that remove operations: nothing is computed otherwise, so results stay bit for bit."""

from typing import Any, Final

import numpy as np

from vialsight.models.graph.editable import EditableGraph, attribute
from vialsight.pinned import tf

# A folded constant may be larger than what it was made of by this; a bundle does not grow.
_SPARE_BYTES: Final = 1024


def drop_identities(graph: EditableGraph) -> int:
    """Take what an `Identity` takes; outputs keep theirs."""
    found = [node for node in graph.of("Identity") if node.name not in graph.outputs]
    for node in found:
        graph.replace(node.name, node.input[0])
    return len(found)


def fold_constants(graph: EditableGraph) -> int:
    """Compute at once what depends on constants only, unless that takes more room."""
    values = {
        node.name: value
        for node in graph.of("Const")
        if (value := graph.constant(node.name)) is not None
    }
    room = {name: value.nbytes for name, value in values.items()}
    folded = 0
    for node in list(graph.nodes.values()):
        if node.op in ("Const", "Placeholder") or node.name in graph.outputs:
            continue
        if not node.input or any(source not in values for source in node.input):
            continue
        value = _computed(node, [values[source] for source in node.input])
        if value.nbytes > sum(room[source] for source in node.input) + _SPARE_BYTES:
            continue
        values[node.name], room[node.name] = value, value.nbytes
        graph.replace(node.name, graph.add_constant(f"{node.name}/folded", value))
        folded += 1
    return folded


def _computed(node: Any, inputs: list[Any]) -> Any:
    with tf.Graph().as_default() as graph:
        definition = tf.compat.v1.GraphDef(node=[node])
        given = {
            f"{source}:0": tf.constant(value)
            for source, value in zip(node.input, inputs, strict=True)
        }
        (result,) = tf.import_graph_def(
            definition, input_map=given, return_elements=[f"{node.name}:0"], name="folded"
        )
        with tf.compat.v1.Session(graph=graph) as session:
            return np.asarray(session.run(result))


def share_equals(graph: EditableGraph) -> int:
    """Compute once what is computed twice."""
    seen: dict[bytes, str] = {}
    shared = 0
    for node in list(graph.nodes.values()):
        if node.op == "Placeholder" or node.name in graph.outputs:
            continue
        key = type(node).FromString(node.SerializeToString())
        key.name = ""
        first = seen.setdefault(key.SerializeToString(deterministic=True), node.name)
        if first != node.name:
            graph.replace(node.name, first)
            shared += node.op != "Const"
    return shared


def make_shapes_constant(graph: EditableGraph) -> int:
    """Give `Reshape` a constant with -1 where its shape has one element that is not constant."""
    changed = 0
    for node in graph.of("Reshape"):
        pack = graph.source(node, 1)
        if pack.op != "Pack" or attribute(pack, "axis").i:
            continue
        parts = [graph.constant(source) for source in pack.input]
        if any(part is not None and (part.ndim or part <= 0) for part in parts):
            continue
        if sum(part is None for part in parts) != 1:
            continue
        shape = np.array([-1 if part is None else int(part) for part in parts], np.int32)
        node.input[1] = graph.add_constant(f"{node.name}/shape", shape)
        changed += 1
    return changed


def join_reshapes(graph: EditableGraph) -> int:
    """Reshape once where it is done twice, and never to the shape there was."""
    changed = 0
    for node in graph.of("Reshape"):
        first = graph.source(node, 0)
        if first.op == "Reshape":
            node.input[0] = first.input[0]
            changed += 1
        before, after = graph.shape(node.input[0]), graph.shape(node.name)
        if _certainly_equal(before, after):
            graph.replace(node.name, node.input[0])
            changed += 1
    return changed


def _certainly_equal(before: Any, after: Any) -> bool:
    """Whether two shapes of as many elements, with one unknown dimension at most, are one."""
    return before is not None and before == after and before.count(None) <= 1


def cancel_transposes(graph: EditableGraph) -> int:
    """Remove pairs of `Transpose` that undo each other."""
    changed = 0
    for node in graph.of("Transpose"):
        first = graph.source(node, 0)
        if first.op != "Transpose":
            continue
        inner, outer = (graph.constant(each.input[1]) for each in (first, node))
        if inner is None or outer is None:
            continue
        if np.array_equal(inner[outer], np.arange(len(outer))):
            graph.replace(node.name, first.input[0])
            changed += 1
    return changed


def slice_what_was_joined(graph: EditableGraph) -> int:
    """Take a part of a `ConcatV2` along the last axis where a `StridedSlice` takes just that."""
    changed = 0
    for node in graph.of("StridedSlice"):
        joined = graph.source(node, 0)
        channels = _sliced_channels(graph, node)
        if joined.op != "ConcatV2" or channels is None:
            continue
        part = _part_at(graph, joined, channels)
        if part is not None:
            graph.replace(node.name, part)
            changed += 1
    return changed


def _sliced_channels(graph: EditableGraph, node: Any) -> tuple[int, int] | None:
    """Return first and end of what a slice (..., a:b) takes; None for any other slice."""
    begin, end, step = (graph.constant(source) for source in node.input[1:4])
    if begin is None or end is None or step is None or len(begin) != 2 or (step != 1).any():
        return None
    masks = {key: attribute(node, f"{key}_mask").i for key in ("begin", "end", "ellipsis")}
    if (
        masks["ellipsis"] != 1
        or attribute(node, "shrink_axis_mask").i
        or attribute(node, "new_axis_mask").i
    ):
        return None
    shape = graph.shape(node.input[0])
    if shape is None or shape[-1] is None:
        return None
    first = 0 if masks["begin"] & 2 else int(begin[1])
    after = shape[-1] if masks["end"] & 2 else int(end[1])
    return first % shape[-1], after if after >= 0 else after + shape[-1]


def _part_at(graph: EditableGraph, joined: Any, channels: tuple[int, int]) -> str | None:
    axis = graph.constant(joined.input[-1])
    whole = graph.shape(joined.name)
    if axis is None or whole is None or int(axis) not in (-1, len(whole) - 1):
        return None
    start = 0
    for part in joined.input[:-1]:
        shape = graph.shape(part)
        if shape is None or shape[-1] is None:
            return None
        if (start, start + shape[-1]) == channels:
            return str(part)
        start += shape[-1]
    return None
