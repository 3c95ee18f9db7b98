"""What every layer of a network costs: counts against another counter, times only by their form."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_support import run_process

import vialsight
from vialsight.bundle import read_manifest
from vialsight.line.benchmark.layers import Layer, by_shape, layers_of, table
from vialsight.line.benchmark.operations import Operation, Value
from vialsight.line.benchmark.peak import best, peak_gflops

BATCH = 4


def value(producer: str, shape: tuple[int, ...], *, constant: bool = False) -> Value:
    size = 4 * int(np.prod(shape))
    return Value(producer=producer, constant=constant, shape=shape, bytes=size)


def operation(name: str, kind: str, inputs: list[Value], shape: tuple[int, ...], flop: int = 0):
    return Operation(
        name=name, kind=kind, constant=False, flop=flop, inputs=tuple(inputs),
        outputs=(value(name, shape),), kernel=(3, 3) if flop else (),
    )  # fmt: skip


# A convolution with its bias and activation, a second activation, and a sum that feeds nothing.
IMAGE, MAP = (1, 8, 8, 1), (1, 8, 8, 2)
CHAIN = [
    operation("image", "Placeholder", [], IMAGE),
    operation(
        "conv",
        "Conv2D",
        [value("image", IMAGE), value("kernel", (3, 3, 1, 2), constant=True)],
        MAP,
        2304,
    ),
    operation("bias", "BiasAdd", [value("conv", MAP), value("b", (2,), constant=True)], MAP),
    operation("relu", "Relu", [value("bias", MAP)], MAP),
    operation("tanh", "Tanh", [value("relu", MAP)], MAP),
    operation("out", "Identity", [value("tanh", MAP)], MAP),
]


def test_what_was_fused_belongs_to_what_it_feeds() -> None:
    layers = {layer.name: layer for layer in layers_of(CHAIN, {"relu": 3.0, "tanh": 1.0})}
    assert layers["relu"].operations == ("image", "conv", "bias", "relu")
    assert layers["tanh"].operations == ("tanh", "out")
    assert (layers["relu"].kind, layers["relu"].shape) == ("Conv2D", "8x8x1 -> 8x8x2, 3x3")
    assert (layers["relu"].flop, layers["tanh"].flop) == (2304, 0)


def test_a_transposed_convolution_sees_its_image_and_not_the_size_to_make() -> None:
    inputs = [
        value("sizes", (4,)),
        value("kernel", (3, 3, 2, 1), constant=True),
        value("small", (1, 4, 4, 1)),
    ]
    doubled = operation("up", "Conv2DBackpropInput", inputs, MAP, 576)
    assert doubled.shape == "4x4x1 -> 8x8x2, 3x3"


def test_bytes_are_what_enters_and_leaves_a_layer() -> None:
    layers = {layer.name: layer for layer in layers_of(CHAIN, {"relu": 3.0, "tanh": 1.0})}
    # Kernel of 18 numbers, bias of 2, the map of 128 written; then read and written.
    assert layers["relu"].bytes == 4 * (18 + 2 + 128)
    assert layers["tanh"].bytes == 4 * (128 + 128)


def test_a_name_of_the_runtime_s_own_has_no_flop() -> None:
    layers = {layer.name: layer for layer in layers_of(CHAIN, {"relu": 3.0, "reorder": 2.0})}
    assert (layers["reorder"].kind, layers["reorder"].flop) == ("runtime's own", 0)
    assert sum(layer.flop for layer in layers.values()) == 2304


def test_table_puts_the_slowest_first_with_its_share_of_the_peak() -> None:
    layers = [
        Layer(name="a", kind="Conv2D", shape="s", flop=2_000_000, bytes=8, ms=1.0),
        Layer(name="b", kind="Conv2D", shape="s", flop=3_000_000, bytes=8, ms=3.0),
    ]
    rows = table(layers, 4.0)
    # 4 GFLOP/s are 4e6 a millisecond.
    assert [row["name"] for row in rows] == ["b", "a"]
    assert [row["share_of_peak"] for row in rows] == pytest.approx([0.25, 0.5])
    assert [row["lost_ms"] for row in rows] == pytest.approx([2.25, 0.5])
    assert [row["share_of_time"] for row in rows] == pytest.approx([0.75, 0.25])
    (row,) = by_shape(layers, 4.0)
    assert (row["layers"], row["ms"], row["flop"]) == (2, 4.0, 5_000_000)
    assert row["share_of_peak"] == pytest.approx(5 / 16)


def test_table_without_a_peak() -> None:
    rows = table([Layer(name="a", kind="k", shape="s", flop=1, bytes=1, ms=1.0)], None)
    assert (rows[0]["share_of_peak"], rows[0]["lost_ms"]) == (None, None)


def test_peak_is_the_fastest_product_of_a_precision() -> None:
    rows = [
        {"library": "one", "precision": "float32", "size": 512, "gflops": [1.0, 9.0, 2.0]},
        {"library": "two", "precision": "float32", "size": 512, "gflops": [5.0, 6.0, 7.0]},
    ]
    peak = best(rows, 2)
    assert peak["float32"]["library"] == "one"
    assert peak_gflops(peak, "float32") == 9.0
    assert peak["bfloat16"] is None
    assert peak_gflops(peak, "bfloat16") is None


@pytest.mark.tensorflow
def test_operations_sum_up_to_what_the_other_counter_says(tiny_bundle: Path) -> None:
    from vialsight.flops import graph_flop
    from vialsight.line.benchmark.operations import read_operations, total_flop

    model = vialsight.Bundle.load(tiny_bundle).model
    operations = read_operations(model, "patches", 32, BATCH)
    assert total_flop(operations) == BATCH * graph_flop(model, "patches", 32)


@pytest.mark.tensorflow
def test_shipped_network_is_counted_alike() -> None:
    from vialsight.flops import graph_flop
    from vialsight.line.benchmark.operations import read_operations, total_flop

    folder = Path(__file__).parents[2] / "bundles" / "bfs-5.vsb"
    if not folder.is_dir():
        pytest.skip("the shipped bundle is not part of this package")
    model = vialsight.Bundle.load(folder).model
    operations = read_operations(model, "patches", 256, 1)
    assert total_flop(operations) == graph_flop(model, "patches", 256)


@pytest.mark.tensorflow
def test_graph_for_patches_of_another_size_is_refused(tiny_bundle: Path) -> None:
    from vialsight.line.benchmark.operations import read_operations

    with pytest.raises(ValueError, match="32"):
        read_operations(vialsight.Bundle.load(tiny_bundle).model, "patches", 48, 1)


@pytest.mark.tensorflow
def test_profile_of_tensorflow_holds_all_flop(tiny_bundle: Path) -> None:
    from vialsight.flops import graph_flop
    from vialsight.line.benchmark.profiles import profile_tensorflow
    from vialsight.line.benchmark.sweep import real_patches

    bundle = vialsight.Bundle.load(tiny_bundle)
    profile = profile_tensorflow(
        bundle.model,
        "patches",
        list(bundle.outputs),
        real_patches(bundle, BATCH),
        threads=1,
        runs=2,
    )
    expected = BATCH * graph_flop(bundle.model, "patches", 32)
    assert sum(layer.flop for layer in profile.layers) == expected
    timed = sum(layer.flop for layer in profile.layers if layer.ms > 0.0)
    assert timed == expected
    assert profile.whole_ms > 0.0


@pytest.mark.tensorflow
def test_profile_of_openvino_executes_the_same_convolutions(tiny_bundle: Path) -> None:
    pytest.importorskip("openvino")
    from vialsight.line.benchmark.operations import CONVOLUTIONS, read_operations
    from vialsight.line.benchmark.profiles import profile_openvino
    from vialsight.line.benchmark.sweep import real_patches

    bundle = vialsight.Bundle.load(tiny_bundle)
    operations = read_operations(bundle.model, "patches", 32, BATCH)
    profile = profile_openvino(
        tiny_bundle / "model.pb",
        real_patches(bundle, BATCH),
        threads=1,
        runs=2,
        operations=operations,
    )
    graph = [o for o in operations if o.kind in CONVOLUTIONS]
    names = {o.name for o in graph}
    executed = [layer for layer in profile.layers if layer.kind in CONVOLUTIONS]
    # OpenVINO may turn one into another kind; whatever keeps its shape keeps its name.
    named = [layer for layer in executed if layer.name in names]
    assert len(named) >= len(graph) // 2
    by_name = {o.name: o.flop for o in graph}
    assert all(layer.flop == by_name[layer.name] for layer in named)
    assert len({layer.name for layer in named}) == len(named)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_verb(tiny_bundle: Path, tmp_path: Path) -> None:
    options = ("--strips", 2, "--layers", "--turns", 2, "--plots", tmp_path / "plots", "--json")
    result = json.loads(run_process("bench", tiny_bundle, *options).stdout)
    layers = result["layers"]
    assert (layers["runtime"], layers["batch"], layers["runs"]) == ("tensorflow", 4, 2)
    gflop = result["network"]["gflop_per_patch"]
    assert layers["flop"] == pytest.approx(4e9 * gflop)
    assert result["network"]["share_of_peak"] > 0.0
    assert result["peak"]["float32"]["gflops"]["max"] > 0.0
    for name in ("latency", "layers"):
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert read_manifest(vialsight.Bundle.load(tiny_bundle))["runtime"] == result["runtime"]
