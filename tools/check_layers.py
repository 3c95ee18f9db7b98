#!/usr/bin/env python3
"""Checks that dependencies point one way, in Python and in C++.

The layers are the tree: a module belongs to the folder it lies in, its room, and may use its own
room and the rooms below it. The two tables say only in which order the rooms lie.

usage: tools/check_layers.py [ROOT]     exit 0: they do; 1: they do not, each violation on a line
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Top to bottom; rooms on one line do not use each other.
PYTHON_ROOMS = (
    ("__main__",),
    ("cli",),
    ("station",),
    ("report",),
    ("evaluation", "training"),
    ("calibration", "line", "models", "simulation", "statistics"),
    ("data",),
    ("bundle", "config", "quiet"),
    ("locator",),
    ("__init__",),
    ("_core",),
    ("flops",),
    ("figure_style", "files", "frozen_graph", "pixels", "progress", "scores", "value_bins"),
    ("pinned",),
    ("aliases", "errors"),
)
# Only here may a module need TensorFlow when it is imported; all others must do without.
TENSORFLOW_ROOMS = {"models", "pinned", "training"}
# Whose settings count where they are imported; only PINNED does, all others import them from there.
PINNED = "pinned"
LIBRARIES = {"keras", "tensorflow"}

CPP_ROOMS = (
    ("c_api", "stream"),
    ("inspector",),
    ("bundle",),
    ("scoring", "backend"),
    ("imaging",),
    ("base",),
)
# A public header belongs to the room of the source whose name it begins with; these have none.
HEADER_ROOMS = {"strip_verdict": "inspector", "isolation": "backend", "runtime": "base"}
# The only sources that include an inference library.
RUNTIME_SOURCES = {
    "tensorflow_backend.cc",
    "openvino_backend.cc",
    "openvino_parts.cc",
    "openvino_parts.h",
}
FOREIGN_INCLUDE = re.compile(
    r'#include [<"](tensorflow|tsl|xla|absl|google/protobuf|Eigen|openvino|opencv)'
)
# A station's inspector process uses what any machine program may use.
STATION_INCLUDES = ("station/", "vialsight/")
CAMERA_INCLUDE = re.compile(r"#include <(arv|glib|gio)")
QUOTED_INCLUDE = re.compile(r'#include "([^"]+)"')
OWN_INCLUDE = re.compile(r'#include "([a-z0-9_/]+)\.h"')

Imports = list[tuple[int, str]]


def levels(rooms: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    """Room to its number, from the top."""
    return {room: level for level, names in enumerate(rooms) for room in names}


def python_modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package to its file; a folder stands for its __init__."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        modules[name] = path
    return modules


def imports_of(tree: ast.AST) -> Imports:
    """Line and dotted name, below the package, of what is imported from it anywhere in a module."""
    found: Imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # A name may be a module of the folder, or something in its __init__.
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def own_module(name: str, modules: dict[str, Path]) -> str | None:
    """The module of ours that a dotted name is, or lies in."""
    parts = name.split(".")
    if parts[0] != "vialsight":
        return None
    for end in range(len(parts), 1, -1):
        found = ".".join(parts[1:end])
        if found in modules or found == "_core":
            return found
    return "__init__"


def room_of(module: str) -> str:
    """First folder, or the module itself where it lies beside the rooms."""
    return module.split(".", maxsplit=1)[0]


def check_rooms(modules: dict[str, Path]) -> Iterator[str]:
    """Imports, anywhere in a module, of rooms that are not below its own."""
    level = levels(PYTHON_ROOMS)
    for module, path in modules.items():
        room = room_of(module)
        if room not in level:
            yield f"{path}: '{room}' is in no layer; add it to PYTHON_ROOMS"
            continue
        for line, name in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            target = own_module(name, modules)
            if target is None or room_of(target) == room or room_of(target) not in level:
                continue
            if level[room_of(target)] <= level[room]:
                other = room_of(target)
                yield f"{path}:{line}: '{room}' may not import '{other}', which is not below it"


def imports_at_load(path: Path) -> Imports:
    """What importing the module imports: nothing inside functions, nothing for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    kept = [n for n in tree.body if not isinstance(n, functions) and not is_for_types(n)]
    return imports_of(ast.Module(body=kept, type_ignores=[]))


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def check_tensorflow(modules: dict[str, Path]) -> Iterator[str]:
    """Modules outside TENSORFLOW_ROOMS whose import would load TensorFlow, however indirectly."""
    imports = {module: imports_at_load(path) for module, path in modules.items()}
    heavy: set[str] = set()
    found = True
    while found:
        found = False
        for module, names in imports.items():
            cause = next((n for n in names if is_heavy(n[1], modules, heavy)), None)
            if module in heavy or cause is None:
                continue
            found = True
            heavy.add(module)
            if room_of(module) not in TENSORFLOW_ROOMS:
                place = f"{modules[module]}:{cause[0]}: '{room_of(module)}'"
                yield f"{place} may import '{cause[1]}' only inside a function"


def check_pinned(modules: dict[str, Path]) -> Iterator[str]:
    """Imports, anywhere in a module, of a library past the one that pins its settings."""
    for module, path in modules.items():
        if module == PINNED:
            continue
        for line, name in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            if name.split(".", maxsplit=1)[0] in LIBRARIES:
                yield f"{path}:{line}: import '{name}' from vialsight.{PINNED} only"


def is_heavy(name: str, modules: dict[str, Path], heavy: set[str]) -> bool:
    """Whether importing `name` loads TensorFlow, as far as is known."""
    return name.split(".", maxsplit=1)[0] in LIBRARIES or own_module(name, modules) in heavy


def header_room(stem: str, sources: dict[str, str]) -> str:
    """Room of a public header: that of the source it is the interface of."""
    if stem in HEADER_ROOMS:
        return HEADER_ROOMS[stem]
    names = [name for name in sources if stem == name or stem.startswith(f"{name}_")]
    return sources[max(names, key=len)] if names else "base"


def check_cpp(root: Path) -> Iterator[str]:
    """Includes of rooms not below, of inference libraries, of private headers in public ones."""
    level = levels(CPP_ROOMS)
    source_folder, public_folder = root / "cpp" / "src", root / "cpp" / "include" / "vialsight"
    paths = [p for p in sorted(source_folder.rglob("*")) if p.suffix in {".h", ".cc"}]
    sources = {p.stem: p.parent.name for p in paths if p.suffix == ".cc"}
    headers = sorted(public_folder.glob("*.h"))
    rooms = {p: p.parent.name for p in paths} | {p: header_room(p.stem, sources) for p in headers}
    for path, room in rooms.items():
        if room not in level:
            yield f"{path}: '{room}' is in no layer; add it to CPP_ROOMS"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            place = f"{path}:{number}"
            if FOREIGN_INCLUDE.match(line) and path.name not in RUNTIME_SOURCES:
                yield f"{place}: only the backend of an inference library may include this"
            match = OWN_INCLUDE.match(line)
            if not match:
                continue
            folder, _, stem = match[1].rpartition("/")
            if folder not in {"", "vialsight", *level}:
                continue
            if path in headers and folder != "vialsight":
                yield f"{place}: a public header may include public headers only"
                continue
            target = header_room(stem, sources) if folder == "vialsight" else folder
            if target != room and level.get(target, 0) <= level[room]:
                yield f"{place}: '{room}' may not include '{match[1]}.h', which is not below it"


def check_station(root: Path) -> Iterator[str]:
    """A station's includes beyond public headers, Aravis elsewhere, the station elsewhere."""
    station = root / "cpp" / "station"
    for path in sorted((root / "cpp").rglob("*")):
        if path.suffix not in {".h", ".cc"}:
            continue
        inside, own = station in path.parents, path.parts[len(root.parts) + 1]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            match = QUOTED_INCLUDE.match(line)
            if inside and match and not match[1].startswith(STATION_INCLUDES):
                yield f"{path}:{number}: a station may include public headers and its own only"
            if inside and (FOREIGN_INCLUDE.match(line) or is_foreign_camera(line, path, station)):
                yield f"{path}:{number}: only the source of a library may include this"
            if own in {"src", "include"} and match and match[1].startswith("station/"):
                yield f"{path}:{number}: the library may not include a station"


def is_foreign_camera(line: str, path: Path, station: Path) -> bool:
    """Whether Aravis is included by something that does not stand for a GigE Vision camera."""
    of_camera = path.relative_to(station).parts[0].startswith("gige_")
    return bool(CAMERA_INCLUDE.match(line)) and not of_camera


def main() -> int:
    """Print violations; say how many."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    modules = python_modules(root / "python" / "vialsight")
    violations = [
        *check_rooms(modules),
        *check_tensorflow(modules),
        *check_pinned(modules),
        *check_cpp(root),
        *check_station(root),
    ]
    for violation in violations:
        print(violation)
    print(f"check_layers: {len(violations)} violations", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
