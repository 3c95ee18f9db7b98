"""Our own networks, rewritten at freezing, against the graphs that were trained."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from vialsight import scores
from vialsight.bundle import Model, Output
from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.models.graph import UnsupportedGraphError, optimised_graph
from vialsight.models.grdnet.network import SegmentationOptions, build_segmentation
from vialsight.training import freezing
from vialsight.training.freezing import freeze_graph, golden, optimised, run_frozen

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64


def unsettled(network: tf.keras.Model) -> tf.keras.Model:
    """A network whose biases, scales and statistics are no longer 0 and 1."""
    rng = np.random.default_rng(3)
    for weight in network.weights:
        if len(weight.shape) == 1:
            change = 0.2 * rng.random(weight.shape).astype(np.float32)
            weight.assign(weight + change)
    return network


def drae(preset: str, **options: object) -> Model:
    chosen = NetworkOptions(patch_size=SIZE, preset=preset, **options)
    network = deployed_part(unsettled(build_generator(chosen)))
    return freeze_graph(network, SIZE, method="drae")


def grdnet(preset: str) -> Model:
    options = SegmentationOptions(size=SIZE, regions=3, preset=preset)
    network = unsettled(build_segmentation(options))

    def segmented(patches: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        half = tf.nn.avg_pool2d(patches, 2, 2, "VALID")
        planes = tf.concat([half, 1.0 - half, 2.0 * half, half * half, half], -1)
        means = tf.reshape(tf.nn.avg_pool2d(patches, SIZE, SIZE, "VALID"), (-1, 1))
        region = tf.matmul(means, tf.constant([[0.2, 0.3, 0.5]]))
        return {"anomaly": network([patches, planes, region], training=training)[0]}

    return freeze_graph(segmented, SIZE, roles={"anomaly": "map"}, method="grdnet")


def allowed_operations() -> set[str]:
    """What the core lets a bundle use."""
    text = (ROOT / "cpp/src/backend/allowed_ops.h").read_text(encoding="utf-8")
    return set(re.findall(r'^ {4}"(\w+)",', text, re.MULTILINE))


def rewritten(model: Model) -> tuple[Model, dict[str, int]]:
    graph, counts = optimised_graph(model.graph_def, model.input_name, list(model.outputs))
    return Model(graph_def=graph, outputs=model.outputs, method=model.method), counts


def check(model: Model) -> dict[str, int]:
    found, counts = rewritten(model)
    used = {node.op for node in tf.compat.v1.GraphDef.FromString(found.graph_def).node}
    assert used <= allowed_operations()
    for count in (1, 6):
        patches = np.random.default_rng(count).random((count, SIZE, SIZE), np.float32)
        expected, came = run_frozen(model, patches), run_frozen(found, patches)
        for name, output in expected.items():
            scale = np.abs(output).max()
            np.testing.assert_allclose(came[name], output, rtol=0, atol=1e-5 * scale)
    return counts


# By hand: of three batch norms a block, two follow a convolution of their own.
@pytest.mark.parametrize("preset", ["drae-16", "drae-64"])
def test_drae(preset: str) -> None:
    counts = check(drae(preset))
    assert counts["transposed"] == 4 * (3 + 3 + 2)
    assert counts["batch_norms"] >= 2 * 3 * 4 * 2


@pytest.mark.parametrize("preset", ["line-S", "line-M"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_drae_of_line_presets(preset: str, activation: str) -> None:
    assert check(drae(preset, activation=activation))["batch_norms"] > 0


def test_drae_with_a_convolutional_bottleneck() -> None:
    assert check(drae("drae-16", bottleneck="convolutional"))["batch_norms"] > 0


# 14 blocks of a convolution and a batch norm, of which the first follows a sum of three.
def test_grdnet_joins_by_transposed_convolutions() -> None:
    counts = check(grdnet("line-M"))
    assert (counts["doubling"], counts["batch_norms"]) == (4, 14)


def test_grdnet_that_adds() -> None:
    """Its doubled images are added to others before they are convolved, and stay."""
    counts = check(grdnet("line-S"))
    assert "doubling" not in counts
    assert counts["batch_norms"] == 14


def trained(patch_size: int = 32) -> Model:
    generator = unsettled(build_generator(NetworkOptions(patch_size=patch_size, preset="drae-16")))
    return freeze_graph(deployed_part(generator), patch_size, method="drae")


@pytest.fixture(scope="module")
def model() -> Model:
    return trained()


COMPONENTS = [scores.ssim(), scores.residual()]


@pytest.fixture(scope="module")
def shown(model: Model) -> object:
    inputs = np.random.default_rng(0).random((2, 8, 32, 32), np.float32)
    spread = np.full((2, 2, 32, 32), 0.1, np.float32)
    return golden(model, COMPONENTS, inputs, {"residual": spread})


def proven(model: Model, shown: object) -> Model:
    return optimised(
        model, COMPONENTS, shown, {"residual": np.full((2, 2, 32, 32), 0.1, np.float32)}
    )


def test_what_is_proven_is_taken(
    model: Model, shown: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = proven(model, shown)
    assert found.graph_def == rewritten(model)[0].graph_def
    assert found.outputs == model.outputs == {"reconstruction": Output("reconstruction", 32, 32)}
    assert re.search(r"optimised: .*batch norms folded; largest difference \d", caplog.text)


def test_what_differs_is_not_taken(
    model: Model,
    shown: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A rewriting whose last bias is one percent too large."""

    def wrong(graph_def: bytes, input_name: str, names: list[str]) -> tuple[bytes, dict[str, int]]:
        graph, counts = optimised_graph(graph_def, input_name, names)
        definition = tf.compat.v1.GraphDef.FromString(graph)
        bias = [node for node in definition.node if node.op == "BiasAdd"][-1].input[1]
        tensor = next(node for node in definition.node if node.name == bias).attr["value"].tensor
        tensor.CopyFrom(tf.make_tensor_proto(1.01 * tf.make_ndarray(tensor)))
        return definition.SerializeToString(), counts

    monkeypatch.setattr(freezing, "optimised_graph", wrong)
    assert proven(model, shown) is model
    assert "the graph stays as it was trained: rewritten, it differs too much" in caplog.text


@pytest.mark.parametrize("limit", ["_OUTPUT_TOLERANCE", "_SCORE_SHARE"])
def test_both_limits_count(
    limit: str, model: Model, shown: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, limit, -1.0)
    assert proven(model, shown) is model


def test_what_gives_no_numbers_is_not_taken(
    model: Model, shown: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> object:
        found = golden(*given)  # type: ignore[arg-type]
        found.components[0, 0, 0] = np.nan
        return found

    monkeypatch.setattr(freezing, "golden", broken)
    assert proven(model, shown) is model


def test_an_unknown_graph_stays(
    model: Model,
    shown: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> object:
        raise UnsupportedGraphError("graph with functions")

    monkeypatch.setattr(freezing, "optimised_graph", refuse)
    assert proven(model, shown) is model
    assert "the graph stays as it was trained: graph with functions" in caplog.text
