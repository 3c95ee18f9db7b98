"""Matrix products of all installed libraries, in a process of their own: `python -m … THREADS`.

Prints a JSON list of rows: library, precision, size, gflops of every run.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib import util
from typing import Any, Final

import numpy as np

from vialsight import quiet
from vialsight.line.benchmark.openvino_settings import has_bfloat16, settings_of
from vialsight.line.benchmark.turns import milliseconds

_SIZES: Final = (512, 1024, 2048)
# Many: the fastest counts, and it comes by chance where a machine is shared.
_RUNS: Final = 25

# Library, precision, and a function that multiplies two matrices of the edge it is made for.
_Maker = Callable[[int, int], Callable[[], object]]


def main() -> None:
    """Measure, one library after the other."""
    threads = int(sys.argv[1])
    quiet.install()
    rows = []
    for library, precision, make in _makers():
        for size in _SIZES:
            product = make(size, threads)
            product()
            runs = [milliseconds(product) for _ in range(_RUNS)]
            gflops = [2 * size**3 / ms / 1e6 for ms in runs]
            rows.append(
                {"library": library, "precision": precision, "size": size, "gflops": gflops}
            )
    json.dump(rows, sys.stdout)


def _makers() -> Iterator[tuple[str, str, _Maker]]:
    yield "numpy", "float32", _numpy
    if util.find_spec("tensorflow"):
        yield "tensorflow", "float32", _tensorflow("float32")
        yield "tensorflow", "bfloat16", _tensorflow("bfloat16")
    if util.find_spec("openvino"):
        yield "openvino", "float32", _openvino("f32")
        if has_bfloat16(importlib.import_module("openvino").Core()):
            yield "openvino", "bfloat16", _openvino("bf16")


def _matrix(size: int, seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal((size, size), np.float32)


def _numpy(size: int, threads: int) -> Callable[[], object]:
    del threads  # by environment variables, see `measure_peak`
    left, right, out = _matrix(size, 0), _matrix(size, 1), np.empty((size, size), np.float32)
    return lambda: np.matmul(left, right, out=out)


def _tensorflow(precision: str) -> _Maker:
    def make(size: int, threads: int) -> Callable[[], object]:
        from vialsight.pinned import tf

        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        left, right = (tf.cast(tf.constant(_matrix(size, seed)), precision) for seed in (0, 1))
        multiply = tf.function(tf.linalg.matmul)

        def product() -> Any:
            # One number back, so that the product is there when the call returns.
            return multiply(left, right)[0, 0].numpy()

        return product

    return make


def _openvino(precision: str) -> _Maker:
    def make(size: int, threads: int) -> Callable[[], object]:
        openvino = importlib.import_module("openvino")
        operations = importlib.import_module("openvino.opset13")
        left = operations.parameter([size, size], np.float32)
        product = operations.matmul(left, operations.constant(_matrix(size, 1)), False, False)
        compiled = openvino.Core().compile_model(
            openvino.Model([product], [left], "product"), "CPU", settings_of(threads, precision)
        )
        request, fed = compiled.create_infer_request(), _matrix(size, 0)
        return lambda: request.infer({0: fed}, share_inputs=True, share_outputs=True)

    return make


if __name__ == "__main__":
    main()
