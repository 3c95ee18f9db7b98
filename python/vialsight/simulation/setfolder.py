"""The folder a simulated set is written into: whose it is, what it says of itself."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import vialsight
from vialsight.data.defects import DEFECTS_NAME, KnownDefect, write_defects
from vialsight.data.records import TABLE_NAME
from vialsight.data.shards.index import INDEX_NAME
from vialsight.errors import SimulationError
from vialsight.files import atomic
from vialsight.simulation.plan import RENDERER_VERSION, SetPlan
from vialsight.simulation.product import bfs_layout

DESCRIPTION_NAME: Final = "simulation.json"
IMAGES: Final = "images"
SHARDS: Final = "shards"
FORMAT_VERSION: Final = 1
_FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Say = Callable[[str], None]


def describe(plan: SetPlan, patch_size: int, content: str) -> dict[str, Any]:
    """Return what `simulation.json` says of a set; its frames where they are not the set's own."""
    frames = {} if plan.default_recording else {"frames": list(plan.frames)}
    return {
        "format_version": FORMAT_VERSION,
        "set": plan.name,
        "seed": plan.seed,
        "strips": len(plan.strips),
        "runs": plan.runs,
        **frames,
        "content": content,
        "patch_size": patch_size,
        "renderer_version": RENDERER_VERSION,
        "plan_sha256": plan.identity,
        "vialsight": vialsight.__version__,
    }


class SetFolder:
    """The folder of a simulated set, whether empty, begun or complete."""

    def __init__(self, plan: SetPlan, out: Path, *, patch_size: int, content: str) -> None:
        self.plan, self.out = plan, out
        self.layout = bfs_layout(patch_size)
        self._description = describe(plan, patch_size, content)
        self._last_file = {IMAGES: TABLE_NAME, SHARDS: INDEX_NAME}[content]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to write."""
        return (self.out / self._last_file).exists()

    def check(self) -> None:
        """Raise SimulationError, naming what differs, unless the folder is ours or empty."""
        path = self.out / DESCRIPTION_NAME
        if path.exists():
            return self._check_description(path)
        others = [entry.name for entry in self.out.iterdir() if not _is_leftover(entry)]
        if others:
            raise SimulationError(
                f"{self.out} holds other files ({', '.join(sorted(others)[:3])}); "
                "give --out an empty or new folder"
            )

    def begin(self) -> None:
        """Write what describes the set; from now on the folder can only become this set."""
        if not (self.out / DESCRIPTION_NAME).exists():
            atomic.write_json(self.out / DESCRIPTION_NAME, self._description)
        if not (self.out / DEFECTS_NAME).exists():
            write_defects(self.out / DEFECTS_NAME, _known_defects(self.plan))

    def remove_leftovers(self) -> None:
        """Remove what an interrupted call left half written."""
        for pattern in ("", "images/*", "masks/*"):
            for entry in self.out.glob(f"{pattern}/.*.tmp" if pattern else ".*.tmp"):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _check_description(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            differences = _differences(found, self._description)
        except (ValueError, AttributeError) as error:
            raise SimulationError(
                f"{path} is damaged ({error}); give --out a new folder"
            ) from error
        if differences:
            raise SimulationError(
                f"{self.out} holds another set ({'; '.join(differences)}); "
                "give --out a new folder, or the options it was begun with"
            )


def announce(folder: SetFolder, *, images: int, need: int, say: Say) -> None:
    """Say how many images are to be written and how much room they need.

    Raises SimulationError, with both numbers, when there is not that much.
    """
    free = shutil.disk_usage(folder.out).free
    say(
        f"{folder.plan.name}: {images:,} of {folder.plan.images:,} images to write, about "
        f"{size_text(need)}; {size_text(free)} are free in {folder.out}"
    )
    if need > free:
        raise SimulationError(
            f"the images need about {size_text(need)}, but {size_text(free)} are free in "
            f"{folder.out}; take fewer --strips or --runs, or another disk"
        )


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold `out`, made if need be, for this process; an empty one that we made goes again.

    Raises SimulationError when it is a file, cannot be made, or another process holds it.
    """
    atomic.require_folder(out, SimulationError)
    made = not out.exists()
    taken = SimulationError(f"another process is writing into {out}; wait for its end")
    with ExitStack() as stack:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(atomic.held_folder(out, taken))
        try:
            yield
        finally:
            if made and not any(out.iterdir()):
                out.rmdir()


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn what the disk refuses into a SimulationError that says what to do."""
    try:
        yield
    except OSError as error:
        remedy = "make room" if error.errno in _FULL_DISK else "put that right"
        raise SimulationError(
            f"cannot write into {out}: {error.strerror or error}; {remedy} and run the same "
            "command again, it goes on where it stopped"
        ) from error


def _differences(found: Any, wanted: dict[str, Any]) -> list[str]:
    """Say in what two descriptions differ; ValueError for one that is no object."""
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, no object")
    # Only where they are not the set's own does a description tell the frames.
    own = {"frames": "the set's own"}
    found, wanted = own | found, own | wanted
    differing = [key for key in wanted if key != "vialsight" and found.get(key) != wanted[key]]
    # The digest says something only where everything else is equal.
    if len(differing) > 1 and "plan_sha256" in differing:
        differing.remove("plan_sha256")
    return [f"{key}: there {found.get(key)!r}, asked for {wanted[key]!r}" for key in differing]


def _is_leftover(entry: Path) -> bool:
    return entry.name.startswith(f".{DESCRIPTION_NAME}.") and entry.suffix == ".tmp"


def _known_defects(plan: SetPlan) -> list[KnownDefect]:
    return [
        KnownDefect(product=strip.product, kind=d.kind, severity=d.severity, vial=d.vial + 1)
        for strip in plan.strips
        for d in strip.defects
    ]


def size_text(count: float) -> str:
    """Return bytes for people, with binary units."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1024
    return f"{count:.3g} TiB"
