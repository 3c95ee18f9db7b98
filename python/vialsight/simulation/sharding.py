"""A simulated set as TFRecord shards of patches: nothing but the shards on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Progress
from vialsight.data import (
    Group,
    chosen_locator,
    needed_bytes,
    plan_shards,
    unfinished_shards,
    write_shards,
)
from vialsight.simulation.plan import SetPlan
from vialsight.simulation.runs import RunTask, render_pictures, run_tasks
from vialsight.simulation.setfolder import (
    SHARDS,
    Say,
    SetFolder,
    announce,
    claimed,
    disk_errors,
)
from vialsight.simulation.workers import WorkerPool, worker_count


@dataclass(frozen=True)
class RenderImages:
    """Renders the images of one run when it is called; a worker process can be sent one."""

    task: RunTask

    def __call__(self) -> Sequence[npt.NDArray[np.uint8]]:
        """Return uint8 (H,W), one per picture of the run."""
        return render_pictures(self.task)


def set_groups(plan: SetPlan) -> list[Group]:
    """Return what the shards of a set hold: one group per run, rank images included."""
    return [
        Group(
            product=task.strip.product,
            run=task.run,
            label=task.strip.label,
            split=task.strip.split,
            frames=tuple(number for number, _ in task.pictures),
            load=RenderImages(task),
        )
        for task in run_tasks(plan)
    ]


def write_set_shards(
    plan: SetPlan,
    out: Path,
    *,
    patch_size: int,
    workers: int,
    say: Say,
    progress: Progress,
    locator: Path | None = None,
    locating: Progress | None = None,
) -> bool:
    """Write the patches of a set as shards, or what an interrupted call left to write.

    As `writing.write_set`, which see; the unit is a shard, and no mask is kept. `locator` is where
    one lies already (see `data.locators`); else it is fitted first, and `locating(done, total)`
    says how far.
    """
    worker_count(workers)
    folder = SetFolder(plan, out, patch_size=patch_size, content=SHARDS)
    groups = set_groups(plan)
    with claimed(out), disk_errors(out):
        folder.check()
        if folder.complete:
            return False
        found = chosen_locator(folder.layout, groups, given=locator, kept=out, progress=locating)
        tasks = unfinished_shards(plan_shards(out, folder.layout, groups, locator=found))
        images = sum(task.images for task in tasks)
        announce(folder, images=images, need=needed_bytes(tasks), say=say)
        folder.begin()
    # `write_shards` holds the folder itself.
    with disk_errors(out), WorkerPool(workers) as pool:
        write_shards(
            out,
            folder.layout,
            groups,
            source=plan.identity,
            locator=found,
            executor=pool,
            progress=progress,
        )
    return True
