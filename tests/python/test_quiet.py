"""TensorFlow's notes are kept away from users; nothing else is, whatever happens while it loads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import run_process

from vialsight.quiet import LEVEL, quietly

BANNER = b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
NOTE = b"I0000 00:00:1795939935.250529   14086 port.cc:153] oneDNN custom operations are on.\n"
ERROR = b"E0000 00:00:1795939935.250529   14086 session.cc:7] no device\n"
NOTES = BANNER + NOTE

# Stands for TensorFlow: prints its notes and then does `{what}`.
FAKE = "import os, signal\nos.write(2, {notes!r})\n{what}\n"


@pytest.fixture(autouse=True)
def no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEVEL, raising=False)


class TestQuietly:
    def test_notes_are_dropped(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quietly():
            os.write(2, NOTES)
        assert capfd.readouterr().err == ""

    def test_all_else_is_shown(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quietly():
            os.write(2, b"one\n" + NOTES + ERROR + b"two")
            subprocess.run("echo three >&2", shell=True, check=True)
        assert capfd.readouterr().err.encode() == b"one\n" + ERROR + b"twothree\n"

    def test_everything_is_shown_when_it_fails(self, capfd: pytest.CaptureFixture[str]) -> None:
        def load() -> None:
            with quietly():
                os.write(2, NOTES)
                raise ImportError

        with pytest.raises(ImportError):
            load()
        assert capfd.readouterr().err.encode() == NOTES

    def test_one_inside_another(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quietly():
            with quietly():
                os.write(2, NOTES)
            os.write(2, NOTES)
            assert capfd.readouterr().err == ""
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        ("level", "shown"), [("0", NOTES), ("1", NOTES), ("2", b""), ("3", b"")]
    )
    def test_whoever_wants_notes_has_them(
        self,
        level: str,
        shown: bytes,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(LEVEL, level)
        with quietly():
            os.write(2, NOTES)
        assert capfd.readouterr().err.encode() == shown


@pytest.mark.parametrize(
    ("what", "code", "shown"),
    [
        ("", 0, b""),
        ("os.write(2, b'ours')", 0, b"ours"),
        ("os.abort()", -signal.SIGABRT, NOTES),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, NOTES),
        ("raise ImportError('no such symbol')", 1, NOTES),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, NOTES),
        ("import ctypes; ctypes.CDLL(None).exit(5)", 5, NOTES),
    ],
)
def test_import_of_tensorflow(what: str, code: int, shown: bytes, tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text(FAKE.format(notes=NOTES, what=what))
    program = "from vialsight import quiet; quiet.install(); import tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    if code == 1:
        assert done.stderr.startswith(NOTES)
        assert b"no such symbol" in done.stderr
    else:
        assert done.stderr == shown


@pytest.mark.tensorflow
class TestVerbs:
    """The real TensorFlow, in the core and in Python."""

    def test_core(self, tiny_bundle: Path) -> None:
        assert run_process("verify", tiny_bundle).stderr == ""

    def test_worker(self, tiny_calibrated_bundle: Path) -> None:
        options = ("--seconds", 1, "--slot-ms", 500, "--isolation", "worker")
        assert run_process("soak", tiny_calibrated_bundle, *options).stderr == ""

    def test_python(self, tiny_calibrated_bundle: Path) -> None:
        options = ("--strips", 1, "--layers", "--turns", 1)
        assert run_process("bench", tiny_calibrated_bundle, *options).stderr == ""
