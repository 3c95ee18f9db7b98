"""The edge of the command line: a mistake is exit code 2 and one line, whatever it is about."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import bundle_support
import numpy as np
import pytest
from cli_support import run, run_here

from vialsight import _core
from vialsight.cli import running, streams
from vialsight.data.fingerprints import Described, Fingerprints
from vialsight.quiet import LEVEL

Ended = subprocess.CompletedProcess[bytes]

LONG = "n" * 245
NO_UTF8 = os.fsdecode(b"caf\xe9")


class Mistake(NamedTuple):
    """What is typed, with {data}, {bundle}, {file}, {folder}, {out} for paths, and what is said."""

    arguments: str
    says: str


OPTIONS = (
    # the shared case
    Mistake("verify {bundle} --threads 5000", "5000"),
    Mistake("verify {bundle} --threads=5000", "5000"),
    Mistake("inspect {bundle} {file} --threads 5000", "'--threads'"),
    Mistake("soak {bundle} --seconds 5 --slot-ms 1e9", "'--slot-ms'"),
    Mistake("bench {bundle} --budget-ms inf --strips 1 --json", "'--budget-ms'"),
    Mistake("inspect {bundle} {file} --budget-ms inf", "'--budget-ms'"),
    # their neighbours
    Mistake("verify {bundle} --threads -1", "'--threads'"),
    Mistake("verify {bundle} --threads 99999999999999999999999", "'--threads'"),
    Mistake("verify {bundle} --threads two", "'--threads'"),
    Mistake("inspect {bundle} {file} --budget-ms nan", "'--budget-ms'"),
    Mistake("inspect {bundle} {file} --budget-ms=-inf", "'--budget-ms'"),
    Mistake("inspect {bundle} {file} --budget-ms 86400001", "'--budget-ms'"),
    Mistake("inspect {bundle} {file} --budget-ms 1e400", "'--budget-ms'"),
    Mistake("inspect {bundle} {file} --level stripes", "patch, strip or run"),
    Mistake("bench {bundle} --strips 0", "'--strips'"),
    Mistake("bench {bundle} --strips 99999999999", "'--strips'"),
    Mistake("bench {bundle} --budget-ms nan", "'--budget-ms'"),
    Mistake("soak {bundle} --seconds inf", "'--seconds'"),
    Mistake("soak {bundle} --seconds nan", "'--seconds'"),
    Mistake("soak {bundle} --slot-ms nan", "'--slot-ms'"),
    Mistake("soak {bundle} --interval-ms inf", "'--interval-ms'"),
    Mistake("soak {bundle} --interval-ms nan", "'--interval-ms'"),
    Mistake("soak {bundle} --priority 100", "'--priority'"),
    Mistake("soak {bundle} --cpus 9999", "--cpus: expected numbers from 0 to 1023"),
    Mistake("soak {bundle} --cpus=-1", "--cpus: expected numbers from 0 to 1023"),
    Mistake("soak {bundle} --cpus 99999999999999999999", "--cpus: expected numbers from 0 to 1023"),
    Mistake("soak {bundle} --cpus two", "--cpus: expected numbers from 0 to 1023"),
    Mistake("soak {bundle} --isolation vm", "--isolation: expected in_process or worker"),
    Mistake(
        "evaluate {bundle} --data {data} --out {out} --knapp {file} --margin nan", "'--margin'"
    ),
    Mistake("evaluate {bundle} --data {data} --out {out} --margin 0.1", "--knapp and --margin"),
    Mistake("calibrate {bundle} --data {data} --out {out} --quantile nan", "expected a number"),
    Mistake("calibrate {bundle} --data {data} --out {out} --quantile 2", "between 0 and 1"),
    Mistake("calibrate {bundle} --data {data} --out {out} --run-rule 1/0", "run rule"),
    Mistake("prepare split {data} --out {out} --seed -1", "'--seed'"),
    Mistake("prepare split {data} --out {out} --seed 99999999999999999999999", "'--seed'"),
    Mistake("prepare split {data} --out {out} --nominal nan/nan/nan/nan", "must be finite"),
    Mistake("prepare elpv --out {out} --patch-size 99999999", "'--patch-size'"),
    Mistake("prepare shards {data} --out {out} --records-per-shard 0", "'--records-per-shard'"),
    Mistake("simulate kit --out {out} --seed -1", "'--seed'"),
    Mistake("simulate kit --out {out} --strips 1", "'--strips'"),
    Mistake("simulate kit --out {out} --strips 99999999999", "'--strips'"),
    Mistake("simulate kit --out {out} --runs 0", "'--runs'"),
    Mistake("simulate kit --out {out} --workers -1", "'--workers'"),
    Mistake("simulate kit --out {out} --workers 1000000", "'--workers'"),
    Mistake("simulate kit --live --slot-ms 0", "'--slot-ms'"),
    Mistake("simulate kit --live --slot-ms nan", "'--slot-ms'"),
    Mistake("simulate kit --live --slot-ms 1e300", "'--slot-ms'"),
    Mistake("simulate kit --out {out} --frames one", "--frames must be numbers"),
    Mistake("train --data {data} --out {out} --set training.steps=1e400", "training.steps"),
    Mistake("train --data {data} --out {out} --set training.steps=" + "9" * 30, "training.steps"),
    Mistake("train --data {data} --out {out} --set training.batch_size=nan", "training.batch_size"),
    Mistake("train --data {data} --out {out} --set training.seed=2024-13-45", "month must be in"),
    Mistake("train --data {data} --out {out} --set training.seed=[", "training.seed is not valid"),
    Mistake("train --data {data} --out {out} --set =", "an override must read section.key=value"),
    Mistake("train --data {data} --out {out} --set model.loss.noise=2025", "'2026' or '2024'"),
    Mistake("train --data {data} --out {out} --set model.loss.noise=[2024]", "'2026' or '2024'"),
)

PATHS = (
    Mistake("verify", "Missing argument 'NAME.vsb'"),
    Mistake("verify {bundle} more", "unexpected extra argument"),
    Mistake("verify {bundle} --thread 3", "No such option"),
    Mistake("verrify {bundle}", "No such command 'verrify'"),
    Mistake("--verify", "No such option"),
    Mistake("show ''", "an argument is empty"),
    Mistake("train --data {data} --out ''", "an argument is empty"),
    Mistake("show {file}", "expected a bundle folder, got a file"),
    Mistake("show {folder}", "manifest.json: missing"),
    Mistake("show {folder}/none.vsb", "No such file or directory"),
    Mistake("verify {folder}/none.vsb", "no such folder"),
    Mistake("show {folder}/" + LONG + LONG, "File name too long"),
    Mistake("inspect {bundle}", "either IMAGES or --data"),
    Mistake("inspect {bundle} {file} --data {data}", "either IMAGES or --data"),
    Mistake("inspect {bundle} --data {data} --split dev", "split 'dev' is empty"),
    Mistake("inspect {bundle} --data {file}", "no such file; a dataset is a folder"),
    Mistake("bench {bundle} {file} {file} {file}", "cannot be decoded"),
    Mistake("bench {bundle} {folder} {folder} {folder}", "Is a directory"),
    Mistake("evaluate {bundle} --data {data} --out {file}/report", "is no folder; check the path"),
    Mistake("calibrate {bundle} --data {data} --out {file}/a.vsb", "is no folder; check the path"),
    Mistake("calibrate {bundle} --data {data} --out {bundle}", "exists; choose another name"),
    Mistake("prepare split {data} --out {file}/p", "is no folder; check the path"),
    Mistake("prepare split {data} --out /proc/p", "/proc/"),
    Mistake("prepare split {data} --out {folder}/" + LONG + LONG, "choose a shorter one"),
    Mistake("prepare split {file} --out {out}", "layout.json: no such file"),
    Mistake("prepare mvtec {file} --out {out}", "train/good is missing"),
    Mistake("prepare shards {data} --out {file}", "is a file; give --out a folder"),
    Mistake("prepare shards {data} --out {file}/s", "is no folder; check the path"),
    Mistake("shards check {file}", "index.json"),
    Mistake("freeze {folder} --out {bundle}", "exists; choose another name"),
    Mistake("freeze {folder} --out {file}/a.vsb", "is no folder; check the path"),
    Mistake("inspect {bundle} --data {data} --heatmaps {file}", "is a file"),
    Mistake("inspect {bundle} --data {data} --heatmaps {file}/p", "is no folder; check the path"),
    Mistake("freeze {folder} --out {folder}/a", "NAME.vsb; add the suffix"),
    Mistake("calibrate {bundle} --data {data} --out {folder}/a", "NAME.vsb; add the suffix"),
    Mistake("freeze {file} --out {out}", "expected the folder of a training"),
    Mistake("report {file} --out {out}", "expected the report folder"),
    Mistake("report {folder} --out {out}", "expected the report folder"),
    Mistake("locate {data} --out {file}", "exists; choose another name"),
    Mistake("train --data {data} --out {file}", "is a file; give --out a folder"),
    Mistake("train --data {data} --out {file}/run", "is no folder; check the path"),
    Mistake("train --data {data} --out {out} -c {folder}", "Is a directory"),
    Mistake("train --data {data} --out {out} -c {file}", "must hold a mapping of sections"),
    Mistake("simulate kit --strips 2 --runs 1 --out {file}", "is a file; give --out a folder"),
)


@pytest.fixture(scope="module")
def loadable(tmp_path_factory: pytest.TempPathFactory, tiny_layout: _core.Layout) -> Path:
    """A calibrated bundle that can be loaded, though no backend could run its graph."""
    folder = tmp_path_factory.mktemp("loadable")
    nothing = Described(features=np.zeros((1, 256), np.float32), content=np.zeros(1, np.uint64))
    fingerprints = Fingerprints.of_training(nothing).to_bytes()
    frozen = bundle_support.write(folder / "a.vsb", tiny_layout, fingerprints=fingerprints)
    score = json.loads((frozen / "manifest.json").read_text())["score"]
    bundle_support.calibrated(_core.Bundle.load(frozen), folder / "b.vsb", score)
    return folder / "b.vsb"


def line_of(stderr: str) -> str:
    """Return the only line on stderr."""
    (line,) = stderr.splitlines()
    assert stderr == line + "\n"
    return line


@pytest.mark.parametrize("mistake", [*OPTIONS, *PATHS], ids=lambda mistake: mistake.arguments[:60])
def test_a_mistake_is_one_line(
    mistake: Mistake, loadable: Path, tiny_dataset_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    places = {name: tmp_path / name for name in ("file", "folder")}
    places |= {"bundle": loadable, "data": tiny_dataset_folder, "out": tmp_path / "out.vsb"}
    arguments = [
        "" if word == "''" else word.format(**places) for word in mistake.arguments.split()
    ]
    done = run(*arguments, code=2)
    assert done.stdout == ""
    line = line_of(done.stderr)
    assert line.startswith("error: ")
    assert mistake.says in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("verb", [(), ("prepare",), ("shards",)])
def test_no_arguments_give_help(verb: tuple[str, ...]) -> None:
    done = run(*verb, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Usage: {' '.join(('vialsight', *verb))}")
    assert "error" not in done.stderr


class TestNames:
    def test_no_utf8_in_the_name_of_a_bundle(self, tmp_path: Path) -> None:
        done = run("show", tmp_path / f"{NO_UTF8}.vsb", code=2)
        assert "caf\\xe9.vsb: no bundle folder here" in line_of(done.stderr)

    def test_line_end_in_the_name_of_a_bundle(self, tmp_path: Path) -> None:
        done = run("show", tmp_path / "a\nerror: b.vsb", code=2)
        assert "a\\nerror: b.vsb: no bundle folder here" in line_of(done.stderr)

    def test_escape_sequence_in_the_name_of_a_bundle(self, tmp_path: Path) -> None:
        done = run("show", tmp_path / "\x1b[2J.vsb", code=2)
        assert "\\x1b[2J.vsb: no bundle folder here" in line_of(done.stderr)

    def test_bundle_whose_name_is_no_utf8(self, loadable: Path, tmp_path: Path) -> None:
        named = tmp_path / f"{NO_UTF8}.vsb"
        named.symlink_to(loadable)
        assert run("show", named).stdout == run("show", loadable).stdout
        assert json.loads(run("show", named, "--json").stdout)["format_version"] == 2

    def test_name_of_a_bundle_to_write_that_is_no_utf8(
        self, loadable: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / f"{NO_UTF8}.vsb"
        done = run("calibrate", loadable, "--data", tiny_dataset_folder, "--out", out, code=2)
        assert "caf\\xe9.vsb: expected a name in UTF-8 on one line" in line_of(done.stderr)

    def test_names_that_a_table_repeats(self, own_dataset_folder: Path, tmp_path: Path) -> None:
        named = own_dataset_folder.rename(tmp_path / NO_UTF8)
        done = run("prepare", "split", named, "--out", tmp_path / "out", code=2)
        assert "caf\\xe9; rename it" in line_of(done.stderr)
        assert [path.name for path in tmp_path.iterdir()] == [NO_UTF8]

    @pytest.mark.parametrize("length", [237, 245, 255])
    def test_long_names_that_a_file_system_takes(
        self, length: int, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / ("n" * length)
        run("prepare", "split", tiny_dataset_folder, "--out", out)
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
        assert (out / "dataset.csv").exists()

    def test_two_verbs_that_write_the_same(
        self, tiny_dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        monkeypatch.setattr(
            "vialsight.files.atomic._sync_tree", lambda _: (out / "other").mkdir(parents=True)
        )
        done = run("prepare", "split", tiny_dataset_folder, "--out", out, code=2)
        assert "another process has written it meanwhile" in line_of(done.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


class TestLayoutMessages:
    """The whole message, with the folder: the shared case was cut before what came."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (
                {"vials": [[[0, 0, 40, 40], [90, 70, 40, 36]]]},
                "vials[0][1]: box x 90, y 70, width 40, height 36 does not lie inside the frame "
                "of 96x80",
            ),
            ({"name": "a" * 65}, f'control characters and slashes, got "{"a" * 65}"'),
            ({"name": "a/b"}, 'without control characters and slashes, got "a/b"'),
            ({"vials": [[[0, 0, 40, 40]]]}, "expected one box for each of the 2 regions, got 1"),
            ({"regions": ["top", "top"]}, 'regions: "top" appears twice'),
            ({"frames": 0}, "frames: expected an integer from 1 to"),
            ({"patch_size": 1e3}, "patch_size: expected an integer from 11 to 4096, got 1000.0"),
            ({"frame": {"width": 0, "height": 80, "bit_depth": 8}}, "frame.width: expected"),
        ],
    )  # fmt: skip
    def test_is_whole(
        self, change: dict[str, object], says: str, own_dataset_folder: Path, tmp_path: Path
    ) -> None:
        path = own_dataset_folder / "layout.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        done = run("prepare", "split", own_dataset_folder, "--out", tmp_path / "out", code=2)
        line = line_of(done.stderr)
        assert line.startswith(f"error: {path}: ")
        assert says in line


class TestStdout:
    def test_json_on_an_ascii_stdout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with open(os.devnull, "w", encoding="ascii") as ascii_only:  # noqa: PTH123
            monkeypatch.setattr(sys, "stdout", ascii_only)
            assert not streams.has_all_of("é")

    def test_reader_that_goes(self, loadable: Path) -> None:
        """What `| head -1` does, once the pipe is closed before anything is written."""
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w", encoding="utf-8") as pipe, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", pipe)
            assert run_here("show", loadable) == (0, "")

    @pytest.mark.parametrize("path", ["/dev/full"])
    def test_device_that_is_full(self, path: str, loadable: Path) -> None:
        with open(path, "w", encoding="utf-8") as full, pytest.MonkeyPatch.context() as patch:  # noqa: PTH123
            patch.setattr(sys, "stdout", full)
            code, stderr = run_here("show", loadable)
        assert code == 2
        assert "stdout: expected to write what was found" in line_of(stderr)
        assert "No space left" in stderr


class TestFaults:
    """What nobody foresaw: a traceback, whom to tell, and an exit code of its own."""

    def test_is_told_with_a_traceback(
        self, loadable: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vialsight.cli.show.read_manifest", lambda _: {}["layers"])
        code, stderr = run_here("show", loadable)
        assert code == running.EXIT_FAULT == 3
        assert stderr.startswith("Traceback (most recent call last):")
        assert "KeyError: 'layers'" in stderr
        assert stderr.splitlines()[-1].startswith("error: this is a fault of vialsight")

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (MemoryError(), "not enough memory"),
            (ModuleNotFoundError("No module", name="tensorflow"), "pip install 'vialsight[cpu]'"),
            (
                PermissionError(13, "Permission denied", "/a/b"),
                "/a/b: Permission denied; check its",
            ),
            (
                OSError(28, "No space left on device", "/a"),
                "/a: No space left on device; make room",
            ),
            (OSError("text alone"), "error: text alone"),
            (UnicodeEncodeError("utf-8", "a\udce9", 1, 2, "surrogate"), "a\\xe9: expected a name"),
            (
                UnicodeEncodeError("utf-8", "x\n" * 999 + "a\udce9b\n", 1999, 2000, "surrogate"),
                "error: a\\xe9b: expected a name",
            ),
        ],
    )
    def test_what_can_be_foreseen_is_none(
        self, error: Exception, says: str, loadable: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: object) -> None:
            raise error

        monkeypatch.setattr("vialsight.cli.show.read_manifest", fail)
        code, stderr = run_here("show", loadable)
        assert code == 2
        assert says in line_of(stderr)

    def test_interrupted(self, loadable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("vialsight.cli.show.read_manifest", interrupt)
        assert run_here("show", loadable) == (130, "")


class TestProcess:
    """Real processes, where descriptors and encodings are what is tested."""

    def shell(self, command: str, *values: object, **environment: str) -> Ended:
        program = f'set -o pipefail; v() {{ "{sys.executable}" -m vialsight "$@"; }}; {command}'
        return subprocess.run(
            ["bash", "-c", program, "-", *map(str, values)],
            capture_output=True,
            env={**os.environ, "NO_COLOR": "1", **environment},
            check=False,
        )

    def test_head(self, loadable: Path) -> None:
        done = self.shell('v show "$1" | head -1', loadable, PYTHONUNBUFFERED="1")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"bundle       b, written")

    def test_closed_stdout(self, loadable: Path) -> None:
        done = self.shell('v show "$1" >&-', loadable)
        assert done.returncode == 2
        assert line_of(done.stderr.decode()).startswith("error: stdout: expected to write")

    def test_closed_stdin_and_stderr(self, loadable: Path) -> None:
        done = self.shell('v show "$1" <&- 2>&-', loadable)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"provenance" in done.stdout

    def test_full_stderr(self, tmp_path: Path) -> None:
        done = self.shell('v show "$1" 2>/dev/full', tmp_path)
        assert (done.returncode, done.stdout) == (2, b"")

    def test_locale_without_utf8(self, tmp_path: Path) -> None:
        done = self.shell(
            'v show "$1"', tmp_path / "é.vsb", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
        )
        assert done.returncode == 2
        assert "\\xe9.vsb: no bundle" in line_of(done.stderr.decode("ascii"))


@pytest.mark.tensorflow
class TestInspect:
    """Finished verdicts are never lost."""

    def images(self, folder: Path, product: str = "test-nominal-0") -> list[Path]:
        return [folder / f"{product}-{frame}.png" for frame in (1, 2, 3)]

    def test_last_image_unreadable(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"no image")
        images = [*self.images(tiny_dataset_folder), *self.images(tiny_dataset_folder)[:2], bad]
        done = run("inspect", tiny_calibrated_bundle, *images, "--json", code=2)
        first, last = json.loads(done.stdout)["products"]
        assert (first["error"], last["reason"]) == (None, "frame_invalid")
        assert first["scores"][0][0][0] is not None
        assert f"images cannot be used: {bad}: expected" in line_of(done.stderr)

    def test_image_of_another_size(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        from PIL import Image

        other = tmp_path / "other.png"
        Image.new("L", (95, 80)).save(other)
        images = [*self.images(tiny_dataset_folder)[:2], other]
        says = f"{other}: expected 96x80 pixels, the frame of the layout, got 95x80"
        assert says in line_of(run("inspect", tiny_calibrated_bundle, *images, code=2).stderr)
        done = run("bench", tiny_calibrated_bundle, *images, "--strips", 1, code=2)
        assert done.stdout == ""
        assert says in line_of(done.stderr)

    @pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyboardInterrupt()])
    def test_end_in_the_middle(
        self,
        error: BaseException,
        tiny_calibrated_bundle: Path,
        tiny_dataset_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from vialsight.cli import line

        real, products = line.inspect_product, []

        def inspect_product(inspector: object, product: object, **options: object) -> object:
            products.append(product)
            if len(products) == 2:
                raise error
            return real(inspector, product, **options)

        monkeypatch.setattr(line, "inspect_product", inspect_product)
        images = self.images(tiny_dataset_folder) * 2
        code = 130 if isinstance(error, KeyboardInterrupt) else 3
        done = run("inspect", tiny_calibrated_bundle, *images, "--json", code=code)
        (product,) = json.loads(done.stdout)["products"]
        assert product["error"] is None

    @pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
    @pytest.mark.parametrize("name", ["é", NO_UTF8, "a\nb", "\u65e5", "n" * 240])
    def test_names_of_images(
        self,
        name: str,
        encoding: str,
        tiny_calibrated_bundle: Path,
        tiny_dataset_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        images = self.images(tiny_dataset_folder, "test-defective-0")
        link = tmp_path / f"{name}.png"
        link.symlink_to(images[0])
        out = tmp_path / "out.json"
        with out.open("w", encoding=encoding) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            done = run_here(
                "inspect", tiny_calibrated_bundle, link, *images[1:], "--json",
                "--heatmaps", tmp_path / "pictures",
            )  # fmt: skip
        assert done == (0, "")
        (product,) = json.loads(out.read_bytes().decode(encoding))["products"]
        assert product["product"] == str(tmp_path / f"{name}.png".replace(NO_UTF8, "caf\\xe9"))
        assert list((tmp_path / "pictures").iterdir())


@pytest.mark.tensorflow
def test_training_in_folders_whose_names_are_no_utf8(
    own_dataset_folder: Path, tmp_path: Path
) -> None:
    named, run_folder = own_dataset_folder.rename(tmp_path / NO_UTF8), tmp_path / f"{NO_UTF8}.run"
    run("train", "--data", named, "--out", run_folder, "--set", "model.method=pca")
    run("freeze", run_folder, "--out", tmp_path / "a.vsb")
    assert _core.Bundle.load(tmp_path / "a.vsb").name == "a"


@pytest.mark.tensorflow
def test_a_layout_of_another_name_is_the_same(
    tiny_calibrated_bundle: Path, tiny_bundle: Path, own_dataset_folder: Path, tmp_path: Path
) -> None:
    path = own_dataset_folder / "layout.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "week48"}))
    data = ("--data", own_dataset_folder)
    products = json.loads(run("inspect", tiny_calibrated_bundle, *data, "--json").stdout)[
        "products"
    ]
    assert len(products) == 7
    run("calibrate", tiny_bundle, *data, "--out", tmp_path / "calibrated.vsb")
    run("evaluate", tiny_calibrated_bundle, *data, "--out", tmp_path / "report")


def test_another_layout_of_the_same_name_is_not_the_same(
    loadable: Path, own_dataset_folder: Path
) -> None:
    path = own_dataset_folder / "layout.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"patch_size": 48}))
    done = run("inspect", loadable, "--data", own_dataset_folder, code=2)
    assert "patch_size 48 instead of 32" in line_of(done.stderr)


def test_number_where_a_text_is_wanted(tmp_path: Path) -> None:
    """The shared case: YAML reads 2024 as a number, the key wants one of two texts."""
    from vialsight.models.configuration import load_config

    assert load_config(None, ["model.loss.noise=2024"]).model.loss.noise == "2024"
    assert load_config(None, ["data.path=007"]).data.path == Path("007")
    assert load_config(None, ["data.path=2024-01-01"]).data.path == Path("2024-01-01")
    assert load_config(None, ["data.path=null"]).data.path is None
    written = tmp_path / "c.yaml"
    written.write_text("model: {loss: {noise: 2024}}\n")
    assert load_config(written).model.loss.noise == "2024"


def test_environment_of_notes_is_known() -> None:
    assert LEVEL == "TF_CPP_MIN_LOG_LEVEL"
