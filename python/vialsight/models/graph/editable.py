"""A frozen GraphDef that rewritings can read and change."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight.pinned import tf

Array = npt.NDArray[Any]
# Height, width and channels of an operation's first output, None where not known.
Shape = tuple[int | None, ...]


class UnsupportedGraphError(ValueError):
    """A graph with something that frozen networks of ours do not have: it is left as it is."""


class EditableGraph:
    """Nodes by name; every input is the name of a node and means its first output.

    Outputs are `Identity` nodes that keep their names, so that rewritings may replace every other
    node. Shapes are those of the graph as it was last `tidied`. Raises UnsupportedGraphError for
    control inputs, functions, and outputs of a node besides its first.
    """

    def __init__(self, graph_def: bytes, input_name: str, output_names: Sequence[str]) -> None:
        definition = tf.compat.v1.GraphDef.FromString(graph_def)
        if definition.library.function:
            raise UnsupportedGraphError("graph with functions: expected a flat graph")
        self.input_name = input_name
        self.outputs = sorted(output_names)
        self._versions = definition.versions
        self.nodes: dict[str, Any] = {node.name: node for node in definition.node}
        for node in definition.node:
            node.input[:] = [_plain(source, node.name) for source in node.input]
        for name in self.outputs:
            self._set_apart(name)
        self.tidy()

    def _set_apart(self, output: str) -> None:
        node = self.nodes[output]
        if node.op == "Identity":
            return
        inner = type(node).FromString(node.SerializeToString())
        inner.name = self.free_name(f"{output}/value")
        self.nodes[inner.name] = inner
        users = self.users(output)
        self.nodes[output] = _identity(output, inner.name, self.dtype(output))
        for user in users:
            self._point(user, output, inner.name)

    def tidy(self) -> None:
        """Drop what no output needs, bring nodes into order, and find all shapes anew."""
        ordered: dict[str, Any] = {}
        for name in [self.input_name, *self.outputs]:
            self._visit(name, ordered)
        self.nodes = ordered
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(self._definition(), name="")
        self._shapes = {
            operation.name: None
            if operation.outputs[0].shape.rank is None
            else tuple(operation.outputs[0].shape.as_list())
            for operation in graph.get_operations()
        }

    def _visit(self, name: str, ordered: dict[str, Any]) -> None:
        pending = [(name, False)]
        while pending:
            current, ready = pending.pop()
            if current in ordered:
                continue
            if ready:
                ordered[current] = self.nodes[current]
                continue
            pending.append((current, True))
            pending += [(source, False) for source in reversed(self.nodes[current].input)]

    def _definition(self) -> Any:
        definition = tf.compat.v1.GraphDef()
        definition.versions.CopyFrom(self._versions)
        definition.node.extend(self.nodes.values())
        return definition

    def serialised(self) -> bytes:
        """Return the graph as a GraphDef; equal graphs give equal bytes."""
        return bytes(self._definition().SerializeToString(deterministic=True))

    def of(self, *operations: str) -> list[Any]:
        """Return the nodes of some operations, in an order in which they can be computed."""
        return [node for node in list(self.nodes.values()) if node.op in operations]

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a node as last tidied; None where its rank is not known."""
        return self._shapes.get(name)

    def users(self, name: str) -> list[str]:
        """Return names of the nodes that take `name`, one for each input that does."""
        return [n.name for n in self.nodes.values() for source in n.input if source == name]

    def feeds_only_one(self, name: str) -> bool:
        """Whether a node is one input of one other node."""
        return len(self.users(name)) == 1

    def source(self, node: Any, index: int) -> Any:
        """Return the node at one of a node's inputs."""
        return self.nodes[node.input[index]]

    def constant(self, name: str) -> Array | None:
        """Return what a node always is, None where it is no constant."""
        node = self.nodes[name]
        if node.op != "Const":
            return None
        return np.asarray(tf.make_ndarray(attribute(node, "value").tensor))

    def dtype(self, name: str) -> int:
        """Return the number of the element type of a node's first output."""
        node = self.nodes[name]
        for key in ("dtype", "DstT", "out_type", "T"):
            if key in node.attr:
                return int(node.attr[key].type)
        return int(tf.float32.as_datatype_enum)

    def free_name(self, wanted: str) -> str:
        """Return a name that no node has."""
        name, number = wanted, 0
        while name in self.nodes:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def add_constant(self, name: str, value: Array) -> str:
        """Add a constant; return its name."""
        name = self.free_name(name)
        value = np.asarray(value)
        node = tf.compat.v1.NodeDef(name=name, op="Const")
        node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        self.nodes[name] = node
        return name

    def add(
        self, operation: str, name: str, inputs: Iterable[str], attributes: Mapping[str, Any] = {}
    ) -> str:
        """Add a node of float32 tensors; return its name.

        `attributes` are AttrValues, integers, types, lists of integers, texts or Booleans.
        """
        name = self.free_name(name)
        node = tf.compat.v1.NodeDef(name=name, op=operation, input=list(inputs))
        node.attr["T"].type = tf.float32.as_datatype_enum
        for key, value in attributes.items():
            _set_attribute(node.attr[key], value)
        self.nodes[name] = node
        return name

    def replace(self, old: str, new: str) -> None:
        """Let all that took `old` take `new`, except `new` itself and what it is made of."""
        made_of: dict[str, Any] = {}
        self._visit(new, made_of)
        for user in self.users(old):
            if user not in made_of:
                self._point(user, old, new)

    def _point(self, user: str, old: str, new: str) -> None:
        node = self.nodes[user]
        node.input[:] = [new if source == old else source for source in node.input]


def attribute(node: Any, key: str) -> Any:
    """Return an AttrValue, empty where there is none; `node.attr[key]` would leave one behind."""
    return node.attr[key] if key in node.attr else tf.compat.v1.AttrValue()


def _plain(source: str, node: str) -> str:
    name, _, output = source.partition(":")
    if source.startswith("^") or output not in ("", "0"):
        raise UnsupportedGraphError(
            f"node {node!r}: expected the first outputs of other nodes as inputs, got {source!r}"
        )
    return name


def _identity(name: str, source: str, dtype: int) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Identity", input=[source])
    node.attr["T"].type = dtype
    return node


def _set_attribute(target: Any, value: Any) -> None:
    if isinstance(value, tf.compat.v1.AttrValue):
        target.CopyFrom(value)
    elif isinstance(value, tf.DType):
        target.type = value.as_datatype_enum
    elif isinstance(value, bool):
        target.b = value
    elif isinstance(value, int):
        target.i = value
    elif isinstance(value, str):
        target.s = value.encode()
    else:
        target.list.i.extend(value)
