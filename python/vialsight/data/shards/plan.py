"""Which images go into which shard: a pure function of the groups, decided before any is loaded."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vialsight._core import Layout
from vialsight.data.cutting import FrameCutter
from vialsight.data.pixels import Pixels, patch_bytes
from vialsight.data.records import LABELS, SPLITS, raise_listed
from vialsight.data.shards.index import FRAMING_BYTES
from vialsight.errors import DataError
from vialsight.locator import ProductLocator

# 3,600 patches of 256x256 at 8 bit are 236 MB: few files for the paper's set, yet quick to redo.
DEFAULT_RECORDS_PER_SHARD: Final = 3600
# Keys and numbers of an Example, product name not counted; measured 135 to 150.
_EXAMPLE_BYTES: Final = 160


@dataclass(frozen=True, kw_only=True)
class Group:
    """The images of one run of one product; `load` gives their pixels when they are written.

    `load()` returns uint8 or uint16 (H,W), one for each number in `frames`, in that order, and
    the same ones each time. It must be picklable where an executor of processes is used.
    """

    product: str
    run: int
    label: str
    split: str
    frames: tuple[int, ...]
    load: Callable[[], Sequence[Pixels]]

    @property
    def name(self) -> str:
        """Product and run, as messages write them."""
        return f"product {self.product!r} run {self.run}"

    @property
    def metadata(self) -> list[Any]:
        """What identifies the group besides its pixels, as JSON."""
        return [self.product, self.run, self.label, self.split, list(self.frames)]


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard to write: independent of all others, picklable if its groups are."""

    folder: Path
    number: int
    cutter: FrameCutter
    groups: tuple[Group, ...]

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.folder / f"shard-{self.number:05d}.tfrecord"

    @property
    def note(self) -> Path:
        """What the index will say of it; exists once the shard is complete."""
        return self.path.with_suffix(".json")

    @property
    def images(self) -> int:
        """Images whose patches the shard holds."""
        return sum(len(group.frames) for group in self.groups)


def plan_shards(
    folder: Path,
    layout: Layout,
    groups: Sequence[Group],
    *,
    locator: ProductLocator | None = None,
    records_per_shard: int = DEFAULT_RECORDS_PER_SHARD,
) -> list[ShardTask]:
    """Share groups, in their order, among shards: whole groups, one split each.

    A shard is closed as soon as it holds `records_per_shard` patches or more. Raises DataError
    when groups contradict each other, or unless `locator` is what the layout asks for.
    """
    _check_groups(groups)
    if records_per_shard < 1:
        raise DataError(f"records per shard must be at least 1; got {records_per_shard}")
    shares: list[list[Group]] = []
    for split in SPLITS:
        room = 0
        for group in groups:
            if group.split != split:
                continue
            if room <= 0:
                shares.append([])
                room = records_per_shard
            shares[-1].append(group)
            room -= len(group.frames) * layout.patches_per_frame
    cutter = FrameCutter(layout, locator)
    return [
        ShardTask(folder=folder, number=number, cutter=cutter, groups=tuple(share))
        for number, share in enumerate(shares)
    ]


def needed_bytes(tasks: Sequence[ShardTask]) -> int:
    """Return the disk the shards need, at most."""
    return sum(_needed_bytes(task) for task in tasks)


def require_space(folder: Path, needed: int) -> None:
    """Raise DataError, with both numbers, when `needed` bytes do not fit where `folder` is."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{folder}: {needed / 1e9:.3f} GB are needed, {free / 1e9:.3f} GB are free; "
            "free space or choose another disk"
        )


def _needed_bytes(task: ShardTask) -> int:
    layout = task.cutter.layout
    fixed = patch_bytes(layout) + FRAMING_BYTES + _EXAMPLE_BYTES
    return sum(
        len(group.frames) * layout.patches_per_frame * (fixed + len(group.product.encode()))
        for group in task.groups
    )


def _check_groups(groups: Sequence[Group]) -> None:
    if not groups:
        raise DataError("there are no images to write; choose other splits")
    problems: list[str] = []
    belongs: dict[str, tuple[str, str]] = {}
    seen: set[tuple[str, int]] = set()
    for group in groups:
        if group.split not in SPLITS or group.label not in LABELS:
            problems.append(f"{group.name}: split {group.split!r}, label {group.label!r}")
        place = belongs.setdefault(group.product, (group.split, group.label))
        if place != (group.split, group.label):
            problems.append(f"{group.product!r} is in two splits or has two labels")
        if (group.product, group.run) in seen or not group.frames:
            problems.append(f"{group.name} is given twice or has no frames")
        seen.add((group.product, group.run))
    raise_listed("groups that cannot be written", problems)
