"""The verb that measures: latency, start, throughput, other runtimes, layers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vialsight import _core, quiet
from vialsight.bundle import read_manifest, tensorflow_version
from vialsight.cli import bench_tables, console
from vialsight.cli.line import Images
from vialsight.cli.model import BundlePath
from vialsight.cli.options import LONGEST_MS, Isolation, Json, Threads, finite, isolation_of
from vialsight.files import atomic
from vialsight.line.bench import measure_latency
from vialsight.line.benchmark.peak import measure_peak, peak_gflops
from vialsight.line.benchmark.turns import LEAST_TURNS
from vialsight.line.inspection import load_frames, products_of_images
from vialsight.line.machine import cores, machine
from vialsight.line.soak import compare_isolation

# A day of strips every 90 ms; all their times are kept.
MOST_STRIPS = 1_000_000
MOST_TURNS = 1000


def bench(
    bundle: BundlePath,
    images: Images = None,
    *,
    strips: Annotated[
        int, typer.Option(min=1, max=MOST_STRIPS, help="Strips to measure, after the warm-up.")
    ] = 100,
    budget_ms: Annotated[
        float,
        typer.Option(min=0.001, max=LONGEST_MS, callback=finite, help="Slot between acquisitions."),
    ] = 500.0,
    isolation: Isolation = "in_process",
    startup: Annotated[
        bool, typer.Option("--startup", help="Also time fresh processes, and their memory.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Also time batch sizes and numbers of threads.")
    ] = False,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Also time the same weights in other runtimes, and SSIM."),
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also tell where the network's time goes.")
    ] = False,
    against_in_process: Annotated[
        bool, typer.Option("--against-in-process", help="Also time a worker against this process.")
    ] = False,
    turns: Annotated[
        int, typer.Option(min=1, max=MOST_TURNS, help="Of --sweep, --peers and --layers.")
    ] = LEAST_TURNS,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for pictures of what was measured (PNG).")
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure the latency of inspection on IMAGES, or on frames made for it."""
    loaded = _core.Bundle.load(bundle)
    chosen = isolation_of(isolation)
    if plots is not None:
        atomic.require_folder(plots, option="--plots")
    frames = None
    if images:
        products = products_of_images(images, loaded.layout.frames)
        frames = [load_frames(product, loaded.layout) for product in products]
    quiet.load_backend(loaded)
    result: dict[str, Any] = {
        "bundle": loaded.name,
        "bundle_sha256": loaded.sha256,
        "runtime": read_manifest(loaded)["runtime"],
        "machine": machine(threads),
        **measure_latency(
            loaded,
            frames,
            count=strips,
            budget_ms=budget_ms,
            threads=threads,
            isolation=chosen,
        ),
    }
    if against_in_process:
        result["against_in_process"] = compare_isolation(loaded, strips=strips, threads=threads)
    if startup:
        result["startup"] = _startup(loaded, threads)
    if sweep:
        result["throughput"] = _throughput(loaded, turns)
    if peers or layers:
        result["peak"] = measure_peak(threads or cores())
        result["network"] = _network(loaded, result)
    if layers:
        result["layers"] = _layers(loaded, result, threads or cores(), turns)
    if peers:
        result["peers"] = _peers(loaded, threads, turns)
    if plots is not None:
        _draw(result, plots)
    if as_json:
        console.print_json(result)
    else:
        bench_tables.print_all(result)


def _startup(bundle: _core.Bundle, threads: int) -> dict[str, Any]:
    from vialsight.line.benchmark.startup import measure_startup

    with console.progress("starting") as progress:
        return measure_startup(bundle, threads=threads, progress=progress)


def _throughput(bundle: _core.Bundle, turns: int) -> dict[str, Any]:
    from vialsight.line.benchmark.sweep import measure_throughput

    with console.progress("batches and threads") as progress:
        return measure_throughput(bundle, turns=turns, progress=progress)


def _peers(bundle: _core.Bundle, threads: int, turns: int) -> dict[str, Any]:
    from vialsight.line.benchmark.peers import compare_with_peers

    with console.progress("peers") as progress:
        return compare_with_peers(bundle, threads=threads, turns=turns, progress=progress)


def _network(bundle: _core.Bundle, result: dict[str, Any]) -> dict[str, Any]:
    """Return the network's FLOP a patch, and how near the median strip comes to the peak."""
    from vialsight.line.benchmark.operations import read_operations, total_flop

    if tensorflow_version() == "none":
        return {"gflop_per_patch": None, "share_of_peak": None, "ms_per_patch": None}
    size = bundle.layout.patch_size
    name = read_manifest(bundle)["input"]["name"]
    flop = total_flop(read_operations(bundle.model, name, size, 1))
    ms = result["latency_ms"]["infer"]["p50"] / bundle.layout.patches_per_strip
    peak = peak_gflops(result["peak"], result["runtime"]["precision"])
    return {
        "gflop_per_patch": flop / 1e9,
        "ms_per_patch": ms,
        "gflops": flop / ms / 1e6,
        "share_of_peak": None if peak is None else flop / ms / 1e6 / peak,
    }


def _layers(
    bundle: _core.Bundle, result: dict[str, Any], threads: int, turns: int
) -> dict[str, Any]:
    from vialsight.line.benchmark.layer_report import measure_layers

    return measure_layers(bundle, result["peak"], threads=threads, runs=turns)


def _draw(result: dict[str, Any], folder: Path) -> None:
    from vialsight.line.benchmark.plots import draw_all

    folder.mkdir(parents=True, exist_ok=True)
    for path in draw_all(result, folder):
        console.log(f"drawn: {path}")
