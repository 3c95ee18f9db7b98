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

import vialsight
from vialsight.bundle import GoldenPatches, Provenance, timestamp, write_bundle
from vialsight.errors import BundleError

CREATED = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone.utc)
PROVENANCE = Provenance(
    config_sha256="a" * 64, data_sha256="b" * 64, seed=1, training_products=["p2", "p1", "p2"]
)


def golden(count: int = 8, **changes: np.ndarray) -> GoldenPatches:
    random = np.random.default_rng(0)
    arrays = {
        "inputs": random.random((2, count, 32, 32), np.float32),
        "reconstructions": random.random((2, count, 32, 32), np.float32),
        "scores": random.random((2, count), np.float32),
    }
    return GoldenPatches(**(arrays | changes))


def write(out: Path, layout: vialsight.Layout, **changes: Any) -> Path:
    arguments = {
        "model": b"any bytes",
        "golden": golden(),
        "provenance": PROVENANCE,
        "fingerprints": b"any bytes, too",
    }
    write_bundle(out, layout=layout, **(arguments | {"created": CREATED} | changes))
    return out


def test_equal_arguments_give_equal_bytes(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    one = write(tmp_path / "one" / "same.vsb", tiny_layout)
    two = write(tmp_path / "two" / "same.vsb", tiny_layout)
    files = sorted(str(p.relative_to(one)) for p in one.rglob("*") if p.is_file())
    assert files == [
        "fingerprints.npz",
        "golden/inputs.npy",
        "golden/reconstructions.npy",
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
    for name, entry in manifest["files"].items():
        content = (out / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
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
    np.testing.assert_array_equal(bundle.golden_reconstructions, expected.reconstructions)
    np.testing.assert_array_equal(bundle.golden_scores, expected.scores)
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
    assert provenance["tensorflow"].startswith("2.21")


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
        ({"scores": np.zeros((2, 7), np.float32)}, "golden/inputs.npy: expected finite float32"),
        ({"scores": np.full((2, 8), np.nan, np.float32)}, "golden/scores.npy: expected finite"),
        ({"scores": np.zeros((2, 8))}, "got float64"),
        ({"inputs": np.zeros((2, 8, 16, 16), np.float32)}, r"\(2, 8, 32, 32\), got float32"),
    ],
)
def test_golden_arrays_that_do_not_fit(
    tmp_path: Path, tiny_layout: vialsight.Layout, changes: dict[str, np.ndarray], message: str
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
