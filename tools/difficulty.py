#!/usr/bin/env python3
"""How hard a data set is: a bundle against three simple detectors, AUROC per region with intervals.

usage: tools/difficulty.py BUNDLE TRAINING_DATA TEST_DATA [--json]      BUNDLE may lack thresholds

Both data are dataset folders of the bundle's layout; the test split of the second needs masks.
"pca" is the linear baseline: the method of that name with its defaults, fitted to the first data
and scored by the core as the bundle is; no trained network may lose to it. Two trivial detectors
know the mean image of each region of the nominal training frames: "difference" scores a patch by
its pixel farthest from that image, "intensity" by how far its mean grey value is from the region's.
A patch is defective when its box holds a pixel of the mask. Where the bundle locates products, all
look at patches cut by its locator; both data then say so in their layout. Intervals are 95 %, by
bootstrap over products, because the patches of one product are not independent.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import vialsight
from vialsight.data import DEFECTIVE, UNKNOWN, Dataset, DatasetPatches, read_dataset
from vialsight.locator import ProductLocator
from vialsight.statistics.ranking import auroc, ranking_replicates

RESAMPLES = 200
DETECTORS = ("bundle", "pca", "difference", "intensity")


def mean_images(data: Dataset, locator: ProductLocator | None) -> np.ndarray:
    """Mean patch of every region over the nominal training frames, float64 (R,P,P)."""
    part = data.select(split="train", label="nominal")
    patches = DatasetPatches(part, locator=locator, cache_bytes=0)
    per_frame = part.layout.patches_per_frame
    regions = patches.regions[:per_frame]
    totals = np.zeros((len(part.layout.regions), patches.patch_size, patches.patch_size))
    for first in range(0, len(patches), per_frame):
        frame = patches.read(np.arange(first, first + per_frame))
        np.add.at(totals, regions, frame)
    each = len(part.records) * part.layout.vials
    return totals / each


def linear_baseline(training: Path) -> vialsight.Inspector:
    """The method pca with its defaults, trained and frozen as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        run, bundle = Path(folder) / "run", Path(folder) / "pca.vsb"
        vialsight_verb("train", "--data", training, "--out", run, "--set", "model.method=pca")
        vialsight_verb("freeze", run, "--out", bundle)
        return vialsight.Inspector(bundle, require_thresholds=False)


def vialsight_verb(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "vialsight", *map(str, arguments)], check=True)


def score(
    inspectors: dict[str, vialsight.Inspector], patches: DatasetPatches, means: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores of every patch of the data by each detector, (n,) each."""
    per_frame, patch_regions = inspectors["bundle"].bundle.layout.patches_per_frame, patches.regions
    means32 = means.astype(np.float32)
    levels = means.mean(axis=(1, 2))
    scores: dict[str, list[np.ndarray]] = {name: [] for name in DETECTORS}
    for first in range(0, len(patches), per_frame):
        frame = patches.read(np.arange(first, first + per_frame))
        regions = patch_regions[first : first + per_frame]
        for name, inspector in inspectors.items():
            scores[name].append(inspector.score_patches(frame))
        scores["difference"].append(np.abs(frame - means32[regions]).max(axis=(1, 2)))
        scores["intensity"].append(np.abs(frame.mean(axis=(1, 2)) - levels[regions]))
        if sys.stderr.isatty():
            print(f"\r{first + per_frame} of {len(patches)} patches ", end="", file=sys.stderr)
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def interval(
    defective: np.ndarray, scores: np.ndarray, products: np.ndarray
) -> tuple[float, float, float] | None:
    """AUROC and its 95 % interval, whole products drawn again; None without one of the classes."""
    if defective.all() or not defective.any():
        return None
    names, product = np.unique(products, return_inverse=True)
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    draws = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    replicates = ranking_replicates(scores, defective, product, draws).auroc
    low, high = np.nanpercentile(replicates, (2.5, 97.5))
    return auroc(scores, defective), float(low), float(high)


def compare(bundle: Path, training: Path, test: Path) -> list[dict[str, object]]:
    """One row per region."""
    inspector = vialsight.Inspector(bundle, require_thresholds=False)
    part = read_dataset(test).select(split="test")
    part.require_layout(inspector.bundle.layout)
    locator = ProductLocator.of_bundle(inspector.bundle)
    patches = DatasetPatches(part, locator=locator, cache_bytes=0)
    inspectors = {"bundle": inspector, "pca": linear_baseline(training)}
    scores = score(inspectors, patches, mean_images(read_dataset(training), locator))
    truth, regions = patches.truth, patches.regions
    products = np.repeat([r.product for r in part.records], part.layout.patches_per_frame)
    rows = []
    for region, name in enumerate(part.layout.regions):
        chosen = (regions == region) & (truth != UNKNOWN)
        defective = truth[chosen] == DEFECTIVE
        row: dict[str, object] = {
            "region": name,
            "nominal": int((~defective).sum()),
            "defective": int(defective.sum()),
        }
        for detector in DETECTORS:
            row[detector] = interval(defective, scores[detector][chosen], products[chosen])
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bundle", "training", "test"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = compare(arguments.bundle, arguments.training, arguments.test)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("region        nominal defective  " + "".join(f"{name:<24}" for name in DETECTORS))
    for row in rows:
        found = (row[name] for name in DETECTORS)
        figures = ("{:.3f} [{:.3f}, {:.3f}]".format(*values) if values else "-" for values in found)
        cells = "".join(f"{text:<24}" for text in figures)
        print(f"{row['region']:<13} {row['nominal']:>7} {row['defective']:>9}  {cells}")


if __name__ == "__main__":
    main()
