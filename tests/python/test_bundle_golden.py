"""Golden patches as bundles store them: whole pixels, outputs of the first of each region."""

import json
from pathlib import Path

import numpy as np
import pytest
from bundle_support import calibrated, golden, with_array, write

import vialsight
from vialsight.errors import BundleError


def whole_pixels() -> np.ndarray:
    """Every gray value, uint8 (2,8,32,32)."""
    return np.arange(2 * 8 * 32 * 32).reshape(2, 8, 32, 32).astype(np.uint8)


def test_whole_pixels_are_stored_as_such(tmp_path: Path, tiny_layout: vialsight.Layout) -> None:
    inputs = (whole_pixels() / 255.0).astype(np.float32)
    out = write(tmp_path / "a.vsb", tiny_layout, golden=golden(inputs=inputs))
    stored = np.load(out / "golden/inputs.npy")
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, whole_pixels())
    np.testing.assert_array_equal(vialsight.Bundle.load(out).golden_inputs, inputs)


def test_one_value_between_pixels_keeps_all_as_they_are(
    tmp_path: Path, tiny_layout: vialsight.Layout
) -> None:
    inputs = (whole_pixels() / 255.0).astype(np.float32)
    inputs[1, 7, 31, 31] = np.nextafter(inputs[1, 7, 31, 31], np.float32(0.5))
    out = write(tmp_path / "a.vsb", tiny_layout, golden=golden(inputs=inputs))
    assert np.load(out / "golden/inputs.npy").dtype == np.float32
    np.testing.assert_array_equal(vialsight.Bundle.load(out).golden_inputs, inputs)


@pytest.mark.parametrize(
    ("role", "array", "message"),
    [
        (
            "golden_inputs",
            np.zeros((2, 8, 32, 32), np.uint16),
            r"inputs\.npy: expected uint8 \('\|u1'\) or little-endian float32 \('<f4'\), got '<u2'",
        ),
        ("golden_inputs", np.zeros((2, 8, 32, 32), np.int8), r"inputs\.npy: .* got '\|i1'"),
        (
            "golden_inputs",
            np.zeros((2, 8, 32), np.uint8),
            r"inputs\.npy: expected shape \(2, 8, 32, 32\), got \(2, 8, 32\)",
        ),
        (
            "golden_output_reconstruction",
            np.zeros((2, 1, 32, 32), np.uint8),
            r"reconstruction\.npy: expected little-endian float32 \('<f4'\), got '\|u1'",
        ),
        (
            "golden_output_reconstruction",
            np.zeros((2, 0, 32, 32), np.float32),
            r"expected shape \(2, n, 32, 32\), n from 1 to 8, got \(2, 0, 32, 32\)",
        ),
        (
            "golden_output_reconstruction",
            np.zeros((2, 9, 32, 32), np.float32),
            r"expected shape \(2, n, 32, 32\), n from 1 to 8, got \(2, 9, 32, 32\)",
        ),
        (
            "golden_output_reconstruction",
            np.zeros((2, 1, 32, 31), np.float32),
            r"expected shape \(2, 1, 32, 32\), got \(2, 1, 32, 31\)",
        ),
    ],
)
def test_golden_files_that_the_core_refuses(
    tmp_path: Path, tiny_layout: vialsight.Layout, role: str, array: np.ndarray, message: str
) -> None:
    out = with_array(write(tmp_path / "a.vsb", tiny_layout), role, array)
    with pytest.raises(BundleError, match=message):
        vialsight.Bundle.load(out)


@pytest.mark.parametrize("whole", [True, False], ids=["whole pixels", "values between"])
def test_an_older_bundle_loads_and_is_calibrated(
    tmp_path: Path, tiny_layout: vialsight.Layout, whole: bool
) -> None:
    """Older ones hold float32 inputs, and outputs of all golden patches."""
    inputs = (whole_pixels() / 255.0).astype(np.float32) if whole else golden().inputs
    outputs = golden().outputs["reconstruction"]
    out = write(tmp_path / "old.vsb", tiny_layout, golden=golden(inputs=inputs))
    with_array(out, "golden_inputs", inputs)
    with_array(out, "golden_output_reconstruction", outputs)
    old = vialsight.Bundle.load(out)
    np.testing.assert_array_equal(old.golden_inputs, inputs)
    np.testing.assert_array_equal(old.golden_outputs["reconstruction"], outputs)
    new = calibrated(old, tmp_path / "new.vsb", json.loads(old.manifest_json)["score"])
    np.testing.assert_array_equal(new.golden_inputs, inputs)
    np.testing.assert_array_equal(new.golden_outputs["reconstruction"], outputs[:, :1])
    np.testing.assert_array_equal(new.golden_components, old.golden_components)
    np.testing.assert_array_equal(new.golden_scores, old.golden_scores)
    stored = np.load(tmp_path / "new.vsb/golden/inputs.npy").dtype
    assert stored == (np.uint8 if whole else np.float32)
