"""What a benchmark reports, apart from how fast this machine is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_support import run, run_process

import vialsight
from vialsight.errors import BundleError
from vialsight.line.bench import measure_latency, summary
from vialsight.line.benchmark.startup import measure_startup
from vialsight.line.benchmark.sweep import measure_throughput, real_patches, thread_counts
from vialsight.line.benchmark.turns import alternate, ratios
from vialsight.line.machine import described, installed, instruction_sets, machine
from vialsight.line.standin import inspectable
from vialsight.line.strips import made_strip, random_strip

STAGES = {"locate", "extract", "infer", "score", "total", "after_last_frame"}


def test_summary_of_one_to_a_thousand() -> None:
    # Linear interpolation over 1000 ordered values: p50 is between the 500th and 501st.
    values = summary([float(i) for i in range(1, 1001)])
    expected = {"min": 1, "p50": 500.5, "p90": 900.1, "p99": 990.01, "p99.9": 999.001, "max": 1000}
    assert values == pytest.approx(expected)


def test_summary_of_chosen_percentiles() -> None:
    values = summary([float(i) for i in range(1, 101)], (50, 99))
    assert values == pytest.approx({"min": 1, "p50": 50.5, "p99": 99.01, "max": 100})


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (12, np.uint16)])
def test_random_strip_fills_the_bit_depth(depth: int, dtype: type) -> None:
    from conftest import make_tiny_layout

    frames = random_strip(make_tiny_layout(bit_depth=depth), 0)
    assert (frames.dtype, frames.shape) == (dtype, (3, 80, 96))
    assert 2**depth * 0.9 < frames.max() < 2**depth


def test_machine_names_what_a_reader_needs() -> None:
    told = machine(threads=3)
    assert told["threads"] == 3
    assert told["cpu"]
    assert told["tensorflow"].startswith("2.21")
    assert told["libraries"]["numpy"] == np.__version__
    assert told["governor"]
    json.dumps(told)


def test_instruction_sets_of_a_line_of_flags() -> None:
    flags = "fpu sse2 avx2 avx512f avx512_bf16 amx_bf16 avx512vl"
    assert instruction_sets(flags) == ["amx_bf16", "avx2", "avx512_bf16", "avx512f"]


def test_what_is_not_installed_is_left_out() -> None:
    assert set(installed(("numpy", "no-such-distribution"))) == {"numpy"}


def test_machine_in_words() -> None:
    assert described({"a": "1", "b": "2"}) == "a 1, b 2"
    assert described(["avx2", "fma"]) == "avx2, fma"
    assert described([]) == described({}) == "none"
    assert described(2) == "2"


def test_turns_begin_with_another_contender_each_and_the_first_is_not_counted() -> None:
    calls: list[str] = []

    def contender(name: str):
        def call() -> dict[str, float]:
            calls.append(name)
            return {"strip": float(len(calls))}

        return call

    times = alternate({name: contender(name) for name in "abc"}, 2, pause_s=0.0)
    assert calls == list("abcbcacab")
    assert times == {"a": {"strip": [6, 8]}, "b": {"strip": [4, 9]}, "c": {"strip": [5, 7]}}


def test_ratios_are_within_turns() -> None:
    # Of medians it would be 10 / 10.
    assert ratios([1, 10, 40], [10, 20, 10]) == {"min": 0.1, "p50": 0.5, "max": 4.0}


@pytest.mark.parametrize(
    ("most", "counts"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))]
)
def test_numbers_of_threads(most: int, counts: tuple[int, ...]) -> None:
    assert thread_counts(most) == counts


def test_real_patches_are_golden_ones_of_all_regions_in_turn(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    golden = bundle.golden_inputs
    patches = real_patches(bundle, 17)
    assert patches.shape == (17, 32, 32)
    np.testing.assert_array_equal(patches[0], golden[0, 0])
    np.testing.assert_array_equal(patches[1], golden[1, 0])
    np.testing.assert_array_equal(patches[2], golden[0, 1])
    np.testing.assert_array_equal(patches[16], golden[0, 0])


def test_calibrated_bundle_stands_for_itself(tiny_calibrated_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
    with inspectable(bundle) as usable:
        assert usable is bundle


@pytest.mark.tensorflow
def test_stand_in_scores_as_the_bundle_and_rejects(
    tiny_bundle: Path, tiny_calibrated_bundle: Path
) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    frames = made_strip(bundle, 1)
    with inspectable(bundle) as usable:
        place = Path(usable.path)
        verdict = vialsight.Inspector(usable).inspect(frames)
    assert not place.exists()
    assert not verdict.accepted
    assert not any(verdict.vials)
    expected = vialsight.Inspector(tiny_calibrated_bundle).inspect(frames)
    assert expected.reason in ("none", "defect")
    np.testing.assert_array_equal(verdict.scores, expected.scores)
    assert vialsight.Bundle.load(tiny_bundle).thresholds["strip"] is None


@pytest.mark.tensorflow
@pytest.mark.parametrize("isolation", ["in_process", "worker"])
def test_latency_per_stage(tiny_calibrated_bundle: Path, isolation: str) -> None:
    bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
    result = measure_latency(
        bundle,
        None,
        count=4,
        budget_ms=1e6,
        isolation=isolation,  # type: ignore[arg-type]
    )
    assert (result["misses"], result["verdicts"], result["isolation"]) == (0, True, isolation)
    assert result["patches_per_strip"] == 12
    assert set(result["latency_ms"]) == STAGES
    for name, stage in result["latency_ms"].items():
        assert 0.0 <= stage["min"] <= stage["p50"] <= stage["p99.9"] <= stage["max"]
        assert stage["p50"] == pytest.approx(np.percentile(result["times_ms"][name], 50))
        assert len(result["times_ms"][name]) == 4


@pytest.mark.tensorflow
def test_latency_of_a_bundle_that_is_not_calibrated(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    result = measure_latency(bundle, None, count=2, budget_ms=1e6)
    assert not result["verdicts"]
    assert set(result["latency_ms"]) == STAGES


@pytest.mark.tensorflow
def test_every_strip_misses_an_impossible_budget(tiny_calibrated_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
    assert measure_latency(bundle, None, count=4, budget_ms=1e-6)["misses"] == 4


@pytest.mark.tensorflow
@pytest.mark.slow
def test_fresh_processes(tiny_bundle: Path) -> None:
    result = measure_startup(vialsight.Bundle.load(tiny_bundle), threads=1, starts=1)
    assert (result["starts"], result["verdicts"]) == (1, False)
    for isolation in ("in_process", "worker"):
        found = {name: values["p50"] for name, values in result[isolation].items()}
        moments = [found[n] for n in ("imported_ms", "loaded_ms", "ready_ms", "first_verdict_ms")]
        assert moments == sorted(moments)
        assert found["process_mib"] > 10
    # TensorFlow is where it runs.
    assert result["worker"]["worker_mib"]["p50"] > 100
    assert "worker_mib" not in result["in_process"]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_throughput_over_batches_and_threads(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    result = measure_throughput(bundle, batches=(1, 4), threads=(1, 2), turns=2)
    cells = [(row["threads"], row["batch"]) for row in result["rows"]]
    assert cells == [(1, 1), (1, 4), (2, 1), (2, 4)]
    for row in result["rows"]:
        assert row["patches_per_s"] == pytest.approx(1e3 / row["ms_per_patch"]["p50"])


@pytest.mark.tensorflow
def test_throughput_of_what_cannot_run_says_why(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    with pytest.raises(BundleError, match=r"process with 5000 threads ended: .*threads: expected"):
        measure_throughput(bundle, batches=(1,), threads=(5000,), turns=1)


@pytest.mark.tensorflow
def test_verb_on_a_bundle_that_is_not_calibrated(tiny_bundle: Path) -> None:
    text = run("bench", tiny_bundle, "--strips", 2).stdout
    assert "not calibrated: located, cut, inferred and scored, without verdicts" in text
    assert "p99.9" in text


@pytest.mark.tensorflow
def test_plain_verb_does_without_python_s_tensorflow(tiny_bundle: Path) -> None:
    script = (
        "import sys; from vialsight.cli.bench import bench; from pathlib import Path\n"
        "bench(Path(sys.argv[1]), strips=1)\n"
        "assert not {'tensorflow', 'keras', 'openvino', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_verb_refuses_another_isolation(tiny_bundle: Path) -> None:
    done = run("bench", tiny_bundle, "--isolation", "container", code=2)
    assert "expected in_process or worker, got 'container'" in done.stderr


@pytest.mark.tensorflow
def test_verb_refuses_plots_where_a_file_lies(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_process("bench", tiny_bundle, "--plots", tmp_path / "file", code=2)
    assert "--plots" in done.stderr
