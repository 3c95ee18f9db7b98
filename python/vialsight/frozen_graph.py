"""A frozen graph as a function, for what Python computes itself to compare with the C++ core."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vialsight.aliases import Tensor


@dataclass(frozen=True, kw_only=True)
class QuantisedGraph:
    """A serialised GraphDef that rounds to 8 bits what `convolutions` of its convolutions take.

    Within ranges that were measured on `patches` patches.
    """

    graph_def: bytes
    convolutions: int
    patches: int


def graph_for(graph_def: bytes, input_name: str, patch_size: int, batch: int) -> Any:
    """Return a serialised GraphDef as a graph of fixed shapes, fed `batch` patches (n,P,P,1)."""
    from vialsight.pinned import tf

    definition = tf.compat.v1.GraphDef.FromString(graph_def)
    with tf.Graph().as_default() as graph:
        patches = tf.compat.v1.placeholder(tf.float32, (batch, patch_size, patch_size, 1))
        tf.import_graph_def(definition, input_map={f"{input_name}:0": patches}, name="")
    return graph


def import_graph(graph_def: bytes, input_name: str, output_names: Sequence[str]) -> Any:
    """Return a serialised GraphDef as a function from the input to a list of the named outputs.

    Names are those of operations. The function takes a tensor float32 (n,P,P,1) and may be called
    within a `tf.function`.
    """
    # Imported here: a bundle can be inspected where TensorFlow for Python is missing.
    from vialsight.pinned import tf

    definition = tf.compat.v1.GraphDef.FromString(graph_def)

    def everything() -> Tensor:
        return tf.compat.v1.import_graph_def(definition, name="")

    wrapped = tf.compat.v1.wrap_function(everything, [])
    return wrapped.prune(f"{input_name}:0", [f"{name}:0" for name in output_names])
