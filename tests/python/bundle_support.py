"""Bundles for tests of writing and reading them: of any model, with random golden patches."""

import hashlib
import io
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import vialsight
from vialsight import scores
from vialsight.bundle import (
    GoldenPatches,
    HeatmapScales,
    Model,
    Output,
    Provenance,
    with_calibration,
    write_bundle,
)

CREATED = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone.utc)
PROVENANCE = Provenance(
    config_sha256="a" * 64, data_sha256="b" * 64, seed=1, training_products=["p2", "p1", "p2"]
)


RECONSTRUCTED = {"reconstruction": Output("reconstruction", 32, 32)}


def golden(count: int = 8, **changes: Any) -> GoldenPatches:
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "inputs": random.random((2, count, 32, 32), np.float32),
        "outputs": {"reconstruction": random.random((2, count, 32, 32), np.float32)},
        "components": random.random((2, count, 1), np.float32),
    }
    return GoldenPatches(**(arrays | changes))


def write(out: Path, layout: vialsight.Layout, **changes: Any) -> Path:
    arguments = {
        "model": Model(graph_def=b"any bytes", outputs=RECONSTRUCTED, method="drae"),
        "golden": golden(),
        "score": scores.definition([scores.ssim()]),
        "provenance": PROVENANCE,
        "fingerprints": b"any bytes, too",
    }
    write_bundle(out, layout=layout, **(arguments | {"created": CREATED} | changes))
    return out


def calibrated(bundle: vialsight.Bundle, out: Path, score: dict[str, Any]) -> vialsight.Bundle:
    """Write and load `bundle` with this score and thresholds of 1."""
    fit = {
        "nominal": 1,
        "defective": 0,
        "detection_rate": None,
        "false_reject_rate": 0.0,
        "balanced_accuracy": None,
        "false_reject_bound": 0.95,
    }
    with_calibration(
        bundle,
        out,
        score=score,
        thresholds={"patch": [1.0, 1.0], "strip": [1.0, 1.0], "run": [1.0, 1.0]},
        heatmap=HeatmapScales(vmin=[0.0, 0.0], vmax=[1.0, 1.0]),
        calibration={
            "objective": "nominal_quantile=0.995",
            "data_sha256": "c" * 64,
            "levels": {
                level: {"origin": "fitted", "optimality_gap": 0.0, **fit}
                for level in ("patch", "strip", "run")
            },
            "run_rule": {"agree": 7, "runs": 10},
            "regions": [{"region": name, **fit} for name in bundle.layout.regions],
            "products": ["p9"],
        },
        fingerprints=bundle.fingerprints,
    )
    return vialsight.Bundle.load(out)


def with_array(bundle: Path, role: str, array: np.ndarray) -> Path:
    """Replace an array of a bundle, its size, its hash and the manifest's digest."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return with_file(bundle, role, buffer.getvalue())


def with_file(bundle: Path, role: str, content: bytes) -> Path:
    """Replace a file of a bundle, its size, its hash and the manifest's digest."""

    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["files"][role]
        (bundle / entry["name"]).write_bytes(content)
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}

    return with_manifest(bundle, change)


def with_manifest(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the manifest of a bundle, and its digest."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (bundle / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")
    return bundle
