"""Bundles whose score is not the paper's: two components combined, and a map without picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vialsight
from vialsight import scores
from vialsight.bundle import Provenance, write_bundle
from vialsight.calibration.fitting import calibrate
from vialsight.data import Dataset, DatasetPatches
from vialsight.data.fingerprints import Fingerprints
from vialsight.data.independence import describe_images
from vialsight.data.patches import first_of_each_region


def calibrated(bundle: Path, dataset: Dataset, out: Path, *components: str) -> Path:
    """Calibrate `bundle` into `out`; the largest of `components` decides, if any are named."""
    loaded = vialsight.Bundle.load(bundle)
    calibrate(loaded, dataset, out, score=components)
    return out


def write_map_bundle(folder: Path, dataset: Dataset) -> Path:
    """Write a calibrated bundle of a network that only puts out the map `contrast`.

    It is 40 · (x − 0.3)² − 3: negative in places, and far above 1 where a patch is bright.
    """
    return calibrated(_write(folder / "map.vsb", dataset), dataset, folder / "map-line.vsb")


def _write(out: Path, dataset: Dataset) -> Path:
    from vialsight.training import freezing

    used = dataset.in_splits("validation", "train")
    size = used.layout.patch_size
    inputs = first_of_each_region([DatasetPatches(used)], used.layout, count=8, name="map")
    model = freezing.freeze_graph(_contrast, size, roles={"contrast": "map"}, method="contrast")
    components: Sequence[Any] = (scores.map_of("contrast"),)
    write_bundle(
        out,
        layout=dataset.layout,
        model=model,
        golden=freezing.golden(model, components, inputs, {}),
        score=scores.definition(components),
        provenance=Provenance(
            config_sha256="0" * 64,
            data_sha256=dataset.sha256(),
            seed=0,
            training_products=used.products,
        ),
        fingerprints=Fingerprints.of_training(describe_images(used)).to_bytes(),
    )
    return out


def _contrast(patches: Any, *, training: bool) -> dict[str, Any]:
    assert not training
    deviation = patches - np.float32(0.3)
    return {"contrast": np.float32(40.0) * deviation * deviation - np.float32(3.0)}
