"""Writing bundles (`NAME.vsb/`), the one artifact between training and the line.

Reading and every check is the C++ core's: `vialsight.Bundle.load`. A bundle is never edited; what
changes is written as a new one.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.errors import BundleError
from vialsight.files import atomic

FORMAT_VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
DIGEST_NAME: Final = "manifest.json.sha256"
MODEL_NAME: Final = "model.pb"
FINGERPRINTS_NAME: Final = "fingerprints.npz"
GOLDEN_NAMES: Final = ("golden/inputs.npy", "golden/reconstructions.npy", "golden/scores.npy")
GOLDEN_MINIMUM: Final = 8
GOLDEN_TOLERANCE: Final = 1e-5
LEVELS: Final = ("patch", "strip", "run")
# The whole definition of φ = 1 - SSIM (SPEC §5): other common SSIMs differ in the first decimal.
SCORE: Final[Mapping[str, Any]] = {
    "name": "one_minus_ssim",
    "window": "gaussian",
    "window_size": 11,
    "sigma": 1.5,
    "padding": "valid",
    "covariance": "population",
    "k1": 0.01,
    "k2": 0.03,
    "dynamic_range": 1.0,
    "reduction": "mean",
}

Float32Array = npt.NDArray[np.float32]


def read_manifest(bundle: _core.Bundle) -> dict[str, Any]:
    """Return the manifest of a loaded, hence checked, bundle."""
    manifest: dict[str, Any] = json.loads(bundle.manifest_json)
    return manifest


def timestamp(moment: datetime | None = None) -> str:
    """Return UTC as manifests write it, to the second; now when no moment is given."""
    utc = (moment or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def tensorflow_version() -> str:
    """Return the installed TensorFlow's version without importing it, or "none"."""
    for distribution in ("tensorflow-cpu", "tensorflow"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "none"


@dataclass(frozen=True, kw_only=True)
class GoldenPatches:
    """What the training code computed at freezing, per region.

    inputs and reconstructions: float32 (R,K,P,P) in [0,1]; scores: φ, float32 (R,K); K >= 8.
    """

    inputs: Float32Array
    reconstructions: Float32Array
    scores: Float32Array

    @property
    def arrays(self) -> tuple[Float32Array, Float32Array, Float32Array]:
        """The arrays in the order of GOLDEN_NAMES."""
        return self.inputs, self.reconstructions, self.scores


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a bundle comes from: configuration, data, seed, products, versions."""

    config_sha256: str
    data_sha256: str
    seed: int
    training_products: Sequence[str]
    vialsight: str = field(default_factory=lambda: str(_core.__version__))
    tensorflow: str = field(default_factory=tensorflow_version)
    git: str | None = field(default_factory=lambda: _core.git_revision or None)

    def to_manifest(self) -> dict[str, Any]:
        """Return the manifest's `provenance` object."""
        return {**asdict(self), "training_products": sorted(set(self.training_products))}


@dataclass(frozen=True, kw_only=True)
class HeatmapScales:
    """Absolute differences shown as 0 and as 1, one pair per region."""

    vmin: Sequence[float]
    vmax: Sequence[float]


def write_bundle(
    out: Path,
    *,
    layout: Layout,
    model: bytes,
    golden: GoldenPatches,
    provenance: Provenance,
    fingerprints: bytes,
    input_name: str = "patches",
    output_name: str = "reconstructions",
    created: datetime | None = None,
) -> None:
    """Write an uncalibrated bundle folder; it appears complete and checked, or not at all.

    `model` is a serialised frozen GraphDef from float32 (n,P,P,1) to the same; `fingerprints` is
    `data.fingerprints.Fingerprints.to_bytes` of the training images. Equal arguments (`created`
    included) give equal bytes. Raises BundleError when `out` exists, when golden
    arrays do not fit the layout, or when the C++ loader refuses the result.
    """
    _check_golden(golden, layout)
    size = layout.patch_size
    contents = dict(zip(GOLDEN_NAMES, map(_npy_bytes, golden.arrays), strict=True))
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": _bundle_name(out),
        "created": timestamp(created),
        "layout": json.loads(layout.to_json()),
        "input": {"name": input_name, "shape": [None, size, size, 1], "dtype": "float32"},
        "output": {"name": output_name},
        "preprocess": {"scaling": "unit", "resize": "bilinear_antialias"},
        "score": dict(SCORE),
        "thresholds": dict.fromkeys(LEVELS),
        "heatmap": None,
        "calibration": None,
        "golden": {"patches_per_region": golden.scores.shape[1], "tolerance": GOLDEN_TOLERANCE},
        "provenance": provenance.to_manifest(),
    }
    _write_folder(out, manifest, {MODEL_NAME: model, FINGERPRINTS_NAME: fingerprints, **contents})


def with_calibration(
    bundle: _core.Bundle,
    out: Path,
    *,
    thresholds: Mapping[str, Sequence[float]],
    heatmap: HeatmapScales,
    calibration: Mapping[str, Any],
    fingerprints: bytes,
    created: datetime | None = None,
) -> None:
    """Write a new bundle: `bundle` with these threshold sets, heatmap scales and record.

    `thresholds` has one list per level of LEVELS, one number per region; `calibration` is the
    manifest's object of that name without `created` and `parent_sha256`, which are set here;
    `fingerprints` are those of training and calibration.
    Raises BundleError as `write_bundle` does.
    """
    when = timestamp(created)
    record = {**calibration, "created": when, "parent_sha256": bundle.sha256}
    manifest = json.loads(bundle.manifest_json)
    manifest |= {
        "name": _bundle_name(out),
        "created": when,
        "thresholds": {level: list(thresholds[level]) for level in LEVELS},
        "heatmap": {"vmin": list(heatmap.vmin), "vmax": list(heatmap.vmax)},
        "calibration": record,
    }
    golden = (bundle.golden_inputs, bundle.golden_reconstructions, bundle.golden_scores)
    contents = dict(zip(GOLDEN_NAMES, map(_npy_bytes, golden), strict=True))
    files = {MODEL_NAME: bundle.model, FINGERPRINTS_NAME: fingerprints, **contents}
    _write_folder(out, manifest, files)


def _write_folder(out: Path, manifest: dict[str, Any], contents: Mapping[str, bytes]) -> None:
    files = {name: _digest(content) for name, content in contents.items()}
    text = _manifest_bytes({**manifest, "files": files})
    digest = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST_NAME}\n".encode()
    _create(out, {**contents, MANIFEST_NAME: text, DIGEST_NAME: digest}, _core.Bundle.load)


def _create(out: Path, contents: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    with atomic.new_folder(out, BundleError) as folder:
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        check(folder)


def _manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _digest(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _npy_bytes(array: Float32Array) -> bytes:
    file = io.BytesIO()
    little_endian = np.ascontiguousarray(array, dtype="<f4")
    np.lib.format.write_array(file, little_endian, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _bundle_name(out: Path) -> str:
    if out.suffix != ".vsb" or not out.stem:
        raise BundleError(f"{out}: a bundle's folder is named NAME.vsb; add the suffix")
    return out.stem


def _check_golden(golden: GoldenPatches, layout: Layout) -> None:
    regions, size, count = len(layout.regions), layout.patch_size, golden.scores.shape[-1]
    expected = ((regions, count, size, size), (regions, count, size, size), (regions, count))
    for name, array, shape in zip(GOLDEN_NAMES, golden.arrays, expected, strict=True):
        if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
            raise BundleError(
                f"{name}: expected finite float32 {shape}, got {array.dtype} {array.shape}"
            )
    if count < GOLDEN_MINIMUM:
        raise BundleError(
            f"golden patches: expected at least {GOLDEN_MINIMUM} per region, got {count}"
        )
