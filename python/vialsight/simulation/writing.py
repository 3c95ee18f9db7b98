"""A simulated set as a dataset folder: run by run, each complete or absent, `dataset.csv` last."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from vialsight.aliases import Progress
from vialsight.data import Record, write_dataset
from vialsight.simulation.panel import PANEL_NAME, has_panel, write_panel
from vialsight.simulation.plan import SetPlan
from vialsight.simulation.poses import POSES_NAME, write_poses
from vialsight.simulation.runs import EncodedRun, RunTask, encode_run, run_tasks, write_run
from vialsight.simulation.setfolder import (
    IMAGES,
    Say,
    SetFolder,
    announce,
    claimed,
    disk_errors,
)
from vialsight.simulation.workers import WorkerPool, worker_count

# Runs differ in size by a few percent.
_SIZE_MARGIN: Final = 1.05
# Beside images and masks: a row of the table and a share of the folders.
_BYTES_PER_IMAGE: Final = 1000


def write_set(
    plan: SetPlan,
    out: Path,
    *,
    patch_size: int = 256,
    workers: int = 0,
    say: Say,
    progress: Progress,
) -> bool:
    """Write a set as a dataset folder, or what an interrupted call left to write.

    The same plan gives the same bytes, whatever the number of workers and interruptions. `say` is
    told the number of images and their size before anything is written, `progress` images done
    and in all. Returns False when the folder was complete already; a complete one that lacks only
    the panel's `manual.csv` gets it.
    Raises SimulationError when `out` holds something else, another call is writing into it, the
    images do not fit the free space, the disk fails, or a worker is lost.
    """
    worker_count(workers)
    folder = SetFolder(plan, out, patch_size=patch_size, content=IMAGES)
    with claimed(out):
        folder.check()
        with disk_errors(out):
            if folder.complete:
                # One written before there was a panel gets it; nothing else of it is touched.
                return _write_panel(folder)
            folder.remove_leftovers()
            _write_pending(folder, workers, say, progress)
            write_poses(out / POSES_NAME, plan)
            _write_panel(folder)
            write_dataset(out, folder.layout, _records(plan, out))
    return True


def announce_set(
    folder: SetFolder, pending: Sequence[RunTask], sample: EncodedRun, say: Say
) -> int:
    """Say what the pending runs need on disk if all are like `sample`; return it, in bytes.

    Raises SimulationError, with both numbers, when there is not that much.
    """
    images = len(pending) * folder.plan.images_per_run
    need = round(_SIZE_MARGIN * sample.disk_bytes * len(pending)) + _BYTES_PER_IMAGE * images
    announce(folder, images=images, need=need, say=say)
    return need


def _write_pending(folder: SetFolder, workers: int, say: Say, progress: Progress) -> None:
    pending = _pending(folder)
    if not pending:
        return
    # A defective run is the larger one: it has masks, too.
    sample = next((task for task in pending if task.strip.defects), pending[0])
    encoded = encode_run(sample)
    announce_set(folder, pending, encoded, say)
    folder.begin()
    write_run(sample, encoded, folder.out)
    rest = [task for task in pending if task is not sample]
    per_run, total = folder.plan.images_per_run, folder.plan.images
    progress(total - len(rest) * per_run, total)
    with WorkerPool(workers) as pool:
        written = pool.map_ahead(
            partial(_render_and_write, out=folder.out), rest, ahead=2 * pool.workers
        )
        for left, _ in zip(range(len(rest) - 1, -1, -1), written, strict=True):
            progress(total - left * per_run, total)


def _write_panel(folder: SetFolder) -> bool:
    """Write the panel's results of a set that has one; whether they were missing."""
    path = folder.out / PANEL_NAME
    if path.exists() or not has_panel(folder.plan):
        return False
    write_panel(path, folder.plan)
    return True


def _render_and_write(task: RunTask, out: Path) -> None:
    write_run(task, encode_run(task), out)


def _pending(folder: SetFolder) -> list[RunTask]:
    images = folder.out / "images"
    return [task for task in run_tasks(folder.plan) if not (images / task.folder).exists()]


def _records(plan: SetPlan, out: Path) -> Iterator[Record]:
    for task in run_tasks(plan):
        for number, name in task.pictures:
            yield Record(
                image=out / "images" / task.folder / name,
                product=task.strip.product,
                run=task.run,
                frame=number,
                label=task.strip.label,
                split=task.strip.split,
                mask=out / "masks" / task.folder / name if task.has_mask(number) else None,
            )
