"""Other runtimes as a user calls them from Python, on the weights of a bundle."""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Final, Literal

import numpy as np

from vialsight import _core
from vialsight.aliases import Patches
from vialsight.bundle import INT8
from vialsight.errors import BundleError
from vialsight.line.benchmark.openvino_settings import HINTS, has_bfloat16, settings_of

INSTALL: Final = "pip install 'vialsight[peers]'"
_OPSET: Final = 18

Precision = Literal["float32", "bfloat16", "int8"]
# Patches (b,P,P,1) to the network's outputs (b,h,w,1) by name.
Run = Callable[[Patches], Mapping[str, Patches]]


class LeftOutError(Exception):
    """A runtime cannot take part; the message says why, and what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What every runtime is given: a file with the frozen graph, and how it is called."""

    bundle: _core.Bundle
    path: Path
    graph_def: bytes
    input_name: str
    outputs: Sequence[str]
    batch: int
    patch_size: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to run the network: `make` prepares it, and raises LeftOutError where it cannot.

    `runtime` is the inference library's name; `ours`: it is called by our core.
    """

    name: str
    precision: Precision
    make: Callable[[Network], Run]
    runtime: str = ""
    ours: bool = False


def _require(*modules: str) -> None:
    for module in modules:
        if util.find_spec(module) is None:
            raise LeftOutError(f"{module} is not installed; run: {INSTALL}")


def core(runtime: str, precision: Precision) -> Callable[[Network], Run]:
    """Return a maker of the network alone in our core, by a runtime in a precision."""

    def make(network: Network) -> Run:
        try:
            own = _core.Network(
                network.bundle, runtime=runtime, precision=precision, threads=network.threads
            )
        except BundleError as error:
            raise LeftOutError(str(error)) from error
        return lambda patches: own.run(patches[..., 0])

    return make


def tensorflow(network: Network) -> Run:
    """Make a `tf.function` of the graph; its results as NumPy arrays."""
    if util.find_spec("tensorflow") is None:
        raise LeftOutError("tensorflow is not installed; run: pip install 'vialsight[cpu]'")
    from vialsight.frozen_graph import import_graph
    from vialsight.pinned import tf

    _set_tensorflow_threads(network.threads)
    function = import_graph(network.graph_def, network.input_name, network.outputs)
    call = tf.function(function)

    def run(patches: Patches) -> dict[str, Patches]:
        found = call(tf.constant(patches))
        return {n: each.numpy() for n, each in zip(network.outputs, found, strict=True)}

    return run


def _set_tensorflow_threads(threads: int) -> None:
    from vialsight.pinned import tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise LeftOutError(
            f"TensorFlow was in use before its threads could be set to {threads}; measure it in a "
            "process of its own"
        ) from error


def openvino(precision: str, *, static: bool) -> Callable[[Network], Run]:
    """Return a maker: the batch left open as its documentation's first example, or fixed."""

    def make(network: Network) -> Run:
        _require("openvino")
        core = importlib.import_module("openvino").Core()
        if precision == "bf16" and not has_bfloat16(core):
            raise LeftOutError("this CPU does not compute in bfloat16")
        model = core.read_model(network.path)
        if static:
            model.reshape([network.batch, network.patch_size, network.patch_size, 1])
        settings = settings_of(network.threads, precision)
        compiled = core.compile_model(model, "CPU", settings)
        places = {name: compiled.output(f"{name}:0") for name in network.outputs}

        def run(patches: Patches) -> dict[str, Patches]:
            found = compiled([patches])
            return {name: found[place] for name, place in places.items()}

        return run

    return make


def onnxruntime(network: Network) -> Run:
    """Convert the graph with tf2onnx and make a session on the CPU."""
    _require("onnxruntime", "tf2onnx")
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = network.threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(_onnx(network), options, providers=["CPUExecutionProvider"])
    names, fed = [f"{name}:0" for name in network.outputs], f"{network.input_name}:0"

    def run(patches: Patches) -> dict[str, Patches]:
        found = session.run(names, {fed: patches})
        return dict(zip(network.outputs, found, strict=True))

    return run


def _onnx(network: Network) -> bytes:
    """Return the graph as an ONNX model with the inputs and outputs it has."""
    # Imported first: tf2onnx imports TensorFlow itself, which would take others' settings.
    from vialsight.pinned import tf

    convert = importlib.import_module("tf2onnx.convert")
    with _silent("tf2onnx"), _silent("tensorflow"):
        model, _ = convert.from_graph_def(
            tf.compat.v1.GraphDef.FromString(network.graph_def),
            input_names=[f"{network.input_name}:0"],
            output_names=[f"{name}:0" for name in network.outputs],
            opset=_OPSET,
        )
    content: bytes = model.SerializeToString()
    return content


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep back what a library logs below ERROR: notes on what it does, and on deprecations."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _ours(runtime: str, precision: Precision) -> Peer:
    words = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}
    return Peer(
        name=f"VialSight, network, {words[runtime]}",
        precision=precision,
        make=core(runtime, precision),
        runtime=runtime,
        ours=True,
    )


def _openvino(precision: Precision, *, static: bool) -> Peer:
    return Peer(
        name=f"OpenVINO, Python{', fixed batch' if static else ''}",
        precision=precision,
        make=openvino(HINTS[precision], static=static),
        runtime="openvino",
    )


_TENSORFLOW: Final = Peer(
    name="TensorFlow, Python", precision="float32", make=tensorflow, runtime="tensorflow"
)
_PEERS: Final = (
    _ours("tensorflow", "float32"),
    _ours("openvino", "float32"),
    _ours("openvino", "bfloat16"),
    _TENSORFLOW,
    _openvino("float32", static=False),
    _openvino("float32", static=True),
    _openvino("bfloat16", static=False),
    _openvino("bfloat16", static=True),
    Peer(name="ONNX Runtime, Python", precision="float32", make=onnxruntime, runtime="onnxruntime"),
)
# Of a graph that rounds to integers, which TensorFlow computes in float32.
_INTEGER_PEERS: Final = (
    _ours("openvino", "int8"),
    _TENSORFLOW,
    _openvino("int8", static=False),
    _openvino("int8", static=True),
)


def peers_of(bundle: _core.Bundle) -> tuple[Peer, ...]:
    """Return the runtimes that a bundle's graph is compared in."""
    return _INTEGER_PEERS if bundle.precision == INT8 else _PEERS


def largest_difference(
    ours: Mapping[str, Patches], theirs: Mapping[str, Patches]
) -> dict[str, dict[str, float]]:
    """Return by output the largest difference, absolute and in parts of our values' range."""
    found = {}
    for name, values in ours.items():
        other = np.asarray(theirs[name], np.float64).reshape(values.shape)
        apart = float(np.abs(values.astype(np.float64) - other).max())
        # Outputs that hardly vary are compared with their size: a range of 0 says nothing.
        extent = max(float(np.ptp(values)), 1e-3 * float(np.abs(values).max()), 1e-12)
        found[name] = {"absolute": apart, "of_range": apart / extent}
    return found
