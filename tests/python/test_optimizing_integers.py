"""A bundle in integers of 8 bits: what it computes, on what, what it says, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from bundle_support import with_file, with_manifest

import vialsight
from vialsight import _core
from vialsight.calibration import optimizing
from vialsight.calibration.range_patches import range_patches
from vialsight.calibration.strip_cutting import StripCutter
from vialsight.data import Dataset
from vialsight.errors import BundleError, CheckFailed, DataError
from vialsight.line.benchmark.peers import compare_with_peers
from vialsight.line.benchmark.runtimes import peers_of
from vialsight.models.graph import quantised_graph

openvino = pytest.importorskip("openvino", reason="pip install 'vialsight[openvino]'")
pytestmark = pytest.mark.tensorflow

ROUNDINGS = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")


@pytest.fixture(scope="module")
def original(tiny_calibrated_bundle: Path) -> vialsight.Bundle:
    return vialsight.Bundle.load(tiny_calibrated_bundle)


@pytest.fixture(scope="module")
def found_and_folder(
    original: vialsight.Bundle, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[optimizing.Optimized, Path]:
    out = tmp_path_factory.mktemp("integers") / "small.vsb"
    found = optimizing.optimize(
        original,
        tiny_dataset,
        out,
        precision="int8",
        quantise=quantised_graph,
        max_verdict_changes=1000,
    )
    return found, out


@pytest.fixture(scope="module")
def found(found_and_folder: tuple[optimizing.Optimized, Path]) -> optimizing.Optimized:
    return found_and_folder[0]


@pytest.fixture(scope="module")
def folder(found_and_folder: tuple[optimizing.Optimized, Path]) -> Path:
    return found_and_folder[1]


@pytest.fixture(scope="module")
def bundle(folder: Path) -> vialsight.Bundle:
    return vialsight.Bundle.load(folder)


def graph_of(bundle: vialsight.Bundle) -> Any:
    return tf.compat.v1.GraphDef.FromString(bundle.model)


def nominal_patches(bundle: vialsight.Bundle, dataset: Dataset) -> npt.NDArray[np.float32]:
    """All patches (n,P,P) of the nominal calibration strips, cut as the line does."""
    cutter = StripCutter(bundle)
    strips = [s for s in dataset.select(split="calibration").strips() if not s.defective]
    return np.concatenate([patches for s in strips for patches in cutter.cut(s).patches])


def test_the_bundle_says_what_was_done(
    bundle: vialsight.Bundle, original: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    assert (bundle.runtime, bundle.precision) == ("openvino", "int8")
    said = json.loads(bundle.manifest_json)["optimization"]
    kernels = sum(node.op == ROUNDINGS[1] for node in graph_of(bundle).node)
    patches = len(nominal_patches(original, tiny_dataset))
    assert said["quantised"] == {"convolutions": kernels, "patches": patches}
    assert kernels > 2
    assert said["parent_sha256"] == original.sha256


def test_scores_move_a_little_and_the_manifest_says_how_far(
    bundle: vialsight.Bundle, found: optimizing.Optimized
) -> None:
    assert 1e-6 < found.largest_score_difference < 0.1
    said = json.loads(bundle.manifest_json)["optimization"]
    assert said["largest_score_difference"] == found.largest_score_difference


def test_an_inspector_proves_it(bundle: vialsight.Bundle) -> None:
    vialsight.Inspector(bundle)


def small_network(x: tf.Tensor) -> tf.Tensor:
    """Five convolutions, two of them of what may be negative, one to twice the size."""
    random = np.random.default_rng(4)

    def kernel(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(0, 1 / np.sqrt(np.prod(shape[:3])), shape).astype(np.float32)

    first = tf.nn.relu(tf.nn.conv2d(x, kernel(3, 3, 1, 8), 2, "SAME"))
    second = tf.nn.leaky_relu(tf.nn.conv2d(first, kernel(3, 3, 8, 8), 1, "SAME"), 0.3)
    beside = tf.nn.conv2d(second, kernel(1, 1, 8, 8), 1, "SAME")
    third = tf.nn.bias_add(beside + first, random.normal(0, 0.1, 8).astype(np.float32))
    shape = tf.stack([tf.shape(x)[0], *x.shape[1:3], 8])
    wide = tf.nn.conv2d_transpose(third, kernel(4, 4, 8, 8), shape, 2, "SAME")
    return tf.nn.conv2d(tf.nn.relu(wide), kernel(3, 3, 8, 1), 1, "SAME")


# Float32 sums in another order: a value between two steps may be rounded otherwise, and few are.
def test_tensorflow_computes_the_same_from_the_same_graph(
    original: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    size = original.layout.patch_size
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, size, size, 1), name="patches")
        tf.identity(small_network(x), name="reconstruction")
    patches = nominal_patches(original, tiny_dataset)
    made = quantised_graph(
        graph.as_graph_def().SerializeToString(), "patches", ["reconstruction"], [patches]
    )
    assert made.convolutions == 3
    model = made.graph_def
    integers, reference = (
        _core.Network(original, runtime=r, precision=p, model=model).run(patches)["reconstruction"]
        for r, p in (("openvino", "int8"), ("tensorflow", "float32"))
    )
    apart = np.abs(integers - reference) / np.ptp(reference)
    assert np.mean(apart > 1e-4) < 0.02
    assert apart.max() < 0.02


def test_batches_and_threads_change_nothing(
    bundle: vialsight.Bundle, original: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    patches = nominal_patches(original, tiny_dataset)[:8]
    whole = _core.Network(bundle, threads=2).run(patches)
    alone = _core.Network(bundle, threads=1)
    parts = [alone.run(patches[i : i + 2]) for i in range(0, 8, 2)]
    for name, values in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(joined, values, atol=1e-5)


def test_openvino_multiplies_integers(bundle: vialsight.Bundle, tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    path.write_bytes(bundle.model)
    core = openvino.Core()
    if "INT8" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO does not multiply integers on this CPU")
    model = core.read_model(path)
    size = bundle.layout.patch_size
    model.reshape([4, size, size, 1])
    request = core.compile_model(model, "CPU", {"PERF_COUNT": True}).create_infer_request()
    request.infer([np.zeros((4, size, size, 1), np.float32)])
    convolutions = [p for p in request.profiling_info if p.node_type.startswith("Convolution")]
    in_integers = [p for p in convolutions if p.exec_type.upper().endswith(("_I8", "_U8"))]
    said = json.loads(bundle.manifest_json)["optimization"]["quantised"]
    assert len(in_integers) == said["convolutions"]
    assert len(in_integers) < len(convolutions)


# TensorFlow is left out: its threads are settled in this process already.
def test_peers_compute_the_same_in_integers(bundle: vialsight.Bundle) -> None:
    peers = [peer for peer in peers_of(bundle) if peer.runtime == "openvino"]
    rows = compare_with_peers(bundle, threads=1, turns=1, peers=peers)["rows"]
    assert [row["precision"] for row in rows] == 5 * ["int8"]
    for row in rows[2:]:
        assert row["largest_difference"]["reconstruction"]["absolute"] < 1e-5


def with_high_bound(bundle: vialsight.Bundle, value: float) -> bytes:
    """The bundle's graph, of which one range of a tensor ends at `value`."""
    graph = graph_of(bundle)
    nodes = {node.name: node for node in graph.node}
    rounding = next(node for node in graph.node if node.op == ROUNDINGS[0])
    bound = nodes[rounding.input[2]]
    bound.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(value)))
    return bytes(graph.SerializeToString())


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("runtime", ["openvino", "tensorflow"])
def test_ranges_that_are_none_are_refused(
    bundle: vialsight.Bundle, value: float, runtime: Any
) -> None:
    precision = "int8" if runtime == "openvino" else "float32"
    model = with_high_bound(bundle, value)
    with pytest.raises(BundleError, match="rounds to integers: expected finite ranges around 0"):
        _core.Network(bundle, runtime=runtime, precision=precision, model=model)


def test_a_bundle_with_such_a_range_is_refused(
    folder: Path, bundle: vialsight.Bundle, tmp_path: Path
) -> None:
    hostile = Path(shutil.copytree(folder, tmp_path / "hostile.vsb"))
    with_file(hostile, "model", with_high_bound(bundle, np.nan))
    with pytest.raises(BundleError, match="rounds to integers: expected finite ranges around 0"):
        vialsight.Inspector(vialsight.Bundle.load(hostile))


def test_precision_and_graph_have_to_fit(
    bundle: vialsight.Bundle, original: vialsight.Bundle
) -> None:
    with pytest.raises(BundleError, match="rounds to no integers, and is to be computed in int8"):
        _core.Network(original, runtime="openvino", precision="int8")
    with pytest.raises(BundleError, match="rounds to integers, and is to be computed in float32"):
        _core.Network(bundle, precision="float32")
    with pytest.raises(BundleError, match="expected precision float32, got int8"):
        _core.Network(bundle, runtime="tensorflow")


# Thresholds of the original that no score lies under: every strip was rejected, and no longer is.
def test_nothing_is_written_when_verdicts_change(
    tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    strict = Path(shutil.copytree(tiny_calibrated_bundle, tmp_path / "strict.vsb"))
    with_manifest(strict, lambda manifest: manifest["thresholds"].update(strip=[-1.0, -1.0]))
    given, out = vialsight.Bundle.load(strict), tmp_path / "x.vsb"
    with pytest.raises(CheckFailed, match=r"change: .* at strip.*nothing was written"):
        optimizing.optimize(given, tiny_dataset, out, precision="int8", quantise=quantised_graph)
    assert not out.exists()


def test_ranges_are_measured_on_nominal_strips(
    original: vialsight.Bundle, tiny_dataset: Dataset
) -> None:
    part = tiny_dataset.select(split="calibration")
    expected = nominal_patches(original, tiny_dataset)
    np.testing.assert_array_equal(np.concatenate(list(range_patches(original, part))), expected)
    one = np.concatenate(list(range_patches(original, part, strips=1)))
    np.testing.assert_array_equal(one, expected[: len(one)])


def test_integers_need_nominal_strips(original: vialsight.Bundle, tiny_dataset: Dataset) -> None:
    part = tiny_dataset.select(split="calibration", label="defective")
    with pytest.raises(DataError, match="expected nominal strips in the calibration split"):
        next(range_patches(original, part))
