"""The same weights in other runtimes: equal numbers first, times only by their form."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import run_process
from score_bundles import calibrated

import vialsight
from vialsight.data import Dataset
from vialsight.line.benchmark import runtimes, similarity
from vialsight.line.benchmark.peers import compare_with_peers
from vialsight.line.benchmark.runtimes import LeftOutError, Network, Peer, largest_difference

pytestmark = pytest.mark.tensorflow

# Rounding in another order, in an untrained network.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def compared(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The verb in a process of its own, where TensorFlow's threads can still be set."""
    plots = tmp_path_factory.mktemp("peers")
    options = ("--strips", 2, "--peers", "--turns", 2, "--threads", 1, "--plots", plots, "--json")
    result = json.loads(run_process("bench", tiny_bundle, *options).stdout)
    assert (plots / "peers.png").read_bytes().startswith(b"\x89PNG")
    return dict(result["peers"])


def rows_of(compared: dict[str, Any], name: str, precision: str = "float32") -> list[Any]:
    return [
        row
        for row in compared["rows"]
        if row["name"].startswith(name) and row["precision"] == precision
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "count"),
    [
        ("tensorflow", "TensorFlow", 1),
        ("tensorflow", "VialSight, network, TensorFlow", 1),
        ("openvino", "OpenVINO", 2),
        ("openvino", "VialSight, network, OpenVINO", 1),
        ("tf2onnx", "ONNX Runtime", 1),
    ],
)
def test_runtime_computes_the_same(
    compared: dict[str, Any], module: str, name: str, count: int
) -> None:
    if util.find_spec(module) is None:
        assert any(left_out.startswith(name) for left_out in compared["left_out"])
        pytest.skip(f"{module} is not installed")
    rows = rows_of(compared, name)
    assert len(rows) == count
    for row in rows:
        assert row["largest_difference"]["reconstruction"]["absolute"] <= ROUNDING


@pytest.mark.slow
def test_every_row_has_network_and_strip(compared: dict[str, Any]) -> None:
    assert (compared["batch"], compared["patches"], compared["threads"]) == (4, 12, 1)
    assert compared["peers_score_too"]
    ours, *others = compared["rows"]
    assert ours["network_ours_over"] == {"min": 1.0, "p50": 1.0, "max": 1.0}
    for row in others:
        network, strip = row["network_ms_per_patch"], row["strip_ms_per_patch"]
        assert (strip is None) == row["name"].startswith("VialSight, network")
        assert (network is None) == (row["name"] == "VialSight, score_patches")
        if network is not None and strip is not None:
            assert network["p50"] < strip["p50"]
            own = {"TensorFlow, Python", "OpenVINO, Python", "OpenVINO, Python, fixed batch"}
            assert (row["own_network_over"] is not None) == (row["name"] in own)


@pytest.mark.slow
def test_ssim_of_all_is_the_same(compared: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in compared["ssim"]["rows"]}
    assert set(rows) >= {similarity.OURS, similarity.TENSORFLOW}
    # tf.image.ssim rounds in float32: 4e-5 on smooth patches.
    assert all(row["largest_difference"] <= 1e-4 for row in rows.values())


def test_score_that_is_not_ssim_alone_is_not_added(
    tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    path = calibrated(tiny_bundle, tiny_dataset, tmp_path / "other.vsb", "residual")
    bundle = vialsight.Bundle.load(path)

    def make(network: Network) -> runtimes.Run:
        return ours(bundle)

    result = compare_with_peers(bundle, threads=1, turns=1, peers=[peer(make)])
    assert not result["peers_score_too"]
    (row,) = result["rows"][2:]
    assert row["strip_ms_per_patch"] is None
    assert row["network_ms_per_patch"]["p50"] > 0.0


def test_peer_that_computes_something_else_is_not_timed(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)

    def make(network: Network) -> runtimes.Run:
        right = ours(bundle)
        return lambda patches: {name: 0.9 * each for name, each in right(patches).items()}

    result = compare_with_peers(bundle, threads=1, turns=1, peers=[peer(make)])
    assert len(result["rows"]) == 2
    (reason,) = result["left_out"].values()
    assert reason.startswith("it computes something else: output 'reconstruction' differs by")


def test_peer_of_another_precision_is_timed_with_its_difference(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)

    def make(network: Network) -> runtimes.Run:
        right = ours(bundle)
        return lambda patches: {name: 0.9 * each for name, each in right(patches).items()}

    other = Peer(name="rounding", precision="bfloat16", make=make)
    result = compare_with_peers(bundle, threads=1, turns=1, peers=[other])
    (row,) = result["rows"][2:]
    assert row["precision"] == "bfloat16"
    assert row["largest_difference"]["reconstruction"]["absolute"] > 0.01


def test_missing_runtime_is_left_out_with_the_command(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        runtimes.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    bundle = vialsight.Bundle.load(tiny_bundle)
    missing = Peer(name="ONNX Runtime", precision="float32", make=runtimes.onnxruntime)
    result = compare_with_peers(bundle, threads=1, turns=1, peers=[missing])
    expected = "onnxruntime is not installed; run: pip install 'vialsight[peers]'"
    assert result["left_out"] == {"ONNX Runtime, float32": expected}


def test_difference_is_told_in_parts_of_the_range() -> None:
    right = {"map": np.array([[[0.0, 20.0]]], np.float32)}
    found = largest_difference(right, {"map": np.array([[[[0.5], [20.0]]]], np.float32)})
    assert found["map"] == pytest.approx({"absolute": 0.5, "of_range": 0.025})


def test_reason_of_a_peer_that_cannot_run(tiny_bundle: Path) -> None:
    def make(network: Network) -> runtimes.Run:
        assert network.batch == 4
        assert network.path.read_bytes() == network.graph_def
        raise LeftOutError("this CPU does not compute in bfloat16")

    bundle = vialsight.Bundle.load(tiny_bundle)
    result = compare_with_peers(bundle, threads=1, turns=1, peers=[peer(make)])
    assert result["left_out"] == {"other, float32": "this CPU does not compute in bfloat16"}


def peer(make: Any) -> Peer:
    return Peer(name="other", precision="float32", make=make)


def ours(bundle: vialsight.Bundle) -> runtimes.Run:
    inspector = vialsight.Inspector(bundle, threads=1, require_thresholds=False)

    def run(patches: Any) -> Any:
        found = inspector.score_with_outputs(np.ascontiguousarray(patches[..., 0]))[2]
        return {name: each[..., np.newaxis] for name, each in found.items()}

    return run
