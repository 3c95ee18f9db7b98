"""Verbs around a finished bundle: inspect, verify, bench, show."""

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from vialsight import _core
from vialsight.bundle import read_manifest
from vialsight.cli import console
from vialsight.cli.model import BundlePath, Threads
from vialsight.cli.score_text import print_explained_score
from vialsight.data import load_frame, read_dataset
from vialsight.data.fingerprints import Fingerprints
from vialsight.errors import BundleError, CheckFailed, DataError
from vialsight.line import bench as benchmark
from vialsight.line.inspection import (
    Inspected,
    Product,
    inspect_product,
    products_of_dataset,
    products_of_images,
    write_heatmaps,
)
from vialsight.line.machine import machine
from vialsight.line.overview import write_overviews
from vialsight.line.soak import compare_isolation

Images = Annotated[list[Path] | None, typer.Argument(metavar="[IMAGES]...")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def inspect(
    bundle: BundlePath,
    images: Images = None,
    *,
    data: Annotated[
        Path | None, typer.Option("--data", help="Inspect a dataset's products instead of IMAGES.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --data to inspect.")] = "test",
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a picture of each rejected patch, and of each frame that has one, "
            "with boxes and heatmaps where the product lies in it."
        ),
    ] = None,
    level: Annotated[str, typer.Option(help="Threshold set: patch, strip or run.")] = "strip",
    budget_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Slot; a later verdict is a reject.")
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Inspect products through the C++ core: each F images in a row are one product's frames.

    Exit code 0 also when products are rejected; 2 when images could not be used, whose products
    are reported as rejected.
    """
    loaded = _core.Bundle.load(bundle)
    products = _products(loaded, images or [], data, split)
    inspector = _core.Inspector(loaded, threads=threads, level=_level(level))
    if heatmaps is not None:
        heatmaps.mkdir(parents=True, exist_ok=True)
    results: list[Inspected] = []
    with console.progress("inspecting") as progress:
        for product in products:
            budget_s = None if budget_ms is None else budget_ms / 1e3
            results.append(inspect_product(inspector, product, budget_s=budget_s))
            if heatmaps is not None:
                write_heatmaps(inspector, results[-1], heatmaps, number=len(results))
                write_overviews(inspector, results[-1], heatmaps, number=len(results))
            progress(len(results), len(products))
    _print_inspected(loaded, results, as_json)
    unusable = [result.error for result in results if result.error is not None]
    if unusable:
        raise DataError("rejected, because images cannot be used:\n  " + "\n  ".join(unusable))


def verify(bundle: BundlePath, threads: Threads = 0) -> None:
    """Check hashes, graph operations and golden patches through C++; exit code 1 if one fails."""
    if not bundle.is_dir():
        raise BundleError(f"{bundle}: no such folder; give the path of a bundle NAME.vsb")
    try:
        loaded = _core.Bundle.load(bundle)
        inspector = _core.Inspector(loaded, threads=threads, require_thresholds=False)
    except BundleError as error:
        raise CheckFailed(f"{bundle} must not be used: {error}") from error
    difference = _golden_difference(loaded, inspector)
    if not difference <= loaded.golden_tolerance:
        raise CheckFailed(
            f"{bundle} must not be used: golden scores differ by {difference:.3g}, "
            f"the bundle allows {loaded.golden_tolerance:g}"
        )
    calibrated = all(values is not None for values in loaded.thresholds.values())
    print(f"ok  schema, sizes, hashes    manifest sha256 {loaded.sha256}")
    print("ok  graph operations         all on the allow-list")
    print(
        f"ok  golden patches           {loaded.golden_scores.size} scored, largest difference "
        f"{difference:.3g} (allowed {loaded.golden_tolerance:g})"
    )
    if loaded.locator is not None:
        count = len(loaded.locator["golden_poses"])
        print(f"ok  golden frames            {count} located where they were at freezing")
    print(f"--  calibrated               {'yes' if calibrated else 'no: vialsight calibrate'}")


def bench(
    bundle: BundlePath,
    images: Images = None,
    *,
    strips: Annotated[int, typer.Option(min=1, help="Strips to measure, after the warm-up.")] = 100,
    budget_ms: Annotated[float, typer.Option(min=0.001, help="Slot between acquisitions.")] = 500.0,
    against_python: Annotated[
        bool, typer.Option("--against-python", help="Also time the same graph in Python.")
    ] = False,
    against_in_process: Annotated[
        bool, typer.Option("--against-in-process", help="Also time a worker against this process.")
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure the latency of inspection on IMAGES, or on frames made for it."""
    loaded = _core.Bundle.load(bundle)
    frames = None
    if images:
        depth, products = loaded.layout.bit_depth, products_of_images(images, loaded.layout.frames)
        frames = [np.stack([load_frame(p, depth) for p in product.images]) for product in products]
    result: dict[str, Any] = {
        "bundle": loaded.name,
        "bundle_sha256": loaded.sha256,
        "machine": machine(threads),
        **benchmark.measure_latency(
            loaded, frames, count=strips, budget_ms=budget_ms, threads=threads
        ),
    }
    if against_python:
        result["against_python"] = benchmark.compare_with_python(loaded, threads=threads)
    if against_in_process:
        result["against_in_process"] = compare_isolation(loaded, strips=strips, threads=threads)
    if as_json:
        console.print_json(result)
    else:
        _print_bench(result)


def show(bundle: BundlePath, as_json: Json = False) -> None:
    """Print what a bundle is: layout, network, score, thresholds, calibration, provenance."""
    loaded = _core.Bundle.load(bundle)
    if as_json:
        print(loaded.manifest_json, end="" if loaded.manifest_json.endswith("\n") else "\n")
        return
    manifest, layout = read_manifest(loaded), loaded.layout
    print(f"bundle       {loaded.name}, written {manifest['created']}")
    print(f"sha256       {loaded.sha256}")
    print(
        f"layout       {layout.name}: {layout.frames} frames of {layout.frame_width}x"
        f"{layout.frame_height}, {layout.bit_depth} bit; {layout.vials} vials x "
        f"{len(layout.regions)} regions; patches of {layout.patch_size}"
    )
    _print_locator(manifest)
    _print_network(manifest)
    print_explained_score(manifest["score"], layout.regions)
    print("provenance")
    for key, value in manifest["provenance"].items():
        text = f"{len(value)} products" if key == "training_products" else value
        print(f"  {key:<18} {text}")
    images = Fingerprints.from_bytes(loaded.fingerprints)
    known = "" if images.training_known else ", not on record"
    print(f"  {'training_images':<18} {images.training_images}{known}")
    _print_calibration(manifest)


def _print_locator(manifest: dict[str, Any]) -> None:
    locate = manifest["locate"]
    if locate is None:
        print("locate       none: boxes are cut where they are drawn")
        return
    reach, limits = locate["reach"], locate["limits"]
    print(
        f"locate       {locate['model']}, up to {reach['shift_px']:g} pixels and "
        f"{math.degrees(reach['turn_rad']):.2g}°; residual up to {limits['residual']:.3g}; frames "
        f"of a strip up to {limits['apart_px']:.2g} pixels and "
        f"{math.degrees(limits['apart_turn_rad']):.2g}° apart"
    )


def _print_network(manifest: dict[str, Any]) -> None:
    runtime, version = manifest["runtime"], manifest["provenance"]["runtime_version"]
    mebibytes = manifest["files"]["model"]["size"] / 2**20
    print(f"method       {manifest['method']}, {mebibytes:.1f} MiB")
    print(f"runtime      {runtime['name']} {version}, {runtime['precision']}")
    for name, output in manifest["outputs"].items():
        height, width = output["shape"][1:3]
        print(f"output       {name}: {output['role']} of {height}x{width}")


def _products(
    bundle: _core.Bundle, images: list[Path], data: Path | None, split: str
) -> tuple[Product, ...]:
    if (data is None) == (not images):
        raise DataError("expected either IMAGES or --data DIR; give one of the two")
    if data is None:
        return products_of_images(images, bundle.layout.frames)
    dataset = read_dataset(data).select(split=split)
    dataset.require_layout(bundle.layout)
    return products_of_dataset(dataset)


def _level(name: str) -> Any:
    if name not in ("patch", "strip", "run"):
        raise DataError(f"level must be patch, strip or run; got {name!r}")
    return name


def _print_inspected(bundle: _core.Bundle, results: list[Inspected], as_json: bool) -> None:
    if as_json:
        products = [result.to_json() for result in results]
        console.print_json(
            {"bundle": bundle.name, "bundle_sha256": bundle.sha256, "products": products}
        )
        return
    console.print_table([_inspected_row(result) for result in results])


def _inspected_row(result: Inspected) -> dict[str, Any]:
    finite = result.scores[np.isfinite(result.scores)]
    row = {
        "verdict": "accept" if result.accepted else "REJECT",
        "reason": result.reason,
        "largest_score": float(finite.max()) if len(finite) else None,
        "product": result.product.name,
    }
    return row if result.product.run is None else {**row, "run": result.product.run}


def _golden_difference(bundle: _core.Bundle, inspector: _core.Inspector) -> float:
    """Return the largest, over golden patches and components that decide, as the loader counts it.

    Relative to `golden_scales`. Not of φ: a combination divides what its components differ by.
    """
    size, expected = bundle.layout.patch_size, bundle.golden_components
    regions = np.repeat(np.arange(len(expected)), expected.shape[1]).tolist()
    inputs = bundle.golden_inputs.reshape(-1, size, size)
    _, found, _ = inspector.score_with_outputs(inputs, regions=regions)
    offered = [component["name"] for component in read_manifest(bundle)["score"]["components"]]
    chosen = expected[..., [offered.index(name) for name in bundle.components]]
    chosen = chosen.reshape(found.shape)
    return float((np.abs(found - chosen).reshape(-1, found.shape[-1]) / bundle.golden_scales).max())


def _print_bench(result: dict[str, Any]) -> None:
    for key, value in result["machine"].items():
        print(f"{key:<12} {value}")
    print(f"\n{result['strips']} strips of {result['patches_per_strip']} patches, in ms:")
    latencies = result["latency_ms"].items()
    console.print_table([{"stage": name, **values} for name, values in latencies])
    print(f"misses of {result['budget_ms']:g} ms: {result['misses']} of {result['strips']}")
    if isolated := result.get("against_in_process"):
        print(f"\nms per strip, {isolated['strips']} turns:")
        names = {"in process": "in_process_ms", "worker": "worker_ms"}
        names["difference"] = "worker_minus_in_process_ms"
        console.print_table([{"who": who, **isolated[key]} for who, key in names.items()])
    compared = result.get("against_python")
    if compared is None:
        return
    if "left_out" in compared:
        print(f"\nno comparison with Python: {compared['left_out']}")
        return
    print(f"\nms per patch, batch {compared['batch']}, {compared['repeats']} turns:")
    names = {"c++": "cpp_ms_per_patch", "python": "python_ms_per_patch", "ratio": "python_over_cpp"}
    console.print_table([{"who": who, **compared[key]} for who, key in names.items()])
    print(f"largest score difference: {compared['largest_score_difference']:.3g}")


def _print_calibration(manifest: dict[str, Any]) -> None:
    calibration = manifest["calibration"]
    if calibration is None:
        print("calibration  none: run `vialsight calibrate`")
        return
    rule = calibration["run_rule"]
    print(f"calibration  {calibration['objective']}, {calibration['created']}")
    print(f"  products           {len(calibration['products'])}")
    if "not_located" in calibration:
        print(f"  not located        {calibration['not_located']}, rejected whatever their scores")
    print(f"  run rule           {rule['agree']} of {rule['runs']}\n")
    thresholds = manifest["thresholds"]
    console.print_table(
        [
            {**record, **{f"t_{level}": values[i] for level, values in thresholds.items()}}
            for i, record in enumerate(calibration["regions"])
        ]
    )
    print()
    console.print_table(
        [{"level": level, **record} for level, record in calibration["levels"].items()]
    )
