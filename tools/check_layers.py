#!/usr/bin/env python3
"""Checks that dependencies point one way, in Python and in C++, as the tables below draw them.

usage: tools/check_layers.py [ROOT]     exit 0: they do; 1: they do not, each violation on a line
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Top to bottom: a module may import modules of lower layers only, and of its own layer only where
# PYTHON_ALLOWED says so.
PYTHON_LAYERS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"soak"},
    {"freezing", "calibration", "evaluation", "report", "bench", "inspection"},
    {"strip_inspections"},
    {"calibration_scores", "patch_pictures", "findings"},
    {"scoring", "evidence", "measures", "pictures", "machine"},
    {"training"},
    {"steps", "runlog", "runfolder", "checkpoints", "sources"},
    {"pipeline", "optimization"},
    {"simulation"},
    {"model", "losses", "perturbation", "statistics", "thresholds"},
    {"data"},
    {"bundle"},
    {"layout"},
    {"config"},
    {"__init__"},
    {"_core"},
    {"tables"},
    {"errors", "atomic", "npz"},
]
PYTHON_ALLOWED: set[tuple[str, str]] = set()

# Modules that may import TensorFlow or Keras when they are imported; all others must not need it.
TENSORFLOW_MODULES = {
    "training",
    "freezing",
    "steps",
    "runlog",
    "pipeline",
    "optimization",
    "model",
    "losses",
    "perturbation",
}

# Each C++ source names what it may include from src/ and include/vialsight/, by stem.
CPP_BASE = {"export", "status"}
CPP_ALLOWED: dict[str, set[str]] = {
    "export": set(),
    "status": set(),
    "version": set(),
    "layout": {"json", "ssim"},
    "patches": {"layout", "multiversion", "resampling"},
    "resampling": set(),
    "ssim": {"multiversion"},
    "heatmap": set(),
    "decision": {"layout"},
    "frame_stream": {"json", "layout", "patches"},
    "json": set(),
    "npy": set(),
    "sha256": set(),
    "multiversion": set(),
    "backend": set(),
    "bundle": {"decision", "heatmap", "layout", "json", "npy", "sha256", "ssim"},
    "clock": set(),
    "time_source": {"clock"},
    "backend_loader": {"backend"},
    "inspector_options": {"decision"},
    "strip_verdict": {"decision"},
    "frame_digest": set(),
    "scheduling": {"inspector_options"},
    "restartable_backend": {"backend"},
    "worker": {"backend", "backend_loader", "clock", "restartable_backend"}
    | {"inspector_options", "scheduling"},
    "inspector": {
        "bundle",
        "decision",
        "heatmap",
        "layout",
        "patches",
        "ssim",
        "backend",
        "backend_loader",
        "clock",
        "time_source",
        "inspector_options",
        "strip_verdict",
        "scheduling",
        "restartable_backend",
        "frame_digest",
        "worker",
    },
    "handshake": {"inspector", "clock", "decision", "patches", "strip_verdict"},
    "c_api": {"inspector", "handshake", "bundle", "clock", "decision", "layout", "patches"}
    | {"inspector_options", "strip_verdict", "version"},
    "allowed_ops": set(),
    "tensorflow_backend": {"backend", "allowed_ops"},
}
TENSORFLOW_SOURCE = "tensorflow_backend.cc"
FOREIGN_INCLUDE = re.compile(r'#include [<"](tensorflow|tsl|xla|absl|google/protobuf|Eigen|opencv)')
OWN_INCLUDE = re.compile(r'#include "(?:vialsight/)?([a-z0-9_]+)\.h"')


def module_of(path: Path, package: Path) -> str:
    """First component below the package: `data/images.py` belongs to `data`."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "vialsight":
                yield from ((node.lineno, f"vialsight.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def check_python(root: Path) -> Iterator[str]:
    """Violations of the Python layers."""
    package = root / "python" / "vialsight"
    rank = {name: level for level, names in enumerate(PYTHON_LAYERS) for name in names}
    for path in sorted(package.rglob("*.py")):
        source = module_of(path, package)
        if source not in rank:
            yield f"{path}: '{source}' is in no layer; add it to PYTHON_LAYERS"
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, name in imports_of(tree):
            if not name.startswith("vialsight"):
                continue
            parts = name.split(".")
            target = parts[1] if len(parts) > 1 and parts[1] in rank else "__init__"
            if target == source or (source, target) in PYTHON_ALLOWED:
                continue
            if rank[target] <= rank[source]:
                yield f"{path}:{line}: '{source}' may not import '{target}', which is not below it"
        yield from check_tensorflow_imports(path, source, tree)


def check_tensorflow_imports(path: Path, source: str, tree: ast.Module) -> Iterator[str]:
    """Imports of TensorFlow at the top of a module that must be importable without it."""
    if source in TENSORFLOW_MODULES:
        return
    for line, name in imports_of(
        ast.Module(body=[n for n in tree.body if not _is_function(n)], type_ignores=[])
    ):
        heavy = name.split(".")[0] in {"tensorflow", "keras"}
        ours = name.startswith("vialsight.") and name.split(".")[1] in TENSORFLOW_MODULES
        if (heavy or ours) and not _only_for_types(tree, line):
            yield f"{path}:{line}: '{source}' may import '{name}' only inside a function"


def _is_function(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _only_for_types(tree: ast.Module, line: int) -> bool:
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test).endswith("TYPE_CHECKING")
        and node.lineno <= line <= (node.end_lineno or line)
        for node in tree.body
    )


def family_of(stem: str) -> str:
    """`bundle_manifest.cc` belongs to `bundle`: the longest known name the stem starts with."""
    candidates = [name for name in CPP_ALLOWED if stem == name or stem.startswith(f"{name}_")]
    return max(candidates, key=len, default="")


def check_cpp(root: Path) -> Iterator[str]:
    """Violations of the C++ layers."""
    for path in sorted(
        [*(root / "cpp" / "include").rglob("*.h"), *(root / "cpp" / "src").iterdir()]
    ):
        if path.suffix not in {".h", ".cc"}:
            continue
        family = family_of(path.stem)
        if not family:
            yield f"{path}: in no layer; add it to CPP_ALLOWED"
            continue
        allowed = CPP_ALLOWED[family] | CPP_BASE | {family}
        public = "include" in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if FOREIGN_INCLUDE.match(line) and path.name != TENSORFLOW_SOURCE:
                yield f"{path}:{number}: only {TENSORFLOW_SOURCE} may include this"
            if (
                public
                and line.startswith('#include "')
                and not line.startswith('#include "vialsight/')
            ):
                yield f"{path}:{number}: a public header may include public headers only"
            match = OWN_INCLUDE.match(line)
            if match and family_of(match[1]) not in allowed:
                yield f"{path}:{number}: '{family}' may not include '{match[1]}.h'"


def main() -> int:
    """Print violations; say how many."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    violations = [*check_python(root), *check_cpp(root)]
    for violation in violations:
        print(violation)
    print(f"check_layers: {len(violations)} violations", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
