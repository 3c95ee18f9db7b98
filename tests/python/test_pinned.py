"""Keras' settings are ours, whatever another project has left in the home folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from training_process import GRDNET
from training_support import finish, start

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

Arrange = Callable[[Path], dict[str, str]]
DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
PROBE = """
import json, os
before = dict(os.environ)
from vialsight.pinned import keras
config = keras.config
names = ("floatx", "epsilon", "backend", "image_data_format")
found = {name: getattr(config, name)() for name in names}
assert config.dtype_policy().name == "float32", config.dtype_policy()
changed = {n for n in before.keys() | os.environ.keys() if before.get(n) != os.environ.get(n)}
assert not {n for n in changed if "KERAS" in n}, changed
print(json.dumps(found))
"""


def settings(**changes: object) -> Arrange:
    """keras.json with the defaults, changed."""
    return text(json.dumps(DEFAULTS | changes))


def text(content: str | bytes) -> Arrange:
    """keras.json with this content."""
    raw = content.encode() if isinstance(content, str) else content

    def arrange(home: Path) -> dict[str, str]:
        (home / ".keras").mkdir()
        (home / ".keras" / "keras.json").write_bytes(raw)
        return {}

    return arrange


def variables(**values: str) -> Arrange:
    return lambda home: values


def unreadable(home: Path) -> dict[str, str]:
    """A folder cannot be read as a file, by root neither."""
    (home / ".keras" / "keras.json").mkdir(parents=True)
    return {}


def unwritable_home(home: Path) -> dict[str, str]:
    """Nothing can be written below a file, by root neither."""
    (home / "file").write_text("")
    return {"HOME": str(home / "file")}


def unwritable_folder(home: Path) -> dict[str, str]:
    (home / ".keras").mkdir(mode=0o500)
    return {}


def home_of_keras(home: Path) -> dict[str, str]:
    folder = home / "elsewhere"
    folder.mkdir()
    (folder / "keras.json").write_text(json.dumps(DEFAULTS | {"floatx": "float64"}))
    return {"KERAS_HOME": str(folder)}


def broken_link(home: Path) -> dict[str, str]:
    (home / ".keras").symlink_to(home / "nowhere")
    return {}


FOREIGN = {
    "none": variables(),
    "float16": settings(floatx="float16"),
    "float64": settings(floatx="float64"),
    "channels_first": settings(image_data_format="channels_first"),
    "torch": settings(backend="torch"),
    "epsilon": settings(epsilon=0.5),
    "epsilon that is no float": settings(epsilon=1),
    "unknown floatx": settings(floatx="bfloat16"),
    "unknown backend": settings(backend="no-such-backend"),
    "dtype_policy": settings(dtype_policy="mixed_float16"),
    "nnx": settings(nnx_enabled=True),
    "broken JSON": text('{"floatx": "float16"'),
    "a list": text("[]"),
    "not UTF-8": text(b'{"floatx": "\xff"}'),
    "unreadable file": unreadable,
    "unwritable home": unwritable_home,
    "unwritable folder": unwritable_folder,
    "broken link": broken_link,
    "KERAS_BACKEND": variables(KERAS_BACKEND="torch"),
    "KERAS_HOME": home_of_keras,
    "KERAS_MAX_EPOCHS": variables(KERAS_MAX_EPOCHS="many"),
    "KERAS_NNX_ENABLED": variables(KERAS_NNX_ENABLED="true"),
    "TF_USE_LEGACY_KERAS": variables(TF_USE_LEGACY_KERAS="1"),
}


def run(
    home: Path, program: str, changed: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("KERAS_", "TF_USE_LEGACY"))}
    environment = kept | {"HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"} | (changed or {})
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def files_of_keras(home: Path) -> dict[str, bytes]:
    """What lies in the home folder by that name; Matplotlib, which Keras imports, has a cache."""
    found = [path for path in home.rglob("*") if "keras" in str(path.relative_to(home))]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}


@pytest.mark.parametrize("case", FOREIGN)
def test_settings_of_others_do_not_count(tmp_path: Path, case: str) -> None:
    changed = FOREIGN[case](tmp_path)
    before = files_of_keras(tmp_path)
    result = run(tmp_path, PROBE, changed)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == DEFAULTS
    assert files_of_keras(tmp_path) == before


# The shared cases, and what else is in the file that moves numbers.
@pytest.mark.parametrize("method", ["drae", "grdnet"])
def test_losses_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    losses = {}
    for case in ("none", "float16", "channels_first", "torch", "epsilon"):
        home = tmp_path / case
        home.mkdir()
        FOREIGN[case](home)
        monkeypatch.setenv("HOME", str(home))
        options = () if method == "drae" else GRDNET
        finish(start(home / "run", *options, "training.steps=2"))
        losses[case] = (home / "run" / "losses.csv").read_text()
    assert set(losses.values()) == {losses["none"]}


IN_A_PROGRAM = {
    "floatx": 'keras.config.set_floatx("float16")',
    "policy": 'keras.config.set_dtype_policy("mixed_float16")',
    "epsilon": "keras.config.set_epsilon(0.5)",
    "data format": 'keras.config.set_image_data_format("channels_first")',
}


# A program that has used Keras before us, and one that does between our import and our training.
@pytest.mark.parametrize("order", ["import keras; {}", "import keras, vialsight.pinned; {}"])
def test_settings_of_a_program_do_not_count(tmp_path: Path, order: str) -> None:
    before = order.format("; ".join(IN_A_PROGRAM.values()))
    result = run(tmp_path, f"{before}; from vialsight.pinned import pin; pin()\n{PROBE}")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == DEFAULTS


# TensorFlow hides that Keras did not find a backend; what Keras had read stays in its modules.
@pytest.mark.skipif(find_spec("torch") is not None, reason="here PyTorch is found")
@pytest.mark.parametrize("imported", ["tensorflow", "keras"])
def test_an_import_that_failed_before_does_not_count(tmp_path: Path, imported: str) -> None:
    attempt = f"try:\n    import {imported}\nexcept ImportError:\n    print('failed')\n"
    program = attempt + PROBE.replace("for n in before.keys()", "for n in os.environ.keys()")
    result = run(tmp_path, program, {"KERAS_BACKEND": "torch"})
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == DEFAULTS


# Another backend cannot be installed for this alone: Keras only says that it has one.
@pytest.mark.parametrize("module", ["pinned", "training.loop", "models.drae.network"])
def test_another_backend_is_refused_with_a_sentence(tmp_path: Path, module: str) -> None:
    result = run(
        tmp_path,
        "import keras\n"
        "from vialsight.errors import ConfigError\n"
        "keras.config.backend = lambda: 'torch'\n"
        "try:\n"
        f"    import vialsight.{module}\n"
        "except ConfigError as error:\n"
        "    print(error)\n",
    )
    assert result.returncode == 0, result.stderr
    assert "expected the backend 'tensorflow', got 'torch'" in result.stdout
    assert "set KERAS_BACKEND=tensorflow" in result.stdout


# What that sentence advises.
@pytest.mark.parametrize(
    ("program", "backend"), [("import vialsight.pinned", "torch"), ("", "tensorflow")]
)
def test_the_remedies_help(tmp_path: Path, program: str, backend: str) -> None:
    settings(backend="torch")(tmp_path)
    program = f"{program}\nimport keras\nimport vialsight.training.loop\n{PROBE}"
    result = run(tmp_path, program, {"KERAS_BACKEND": backend})
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == DEFAULTS


def test_the_core_leaves_keras_alone(tmp_path: Path) -> None:
    """A program that only inspects keeps its own settings, and pays for no import."""
    program = (
        "import vialsight, sys, os; print('keras' in sys.modules, os.environ['KERAS_BACKEND'])"
    )
    result = run(tmp_path, program, {"KERAS_BACKEND": "torch"})
    assert result.stdout.split() == ["False", "torch"]
