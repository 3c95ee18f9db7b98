"""The layer check finds what it is there to find."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = REPOSITORY / "tools" / "check_layers.py"


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, root], capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of our sources, free to be spoilt."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for folder in ("python", "cpp"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")


def test_our_tree_is_clean(tree: Path) -> None:
    result = check(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("python/vialsight/bundle.py", "from vialsight.cli import app", "may not import 'cli'"),
        (
            "python/vialsight/bundle.py",
            "from vialsight.pinned import tf",
            "only inside a function",
        ),
        (
            "python/vialsight/training/loop.py",
            "def f():\n    import tensorflow as tf",
            "from vialsight.pinned only",
        ),
        (
            "python/vialsight/models/layers.py",
            "from keras import ops",
            "from vialsight.pinned only",
        ),
        (
            "python/vialsight/line/bench.py",
            "from vialsight.training import loop",
            "may not import 'training'",
        ),
        ("python/vialsight/errors.py", "from vialsight import _core", "may not import '_core'"),
        (
            "cpp/src/imaging/ssim.cc",
            '#include "vialsight/inspector.h"',
            "may not include 'vialsight/inspector.h'",
        ),
        ("cpp/src/base/json.cc", '#include "bundle/bundle_files.h"', "may not include 'bundle/"),
        (
            "cpp/src/bundle/bundle.cc",
            "#include <tensorflow/core/public/session.h>",
            "only the backend",
        ),
        ("cpp/include/vialsight/ssim.h", '#include "json.h"', "public headers only"),
        ("cpp/station/station.h", '#include "base/json.h"', "public headers and its own"),
        ("cpp/station/station.h", '#include "inspector_impl.h"', "public headers and its own"),
        ("cpp/station/journal.cc", "#include <arv.h>", "only the source of a library"),
        ("cpp/station/journal.cc", "#include <openvino/openvino.hpp>", "only the source of"),
        ("cpp/src/base/json.cc", '#include "station/json_text.h"', "may not include a station"),
    ],
)
def test_violation_is_named(tree: Path, file: str, line: str, complaint: str) -> None:
    append(tree / file, line)
    result = check(tree)
    assert result.returncode == 1
    assert complaint in result.stdout
    assert file in result.stdout


def test_unknown_module_is_named(tree: Path) -> None:
    (tree / "python" / "vialsight" / "helpers.py").write_text("X = 1\n", encoding="utf-8")
    assert "'helpers' is in no layer" in check(tree).stdout


def test_tensorflow_behind_another_module_is_named(tree: Path) -> None:
    append(tree / "python/vialsight/cli/model.py", "from vialsight.training import freezing")
    result = check(tree)
    assert "cli/model.py" in result.stdout
    assert "only inside a function" in result.stdout


def test_unknown_room_of_sources_is_named(tree: Path) -> None:
    (tree / "cpp/src/attic").mkdir()
    (tree / "cpp/src/attic/old.cc").write_text("int x;\n", encoding="utf-8")
    assert "'attic' is in no layer" in check(tree).stdout
