"""Writing bundles: exact bytes, complete or absent, checked by the C++ loader."""

import dataclasses
import hashlib
import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_support import PROVENANCE, RECONSTRUCTED, calibrated, golden, write

import vialsight
from vialsight import scores
from vialsight.bundle import Model, Output, timestamp
from vialsight.errors import BundleError


def test_equal_arguments_give_equal_bytes(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    one = write(tmp_path / "one" / "same.vsb", tiny_layout)
    two = write(tmp_path / "two" / "same.vsb", tiny_layout)
    files = sorted(str(p.relative_to(one)) for p in one.rglob("*") if p.is_file())
    assert files == [
        "fingerprints.npz",
        "golden/components.npy",
        "golden/inputs.npy",
        "golden/output_reconstruction.npy",
        "golden/scores.npy",
        "manifest.json",
        "manifest.json.sha256",
        "model.pb",
    ]
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_hashes_sizes_and_digest_file(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    out = write(tmp_path / "a.vsb", tiny_layout)
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert sorted(manifest["files"]) == [
        "fingerprints",
        "golden_components",
        "golden_inputs",
        "golden_output_reconstruction",
        "golden_scores",
        "model",
    ]
    for entry in manifest["files"].values():
        content = (out / entry["name"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["size"] == len(content)
    command = ["sha256sum", "--check", "--strict", "manifest.json.sha256"]
    subprocess.run(command, cwd=out, check=True, capture_output=True)


def test_what_is_written_is_what_the_core_reads(
    tmp_path: Path, tiny_layout: vialsight.Layout
) -> None:
    bundle = vialsight.Bundle.load(write(tmp_path / "a.vsb", tiny_layout))
    expected = golden()
    assert bundle.name == "a"
    assert bundle.layout == tiny_layout
    assert bundle.model == b"any bytes"
    assert bundle.fingerprints == b"any bytes, too"
    np.testing.assert_array_equal(bundle.golden_inputs, expected.inputs)
    assert bundle.method == "drae"
    assert bundle.runtime == "tensorflow"
    assert bundle.outputs == {"reconstruction": ("reconstruction", 32, 32)}
    assert bundle.components == ["ssim"]
    assert bundle.locations == {}
    found = bundle.golden_outputs
    assert list(found) == ["reconstruction"]
    first = expected.outputs["reconstruction"][:, :1]
    np.testing.assert_array_equal(found["reconstruction"], first)
    np.testing.assert_array_equal(bundle.golden_components, expected.components)
    np.testing.assert_array_equal(bundle.golden_scores, expected.components[..., 0])
    assert bundle.thresholds == {"patch": None, "strip": None, "run": None}


def test_golden_arrays_are_plain_npy(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    out = write(tmp_path / "a.vsb", tiny_layout)
    assert (out / "golden/inputs.npy").read_bytes().startswith(b"\x93NUMPY\x01\x00")
    np.testing.assert_array_equal(np.load(out / "golden/inputs.npy"), golden().inputs)


def test_provenance_is_complete(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    out = write(tmp_path / "a.vsb", tiny_layout)
    provenance = json.loads((out / "manifest.json").read_bytes())["provenance"]
    assert provenance["training_products"] == ["p1", "p2"]
    assert provenance["vialsight"] == vialsight.__version__
    assert provenance["runtime_version"].startswith("2.21")


def test_suffix_is_required(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    with pytest.raises(BundleError, match=r"named NAME\.vsb"):
        write(tmp_path / "bundle", tiny_layout)


def test_existing_folder_is_kept(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    (tmp_path / "a.vsb").mkdir()
    with pytest.raises(BundleError, match="exists; choose another name"):
        write(tmp_path / "a.vsb", tiny_layout)
    assert list((tmp_path / "a.vsb").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": np.zeros((2, 7, 1), np.float32)}, r"components: .*\(2, 8, 1\)"),
        ({"components": np.zeros((2, 8, 2), np.float32)}, r"\(2, 8, 1\), got float32 \(2, 8, 2\)"),
        ({"components": np.full((2, 8, 1), np.nan, np.float32)}, "components: expected finite"),
        ({"components": np.zeros((2, 8, 1))}, "got float64"),
        ({"inputs": np.zeros((2, 8, 16, 16), np.float32)}, r"\(2, 8, 32, 32\), got float32"),
        ({"outputs": {}}, r"golden outputs: expected \['reconstruction'\], got \[\]"),
        (
            {"outputs": {"reconstruction": np.zeros((2, 8, 16, 16), np.float32)}},
            "golden output 'reconstruction': expected finite",
        ),
        (
            {"outputs": {"reconstruction": np.zeros((2, 9, 32, 32), np.float32)}},
            r"\(2, 8, 32, 32\), got float32 \(2, 9, 32, 32\)",
        ),
        (
            {"outputs": {"reconstruction": np.zeros((2, 0, 32, 32), np.float32)}},
            r"\(2, 8, 32, 32\), got float32 \(2, 0, 32, 32\)",
        ),
        ({"inputs": np.zeros((2, 8, 32, 32), np.uint8)}, "inputs: .* got uint8"),
    ],
)
def test_golden_arrays_that_do_not_fit(
    tmp_path: Path, tiny_layout: vialsight.Layout, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        write(tmp_path / "a.vsb", tiny_layout, golden=golden(**changes))


def test_too_few_golden_patches(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    with pytest.raises(BundleError, match="at least 8 per region, got 7"):
        write(tmp_path / "a.vsb", tiny_layout, golden=golden(count=7))


def test_nothing_stays_when_the_core_refuses(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    wrong = dataclasses.replace(PROVENANCE, config_sha256="not a hash")
    with pytest.raises(BundleError, match="config_sha256"):
        write(tmp_path / "a.vsb", tiny_layout, provenance=wrong)
    assert list(tmp_path.iterdir()) == []


def test_timestamp_is_utc() -> None:
    from datetime import timedelta

    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 5, 1, 1, 30, tzinfo=east)) == "2026-04-30T23:30:00Z"


def several(tmp_path: Path, layout: vialsight.Layout) -> vialsight.Bundle:
    """A bundle with a map besides the reconstruction, and three components."""
    spots = np.random.default_rng(1).random((2, 8, 2, 3), np.float32)
    reconstruction = golden().outputs["reconstruction"]
    components = np.random.default_rng(2).random((2, 8, 3), np.float32)
    out = write(
        tmp_path / "several.vsb",
        layout,
        model=Model(
            graph_def=b"any bytes",
            outputs={"spots": Output("map", 2, 3), **RECONSTRUCTED},
            method="pca",
        ),
        golden=golden(
            outputs={"spots": spots, "reconstruction": reconstruction}, components=components
        ),
        score=scores.definition(
            [
                scores.map_of("spots", per_location=True),
                scores.ssim(),
                scores.residual(per_location=False),
            ]
        ),
        locations={"spots": np.full((2, 2, 2, 3), 0.25, np.float32)},
    )
    return vialsight.Bundle.load(out)


def test_several_outputs_and_components(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    bundle = several(tmp_path, tiny_layout)
    assert bundle.method == "pca"
    assert bundle.outputs["spots"] == ("map", 2, 3)
    assert bundle.components == ["spots"]
    assert bundle.golden_components.shape == (2, 8, 3)
    np.testing.assert_array_equal(bundle.golden_scores, bundle.golden_components[..., 0])
    assert bundle.locations["spots"].shape == (2, 2, 2, 3)
    assert bundle.make_score().map_size == (2, 3)


def test_another_choice_of_components_makes_other_golden_scores(
    tmp_path: Path, tiny_layout: vialsight.Layout
) -> None:
    bundle = several(tmp_path, tiny_layout)
    entries = [
        {
            "component": name,
            "offset": [0.1, 0.2],
            "scale": [0.5, 2.0],
            "map_scale": [1.0, 1.0],
        }
        for name in ("residual", "spots")
    ]
    score = json.loads(bundle.manifest_json)["score"] | {
        "decide": ["residual", "spots"],
        "combine": "sum",
        "normalisation": entries,
    }
    other = calibrated(bundle, tmp_path / "other.vsb", score)
    assert other.components == ["residual", "spots"]
    columns = bundle.golden_components.astype(np.float64)[..., [2, 0]]
    offset, scale = np.array([0.1, 0.2]), np.array([0.5, 2.0])
    excess = (columns - offset[:, None, None]) / scale[:, None, None]
    expected = np.maximum(excess, 0.0).sum(axis=-1)
    np.testing.assert_allclose(other.golden_scores, expected, rtol=1e-6)
    np.testing.assert_array_equal(other.golden_components, bundle.golden_components)
    np.testing.assert_array_equal(other.locations["spots"], bundle.locations["spots"])
    with pytest.raises(BundleError, match="score: decide: expected names of components"):
        bundle.make_score(score | {"decide": ["nothing", "spots"]})
