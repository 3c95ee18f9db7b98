"""Bundles whose score is not the paper's: two components combined, and a map without picture."""

from pathlib import Path
from typing import Any

import numpy as np

import vialsight
from conftest import write_network
from vialsight import scores
from vialsight.calibration.fitting import calibrate
from vialsight.data import Dataset


def calibrated(bundle: Path, dataset: Dataset, out: Path, *components: str) -> Path:
    """Calibrate `bundle` into `out`; the largest of `components` decides, if any are named."""
    loaded = vialsight.Bundle.load(bundle)
    calibrate(loaded, dataset, out, score=components)
    return out


def write_map_bundle(folder: Path, dataset: Dataset) -> Path:
    """Write a calibrated bundle of a network that only puts out the map `contrast`.

    It is 40 · (x − 0.3)² − 3: negative in places, and far above 1 where a patch is bright.
    """
    frozen = write_network(
        folder / "map.vsb",
        dataset,
        _contrast,
        roles={"contrast": "map"},
        components=[scores.map_of("contrast")],
        method="contrast",
    )
    return calibrated(frozen, dataset, folder / "map-line.vsb")


def _contrast(patches: Any, *, training: bool) -> dict[str, Any]:
    assert not training
    deviation = patches - np.float32(0.3)
    return {"contrast": np.float32(40.0) * deviation * deviation - np.float32(3.0)}
