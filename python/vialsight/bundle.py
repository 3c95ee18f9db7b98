"""Writing bundles (`NAME.vsb/`), the one artifact between training and the line.

Reading and every check is the C++ core's: `vialsight.Bundle.load`. A bundle is never edited; what
changes is written as a new one.
"""

import hashlib
import json
import unicodedata
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
from vialsight.files.npz import npy_bytes
from vialsight.locator import ProductLocator, array_file
from vialsight.pixels import without_loss

FORMAT_VERSION: Final = 2
MANIFEST_NAME: Final = "manifest.json"
DIGEST_NAME: Final = "manifest.json.sha256"
GOLDEN_MINIMUM: Final = 8
GOLDEN_TOLERANCE: Final = 1e-5
LEVELS: Final = ("patch", "strip", "run")
RECONSTRUCTION: Final = "reconstruction"
MAP: Final = "map"
# How patches are resampled, by whether products are located.
_RESIZE: Final = {False: "bilinear_antialias", True: "cubic_antialias"}

Float32Array = npt.NDArray[np.float32]
TENSORFLOW: Final = "tensorflow"
OPENVINO: Final = "openvino"
FLOAT32: Final = "float32"
BFLOAT16: Final = "bfloat16"
INT8: Final = "int8"
# The packages that bring a runtime.
_DISTRIBUTIONS: Final = {TENSORFLOW: ("tensorflow-cpu", "tensorflow"), OPENVINO: ("openvino",)}

# The manifest's `score`; see docs/scores.md.
Definition = Mapping[str, Any]


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
    return runtime_version(TENSORFLOW)


def runtime_version(runtime: str) -> str:
    """Return the installed version of a runtime without importing it, or "none"."""
    for distribution in _DISTRIBUTIONS[runtime]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "none"


@dataclass(frozen=True)
class Output:
    """What a network puts out under a name: RECONSTRUCTION (n,P,P,1), or a MAP (n,h,w,1)."""

    role: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network as a bundle holds it.

    `graph_def` is a serialised frozen GraphDef from float32 (n,P,P,1) under `input_name` to its
    `outputs` by the names of their nodes; `method` is how it was trained.
    """

    graph_def: bytes
    outputs: Mapping[str, Output]
    method: str
    input_name: str = "patches"


@dataclass(frozen=True, kw_only=True)
class GoldenPatches:
    """What the training code computed at freezing, per region; K >= 8.

    inputs: float32 (R,K,P,P) in [0,1], stored as uint8 where they are whole pixels; outputs: by
    name, (R,k,h,w) of the first k <= K patches, of which the first is stored; components: the
    numbers of all components that the score offers, (R,K,C), in its order. φ is what the score
    makes of them.
    """

    inputs: Float32Array
    outputs: Mapping[str, Float32Array]
    components: Float32Array


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a bundle comes from: configuration, data, seed, products, versions."""

    config_sha256: str
    data_sha256: str
    seed: int
    training_products: Sequence[str]
    vialsight: str = field(default_factory=lambda: str(_core.__version__))
    runtime_version: str = field(default_factory=tensorflow_version)
    git: str | None = field(default_factory=lambda: _core.git_revision or None)

    def to_manifest(self) -> dict[str, Any]:
        """Return the manifest's `provenance` object."""
        return {**asdict(self), "training_products": sorted(set(self.training_products))}


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Another runtime or precision for the network of a bundle, and what it computes there.

    `outputs` and `components` are of the bundle's golden inputs, shaped as in `GoldenPatches`;
    `optimization` is the manifest's object of that name without `created` and `parent_sha256`;
    `graph_def` the network where it is another than the bundle's.
    """

    name: str
    precision: str
    version: str
    outputs: Mapping[str, Float32Array]
    components: Float32Array
    optimization: Mapping[str, Any]
    graph_def: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class HeatmapScales:
    """Values of the score's map shown as 0 and as 1, one pair per region."""

    vmin: Sequence[float]
    vmax: Sequence[float]


def write_bundle(
    out: Path,
    *,
    layout: Layout,
    model: Model,
    golden: GoldenPatches,
    score: Definition,
    provenance: Provenance,
    fingerprints: bytes,
    locations: Mapping[str, Float32Array] | None = None,
    locator: ProductLocator | None = None,
    created: datetime | None = None,
) -> None:
    """Write an uncalibrated bundle folder; it appears complete and checked, or not at all.

    One component of `score` decides; `locations` holds mean and spread (2,R,h,w) of those that are
    per location; `locator` finds the products where the layout says that they are located;
    `fingerprints` is `data.fingerprints.Fingerprints.to_bytes` of the training images. Equal
    arguments (`created` included) give equal bytes. Raises BundleError when `out` exists, when
    golden arrays or the locator do not fit, or when the C++ loader refuses the result.
    """
    _check_golden(golden, layout, model, score)
    _check_locator(locator, layout)
    size = layout.patch_size
    outputs = {name: model.outputs[name] for name in sorted(model.outputs)}
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": _bundle_name(out),
        "created": timestamp(created),
        "method": model.method,
        "runtime": {"name": TENSORFLOW, "precision": FLOAT32},
        "layout": json.loads(layout.to_json()),
        "locate": None if locator is None else locator.to_manifest(),
        "input": {"name": model.input_name, "shape": [None, size, size, 1], "dtype": "float32"},
        "outputs": {
            name: {"role": output.role, "shape": [None, output.height, output.width, 1]}
            for name, output in outputs.items()
        },
        "preprocess": {"scaling": "unit", "resize": _RESIZE[layout.locate != "none"]},
        "score": dict(score),
        "thresholds": dict.fromkeys(LEVELS),
        "heatmap": None,
        "calibration": None,
        "golden": {"patches_per_region": golden.inputs.shape[1], "tolerance": GOLDEN_TOLERANCE},
        "provenance": provenance.to_manifest(),
    }
    names = [component["name"] for component in score["components"]]
    scores = golden.components[..., names.index(score["decide"][0])]
    arrays = _golden_arrays(golden, scores) | _location_arrays(locations or {})
    arrays |= _locator_arrays(locator)
    _write_folder(out, manifest, _files(model.graph_def, fingerprints, arrays))


def with_calibration(
    bundle: _core.Bundle,
    out: Path,
    *,
    score: Definition,
    thresholds: Mapping[str, Sequence[float]],
    heatmap: HeatmapScales,
    calibration: Mapping[str, Any],
    fingerprints: bytes,
    runtime: Runtime | None = None,
    created: datetime | None = None,
) -> None:
    """Write a new bundle: `bundle` with this score, threshold sets, heatmap scales and record.

    `score` is a choice among the components that `bundle` offers. `thresholds` has one list per
    level of LEVELS, one number per region; `calibration` is the manifest's object of that name
    without `created` and `parent_sha256`, which are set here; `fingerprints` are those of training
    and calibration. With another `runtime` an Inspector must also find the golden patches scored
    as that says. Raises BundleError as `write_bundle` does.
    """
    when = timestamp(created)
    record = {**calibration, "created": when, "parent_sha256": bundle.sha256}
    manifest = json.loads(bundle.manifest_json)
    manifest |= {
        "name": _bundle_name(out),
        "created": when,
        "score": dict(score),
        "thresholds": {level: list(thresholds[level]) for level in LEVELS},
        "heatmap": {"vmin": list(heatmap.vmin), "vmax": list(heatmap.vmax)},
        "calibration": record,
    }
    if runtime is not None:
        manifest |= _of_runtime(manifest, runtime, when, bundle.sha256)
    golden = GoldenPatches(
        inputs=bundle.golden_inputs,
        outputs=bundle.golden_outputs if runtime is None else runtime.outputs,
        components=bundle.golden_components if runtime is None else runtime.components,
    )
    arrays = _golden_arrays(golden, _golden_scores(bundle, golden.components, score))
    arrays |= _location_arrays(bundle.locations)
    arrays |= _locator_arrays(ProductLocator.of_bundle(bundle))
    check = _core.Bundle.load if runtime is None else _load_and_prove
    graph_def = bundle.model if runtime is None else runtime.graph_def or bundle.model
    _write_folder(out, manifest, _files(graph_def, fingerprints, arrays), check)


def _of_runtime(
    manifest: Mapping[str, Any], runtime: Runtime, created: str, parent_sha256: str
) -> dict[str, Any]:
    """Return the fields of a manifest that another runtime changes."""
    return {
        "runtime": {"name": runtime.name, "precision": runtime.precision},
        "provenance": {**manifest["provenance"], "runtime_version": runtime.version},
        "optimization": {
            "created": created,
            "parent_sha256": parent_sha256,
            **runtime.optimization,
        },
    }


def _load_and_prove(folder: Path) -> None:
    _core.Inspector(_core.Bundle.load(folder))


# A file's name and content, by role.
_Files = dict[str, tuple[str, bytes]]


def _golden_scores(
    bundle: _core.Bundle, components: Float32Array, score: Definition
) -> Float32Array:
    """Return φ (R,K) that another score makes of golden components (R,K,C)."""
    chosen = bundle.make_score(dict(score))
    offered = [component["name"] for component in score["components"]]
    regions, count = components.shape[:2]
    columns = components[..., [offered.index(name) for name in chosen.components]]
    flat = np.ascontiguousarray(columns.reshape(regions * count, -1))
    return chosen.combine(flat, np.repeat(np.arange(regions), count).tolist()).reshape(-1, count)


def _golden_arrays(golden: GoldenPatches, scores: Float32Array) -> _Files:
    outputs = {
        f"golden_output_{name}": (f"golden/output_{name}.npy", npy_bytes(array[:, :1]))
        for name, array in golden.outputs.items()
    }
    return {
        "golden_inputs": ("golden/inputs.npy", npy_bytes(without_loss(golden.inputs))),
        **outputs,
        "golden_scores": ("golden/scores.npy", npy_bytes(scores)),
        "golden_components": ("golden/components.npy", npy_bytes(golden.components)),
    }


def _location_arrays(locations: Mapping[str, Float32Array]) -> _Files:
    return {
        f"location_{name}": (f"location/{name}.npy", npy_bytes(array))
        for name, array in locations.items()
    }


def _locator_arrays(locator: ProductLocator | None) -> _Files:
    arrays = {} if locator is None else locator.arrays()
    return {role: (array_file(role), npy_bytes(array)) for role, array in arrays.items()}


def _files(model: bytes, fingerprints: bytes, arrays: _Files) -> _Files:
    return {
        "model": ("model.pb", model),
        "fingerprints": ("fingerprints.npz", fingerprints),
        **arrays,
    }


def _write_folder(
    out: Path,
    manifest: dict[str, Any],
    files: _Files,
    check: Callable[[Path], object] = _core.Bundle.load,
) -> None:
    named = {role: {"name": name, **_digest(content)} for role, (name, content) in files.items()}
    text = _manifest_bytes({**manifest, "files": named})
    digest = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST_NAME}\n".encode()
    contents = dict(files.values())
    _create(out, {**contents, MANIFEST_NAME: text, DIGEST_NAME: digest}, check)


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


def require_new_bundle(out: Path) -> None:
    """Raise BundleError unless a bundle can be written to `out`; better before long work."""
    _bundle_name(out)
    atomic.refuse_existing(out, BundleError)


def _bundle_name(out: Path) -> str:
    if out.suffix != ".vsb" or not out.stem:
        raise BundleError(f"{out}: a bundle's folder is named NAME.vsb; add the suffix")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in out.stem):
        raise BundleError(
            f"{out}: expected a name in UTF-8 on one line, as the manifest repeats it; choose "
            "another"
        )
    return out.stem


def _check_golden(golden: GoldenPatches, layout: Layout, model: Model, score: Definition) -> None:
    regions, size, count = len(layout.regions), layout.patch_size, golden.inputs.shape[1]
    _check_array("golden inputs", golden.inputs, (regions, count, size, size))
    if set(golden.outputs) != set(model.outputs):
        raise BundleError(
            f"golden outputs: expected {sorted(model.outputs)}, got {sorted(golden.outputs)}"
        )
    for name, output in model.outputs.items():
        array = golden.outputs[name]
        given = array.shape[1] if array.ndim == 4 and 1 <= array.shape[1] <= count else count
        shape = (regions, given, output.height, output.width)
        _check_array(f"golden output {name!r}", array, shape)
    offered = len(score["components"])
    _check_array("golden components", golden.components, (regions, count, offered))
    if count < GOLDEN_MINIMUM:
        raise BundleError(
            f"golden patches: expected at least {GOLDEN_MINIMUM} per region, got {count}"
        )


def _check_locator(locator: ProductLocator | None, layout: Layout) -> None:
    if locator is not None:
        locator.require_fits(layout)
    elif layout.locate != "none":
        raise BundleError(
            f'the layout {layout.name!r} says "locate": "{layout.locate}": expected a locator, '
            "fitted on nominal frames; got none"
        )


def _check_array(name: str, array: Float32Array, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
        raise BundleError(
            f"{name}: expected finite float32 {shape}, got {array.dtype} {array.shape}"
        )
