"""Times of a network's layers, from the profilers of the runtimes themselves."""

import importlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight.aliases import Patches
from vialsight.flops import CONVOLUTIONS
from vialsight.line.benchmark.layers import Layer, layers_of
from vialsight.line.benchmark.openvino_settings import settings_of
from vialsight.line.benchmark.operations import Operation, Shape, read_operations, shape_words
from vialsight.line.benchmark.turns import milliseconds

RUNS: Final = 9
# What TensorFlow and OpenVINO call the same.
_SAME_KIND: Final = {"Convolution": "Conv2D", "Deconvolution": "Conv2DBackpropInput"}
_FLOAT_BYTES: Final = {"f32": 4, "bf16": 2, "f16": 2, "i8": 1, "u8": 1}


class Profile:
    """Layers of a network for a batch, and what the batch takes without a profiler, in ms."""

    def __init__(self, layers: list[Layer], whole_ms: float) -> None:
        self.layers = layers
        self.whole_ms = whole_ms


def profile_tensorflow(
    graph_def: bytes,
    input_name: str,
    outputs: Sequence[str],
    patches: Patches,
    *,
    threads: int,
    runs: int = RUNS,
) -> Profile:
    """Run patches (n,P,P) through a session with TensorFlow's tracer; times are medians.

    The session is set up as the C++ backend sets up its own. The tracer names every operation
    that was executed after TensorFlow's own fusing (RunMetadata's step statistics).
    """
    from vialsight.pinned import tf

    operations = read_operations(graph_def, input_name, patches.shape[1], len(patches))
    definition = tf.compat.v1.GraphDef.FromString(graph_def)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1
    )
    names = [f"{name}:0" for name in outputs]
    feed = {f"{input_name}:0": patches[..., np.newaxis]}
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        whole = _median_ms(lambda: session.run(names, feed), runs)
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(runs):
            metadata = tf.compat.v1.RunMetadata()
            session.run(names, feed, options=options, run_metadata=metadata)
            for name, ms in _executed(metadata).items():
                times[name].append(ms)
    executed = {name: statistics.median(found) for name, found in times.items()}
    return Profile(layers_of(operations, executed), whole)


def _executed(metadata: Any) -> Counter[str]:
    """Return milliseconds by the name of what was executed; one may appear several times."""
    times: Counter[str] = Counter()
    for device in metadata.step_stats.dev_stats:
        for node in device.node_stats:
            # The graph's ends: arguments, results, and the node before all others.
            if not node.node_name.startswith(("_arg_", "_retval_", "_SOURCE", "_SINK")):
                times[node.node_name] += (node.op_end_rel_micros - node.op_start_rel_micros) / 1e3
    return times


def profile_openvino(
    model: Path,
    patches: Patches,
    *,
    threads: int,
    precision: str = "f32",
    runs: int = RUNS,
    operations: Sequence[Operation] = (),
) -> Profile:
    """Run patches (n,P,P) through OpenVINO with PERF_COUNT; times are medians.

    `model` is a file that OpenVINO reads; its shape is fixed to the batch. OpenVINO rewrites a
    graph more than TensorFlow does: FLOP and bytes are of the shapes it executed, and a layer's
    name is that of the graph's operation of the same shape, in the same order, where `operations`
    (of TensorFlow's graph) has as many of that shape.
    """
    openvino = importlib.import_module("openvino")
    core = openvino.Core()
    read = core.read_model(model)
    read.reshape([*patches.shape, 1])
    settings = settings_of(threads, precision)
    fed = patches[..., np.newaxis]
    plain = core.compile_model(read, "CPU", settings).create_infer_request()
    whole = _median_ms(lambda: plain.infer({0: fed}), runs)
    compiled = core.compile_model(read, "CPU", {**settings, "PERF_COUNT": True})
    times = _openvino_times(compiled.create_infer_request(), fed, runs)
    found = [
        _openvino_layer(node, times) for node in compiled.get_runtime_model().get_ordered_ops()
    ]
    return Profile(_renamed([layer for layer in found if layer is not None], operations), whole)


def _openvino_times(request: Any, fed: Any, runs: int) -> dict[str, float]:
    """Return median milliseconds by node. OpenVINO tells the mean since the model was compiled."""
    sums: dict[str, float] = defaultdict(float)
    times: dict[str, list[float]] = defaultdict(list)
    # The first run is slower and not counted.
    for number in range(1, runs + 2):
        request.infer({0: fed})
        for info in request.profiling_info:
            total = number * 1e3 * float(info.real_time.total_seconds())
            if number > 1:
                times[info.node_name].append(max(0.0, total - sums[info.node_name]))
            sums[info.node_name] = total
    return {name: statistics.median(found) for name, found in times.items()}


def _openvino_layer(node: Any, times: Mapping[str, float]) -> Layer | None:
    ms = times.get(node.get_friendly_name(), 0.0)
    if ms <= 0.0:
        return None
    kind = _said(node, "layerType")
    seen = [tuple(port.get_shape()) for port in node.inputs()]
    made = [tuple(port.get_shape()) for port in node.outputs()]
    size = _FLOAT_BYTES.get(_said(node, "runtimePrecision"), 4)
    return Layer(
        name=node.get_friendly_name(),
        kind=_SAME_KIND.get(kind, kind),
        shape=_openvino_shape(kind, seen, made),
        flop=_openvino_flop(kind, seen, made),
        bytes=size * sum(int(np.prod(shape)) for shape in (*seen, *made)),
        ms=ms,
    )


def _said(node: Any, name: str) -> str:
    information = node.get_rt_info()
    if name not in information:
        return ""
    value = information[name]
    return str(getattr(value, "value", value))


def _openvino_flop(kind: str, seen: Sequence[Shape], made: Sequence[Shape]) -> int:
    """Return two for each multiply-add, from shapes in OpenVINO's order (channels first)."""
    if kind == "Convolution":
        return 2 * _size(made[0]) * _size(seen[1][-3:])
    if kind == "Deconvolution":
        return 2 * _size(seen[0]) * _size(seen[1][-3:])
    if kind in ("FullyConnected", "MatMul"):
        return 2 * _size(made[0]) * seen[0][-1]
    return 0


def _openvino_shape(kind: str, seen: Sequence[Shape], made: Sequence[Shape]) -> str:
    first, last = (shapes[0][1:] if shapes else () for shapes in (seen, made))
    if kind in _SAME_KIND:
        return shape_words(_channels_last(first), _channels_last(last), seen[1][-2:])
    return shape_words(first, last, ())


def _channels_last(shape: Shape) -> Shape:
    return (*shape[1:], *shape[:1])


def _renamed(layers: Sequence[Layer], operations: Sequence[Operation]) -> list[Layer]:
    """Name convolutions as the graph does, by shape and order, where both have as many."""
    waiting: dict[tuple[str, str], list[str]] = defaultdict(list)
    for operation in operations:
        if operation.kind in CONVOLUTIONS:
            waiting[operation.kind, operation.shape].append(operation.name)
    numbers = Counter((layer.kind, layer.shape) for layer in layers)
    named = []
    for layer in layers:
        key = layer.kind, layer.shape
        names = waiting.get(key, [])
        if names and numbers[key] <= len(names):
            name, numbers[key] = names.pop(0), numbers[key] - 1
            named.append(_with_name(layer, name))
        else:
            named.append(layer)
    return named


def _with_name(layer: Layer, name: str) -> Layer:
    return Layer(**{**vars(layer), "name": name, "operations": (name,)})


def _median_ms(call: Any, runs: int) -> float:
    call()
    return statistics.median(milliseconds(call) for _ in range(runs))


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))
