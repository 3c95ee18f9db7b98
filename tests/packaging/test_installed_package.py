"""The installed package as the linker, an importer and a stranger's CMake project see it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vialsight

PACKAGE = vialsight.cmake_dir()
REPOSITORY = Path(__file__).resolve().parents[2]
FOREIGN_SYMBOL = re.compile(r"tensorflow|\babsl::|google::protobuf|\btsl::|\bxla::|Eigen::")


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True, **options
    )


def needed_libraries(library: Path) -> set[str]:
    dynamic_section = run("readelf", "--dynamic", "--wide", library).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+?)\]", dynamic_section))


def defined_symbols(library: Path) -> list[str]:
    return run("nm", "--dynamic", "--defined-only", "--demangle", library).stdout.splitlines()


def test_library_needs_no_inference_library() -> None:
    needed = needed_libraries(PACKAGE / "libvialsight.so")
    assert not [name for name in needed if re.search("tensorflow|absl|protobuf|crypto", name)]
    assert any(name.startswith("libstdc++") for name in needed), "the check itself must see names"


def test_library_exports_only_our_names() -> None:
    symbols = defined_symbols(PACKAGE / "libvialsight.so")
    assert any("vialsight::Inspector::create" in line for line in symbols)
    foreign = [line for line in symbols if FOREIGN_SYMBOL.search(line) or "nlohmann" in line]
    assert foreign == []


def test_c_library_exports_its_calls_and_nothing_else() -> None:
    header = (PACKAGE / "include" / "vialsight" / "c_api.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^VIALSIGHT_C_API .*?(vialsight_\w+)\(", header, re.MULTILINE))
    assert len(declared) > 30, "the check itself must see names"
    symbols = defined_symbols(PACKAGE / "libvialsight_c.so")
    assert {line.split(maxsplit=2)[2] for line in symbols} == declared


def test_c_library_needs_no_inference_library() -> None:
    needed = needed_libraries(PACKAGE / "libvialsight_c.so")
    assert "libvialsight.so" in needed
    assert not [name for name in needed if re.search("tensorflow|absl|protobuf|crypto", name)]


def test_backend_module_needs_both_tensorflow_libraries() -> None:
    # Without --no-as-needed the linker drops libtensorflow_cc and no session can be created.
    needed = needed_libraries(PACKAGE / "vialsight_tensorflow.so")
    assert {"libtensorflow_cc.so.2", "libtensorflow_framework.so.2"} <= needed


def test_backend_module_exports_its_entry_only() -> None:
    symbols = [
        line.split(maxsplit=2)[2]
        for line in defined_symbols(PACKAGE / "vialsight_tensorflow.so")
        if line.split(maxsplit=2)[1] in {"T", "D", "B", "R"}
    ]
    assert symbols == ["vialsight_backend_entry"]


def test_backend_finds_tensorflow_beside_the_package() -> None:
    dynamic_section = run(
        "readelf", "--dynamic", "--wide", PACKAGE / "vialsight_tensorflow.so"
    ).stdout
    assert "$ORIGIN/../tensorflow" in dynamic_section
    assert str(Path.home()) not in dynamic_section


@pytest.mark.parametrize("statement", ["import vialsight", "import vialsight.cli"])
def test_import_loads_no_tensorflow(statement: str) -> None:
    code = (
        f"{statement}; import sys;"
        "heavy = sorted({m.split('.')[0] for m in sys.modules} & {'tensorflow', 'keras', 'jax'});"
        "maps = open('/proc/self/maps').read();"
        "print(heavy, 'libtensorflow' in maps)"
    )
    assert run(sys.executable, "-c", code).stdout.strip() == "[] False"


def test_help_loads_no_tensorflow() -> None:
    code = (
        "import sys, runpy; sys.argv = ['vialsight', '--help']\n"
        "try:\n    runpy.run_module('vialsight', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert 'libtensorflow' not in open('/proc/self/maps').read()\n"
    )
    assert "calibrate" in run(sys.executable, "-c", code).stdout


def cmake_prefix() -> Path:
    return Path(run(sys.executable, "-m", "vialsight", "--cmake-dir").stdout.strip())


def readme_snippet() -> str:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```cpp\n(.*?)```", text, flags=re.DOTALL)
    return snippet


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a CMake project that knows only the installed package; returns their folder."""
    folder = tmp_path_factory.mktemp("consumer")
    snippet = folder / "readme_snippet.cc"
    snippet.write_text(readme_snippet(), encoding="utf-8")
    source = REPOSITORY / "tests" / "packaging" / "consumer"
    sources = [
        source / "score_golden.cc",
        REPOSITORY / "cpp" / "examples" / "inspect_line.cc",
        REPOSITORY / "cpp" / "examples" / "inspect_strip.cc",
        snippet,
    ]
    build = folder / "build"
    run(
        *("cmake", "-S", source, "-B", build, "-G", "Ninja"),
        f"-DCMAKE_PREFIX_PATH={cmake_prefix()}",
        f"-DPROGRAMS={';'.join(str(path) for path in sources)}",
    )
    run("cmake", "--build", build)
    return build


def test_prefix_is_the_package_folder() -> None:
    assert (cmake_prefix() / "lib" / "cmake" / "vialsight" / "vialsightConfig.cmake").is_file()
    assert (cmake_prefix() / "include" / "vialsight" / "inspector.h").is_file()


C_EXAMPLE = REPOSITORY / "cpp" / "examples" / "inspect_recorded.c"
C_OPTIONS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")


def build_c_consumer(prefix: Path, build: Path) -> Path:
    """The C example in a CMake project of C alone; returns the program."""
    source = REPOSITORY / "tests" / "packaging" / "consumer_c"
    run(
        *("cmake", "-S", source, "-B", build, "-G", "Ninja"),
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DPROGRAM={C_EXAMPLE}",
    )
    run("cmake", "--build", build)
    return build / C_EXAMPLE.stem


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_c_consumer(cmake_prefix(), tmp_path_factory.mktemp("consumer_c") / "build")


def says_its_usage(program: Path, **options: object) -> bool:
    result = subprocess.run(
        [program], capture_output=True, text=True, check=False, **options
    )  # loads the libraries
    return result.returncode == 2 and "usage: inspect_recorded" in result.stderr


def test_installed_tree_can_be_moved(tmp_path: Path) -> None:
    build = REPOSITORY / "build" / "default"
    if not (build / "lib" / "libvialsight_c.so").exists():
        pytest.skip("no build/default: run tools/test, or cmake --preset default and build it")
    run("cmake", "--install", build, "--prefix", tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "second")
    assert says_its_usage(build_c_consumer(tmp_path / "second", tmp_path / "build"))
    (config,) = (tmp_path / "second").rglob("vialsightTargets.cmake")
    assert str(tmp_path) not in config.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="no pkg-config")
@pytest.mark.parametrize("package", ["vialsight", "vialsight_c"])
def test_pkg_config_tells_where_headers_and_library_are(package: str, tmp_path: Path) -> None:
    environment = os.environ | {"PKG_CONFIG_PATH": str(cmake_prefix() / "lib" / "pkgconfig")}
    answer = run("pkg-config", "--cflags", "--libs", package, env=environment).stdout.split()
    version = run("pkg-config", "--modversion", package, env=environment).stdout.strip()
    assert version == vialsight.__version__
    program = tmp_path / "program"
    if package == "vialsight_c":
        run("cc", *C_OPTIONS, C_EXAMPLE, *answer, "-o", program)
        assert says_its_usage(program, env=os.environ | {"LD_LIBRARY_PATH": str(PACKAGE)})
    else:
        source = tmp_path / "program.cc"
        source.write_text(
            '#include "vialsight/handshake.h"\n'
            "int main() { return vialsight::Layout().validate().ok() ? 1 : 0; }\n"
        )
        run("c++", "-std=c++20", source, *answer, "-o", program)
        run(program, env=os.environ | {"LD_LIBRARY_PATH": str(PACKAGE)})


@pytest.mark.tensorflow
def test_stranger_scores_golden_patches(programs: Path, tiny_bundle: Path) -> None:
    result = run(
        programs / "score_golden", tiny_bundle, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    pairs = [[float(number) for number in line.split()] for line in result.stdout.splitlines()]
    assert len(pairs) >= 8
    assert max(abs(here - frozen) for here, frozen in pairs) <= 1e-5
    assert max(frozen for _, frozen in pairs) > 0.0


def frame_pixels(width: int, height: int, seed: int) -> bytes:
    return bytes((i * 31 + seed * 7919) % 251 for i in range(width * height))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("program", "budget", "header"),
    [("inspect_strip", ["60000"], b"P5\n%d %d\n255\n"), ("readme_snippet", [], b"")],
)
def test_example_gives_the_python_verdict(
    program: str,
    budget: list[str],
    header: bytes,
    programs: Path,
    tiny_calibrated_bundle: Path,
    tmp_path: Path,
) -> None:
    import numpy as np

    layout = vialsight.Bundle.load(tiny_calibrated_bundle).layout
    size = layout.frame_width, layout.frame_height
    pixels = [frame_pixels(*size, seed) for seed in range(layout.frames)]
    paths = [tmp_path / f"{seed}.image" for seed in range(layout.frames)]
    for path, content in zip(paths, pixels, strict=True):
        path.write_bytes((header % size if header else b"") + content)
    command = [str(programs / program), str(tiny_calibrated_bundle), *budget, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    frames = np.stack([np.frombuffer(p, np.uint8).reshape(size[::-1]) for p in pixels])
    verdict = vialsight.Inspector(tiny_calibrated_bundle).inspect(frames)
    assert result.returncode == (0 if verdict.accepted else 1), result.stderr
    assert result.stdout.split()[0] == verdict.verdict
    scores = [float(s) for s in re.findall(r"score=(\S+)", result.stdout)]
    np.testing.assert_allclose(scores, verdict.scores.ravel(), atol=1e-6)


@pytest.mark.tensorflow
def test_example_rejects_unreadable_frames(
    programs: Path, tiny_calibrated_bundle: Path, tmp_path: Path
) -> None:
    frame = tmp_path / "cut.pgm"
    frame.write_bytes(b"P5\n64 64\n255\nshort")
    command = [str(programs / "inspect_strip"), str(tiny_calibrated_bundle), "60000", str(frame)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout.startswith("reject reason=frame_invalid")


SIGNALS = re.compile(
    r"^(\w+) +ready=(\d) busy=(\d) valid=(\d) accept=(\d) reason=(\w+) strip=(\d+) heartbeat=\d+$",
    re.MULTILINE,
)


def expected_signals(strip: int, accept: bool, reason: str) -> list[tuple[str, ...]]:
    """What a PLC sees of one strip, from trigger to acknowledgement, but for the heartbeat."""
    return [
        ("trigger", "0", "1", "0", "0", "none", str(strip)),
        ("finish", "0", "0", "1", str(int(accept)), reason, str(strip)),
        ("acknowledge", "1", "0", "0", "0", "none", "0"),
    ]


@pytest.mark.tensorflow
@pytest.mark.parametrize("isolation", ["in-process", "worker"])
def test_c_example_shows_what_a_plc_sees(
    isolation: str, c_program: Path, tiny_calibrated_bundle: Path, tmp_path: Path
) -> None:
    """Four strips: a whole one, the same again, one with a cut file, one that lacks frames."""
    import numpy as np

    layout = vialsight.Bundle.load(tiny_calibrated_bundle).layout
    size = layout.frame_width, layout.frame_height
    pixels = [frame_pixels(*size, seed) for seed in range(layout.frames)]
    paths = [tmp_path / f"{seed}.pgm" for seed in range(layout.frames)]
    for path, content in zip(paths, pixels, strict=True):
        path.write_bytes(b"P5\n%d %d\n255\n" % size + content)
    cut = tmp_path / "cut.pgm"
    cut.write_bytes(paths[0].read_bytes()[:100])
    images = [*paths, *paths, cut, *paths[1:], paths[0]]
    command = [c_program, tiny_calibrated_bundle, "60000", isolation, *images]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    frames = np.stack([np.frombuffer(p, np.uint8).reshape(size[::-1]) for p in pixels])
    verdict = vialsight.Inspector(tiny_calibrated_bundle).inspect(frames)
    reasons = [verdict.reason, verdict.reason, "frame_invalid", "frame_missing"]
    accepts = [verdict.accepted, verdict.accepted, False, False]
    expected = [
        signals
        for strip in range(4)
        for signals in expected_signals(strip + 1, accepts[strip], reasons[strip])
    ]
    assert SIGNALS.findall(result.stdout) == expected
    assert [reason for _, reason in line_verdicts(result.stdout).values()] == reasons


@pytest.fixture(scope="module")
def line_bundle(kit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of an untrained network for patches of 32x32 that just accepts the kit's first strip.

    The third strip plays the training data, the other two are calibrated on.
    """
    import dataclasses

    from conftest import kit_locator, write_tiny_bundle
    from vialsight.bundle import LEVELS, HeatmapScales, read_manifest, with_calibration
    from vialsight.calibration.fitting import calibrate
    from vialsight.data import load_strip, read_dataset
    from vialsight.simulation.product import bfs_layout

    kit = read_dataset(kit_folder)
    records = [
        dataclasses.replace(record, label="nominal", split="validation", mask=None)
        if record.product == kit.products[2]
        else dataclasses.replace(record, split="calibration")
        for record in kit.records
    ]
    layout = bfs_layout(patch_size=32)
    data = dataclasses.replace(kit, layout=layout, records=tuple(records))
    folder = tmp_path_factory.mktemp("line")
    bundle = vialsight.Bundle.load(
        write_tiny_bundle(folder / "untrained.vsb", data, kit_locator(kit, layout))
    )
    calibrate(bundle, data, folder / "calibrated.vsb")
    calibrated = vialsight.Bundle.load(folder / "calibrated.vsb")
    nominal = load_strip(data.select(label="nominal", split="calibration").strips()[0], data.layout)
    largest = vialsight.Inspector(calibrated).inspect(nominal).scores.max(axis=(0, 1)).tolist()
    record = read_manifest(calibrated)["calibration"]
    with_calibration(
        calibrated,
        folder / "line.vsb",
        score=read_manifest(calibrated)["score"],
        thresholds=dict.fromkeys(LEVELS, largest),
        heatmap=HeatmapScales(vmin=[0.0] * 4, vmax=[1.0] * 4),
        calibration={k: v for k, v in record.items() if k not in ("created", "parent_sha256")},
        fingerprints=calibrated.fingerprints,
    )
    return folder / "line.vsb"


def line_verdicts(output: str) -> dict[int, tuple[str, str]]:
    """Verdict and reason by strip, from what inspect_line prints."""
    found = re.findall(r"^strip (\d+) (\w+) reason=(\w+) slack_ms=\S+$", output, re.MULTILINE)
    return {int(strip): (verdict, reason) for strip, verdict, reason in found}


def line_counts(output: str) -> dict[str, int]:
    """The counters inspect_line ends with, without those that are 0."""
    found = re.findall(r"(\w+)=(\d+)", output.splitlines()[-1])
    return {name: int(count) for name, count in found if count != "0"}


def inspect_line(
    program: Path, bundle: Path, budget_ms: int, slot_ms: int
) -> subprocess.CompletedProcess[str]:
    """Pipe the three strips of the small kit, live, into the example."""
    live = ("simulate", "kit", "--live", "--strips", "3", "--runs", "1")
    command = [sys.executable, "-m", "vialsight", *live, "--slot-ms", str(slot_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as line:
        result = subprocess.run(
            [program, bundle, str(budget_ms)],
            stdin=line.stdout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert line.stdout is not None
        line.stdout.close()
        assert line.wait() == 0
    return result


@pytest.mark.slow
@pytest.mark.tensorflow
def test_live_line_gives_the_python_verdicts(programs: Path, line_bundle: Path) -> None:
    from vialsight.simulation.live import live_order
    from vialsight.simulation.plan import plan_set
    from vialsight.simulation.rendering import render_run

    result = inspect_line(programs / "inspect_line", line_bundle, budget_ms=60000, slot_ms=500)
    assert result.returncode == 0, result.stderr
    inspector = vialsight.Inspector(line_bundle)
    expected = {}
    for strip_id, task in enumerate(live_order(plan_set("kit", strips=3, runs=1)), start=1):
        verdict = inspector.inspect(render_run(task.strip, task.run, task.frames).frames)
        expected[strip_id] = (verdict.verdict, verdict.reason)
    assert line_verdicts(result.stdout) == expected
    assert ("accept", "none") in expected.values()
    accepted = sum(verdict == "accept" for verdict, _ in expected.values())
    counts = {"triggers": 3, "accepted": accepted, "defect": 3 - accepted}
    assert line_counts(result.stdout) == {name: count for name, count in counts.items() if count}
    signals = [
        line
        for strip, (verdict, reason) in expected.items()
        for line in expected_signals(strip, verdict == "accept", reason)
    ]
    assert SIGNALS.findall(result.stdout) == signals


@pytest.mark.slow
@pytest.mark.tensorflow
def test_live_line_rejects_what_comes_after_the_deadline(programs: Path, line_bundle: Path) -> None:
    # Frames come 300 ms apart, the deadline 1 ms after the first: no strip can be complete.
    result = inspect_line(programs / "inspect_line", line_bundle, budget_ms=1, slot_ms=900)
    assert result.returncode == 0, result.stderr
    verdicts = line_verdicts(result.stdout)
    assert list(verdicts) == [1, 2, 3]
    assert {verdict for verdict, _ in verdicts.values()} == {"reject"}
    assert {reason for _, reason in verdicts.values()} <= {"frame_missing", "deadline_missed"}


@pytest.mark.tensorflow
def test_live_line_names_what_is_wrong_with_a_stream(
    programs: Path, tiny_calibrated_bundle: Path, tmp_path: Path
) -> None:
    import numpy as np

    from vialsight.simulation.frame_stream import FrameWriter, StreamFormat, StreamFrame

    layout = vialsight.Bundle.load(tiny_calibrated_bundle).layout
    size = {"width": layout.frame_width, "height": layout.frame_height}
    shape = layout.frame_height, layout.frame_width
    pixels = np.frombuffer(frame_pixels(shape[1], shape[0], seed=1), np.uint8).reshape(shape)
    fields = {"product": "p", "run": 1, "index": 0, "label": "nominal", "pixels": pixels}

    def inspect(frames: int) -> tuple[int, str, str]:
        path = tmp_path / f"{frames}.stream"
        with path.open("wb") as file:
            writer = FrameWriter(file, StreamFormat(**size, frames=frames))
            writer.write(StreamFrame(strip_id=1, **fields))
        with path.open("rb") as file:
            command = [programs / "inspect_line", tiny_calibrated_bundle]
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, _, error = inspect(frames=2)
    assert code == 2
    assert "frames per strip: expected 3 as in the layout, got 2" in error
    code, output, error = inspect(frames=3)
    assert code == 2
    assert line_verdicts(output) == {1: ("reject", "frame_missing")}
    assert line_counts(output) == {"triggers": 1, "frame_missing": 1}
    assert "truncated within a strip: the stream ends behind strip 1, frame 0 of 3" in error
