"""A bundle for another runtime: what it computes, what it says of itself, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundle_support import with_array, with_manifest
from cli_support import run, run_process

import vialsight
from vialsight import _core
from vialsight.calibration import optimizing
from vialsight.calibration.strip_cutting import StripCutter
from vialsight.data import Dataset
from vialsight.errors import BundleError, CheckFailed, DataError

pytest.importorskip("openvino", reason="pip install 'vialsight[openvino]'")
pytestmark = pytest.mark.tensorflow


def has_bfloat16() -> bool:
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


@pytest.fixture(scope="module")
def original(tiny_calibrated_bundle: Path) -> vialsight.Bundle:
    return vialsight.Bundle.load(tiny_calibrated_bundle)


@pytest.fixture(scope="module")
def optimized(tiny_openvino_bundle: Path) -> vialsight.Bundle:
    return vialsight.Bundle.load(tiny_openvino_bundle)


def patches_of_calibration(bundle: vialsight.Bundle, dataset: Dataset) -> np.ndarray:
    """All patches (S,F,V·R,P,P) of the calibration strips, cut as the line does."""
    cutter = StripCutter(bundle)
    strips = dataset.select(split="calibration").strips()
    return np.stack([cutter.cut(strip).patches for strip in strips])


def phi_of(bundle: vialsight.Bundle, patches: np.ndarray) -> np.ndarray:
    """φ (S,F,V·R), by an Inspector of the bundle's own runtime."""
    inspector = vialsight.Inspector(bundle)
    flat = patches.reshape(-1, *patches.shape[2:])
    return np.stack([inspector.score_patches(frame) for frame in flat]).reshape(patches.shape[:3])


def test_the_network_is_the_same_graph_with_the_same_weights(
    original: vialsight.Bundle, optimized: vialsight.Bundle
) -> None:
    assert optimized.model == original.model
    assert (optimized.runtime, optimized.precision) == ("openvino", "float32")
    assert optimized.fingerprints == original.fingerprints
    np.testing.assert_array_equal(optimized.golden_inputs, original.golden_inputs)


def test_scores_are_those_of_tensorflow(
    original: vialsight.Bundle, optimized: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    patches = patches_of_calibration(original, tiny_dataset)
    np.testing.assert_allclose(phi_of(optimized, patches), phi_of(original, patches), atol=1e-5)


def test_the_manifest_says_how_far_scores_moved(
    original: vialsight.Bundle, optimized: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    manifest = json.loads(optimized.manifest_json)
    said = manifest["optimization"]
    patches = patches_of_calibration(original, tiny_dataset)
    before, after = phi_of(original, patches), phi_of(optimized, patches)
    apart = np.abs(before.astype(np.float64) - after.astype(np.float64))
    assert said["largest_score_difference"] == pytest.approx(apart.max(), abs=1e-12)
    assert said["median_score_difference"] == pytest.approx(np.median(apart), abs=1e-12)
    assert said["parent_sha256"] == original.sha256
    assert said["data_sha256"] == json.loads(original.manifest_json)["calibration"]["data_sha256"]
    assert manifest["provenance"]["runtime_version"].startswith("2026.")
    strips = len(patches)
    assert said["verdicts"]["patch"] == {"units": before.size, "changed": 0}
    assert said["verdicts"]["strip"] == {"units": strips, "changed": 0}


def test_thresholds_are_fitted_again_to_the_same_end(
    original: vialsight.Bundle, optimized: vialsight.Bundle
) -> None:
    records = [json.loads(b.manifest_json)["calibration"] for b in (original, optimized)]
    for field in ("objective", "data_sha256", "run_rule", "products", "levels"):
        assert records[0][field] == records[1][field]
    for level in ("patch", "strip", "run"):
        np.testing.assert_allclose(
            optimized.thresholds[level], original.thresholds[level], atol=1e-5
        )


def test_it_is_calibrated_and_inspects_like_any_bundle(
    optimized: vialsight.Bundle, original: vialsight.Bundle, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    from vialsight.line.inspection import inspect_product, products_of_dataset

    products = products_of_dataset(tiny_dataset.select(split="test"))
    ours, theirs = (vialsight.Inspector(bundle) for bundle in (optimized, original))
    for product in products:
        first, second = (inspect_product(each, product) for each in (ours, theirs))
        assert first.reason == second.reason


@pytest.mark.skipif(not has_bfloat16(), reason="this CPU does not multiply bfloat16")
def test_bfloat16_moves_scores_a_little_and_says_so(
    original: vialsight.Bundle, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "narrow.vsb"
    found = optimizing.optimize(
        original, tiny_dataset, out, precision="bfloat16", max_verdict_changes=1000
    )
    bundle = vialsight.Bundle.load(out)
    assert bundle.precision == "bfloat16"
    assert 1e-6 < found.largest_score_difference < 0.05
    vialsight.Inspector(bundle)


# Thresholds of the original that no score lies under: every strip was rejected, and no longer is.
def test_nothing_is_written_when_verdicts_change(
    tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    strict = Path(shutil.copytree(tiny_calibrated_bundle, tmp_path / "strict.vsb"))
    with_manifest(strict, lambda manifest: manifest["thresholds"].update(strip=[-1.0, -1.0]))
    bundle = vialsight.Bundle.load(strict)
    accepted = sum(
        not strip.defective for strip in tiny_dataset.select(split="calibration").strips()
    )
    out = tmp_path / "changed.vsb"
    with pytest.raises(CheckFailed, match=r"change: .* at strip.*nothing was written") as error:
        optimizing.optimize(bundle, tiny_dataset, out)
    assert not out.exists()
    allowed = int(str(error.value).split("--max-verdict-changes ")[1])
    assert allowed <= accepted + len(tiny_dataset.select(split="calibration").strips())
    found = optimizing.optimize(bundle, tiny_dataset, out, max_verdict_changes=allowed)
    assert found.most_changed == allowed
    assert (
        json.loads(vialsight.Bundle.load(out).manifest_json)["optimization"]["max_verdict_changes"]
        == allowed
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed.vsb", "strict.vsb"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"precision": "float16"},
            "precision: expected one of float32, bfloat16, int8; got 'float16'",
        ),
        ({"runtime": "onnx"}, 'runtime: expected one of tensorflow, openvino, got "onnx"'),
    ],
)
def test_unknown_names_are_refused(
    original: vialsight.Bundle, tiny_dataset: Dataset, tmp_path: Path, change: dict, message: str
) -> None:
    with pytest.raises((DataError, BundleError), match=message.replace("?", r"\?")):
        optimizing.optimize(original, tiny_dataset, tmp_path / "x.vsb", **change)


def test_an_uncalibrated_bundle_is_refused(
    tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="expected a calibrated bundle"):
        optimizing.optimize(vialsight.Bundle.load(tiny_bundle), tiny_dataset, tmp_path / "x.vsb")


def test_an_optimized_bundle_names_the_one_to_give(
    optimized: vialsight.Bundle, original: vialsight.Bundle, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"as it was frozen.*{original.sha256}"):
        optimizing.optimize(optimized, tiny_dataset, tmp_path / "x.vsb")


def test_other_data_are_refused(
    original: vialsight.Bundle, own_dataset_folder: Path, tmp_path: Path
) -> None:
    from PIL import Image

    image = own_dataset_folder / "calibration-nominal-0-1.png"
    pixels = np.asarray(Image.open(image)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(image)
    dataset = vialsight.data.read_dataset(own_dataset_folder)
    with pytest.raises(DataError, match="that the bundle was calibrated on"):
        optimizing.optimize(original, dataset, tmp_path / "x.vsb")


def test_another_machines_rounding_is_refused(tiny_openvino_bundle: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(tiny_openvino_bundle, tmp_path / "moved.vsb"))
    for role in ("golden_components", "golden_scores"):
        entry = json.loads((moved / "manifest.json").read_bytes())["files"][role]
        with_array(moved, role, np.load(moved / entry["name"]) + np.float32(1e-3))
    with pytest.raises(BundleError, match="does not compute what was trained"):
        vialsight.Inspector(vialsight.Bundle.load(moved))


def test_a_network_refuses_what_does_not_fit(original: vialsight.Bundle) -> None:
    network = _core.Network(original, runtime="openvino")
    with pytest.raises(ValueError, match=r"expected shape \(n, 32, 32\)"):
        network.run(np.zeros((2, 16, 16), np.float32))
    with pytest.raises(TypeError, match="expected float32"):
        network.run(np.zeros((2, 32, 32)))
    with pytest.raises(ValueError, match="expected patches of 1024 floats"):
        network.run(np.zeros((0, 32, 32), np.float32))
    with pytest.raises(ValueError, match="threads: expected 0"):
        _core.Network(original, threads=-1)
    with pytest.raises(BundleError, match="expected precision float32, got bfloat16"):
        _core.Network(original, runtime="tensorflow", precision="bfloat16")


def test_the_networks_of_both_runtimes_agree(original: vialsight.Bundle) -> None:
    patches = np.random.default_rng(5).random((7, 32, 32), np.float32)
    ours, theirs = (
        _core.Network(original, runtime=name).run(patches) for name in ("openvino", "tensorflow")
    )
    assert ours.keys() == theirs.keys() == original.outputs.keys()
    for name, output in ours.items():
        np.testing.assert_allclose(output, theirs[name], atol=1e-5)


@pytest.mark.slow
def test_the_verb_from_a_shell(
    tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "fast.vsb"
    done = run_process(
        "optimize", tiny_calibrated_bundle, "--data", tiny_dataset_folder, "--out", out
    )
    assert "scores moved by at most" in done.stdout
    assert "verdicts" in done.stdout
    shown = run_process("show", out)
    assert "openvino 2026." in shown.stdout
    assert "verdicts changed   0 of 96 (patch), 0 of 8 (strip), 0 of 8 (run)" in shown.stdout
    verified = run_process("verify", out)
    assert "ok  golden patches" in verified.stdout
    again = run(
        "optimize", tiny_calibrated_bundle, "--data", tiny_dataset_folder, "--out", out, code=2
    )
    assert "exists" in again.stderr


@pytest.mark.slow
def test_the_verb_in_integers(
    tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.vsb"
    run_process(
        *("optimize", tiny_calibrated_bundle, "--data", tiny_dataset_folder, "--out", out),
        *("--precision", "int8", "--max-verdict-changes", 1000),
    )
    shown = run_process("show", out)
    assert "openvino 2026." in shown.stdout
    assert "convolutions, within ranges of 60 nominal patches" in shown.stdout
    assert "ok  golden patches" in run_process("verify", out).stdout
