"""What a benchmark reports, apart from how fast this machine is."""

from pathlib import Path

import numpy as np
import pytest
from score_bundles import calibrated

import vialsight
from vialsight.data import Dataset
from vialsight.line.bench import compare_with_python, measure_latency, summary
from vialsight.line.machine import machine
from vialsight.line.strips import random_strip


def test_summary_of_one_to_a_hundred() -> None:
    # Linear interpolation over 100 ordered values: p50 is between the 50th and 51st.
    values = summary([float(i) for i in range(1, 101)])
    assert values == pytest.approx({"min": 1, "p50": 50.5, "p90": 90.1, "p99": 99.01, "max": 100})


def test_summary_of_the_tail_of_a_thousand() -> None:
    # p99.9 lies 0.001 above the 999th.
    values = summary([float(i) for i in range(1, 1001)], (50, 99, 99.9))
    expected = {"min": 1, "p50": 500.5, "p99": 990.01, "p99.9": 999.001, "max": 1000}
    assert values == pytest.approx(expected)


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (12, np.uint16)])
def test_random_strip_fills_the_bit_depth(depth: int, dtype: type) -> None:
    from conftest import make_tiny_layout

    frames = random_strip(make_tiny_layout(bit_depth=depth), 0)
    assert (frames.dtype, frames.shape) == (dtype, (3, 80, 96))
    assert 2**depth * 0.9 < frames.max() < 2**depth


def test_machine_names_what_a_reader_needs() -> None:
    described = machine(threads=3)
    assert described["threads"] == 3
    assert described["cpu"]
    assert described["tensorflow"].startswith("2.21")


@pytest.mark.tensorflow
def test_latency_per_stage(tiny_calibrated_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
    result = measure_latency(bundle, None, count=4, budget_ms=1e6)
    assert result["misses"] == 0
    assert result["patches_per_strip"] == 12
    assert {"extract", "infer", "score", "total"} <= set(result["latency_ms"])
    for stage in result["latency_ms"].values():
        assert 0.0 <= stage["min"] <= stage["p50"] <= stage["p99"] <= stage["max"]


@pytest.mark.tensorflow
def test_every_strip_misses_an_impossible_budget(tiny_calibrated_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
    assert measure_latency(bundle, None, count=4, budget_ms=1e-6)["misses"] == 4


@pytest.mark.tensorflow
def test_both_languages_compute_the_same_scores(tiny_bundle: Path) -> None:
    result = compare_with_python(vialsight.Bundle.load(tiny_bundle), batch=7, repeats=2)
    assert result["largest_score_difference"] <= 1e-5
    assert result["cpp_ms_per_patch"]["min"] > 0.0


@pytest.mark.tensorflow
@pytest.mark.parametrize("names", [("residual",), ("ssim", "residual")])
def test_score_that_python_does_not_compute_is_not_compared(
    tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path, names: tuple[str, ...]
) -> None:
    path = calibrated(tiny_bundle, tiny_dataset, tmp_path / "other.vsb", *names)
    said = f"Python computes 1 - SSIM alone; this bundle's score is of {', '.join(names)}"
    assert compare_with_python(vialsight.Bundle.load(path)) == {"left_out": said}
