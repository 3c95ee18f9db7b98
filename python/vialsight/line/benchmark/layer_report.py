"""The layers of a bundle's network, profiled in the runtime that the bundle asks for."""

import tempfile
from pathlib import Path
from typing import Any

from vialsight import _core
from vialsight.bundle import read_manifest, tensorflow_version
from vialsight.errors import BundleError
from vialsight.line.benchmark.layers import by_shape, table
from vialsight.line.benchmark.openvino_settings import HINTS
from vialsight.line.benchmark.operations import Operation, read_operations
from vialsight.line.benchmark.peak import peak_gflops
from vialsight.line.benchmark.profiles import RUNS, Profile, profile_openvino, profile_tensorflow
from vialsight.line.benchmark.sweep import real_patches


def measure_layers(
    bundle: _core.Bundle, peak: dict[str, Any], *, threads: int, runs: int = RUNS
) -> dict[str, Any]:
    """Profile one frame's batch; return rows as `layers.table` and `layers.by_shape`.

    `profiled_ms` is the sum of the layers, `whole_ms` what the batch takes without a profiler, both
    in the runtime called from Python. Raises BundleError for a runtime without a profiler here.
    """
    runtime = read_manifest(bundle)["runtime"]
    precision = str(runtime["precision"])
    profile = _profile(bundle, str(runtime["name"]), precision, threads, runs)
    rate = peak_gflops(peak, precision)
    return {
        "runtime": runtime["name"],
        "precision": precision,
        "batch": bundle.layout.patches_per_frame,
        "runs": runs,
        "peak_gflops": rate,
        "profiled_ms": sum(layer.ms for layer in profile.layers),
        "whole_ms": profile.whole_ms,
        "flop": sum(layer.flop for layer in profile.layers),
        "rows": table(profile.layers, rate),
        "by_shape": by_shape(profile.layers, rate),
    }


def _profile(
    bundle: _core.Bundle, runtime: str, precision: str, threads: int, runs: int
) -> Profile:
    name = read_manifest(bundle)["input"]["name"]
    patches = real_patches(bundle, bundle.layout.patches_per_frame)
    if runtime == "tensorflow":
        return profile_tensorflow(
            bundle.model, name, list(bundle.outputs), patches, threads=threads, runs=runs
        )
    if runtime != "openvino" or precision not in HINTS:
        raise BundleError(
            f"--layers: expected a bundle for tensorflow, or for openvino in {', '.join(HINTS)}; "
            f"got {runtime} in {precision}"
        )
    with tempfile.TemporaryDirectory(prefix="vialsight-bench-") as folder:
        path = Path(folder) / "model.pb"
        path.write_bytes(bundle.model)
        return profile_openvino(
            path,
            patches,
            threads=threads,
            precision=HINTS[precision],
            runs=runs,
            operations=_operations(bundle, name),
        )


def _operations(bundle: _core.Bundle, input_name: str) -> list[Operation]:
    """Return the graph's operations, for their names; none where TensorFlow is not installed."""
    if tensorflow_version() == "none":
        return []
    layout = bundle.layout
    return read_operations(bundle.model, input_name, layout.patch_size, layout.patches_per_frame)
