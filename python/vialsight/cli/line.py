"""Verbs that run a finished bundle: inspect, verify."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from vialsight import _core, quiet
from vialsight.bundle import read_manifest
from vialsight.cli import console
from vialsight.cli.model import BundlePath
from vialsight.cli.options import LONGEST_MS, Json, Threads, finite
from vialsight.data import read_dataset
from vialsight.errors import BundleError, CheckFailed, DataError
from vialsight.files import atomic
from vialsight.line.inspection import (
    Inspected,
    Product,
    inspect_product,
    products_of_dataset,
    products_of_images,
    write_heatmaps,
)
from vialsight.line.overview import write_overviews
from vialsight.line.standin import is_calibrated

Images = Annotated[list[Path] | None, typer.Argument(metavar="[IMAGES]...")]


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
        float | None,
        typer.Option(
            min=0.001, max=LONGEST_MS, callback=finite, help="Slot; a later verdict is a reject."
        ),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Inspect products through the C++ core: each F images in a row are one product's frames.

    Exit code 0 also when products are rejected; 2 when images could not be used, whose products
    are reported as rejected.
    """
    chosen = _level(level)
    loaded = _core.Bundle.load(bundle)
    products = _products(loaded, images or [], data, split)
    if heatmaps is not None:
        atomic.require_folder(heatmaps, option="--heatmaps")
    quiet.load_backend(loaded)
    inspector = _core.Inspector(loaded, threads=threads, level=chosen)
    if heatmaps is not None:
        heatmaps.mkdir(parents=True, exist_ok=True)
    budget_s = None if budget_ms is None else budget_ms / 1e3
    results: list[Inspected] = []
    try:
        _inspect_all(inspector, products, results, budget_s, heatmaps)
    finally:
        # Whatever ended it: the verdicts that there are must not be lost.
        if results:
            _print_inspected(loaded, results, as_json)
    unusable = [result.error for result in results if result.error is not None]
    if unusable:
        raise DataError("rejected, because images cannot be used:", unusable)


def verify(bundle: BundlePath, threads: Threads = 0) -> None:
    """Check hashes, graph operations and golden patches through C++; exit code 1 if one fails."""
    if not bundle.is_dir():
        raise BundleError(f"{bundle}: no such folder; give the path of a bundle NAME.vsb")
    try:
        loaded = _core.Bundle.load(bundle)
        quiet.load_backend(loaded)
        inspector = _core.Inspector(loaded, threads=threads, require_thresholds=False)
    except BundleError as error:
        raise CheckFailed(f"{bundle} must not be used: {error}") from error
    difference = _golden_difference(loaded, inspector)
    if not difference <= loaded.golden_tolerance:
        raise CheckFailed(
            f"{bundle} must not be used: golden scores differ by {difference:.3g}, "
            f"the bundle allows {loaded.golden_tolerance:g}"
        )
    console.say(f"ok  schema, sizes, hashes    manifest sha256 {loaded.sha256}")
    console.say("ok  graph operations         all on the allow-list")
    console.say(
        f"ok  golden patches           {loaded.golden_scores.size} scored, largest difference "
        f"{difference:.3g} (allowed {loaded.golden_tolerance:g})"
    )
    if loaded.locator is not None:
        count = len(loaded.locator["golden_poses"])
        console.say(f"ok  golden frames            {count} located where they were at freezing")
    calibrated = "yes" if is_calibrated(loaded) else "no: vialsight calibrate"
    console.say(f"--  calibrated               {calibrated}")


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


def _inspect_all(
    inspector: _core.Inspector,
    products: tuple[Product, ...],
    results: list[Inspected],
    budget_s: float | None,
    heatmaps: Path | None,
) -> None:
    """Append the verdict of each product to `results`, and write its pictures."""
    with console.progress("inspecting") as progress:
        for product in products:
            results.append(inspect_product(inspector, product, budget_s=budget_s))
            if heatmaps is not None:
                write_heatmaps(inspector, results[-1], heatmaps, number=len(results))
                write_overviews(inspector, results[-1], heatmaps, number=len(results))
            progress(len(results), len(products))


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
