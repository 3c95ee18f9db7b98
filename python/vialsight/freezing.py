"""From a trained run to the frozen graph a bundle carries.

The graph maps `patches:0` float32 (n,P,P,1) in [0,1] to `reconstructions:0` of the same shape, in
inference mode, with all variables as constants.
"""

from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

INPUT_NAME: Final = "patches"
OUTPUT_NAME: Final = "reconstructions"
_BATCH: Final = 60


@dataclass(frozen=True, kw_only=True)
class FrozenGraph:
    """A serialised GraphDef and the names of its one input and one output operation."""

    graph_def: bytes
    input_name: str = INPUT_NAME
    output_name: str = OUTPUT_NAME

    def ops(self) -> list[str]:
        """Sorted names of the distinct operations, function library included."""
        graph = tf.compat.v1.GraphDef.FromString(self.graph_def)
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        return sorted({node.op for node in nodes})


def freeze_graph(model: keras.Model, patch_size: int) -> FrozenGraph:
    """Freeze `model` (n,P,P,1) -> (n,P,P,1), both float32, in inference mode."""

    def reconstruct(patches: Any) -> Any:
        return tf.identity(model(patches, training=False), name=OUTPUT_NAME)

    signature = tf.TensorSpec((None, patch_size, patch_size, 1), tf.float32, name=INPUT_NAME)
    concrete = tf.function(reconstruct, autograph=False).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=True)
    graph_util = tf.compat.v1.graph_util
    graph_def = graph_util.remove_training_nodes(
        frozen.graph.as_graph_def(), protected_nodes=[OUTPUT_NAME]
    )
    graph_def = graph_util.extract_sub_graph(graph_def, [OUTPUT_NAME])
    return FrozenGraph(graph_def=graph_def.SerializeToString(deterministic=True))
