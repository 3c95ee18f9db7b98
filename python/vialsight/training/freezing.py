"""From a trained run to the frozen graph a bundle carries, and what its loaders compare with.

The graph maps `patches:0` float32 (n,P,P,1) in [0,1] to the method's outputs, in inference mode,
with all variables as constants.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core, scores
from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.bundle import (
    GOLDEN_TOLERANCE,
    RECONSTRUCTION,
    GoldenPatches,
    Model,
    Output,
    Provenance,
    write_bundle,
)
from vialsight.errors import TrainingError
from vialsight.flops import graph_flop
from vialsight.frozen_graph import import_graph
from vialsight.locator import ProductLocator
from vialsight.models.graph import UnsupportedGraphError, described, optimised_graph
from vialsight.models.method import Method, Network, method_of
from vialsight.models.similarity import ssim
from vialsight.pinned import convert_variables_to_constants_v2, tf
from vialsight.pixels import to_pixels, to_unit
from vialsight.scores import Component
from vialsight.training.journal import log
from vialsight.training.runfolder import FINISHED, RunFolder
from vialsight.training.saved import load_network

INPUT_NAME: Final = "patches"
_BATCH: Final = 60
# How near a rewritten graph must come: of an output's largest value, and of what a loader allows.
_OUTPUT_TOLERANCE: Final = 1e-5
_SCORE_SHARE: Final = 0.5
# Outputs that are zero everywhere are compared as if they reached this.
_LEAST_SCALE: Final = 1e-3
# As the core takes it where it divides by a location's spread (filtered_component.h).
_LEAST_SPREAD: Final = 1e-3

# By output, float32 (n,h,w).
Outputs = dict[str, npt.NDArray[np.float32]]
# By component, mean and spread float32 (2,R,h,w).
Locations = dict[str, npt.NDArray[np.float32]]


def freeze_graph(
    network: Network, patch_size: int, *, roles: Mapping[str, str] | None = None, method: str
) -> Model:
    """Freeze `network`, patches (n,P,P,1) to named outputs (n,h,w,1), in inference mode.

    `roles` says what each output is; by default there is one reconstruction.
    """
    known = roles or {RECONSTRUCTION: RECONSTRUCTION}

    def named(patches: Any) -> dict[str, Any]:
        found = network(patches, training=False)
        return {name: tf.identity(found[name], name=name) for name in sorted(known)}

    signature = tf.TensorSpec((None, patch_size, patch_size, 1), tf.float32, name=INPUT_NAME)
    concrete = tf.function(named, autograph=False).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=True)
    names = sorted(known)
    graph_def = _pruned(frozen.graph.as_graph_def(), names)
    shapes = {name: concrete.structured_outputs[name].shape for name in names}
    return Model(
        graph_def=graph_def.SerializeToString(deterministic=True),
        outputs={n: Output(known[n], int(shapes[n][1]), int(shapes[n][2])) for n in names},
        method=method,
        input_name=INPUT_NAME,
    )


def _pruned(graph_def: Any, outputs: list[str]) -> Any:
    """Return what of a graph its outputs need, without TensorFlow's notes on deprecation."""
    graph_util, logger = tf.compat.v1.graph_util, tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        kept = graph_util.remove_training_nodes(graph_def, protected_nodes=outputs)
        return graph_util.extract_sub_graph(kept, outputs)
    finally:
        logger.setLevel(level)


def run_frozen(model: Model, patches: Patches) -> Outputs:
    """Return all outputs of patches float32 (n,P,P) in [0,1], as TensorFlow computes them here."""
    names = sorted(model.outputs)
    function = import_graph(model.graph_def, model.input_name, names)
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    for start in range(0, len(patches), _BATCH):
        found = function(tf.constant(patches[start : start + _BATCH, ..., np.newaxis]))
        for name, output in zip(names, found, strict=True):
            parts[name].append(output.numpy()[..., 0])
    shapes = {name: (0, output.height, output.width) for name, output in model.outputs.items()}
    return {n: np.concatenate([np.empty(shapes[n], np.float32), *parts[n]]) for n in names}


def freeze(
    run_dir: Path,
    out: Path,
    *,
    layout: Layout,
    golden_patches: Patches,
    nominal_patches: Patches,
    fingerprints: bytes,
    locator: ProductLocator | None = None,
) -> None:
    """Write the network of a run as an uncalibrated bundle `out`.

    `golden_patches` is float32 (R,K,P,P) in [0,1]: K >= 8 patches per region, rounded to 8 bits and
    re-scored by every loader; `nominal_patches` is (n,P,P), patch i of region i modulo R, to which
    the method fits what completes its network, and of which components that are per location learn
    mean and spread; `fingerprints` are those of the training images; `locator` is the one their
    products were located with. Raises TrainingError when the run holds no checkpoint or was trained
    for other patches, BundleError when the bundle cannot be written.
    """
    trained = load_network(run_dir)
    folder = RunFolder(run_dir)
    config, record = folder.config(), folder.record() or {}
    _check_patch_size(record, layout)
    if record["status"] != FINISHED:
        log.warning("the run in %s is not finished: step %d is frozen", run_dir, record["step"])
    method = method_of(config)
    network = _completed(method, trained, nominal_patches, len(layout.regions))
    model = freeze_graph(
        network, layout.patch_size, roles=method.outputs, method=config.model.method
    )
    # Of the network as it was trained: what follows computes the same with less.
    flop = graph_flop(model.graph_def, model.input_name, layout.patch_size)
    log.info("the network takes %.3g GFLOP a patch", flop / 1e9)
    components = method.scores(config, layout.patch_size)
    locations = measure_locations(model, components, nominal_patches, len(layout.regions))
    identity = record["data_identity"]
    shown = golden(model, components, golden_patches, locations)
    write_bundle(
        out,
        layout=layout,
        model=optimised(model, components, shown, locations),
        golden=shown,
        score=scores.definition(components),
        locations=locations,
        provenance=Provenance(
            config_sha256=config.sha256(),
            data_sha256=identity["data_sha256"],
            seed=record["seed"],
            training_products=identity["training_products"],
        ),
        fingerprints=fingerprints,
        locator=locator,
    )


def _completed(method: Method, network: Network, nominal: Patches, regions: int) -> Network:
    """Return the network with what the method fits to it; its warnings are logged."""
    if method.completed is None:
        return network
    found, warnings = method.completed(network, nominal, regions)
    for text in warnings:
        log.warning("%s", text)
    return found


def measure_locations(
    model: Model, components: Sequence[Component], patches: Patches, regions: int
) -> Locations:
    """Return mean and spread of the maps of nominal patches (n,P,P), patch i of region i mod R.

    Of the components that are per location: of their maps as they are before filtering.
    """
    chosen = [component for component in components if component.get("per_location")]
    if not chosen:
        return {}
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for start in range(0, len(patches), _BATCH * regions):
        batch = patches[start : start + _BATCH * regions]
        outputs = run_frozen(model, batch)
        for component in chosen:
            found = _plain_maps(component, batch, outputs)
            powers = np.stack([found, found**2])
            by_region = powers.reshape(2, -1, regions, *found.shape[1:]).sum(axis=1)
            sums[component["name"]] = sums.get(component["name"], 0.0) + by_region
    count = len(patches) // regions
    return {name: _mean_and_spread(total / count) for name, total in sums.items()}


def optimised(
    model: Model, components: Sequence[Component], shown: GoldenPatches, locations: Locations
) -> Model:
    """Return the model with its graph rewritten (`models/graph`), or as it is, with a warning.

    `shown` are the golden patches of `model`. The rewritten graph must come as near to their
    outputs and components as `_OUTPUT_TOLERANCE` and half of what a loader allows; a loader
    then compares it with them again: they stay those of the network that was trained.
    """
    try:
        graph, counts = optimised_graph(model.graph_def, model.input_name, list(model.outputs))
    except UnsupportedGraphError as error:
        log.warning("the graph stays as it was trained: %s", error)
        return model
    found = replace(model, graph_def=graph)
    outputs, scored = _differences(golden(found, components, shown.inputs, locations), shown)
    by_component = float(np.max(scored / _allowed(components, shown, locations)))
    text = (
        f"largest difference {outputs:.1e} of an output's largest value, "
        f"{by_component:.2g} of what a loader allows a score"
    )
    if outputs <= _OUTPUT_TOLERANCE and by_component <= _SCORE_SHARE:
        log.info("optimised: %s; %s", described(counts) or "nothing", text)
        return found
    log.warning(
        "the graph stays as it was trained: rewritten, it differs too much: %s; expected at most "
        "%.0e and %.2g",
        text,
        _OUTPUT_TOLERANCE,
        _SCORE_SHARE,
    )
    return model


def _differences(
    found: GoldenPatches, shown: GoldenPatches
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the largest share of an output's largest value, and of components (R,K,C) the sizes.

    NaN where anything is: no comparison holds then.
    """
    shares = [
        np.max(np.abs(found.outputs[name] - output)) / np.max(np.abs(output), initial=_LEAST_SCALE)
        for name, output in shown.outputs.items()
    ]
    return float(np.max(shares)), np.abs(
        found.components.astype(np.float64) - shown.components.astype(np.float64)
    )


def _allowed(
    components: Sequence[Component], shown: GoldenPatches, locations: Locations
) -> npt.NDArray[np.float64]:
    """Return by how much a loader lets components (R,K,C) differ (docs/bundle.md)."""
    scales = np.maximum(1.0, np.abs(shown.components.astype(np.float64)))
    for index, component in enumerate(components):
        if component["name"] in locations:
            spread = locations[component["name"]][1].min(axis=(1, 2))
            least = 1.0 / np.maximum(spread, _LEAST_SPREAD)
            scales[..., index] = np.maximum(scales[..., index], least[:, np.newaxis])
    return GOLDEN_TOLERANCE * scales


def golden(
    model: Model, components: Sequence[Component], inputs: Patches, locations: Locations
) -> GoldenPatches:
    """Run and score inputs float32 (R,K,P,P) in [0,1] as Python does at freezing.

    They are first rounded to 8 bits, so that a bundle stores a quarter of the bytes. Everything is
    computed of the rounded ones: of a resampled patch, which had values between, too, they prove as
    much. 1 - SSIM by TensorFlow's formula in float64; other components by the C++ core, from
    TensorFlow's outputs.
    """
    regions, count = inputs.shape[:2]
    inputs = to_unit(to_pixels(inputs))
    flat = inputs.reshape(-1, *inputs.shape[2:])
    outputs = run_frozen(model, flat)
    shaped = {n: array.reshape(regions, count, *array.shape[1:]) for n, array in outputs.items()}
    columns = [
        [
            _numbers(c, inputs[r], {n: a[r] for n, a in shaped.items()}, locations, r)
            for c in components
        ]
        for r in range(regions)
    ]
    return GoldenPatches(
        inputs=inputs,
        outputs=shaped,
        components=np.ascontiguousarray(np.moveaxis(np.array(columns, np.float32), 1, 2)),
    )


def _numbers(
    component: Component, patches: Patches, outputs: Outputs, locations: Locations, region: int
) -> npt.NDArray[np.float32]:
    """Return the numbers (K,) of one component of patches (K,P,P) of one region."""
    if component["component"] == "ssim":
        pair = (patches, outputs[RECONSTRUCTION])
        exact = (tf.constant(array[..., np.newaxis], tf.float64) for array in pair)
        return np.asarray(1.0 - ssim(*exact), np.float32)
    name = component["name"]
    own = {name: np.ascontiguousarray(locations[name][:, region])} if name in locations else None
    return _core.score(patches, outputs, scores.definition([component]), locations=own)[0]


def _plain_maps(
    component: Component, patches: Patches, outputs: Outputs
) -> npt.NDArray[np.float64]:
    plain = {**component, "smoothing": 0.0, "per_location": False}
    _, maps = _core.score(patches, outputs, scores.definition([plain]))
    return maps.astype(np.float64)


def _mean_and_spread(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return mean and deviation from the means of values and of their squares, (2,R,h,w)."""
    mean, square = powers
    return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0.0))]).astype(np.float32)


def _check_patch_size(record: dict[str, Any], layout: Layout) -> None:
    if record["patch_size"] != layout.patch_size:
        raise TrainingError(
            f"the run was trained with patches of {record['patch_size']} pixels, the layout "
            f"{layout.name!r} has {layout.patch_size}: give the layout of the training data"
        )
