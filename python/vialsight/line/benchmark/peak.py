"""What a machine's matrix products reach: the rate a network is measured by."""

from typing import Any, Final

from vialsight.line.bench import spread
from vialsight.line.benchmark.probe import run_probe

_PROBE: Final = "vialsight.line.benchmark.peak_probe"
# Set before NumPy's BLAS counts its threads; the last two are of other builds.
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def measure_peak(threads: int) -> dict[str, Any]:
    """Multiply large matrices with every installed library, in a process of its own.

    Returns, for float32 and bfloat16, the row (library, size, GFLOP/s) with the fastest product,
    and all rows; a precision that no library computes is None. Raises BundleError when it fails.
    """
    rows = run_probe(
        _PROBE,
        [str(threads)],
        failure="the peak could not be measured",
        environment=dict.fromkeys(_THREADS, str(threads)),
    )
    return best(rows, threads)


def best(rows: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Return the best of rows (library, precision, size, gflops of every run) per precision."""
    named = [{**row, "gflops": spread(row["gflops"])} for row in rows]
    result: dict[str, Any] = {"threads": threads, "rows": named}
    for precision in ("float32", "bfloat16"):
        found = [row for row in named if row["precision"] == precision]
        result[precision] = max(found, key=lambda row: row["gflops"]["max"]) if found else None
    return result


def peak_gflops(peak: dict[str, Any], precision: str) -> float | None:
    """Return the rate of the fastest product in a precision, None where there is none."""
    found = peak.get(precision)
    return None if found is None else float(found["gflops"]["max"])
