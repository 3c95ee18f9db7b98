"""From a trained run to the frozen graph a bundle carries.

The graph maps `patches:0` float32 (n,P,P,1) in [0,1] to `reconstructions:0` of the same shape, in
inference mode, with all variables as constants.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.bundle import GoldenPatches, Provenance, write_bundle
from vialsight.errors import TrainingError
from vialsight.frozen_graph import import_graph
from vialsight.models.method import Network
from vialsight.models.similarity import ssim
from vialsight.training.journal import log
from vialsight.training.runfolder import FINISHED, RunFolder
from vialsight.training.saved import load_network

INPUT_NAME: Final = "patches"
OUTPUT_NAME: Final = "reconstructions"
_BATCH: Final = 60


@dataclass(frozen=True, kw_only=True)
class FrozenGraph:
    """A serialised GraphDef and the names of its one input and one output operation."""

    graph_def: bytes
    input_name: str = INPUT_NAME
    output_name: str = OUTPUT_NAME


def freeze_graph(model: Network, patch_size: int) -> FrozenGraph:
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


def run_frozen(graph: FrozenGraph, patches: Patches) -> Patches:
    """Reconstruct patches float32 (n,P,P) in [0,1] with the frozen graph; same shape out."""
    function = import_graph(graph.graph_def, graph.input_name, [graph.output_name])
    parts = [
        function(tf.constant(patches[start : start + _BATCH, ..., np.newaxis]))[0].numpy()[..., 0]
        for start in range(0, len(patches), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty_like(patches)


def freeze(
    run_dir: Path, out: Path, *, layout: Layout, golden_patches: Patches, fingerprints: bytes
) -> None:
    """Write the network of a run as an uncalibrated bundle `out`.

    `golden_patches` is float32 (R,K,P,P) in [0,1]: K >= 8 patches per region, re-scored by every
    loader; `fingerprints` are those of the training images. Raises TrainingError when the run holds
    no checkpoint or was trained for other patches, BundleError when the bundle cannot be written.
    """
    model = load_network(run_dir)
    folder = RunFolder(run_dir)
    record = folder.record() or {}
    _check_patch_size(record, layout)
    if record["status"] != FINISHED:
        log.warning("the run in %s is not finished: step %d is frozen", run_dir, record["step"])
    graph = freeze_graph(model, layout.patch_size)
    identity = record["data_identity"]
    write_bundle(
        out,
        layout=layout,
        model=graph.graph_def,
        golden=golden(graph, golden_patches),
        provenance=Provenance(
            config_sha256=folder.config().sha256(),
            data_sha256=identity["data_sha256"],
            seed=record["seed"],
            training_products=identity["training_products"],
        ),
        fingerprints=fingerprints,
        input_name=graph.input_name,
        output_name=graph.output_name,
    )


def golden(graph: FrozenGraph, inputs: Patches) -> GoldenPatches:
    """Reconstruct and score inputs float32 (R,K,P,P) as TensorFlow does in Python."""
    flat = inputs.reshape(-1, *inputs.shape[2:])
    outputs = run_frozen(graph, flat)
    exact = (array[..., np.newaxis].astype(np.float64) for array in (flat, outputs))
    similarity = ssim(*map(tf.constant, exact))
    scores = np.asarray(1.0 - similarity, np.float32)
    return GoldenPatches(
        inputs=inputs,
        reconstructions=outputs.reshape(inputs.shape),
        scores=scores.reshape(inputs.shape[:2]),
    )


def _check_patch_size(record: dict[str, Any], layout: Layout) -> None:
    if record["patch_size"] != layout.patch_size:
        raise TrainingError(
            f"the run was trained with patches of {record['patch_size']} pixels, the layout "
            f"{layout.name!r} has {layout.patch_size}: give the layout of the training data"
        )
