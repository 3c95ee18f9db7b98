"""What is found in a folder of images, file by file: used, or left out with a reason.

Nothing is dropped in silence. A file that is an image by its name is used, or the intake fails and
names it; any other file is left out, and listed. Hidden names (`.ipynb_checkpoints`, `._000.png`,
`.DS_Store`) are other programs' and are passed over.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vialsight.data.images import SUFFIXES, load_mask
from vialsight.data.records import Record, has_control_characters, raise_listed
from vialsight.files import atomic
from vialsight.files.tables import table_text

INTAKE_NAME: Final = "intake.csv"
HIDDEN: Final = "hidden"
IMAGE: Final = "image"
MASK: Final = "mask"
_COLUMNS: Final = ("file", "used_as", "left_out_because")
_EXAMPLES: Final = 3

Say = Callable[[str], None]


@dataclass
class Intake:
    """Every file below `root`, and what becomes of it; paths are absolute."""

    root: Path
    _used: dict[Path, str] = field(default_factory=dict)
    _left_out: dict[Path, str] = field(default_factory=dict)

    def images(self, folder: str) -> list[Path]:
        """Return the images anywhere below a folder of the root, in order of their paths.

        What is no image by its name is left out. Raises DataError naming images whose name cannot
        be written into a table, and those of one folder that differ only in their suffix.
        """
        found = [path for path in self._files(self.root / folder) if self._is_image(path)]
        raise_listed(
            "names that dataset.csv cannot hold; rename these files",
            [_shown(path) for path in found if not _is_writable(path)],
        )
        same = defaultdict(list)
        for path in found:
            same[path.with_suffix("")].append(path.name)
        raise_listed(
            "images of one name, of which a mask or product could not be told apart; rename them",
            [
                f"{stem.parent}: {', '.join(names)}"
                for stem, names in same.items()
                if len(names) > 1
            ],
        )
        return found

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder of the root; files there are left out."""
        names = []
        for path in _listed(self.root / folder):
            if self._is_hidden(path):
                continue
            if path.is_dir():
                names.append(path.name)
            else:
                self.leave_out(path, "not in the folder of a class")
        return names

    def leave_out_others(self, folder: str, expected: Iterable[str], reason: str) -> None:
        """Leave out all that a folder of the root holds beside what is `expected` in it."""
        for path in _listed(self.root / folder):
            if path.name not in expected and not self._is_hidden(path):
                for file in self._files(path) if path.is_dir() else (path,):
                    self.leave_out(file, reason)

    def use(self, path: Path, purpose: str) -> None:
        """Note what a file is used as."""
        self._left_out.pop(path, None)
        self._used[path] = purpose

    def leave_out(self, path: Path, reason: str) -> None:
        """Note why a file is not used, unless it is."""
        if path not in self._used:
            self._left_out.setdefault(path, reason)

    def tell(self, say: Say) -> None:
        """Say in lines what each folder holds, and of what is left out why."""
        for folder, uses in sorted(self._by_folder(self._used).items()):
            counts = Counter(uses.values())
            words = (f"{count:,} {purpose}{'s' * (count > 1)}" for purpose, count in counts.items())
            say(f"{_shown(folder)}: {', '.join(words)} used")
        for folder, reasons in sorted(self._by_folder(self._left_out).items()):
            for reason, count in sorted(Counter(reasons.values()).items()):
                names = [path.name for path, why in reasons.items() if why == reason]
                shown = ", ".join(_shown(Path(name)) for name in names[:_EXAMPLES])
                more = ", ..." if count > _EXAMPLES else ""
                say(f"{_shown(folder)}: {count:,} left out, {reason}: {shown}{more}")

    def write(self, path: Path) -> None:
        """Write the table of all files, one row each."""
        rows = [(file, purpose, "") for file, purpose in self._used.items()]
        rows += [(file, "", reason) for file, reason in self._left_out.items()]
        texts = ((_shown(file.relative_to(self.root)), *rest) for file, *rest in sorted(rows))
        atomic.write_text(path, table_text([_COLUMNS, *texts]))

    def _files(self, folder: Path) -> Iterator[Path]:
        """Yield every file below a folder, links followed, but none twice."""
        return self._below(folder, set())

    def _below(self, folder: Path, above: set[Path]) -> Iterator[Path]:
        real = folder.resolve()
        if real in above:
            self.leave_out(folder, "a link to a folder that holds it")
            return
        for path in _listed(folder):
            if self._is_hidden(path):
                continue
            if path.is_dir():
                yield from self._below(path, above | {real})
            elif path.is_file():
                yield path
            else:
                self.leave_out(path, "no file: a broken link, a pipe or a device")

    def _is_hidden(self, path: Path) -> bool:
        hidden = path.name.startswith(".")
        if hidden:
            self.leave_out(path, HIDDEN)
        return hidden

    def _is_image(self, path: Path) -> bool:
        if path.suffix.lower() in SUFFIXES:
            return True
        self.leave_out(path, f"no image by its name ({', '.join(SUFFIXES)})")
        return False

    def _by_folder(self, files: dict[Path, str]) -> dict[Path, dict[Path, str]]:
        folders: dict[Path, dict[Path, str]] = defaultdict(dict)
        for path, word in sorted(files.items()):
            folders[path.parent.relative_to(self.root.parent)][path] = word
        return folders


def tell_of_black_masks(records: Iterable[Record], say: Say) -> None:
    """Name the defective products whose masks show no defect at all.

    Raises DataError for masks that cannot be read.
    """
    marked: dict[str, bool] = {}
    for record in records:
        if record.mask is not None and not marked.get(record.product, False):
            marked[record.product] = bool(load_mask(record.mask).any())
    black = sorted(product for product, found in marked.items() if not found)
    if black:
        listed = ", ".join(repr(product) for product in black[:10]) + ", ..." * (len(black) > 10)
        say(
            f"{len(black)} defective products have masks that are all black: where their defect is "
            f"nobody can learn from them; correct or remove the masks: {listed}"
        )


def _listed(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name; nothing where there is no folder."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_writable(path: Path) -> bool:
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not has_control_characters(text)


def _shown(path: Path) -> str:
    """Return a path as text that any terminal and table can hold."""
    raw = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if not has_control_characters(c) else repr(c)[1:-1] for c in raw)
