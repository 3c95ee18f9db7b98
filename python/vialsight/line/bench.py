"""Latency of inspection, described well enough to be repeated."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Patches
from vialsight.bundle import RECONSTRUCTION, read_manifest
from vialsight.errors import BundleError
from vialsight.frozen_graph import import_graph
from vialsight.line.strips import Frames, made_strip

PERCENTILES: Final = (50, 90, 99)
WARM_UP_STRIPS: Final = 5
# What one strip of the paper holds (SPEC §1), hence the batch a comparison uses.
COMPARED_BATCH: Final = 60
# Where it is the images that are not as the bundle's layout says; else it is the bundle.
_WHAT_TO_DO: Final = {
    "frame_invalid": "give images whose size and pixel values fit the bundle's layout",
    "not_located": "give images in which the product can be found",
}


def measure_latency(
    bundle: _core.Bundle,
    strips: Sequence[Frames] | None,
    *,
    count: int,
    budget_ms: float,
    threads: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Inspect `count` strips and return percentiles per stage, in milliseconds.

    `strips` are frames (F,H,W) used in turn; None makes some, see `made_strip`. No deadline is set
    while measuring: a late strip shows its whole latency and counts as a miss of `budget_ms`.
    The first strips warm up and are left out. Raises BundleError when a strip could not be scored.
    """
    inspector = _core.Inspector(bundle, threads=threads)
    inputs = strips or (made_strip(bundle, seed),)
    for number in range(WARM_UP_STRIPS):
        time_strip(inspector, inputs[number % len(inputs)])
    times = [time_strip(inspector, inputs[number % len(inputs)]) for number in range(count)]
    latencies = {stage: [1e3 * row[stage] for row in times] for stage in times[0]}
    return {
        "strips": count,
        "warm_up_strips": WARM_UP_STRIPS,
        "patches_per_strip": bundle.layout.patches_per_strip,
        "input": "made" if strips is None else "images",
        "latency_ms": {name.removesuffix("_s"): summary(ms) for name, ms in latencies.items()},
        "budget_ms": budget_ms,
        "misses": sum(ms > budget_ms for ms in latencies["total_s"]),
    }


def compare_with_python(
    bundle: _core.Bundle,
    *,
    batch: int = COMPARED_BATCH,
    repeats: int = 15,
    threads: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Time φ of one batch in C++ and in Python (frozen graph + tf.image.ssim), turn by turn.

    Both get the same random patches and run in this process; the ratio is taken within each turn.
    Where φ is not 1 - SSIM alone, which is all that Python computes, only `left_out` says so.
    """
    if not _is_ssim_alone(bundle):
        names = ", ".join(bundle.components)
        return {"left_out": f"Python computes 1 - SSIM alone; this bundle's score is of {names}"}
    python = _python_scorer(bundle, threads)
    inspector = _core.Inspector(bundle, threads=threads, require_thresholds=False)
    size = bundle.layout.patch_size
    patches = np.random.default_rng(seed).random((batch, size, size), np.float32)
    cpp_ms, python_ms = _interleaved(
        lambda: inspector.score_patches(patches, batch_size=batch),
        lambda: python(patches),
        repeats,
        batch,
    )
    difference = np.abs(inspector.score_patches(patches, batch_size=batch) - python(patches))
    ratios = [slow / fast for slow, fast in zip(python_ms, cpp_ms, strict=True)]
    return {
        "batch": batch,
        "repeats": repeats,
        "cpp_ms_per_patch": summary(cpp_ms),
        "python_ms_per_patch": summary(python_ms),
        "python_over_cpp": summary(ratios),
        "largest_score_difference": float(difference.max()),
    }


def summary(
    values: Sequence[float] | npt.NDArray[Any], percentiles: Sequence[float] = PERCENTILES
) -> dict[str, float]:
    """Return the smallest value, percentiles by name (p50, p99.9), and the largest."""
    named = {f"p{p:g}": float(np.percentile(values, p)) for p in percentiles}
    return {"min": float(np.min(values)), **named, "max": float(np.max(values))}


def time_strip(inspector: _core.Inspector, frames: Frames) -> dict[str, float]:
    """Inspect frames (F,H,W); return the seconds of each stage. BundleError: not all was scored."""
    verdict = inspector.inspect(frames)
    if not np.isfinite(verdict.scores).all():
        what_to_do = _WHAT_TO_DO.get(verdict.reason, "run `vialsight verify` on the bundle")
        raise BundleError(f"a strip ended with {verdict.reason!r} instead of scores; {what_to_do}")
    return dict(verdict.times)


def _interleaved(
    first: Callable[[], object], second: Callable[[], object], repeats: int, batch: int
) -> tuple[list[float], list[float]]:
    """Milliseconds per patch of both, alternating, so that a busy machine hits both alike."""
    first(), second()
    pairs = [(_milliseconds(first), _milliseconds(second)) for _ in range(repeats)]
    return [a / batch for a, _ in pairs], [b / batch for _, b in pairs]


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def _is_ssim_alone(bundle: _core.Bundle) -> bool:
    score = read_manifest(bundle)["score"]
    kinds = {component["name"]: component["component"] for component in score["components"]}
    return [kinds[name] for name in score["decide"]] == ["ssim"]


def _python_scorer(bundle: _core.Bundle, threads: int) -> Callable[[Patches], Patches]:
    """Return φ as Python computes it from the bundle's graph: one tf.function, nothing eager."""
    from vialsight.pinned import tf

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    outputs = [name for name, output in bundle.outputs.items() if output[0] == RECONSTRUCTION]
    reconstruct = import_graph(bundle.model, read_manifest(bundle)["input"]["name"], outputs)

    @tf.function  # type: ignore[untyped-decorator]
    def score(patches: Any) -> Any:
        return 1.0 - tf.image.ssim(patches, reconstruct(patches)[0], max_val=1.0)

    def run(patches: Patches) -> Patches:
        scores: Patches = score(tf.constant(patches[..., np.newaxis])).numpy()
        return scores

    return run
