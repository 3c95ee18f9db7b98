#!/usr/bin/env python3
"""What a graphics card could do at best: the roofline of every preset, as a table.

usage: roofline.py [--bandwidth GBPS] [--peaks NAME=TFLOPS,...] [--batch N] [--patch-size P]

Computed, not measured. A layer takes as long as its arithmetic at the card's peak, or as its bytes
at the card's bandwidth, whichever is longer; a network takes the sum of its layers. Layers are the
convolutions and products of the frozen graph; each reads what it sees and its weights, and writes
what it makes. Normalisations, activations and sums count as fused, nothing is kept in a cache.
"""

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from vialsight.flops import operation_flop
from vialsight.frozen_graph import graph_for
from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.models.graph import optimised_graph
from vialsight.models.grdnet.network import PRESETS, SegmentationOptions, build_segmentation
from vialsight.pinned import keras, tf
from vialsight.training.freezing import freeze_graph

# The paper's card, an NVIDIA A4500 (peaks without sparsity).
PEAKS = "float32=24,TF32=47,float16=95"
BANDWIDTH = 640.0
SLOT_MS = 500.0
PATCHES = 60
DRAE = ("drae-32", "drae-64", "drae-128", "drae-256", "drae-512", "drae-1024", "line-S", "line-M")
_BYTES = {"float32": 4, "TF32": 4, "float16": 2}


class Layer(NamedTuple):
    """Of one batch: floating-point operations, and numbers that are read and written."""

    flop: int
    numbers: int


def layers_of(graph_def: bytes, batch: int, patch_size: int) -> Iterator[Layer]:
    """Yield the convolutions and products of a frozen graph that takes (n,P,P,1)."""
    graph = graph_for(graph_def, "patches", patch_size, batch)
    for operation in graph.get_operations():
        flop = operation_flop(operation)
        if flop:
            tensors = [*operation.inputs, *operation.outputs]
            yield Layer(flop, sum(int(np.prod(tensor.shape)) for tensor in tensors))


def least_ms(layers: list[Layer], tflops: float, gbps: float, size: int) -> float:
    """Return the least time of a batch in ms; `size` is bytes a number."""
    seconds = sum(
        max(layer.flop / (tflops * 1e12), layer.numbers * size / (gbps * 1e9)) for layer in layers
    )
    return 1e3 * seconds


def drae(preset: str, patch_size: int) -> bytes:
    """Return the frozen graph of a DRAE with fresh weights."""
    options = NetworkOptions(patch_size=patch_size, preset=preset)
    network = deployed_part(build_generator(options))
    return bytes(freeze_graph(network, patch_size, method="drae").graph_def)


def grdnet(preset: str, patch_size: int) -> bytes:
    """Return the frozen graph of GRD-Net's U-Net; its linear model is left out."""
    options = SegmentationOptions(size=patch_size, regions=4, preset=preset)
    network = build_segmentation(options)

    def segmented(patches: Any, training: bool = False) -> dict[str, Any]:
        half = tf.nn.avg_pool2d(patches, 2, 2, "VALID")
        planes = tf.concat([half] * 5, -1)
        region = tf.reshape(
            tf.nn.avg_pool2d(half, patch_size // 4, patch_size // 4, "VALID"), (-1, 4)
        )
        return {"anomaly": network([patches, planes, region], training=training)[0]}

    model = freeze_graph(segmented, patch_size, roles={"anomaly": "map"}, method="grdnet")
    return bytes(model.graph_def)


def row(name: str, graph: bytes, options: argparse.Namespace) -> str:
    """Return a line of the table: GFLOP a patch, MB a patch, ms a strip at each peak."""
    graph, _ = optimised_graph(graph, "patches", outputs_of(graph))
    layers = list(layers_of(graph, options.batch, options.patch_size))
    flop = sum(layer.flop for layer in layers) / options.batch
    numbers = sum(layer.numbers for layer in layers) / options.batch
    cells = [name, f"{flop / 1e9:.3g}", f"{4 * numbers / 1e6:.3g}"]
    for peak in options.peaks.split(","):
        kind, _, tflops = peak.partition("=")
        time = least_ms(layers, float(tflops), options.bandwidth, _BYTES[kind])
        cells.append(f"{time * PATCHES / options.batch:.3g}")
    return "| " + " | ".join(cells) + " |"


def outputs_of(graph: bytes) -> list[str]:
    """Return the names of nodes that no other takes."""
    nodes = tf.compat.v1.GraphDef.FromString(graph).node
    used = {source.split(":")[0] for node in nodes for source in node.input}
    return [node.name for node in nodes if node.name not in used]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bandwidth", type=float, default=BANDWIDTH, help="GB/s")
    parser.add_argument("--peaks", default=PEAKS, help="TFLOP/s by kind of number")
    parser.add_argument("--batch", type=int, default=PATCHES, help="patches at once")
    parser.add_argument("--patch-size", type=int, default=256)
    options = parser.parse_args()
    kinds = [peak.partition("=")[0] for peak in options.peaks.split(",")]
    print(f"| network | GFLOP a patch | MB a patch | {' | '.join(f'{k}, ms' for k in kinds)} |")
    print("|---" * (3 + len(kinds)) + "|")
    for preset in DRAE:
        keras.backend.clear_session()
        print(row(f"`drae`, `{preset}`", drae(preset, options.patch_size), options), flush=True)
    for preset in PRESETS:
        print(row(f"`grdnet`, `{preset}`", grdnet(preset, options.patch_size), options))


if __name__ == "__main__":
    main()
