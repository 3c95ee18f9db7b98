"""A bundle without thresholds as one whose strips can be inspected, for timing alone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vialsight import _core
from vialsight.bundle import LEVELS, HeatmapScales, read_manifest, with_calibration

# Below every score that a network can give: whatever is inspected so is rejected.
_REJECTS_ALL: Final = -1e30
_RECORD: Final[dict[str, Any]] = {
    "objective": "none: stands in for a calibration while the time of inspection is measured",
    "data_sha256": "0" * 64,
    "run_rule": {"agree": 1, "runs": 1},
    "products": [],
}
_FIT: Final[dict[str, Any]] = {
    "nominal": 0,
    "defective": 0,
    "detection_rate": None,
    "false_reject_rate": 1.0,
    "balanced_accuracy": None,
    "false_reject_bound": None,
}


def is_calibrated(bundle: _core.Bundle) -> bool:
    """Whether all three threshold sets are there."""
    return all(values is not None for values in bundle.thresholds.values())


@contextmanager
def inspectable(bundle: _core.Bundle) -> Iterator[_core.Bundle]:
    """Yield `bundle`, or where it is not calibrated a copy whose thresholds reject everything.

    An Inspector refuses slots without thresholds. The copy has the same files but for its record,
    lies in a temporary folder and is gone afterwards: it locates, cuts, infers and scores as the
    bundle would, and its verdicts mean nothing.
    """
    if is_calibrated(bundle):
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="vialsight-bench-") as folder:
        path = Path(folder) / f"{bundle.name}.vsb"
        _write(bundle, path)
        yield _core.Bundle.load(path)


def _write(bundle: _core.Bundle, path: Path) -> None:
    regions = bundle.layout.regions
    with_calibration(
        bundle,
        path,
        score=read_manifest(bundle)["score"],
        thresholds=dict.fromkeys(LEVELS, [_REJECTS_ALL] * len(regions)),
        heatmap=HeatmapScales(vmin=[0.0] * len(regions), vmax=[1.0] * len(regions)),
        calibration={
            **_RECORD,
            "levels": {
                level: {"origin": "fitted", "optimality_gap": 0.0, **_FIT} for level in LEVELS
            },
            "regions": [{"region": name, **_FIT} for name in regions],
        },
        fingerprints=bundle.fingerprints,
    )
