#!/usr/bin/env python3
"""What every preset costs here: built with fresh weights, frozen, profiled layer by layer.

usage: tools/benchmark_presets.py [PRESET…] [--patch-size 256] [--batch 20] [--threads 0]
                                  [--runs 9] [--worst 3] [--json FILE]

PRESET is drae-16 … drae-1024, drae-line-S, drae-line-M, grdnet-line-S, grdnet-line-M; by default
those that two cores run within seconds. Of grdnet it is the segmenting network alone, without what
is expected of a patch. Weights do not change what a layer costs. Where OpenVINO is installed, it
runs the same graphs in float32 and, where the CPU has it, bfloat16. The median is of the runtime
called from Python, the share that of this machine's matrix-product peak in the same precision.
"""

import argparse
import importlib
import json
import tempfile
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from vialsight import quiet
from vialsight.line.benchmark.layers import by_shape, table
from vialsight.line.benchmark.operations import read_operations
from vialsight.line.benchmark.peak import measure_peak, peak_gflops
from vialsight.line.benchmark.profiles import Profile, profile_openvino, profile_tensorflow
from vialsight.line.machine import cores, machine

REGIONS = 4
PRESETS = (
    "drae-16",
    "drae-32",
    "drae-64",
    "drae-line-S",
    "drae-line-M",
    "grdnet-line-S",
    "grdnet-line-M",
)


def frozen(preset: str, size: int) -> Any:
    """Return a preset's network with fresh weights as a bundle's `Model`."""
    from vialsight.pinned import keras
    from vialsight.training.freezing import freeze_graph

    keras.utils.set_random_seed(0)
    if preset.startswith("grdnet-"):
        network = _segmentation(preset.removeprefix("grdnet-"), size)
        roles = {"anomaly": "map"}
        return freeze_graph(network, size, roles=roles, method="grdnet")
    from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part

    name = preset.removeprefix("drae-") if "line" in preset else preset
    options = NetworkOptions(patch_size=size, preset=name)
    return freeze_graph(deployed_part(build_generator(options)), size, method="drae")


def _segmentation(preset: str, size: int) -> Any:
    from vialsight.models.grdnet.expectation import PLANES
    from vialsight.models.grdnet.network import SegmentationOptions, build_segmentation
    from vialsight.pinned import tf

    network = build_segmentation(SegmentationOptions(size=size, regions=REGIONS, preset=preset))

    def call(patches: Any, *, training: bool) -> dict[str, Any]:
        half = tf.nn.avg_pool2d(patches, 2, 2, "VALID")
        seen = tf.repeat(half, PLANES, axis=3)
        region = tf.one_hot(tf.range(tf.shape(patches)[0]) % REGIONS, REGIONS)
        return {"anomaly": network([patches, seen, region], training=training)[0]}

    return call


def profiles(preset: str, options: argparse.Namespace) -> Iterator[tuple[str, str, int, Profile]]:
    """Yield runtime, precision, FLOP a patch and profile of one preset."""
    size, batch = options.patch_size, options.batch
    model = frozen(preset, size)
    flop = sum(o.flop for o in read_operations(model.graph_def, "patches", size, 1))
    patches = np.random.default_rng(0).random((batch, size, size), np.float32)
    names = sorted(model.outputs)
    common = {"threads": options.threads, "runs": options.runs}
    profile = profile_tensorflow(model.graph_def, "patches", names, patches, **common)
    yield "tensorflow", "float32", flop, profile
    if util.find_spec("openvino") is None:
        return
    operations = read_operations(model.graph_def, "patches", size, batch)
    core = importlib.import_module("openvino").Core()
    precisions = {"float32": "f32"}
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        precisions["bfloat16"] = "bf16"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pb"
        path.write_bytes(model.graph_def)
        for precision, hint in precisions.items():
            profile = profile_openvino(
                path, patches, precision=hint, operations=operations, **common
            )
            yield "openvino", precision, flop, profile


def measured(preset: str, options: argparse.Namespace, peak: dict[str, Any]) -> list[Any]:
    """Return a row for every runtime and precision, its layers in it."""
    rows = []
    for runtime, precision, flop, profile in profiles(preset, options):
        rate = peak_gflops(peak, precision)
        ms = profile.whole_ms / options.batch
        shapes = by_shape(profile.layers, rate)
        rows.append(
            {
                "preset": preset,
                "runtime": runtime,
                "precision": precision,
                "gflop_per_patch": flop / 1e9,
                "ms_per_patch": ms,
                "gflops": flop / ms / 1e6,
                "share_of_peak": None if rate is None else flop / ms / 1e6 / rate,
                "by_shape": sorted(shapes, key=lambda row: -(row["lost_ms"] or row["ms"])),
                "layers": table(profile.layers, rate),
            }
        )
    return rows


def show(row: dict[str, Any], worst: int) -> None:
    """Print a row and the shapes that lose most in it."""
    share = "-" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}"
    print(
        f"{row['preset']:<14} {row['runtime']:<10} {row['precision']:<8} "
        f"{row['gflop_per_patch']:>8.3f} GFLOP {row['ms_per_patch']:>8.2f} ms a patch "
        f"{row['gflops']:>6.0f} GFLOP/s {share:>5} of the peak",
        flush=True,
    )
    for shape in row["by_shape"][:worst]:
        reached = shape["share_of_peak"]
        told = "" if reached is None or not shape["flop"] else f", {reached:.0%} of the peak"
        print(
            f"    {shape['share_of_time']:>6.1%} of the time: {shape['layers']} x {shape['kind']} "
            f"{shape['shape']}{told}"
        )


def main() -> None:
    """Measure the presets that were named."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=lines[0])
    parser.add_argument("presets", nargs="*", default=PRESETS, metavar="PRESET")
    parser.add_argument("--patch-size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--worst", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.threads = options.threads or cores()
    quiet.install()
    peak = measure_peak(options.threads)
    for precision in ("float32", "bfloat16"):
        rate = peak_gflops(peak, precision)
        told = "not computed here" if rate is None else f"{rate:.0f} GFLOP/s"
        print(f"matrix-product peak, {precision}: {told}")
    rows = []
    for preset in options.presets:
        rows += measured(preset, options, peak)
        for row in rows[-3:]:
            if row["preset"] == preset:
                show(row, options.worst)
    if options.json is not None:
        result = {"machine": machine(options.threads), "peak": peak, "rows": rows}
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
