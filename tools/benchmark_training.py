#!/usr/bin/env python3
"""Measures training: patches per second of each preset, in turns, and where a step's time goes.

usage: tools/benchmark_training.py [--models NAME …] [--precisions NAME …] [--against REVISION]
                                   [--batch N] [--turns N] [--parts] [--json]

Every model and precision trains in a process of its own, on patches of 256x256 made of smooth noise
that come through the pipeline of a training; the processes take turns, a step each, after two
steps that do not count. With --against they do so a second time with the Python sources of another
revision of this repository (on this installation's compiled core), in the same turns. --parts
tells, from TensorFlow's profiler, how the time of one more step is shared by the networks and by
kinds of operations. The products of two large matrices are timed in the same run: what share of
their rate the step's convolutions reach is told as well.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

SIZE: Final = 256
REGIONS: Final = 4
SOURCE_PATCHES: Final = 64 * REGIONS
WARM_STEPS: Final = 2
PEAK_SIDE: Final = 4096
MODELS: Final = {
    "drae-32": ("drae", "drae-32"),
    "drae-64": ("drae", "drae-64"),
    "drae line-S": ("drae", "line-S"),
    "drae line-M": ("drae", "line-M"),
    "grdnet line-S": ("grdnet", "line-S"),
    "grdnet line-M": ("grdnet", "line-M"),
}
PRECISIONS: Final = ("float32", "mixed_bfloat16")
REPOSITORY: Final = Path(__file__).resolve().parent.parent

# By the names of TensorFlow's operations, the first that matches.
KINDS: Final = (
    ("convolutions", re.compile("Conv2D")),
    ("batch norm", re.compile("BatchNorm")),
    ("activations", re.compile("Relu")),
    ("optimizers", re.compile("Adam")),
)
NETWORK: Final = re.compile(r"(generator|encoder|discriminator|segmentation)(_\d+)?")


class SmoothPatches:
    """A PatchSource of noise averaged over 8x8 pixels, always the same."""

    patch_size, block_patches = SIZE, None

    def __init__(self) -> None:
        coarse = np.random.default_rng(0).random((SOURCE_PATCHES, SIZE // 8, SIZE // 8))
        self._patches = coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)

    def __len__(self) -> int:
        return SOURCE_PATCHES

    def read(self, indices: Any) -> Any:
        """Return patches float32 (n,P,P)."""
        return self._patches[indices]


class Training:
    """One model's step, compiled and fed as a training does it."""

    def __init__(self, model: str, precision: str, batch: int) -> None:
        from vialsight.models.configuration import load_config
        from vialsight.models.method import method_of
        from vialsight.pinned import keras, tf

        method, preset = MODELS[model]
        settings = {"model.method": method, "model.preset": preset, "training.batch_size": batch}
        settings["training.precision"] = precision
        config = load_config(None, [f"{key}={value}" for key, value in settings.items()])
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(0)
        source, chosen = SmoothPatches(), method_of(config)
        fitted: Any = {}
        if chosen.fit is not None:
            fitted = chosen.fit(config, source, REGIONS, lambda *_: None).arrays
        examples = None
        if chosen.examples is not None:
            examples = chosen.examples(config, source, REGIONS, fitted)
        assert chosen.steps is not None
        self.step = chosen.steps(config, SIZE, 1, fitted)
        self.batches = self._batches(source, batch, examples)
        self.compiled = tf.function(self.step, autograph=False)
        self.batch, self.number = batch, 0

    @staticmethod
    def _batches(source: Any, batch: int, examples: Any) -> Iterator[Any]:
        from vialsight.pinned import tf
        from vialsight.training.batches import Batches, Order

        order = Order(patches=SOURCE_PATCHES, batch_size=batch, seed=0)
        pipeline = Batches(source, order, examples).dataset_function(0, 10**6, 1)
        return iter(pipeline(tf.distribute.InputContext()))

    def seconds(self) -> float:
        """Train a step; return what it took, with waiting for its batch."""
        begin = time.perf_counter()
        self.compiled(next(self.batches), self._pace()).numpy()
        self.number += 1
        return time.perf_counter() - begin

    def _pace(self) -> Any:
        return self.step.pace(self.number, SOURCE_PATCHES // self.batch)

    def gigaflop(self) -> float:
        """Return what a patch's convolutions cost in a step, all passes: two a multiply-add."""
        graph = self.compiled.get_concrete_function(next(self.batches), self._pace()).graph
        return sum(map(convolution_flop, needed(graph))) / self.batch / 1e9

    def parts(self) -> dict[str, float]:
        """Profile a step; return the share of operations' time by "network: kind"."""
        from tensorflow.tsl.profiler.protobuf import xplane_pb2

        from vialsight.pinned import tf

        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            self.seconds()
            tf.profiler.experimental.stop()
            (trace,) = Path(folder).rglob("*.xplane.pb")
            space = xplane_pb2.XSpace.FromString(trace.read_bytes())
        spent: Counter[str] = Counter()
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    if re.fullmatch(r"[^: ]*:_?\w+", name):
                        spent[part_of(*name.split(":"))] += event.duration_ps
        total = sum(spent.values())
        return {part: value / total for part, value in spent.most_common()}


def part_of(path: str, operation: str) -> str:
    """Return network, direction and kind of an operation, as the table names them."""
    kind = next((kind for kind, pattern in KINDS if pattern.search(operation)), "others")
    found = next(filter(None, map(NETWORK.fullmatch, path.split("/"))), None)
    if found is None:
        return f"outside: {kind}"
    direction = "backward" if path.startswith("gradient_tape") else "forward"
    return f"{found[1]} {direction}: {kind}"


def needed(graph: Any) -> list[Any]:
    """Return the operations of a function's graph that results or variables depend on."""
    waiting = [tensor.op for tensor in graph.outputs]
    waiting += [op for op in graph.get_operations() if op.op_def.is_stateful]
    found: dict[str, Any] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs]
    return list(found.values())


def convolution_flop(operation: Any) -> float:
    """Return what a convolution or one of its gradients computes; 0 for anything else."""
    if operation.type == "Conv2D":
        places, kernel = operation.outputs[0], operation.inputs[1]
    elif operation.type == "Conv2DBackpropInput":
        places, kernel = operation.inputs[2], operation.inputs[1]
    elif operation.type == "Conv2DBackpropFilter":
        places, kernel = operation.inputs[2], operation.outputs[0]
        if not kernel.shape.is_fully_defined():
            from vialsight.pinned import tf

            sizes = tf.get_static_value(operation.inputs[1])
            return 2.0 * float(np.prod(places.shape[:3])) * float(np.prod(sizes))
    else:
        return 0.0
    return 2.0 * float(np.prod(places.shape[:3])) * float(np.prod(kernel.shape))


def matrix_gigaflops(precision: str) -> float:
    """Return the rate of a product of large matrices, GFLOP/s, median of nine."""
    from vialsight.pinned import tf

    kind = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    matrix = tf.cast(tf.random.normal((PEAK_SIDE, PEAK_SIDE)), kind)
    product = tf.function(lambda: tf.reduce_max(tf.matmul(matrix, matrix)))
    seconds = []
    for _ in range(10):
        begin = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - begin)
    return float(2 * PEAK_SIDE**3 / np.median(seconds[1:]) / 1e9)


def serve(options: argparse.Namespace) -> None:
    """In a process of its own: answer each line of stdin with a line of JSON."""
    training = Training(options.models[0], options.precisions[0], options.batch)
    for _ in range(WARM_STEPS):
        training.seconds()
    answers = {
        "step": training.seconds,
        "gigaflop": training.gigaflop,
        "parts": training.parts,
        "peak": lambda: matrix_gigaflops(options.precisions[0]),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


class Server:
    """A process that trains one model, with the sources of one revision."""

    def __init__(self, model: str, precision: str, batch: int, sources: Path | None) -> None:
        self.model, self.precision, self.batch = model, precision, batch
        self.sources = "before" if sources else "now"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if sources:
            environment["PYTHONPATH"] = str(sources)
        command = [sys.executable, __file__, "--serve", "--models", model]
        command += ["--precisions", precision, "--batch", str(batch)]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def ask(self, what: str) -> Any:
        """Return its answer to "step", "gigaflop", "parts" or "peak"."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return json.loads(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.model} in {self.precision}, {self.sources}: it ended early")
        return line

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def sources_of(revision: str, folder: Path) -> Path:
    """Unpack a revision's Python sources beside the compiled parts of this installation."""
    import vialsight

    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", revision, "python/vialsight"],
        check=True,
        stdout=subprocess.PIPE,
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    for library in Path(vialsight.__file__).parent.glob("*.so"):
        (folder / "python" / "vialsight" / library.name).symlink_to(library)
    return folder / "python"


def measured(servers: Sequence[Server], turns: int, *, parts: bool) -> list[dict[str, Any]]:
    """Let the processes take turns; return one row each."""
    seconds: list[list[float]] = [[] for _ in servers]
    for _ in range(turns):
        for server, taken in zip(servers, seconds, strict=True):
            taken.append(server.ask("step"))
    return [row(server, taken, parts) for server, taken in zip(servers, seconds, strict=True)]


def row(server: Server, seconds: Sequence[float], parts: bool) -> dict[str, Any]:
    """Return what a process reached, as JSON."""
    rates = np.sort(server.batch / np.asarray(seconds))
    gigaflop, peak = server.ask("gigaflop"), server.ask("peak")
    return {
        "model": server.model,
        "precision": server.precision,
        "sources": server.sources,
        "batch": server.batch,
        "patches_per_second": float(np.median(rates)),
        "slowest": float(rates[0]),
        "fastest": float(rates[-1]),
        "gigaflop_per_patch": gigaflop,
        "matrix_gigaflops": peak,
        "share_of_peak": float(np.median(rates)) * gigaflop / peak,
        "parts": server.ask("parts") if parts else {},
    }


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """For people."""
    for found in rows:
        print(
            f"{found['model']:<14} {found['precision']:<15} {found['sources']:<7}"
            f"{found['patches_per_second']:8.2f} patches/s"
            f" ({found['slowest']:.2f} to {found['fastest']:.2f})"
            f"  {found['gigaflop_per_patch']:.1f} GFLOP a patch,"
            f" {100 * found['share_of_peak']:.0f} % of {found['matrix_gigaflops']:.0f} GFLOP/s",
            flush=True,
        )
        for part, share in found["parts"].items():
            print(f"    {100 * share:5.1f} %  {part}")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure each model in turn: all its precisions and revisions at once."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        revisions: list[Path | None] = [None]
        if options.against:
            revisions.insert(0, sources_of(options.against, Path(folder)))
        for model in options.models:
            servers = [
                Server(model, precision, options.batch, sources)
                for precision in options.precisions
                for sources in revisions
            ]
            found = measured(servers, options.turns, parts=options.parts)
            for server in servers:
                server.close()
            rows += found
            if not options.json:
                print_rows(found)
    return rows


def main() -> int:
    """Run as the module's text says; exit 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--against", metavar="REVISION", help="measured as well, in turns")
    parser.add_argument("--batch", type=int, default=32, help="patches of a step")
    parser.add_argument("--turns", type=int, default=9, help="steps that count, of each")
    parser.add_argument("--parts", action="store_true", help="profile one more step of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return 0
    rows = measure(options)
    if options.json:
        from vialsight.line.machine import machine

        print(json.dumps({"machine": machine(0), "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
