"""Writes patches as TFRecord shards: resumable, the same bytes whoever writes which shard.

While a folder is written it holds `writing.json` (what is being written) and, beside each finished
shard, a note of what the index will say of it. `index.json` comes last; then the notes go.
"""

import hashlib
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, Protocol

from vialsight._core import Layout
from vialsight.aliases import Progress
from vialsight.data.cutting import FrameCutter, naming
from vialsight.data.locators import keep_locator
from vialsight.data.records import TABLE_NAME
from vialsight.data.shards.index import INDEX_NAME, ShardIndex, new_index, read_index, write_index
from vialsight.data.shards.plan import (
    DEFAULT_RECORDS_PER_SHARD,
    Group,
    ShardTask,
    needed_bytes,
    plan_shards,
    require_space,
)
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.locator import ProductLocator

WRITING_NAME: Final = "writing.json"


class Submits(Protocol):
    """Runs tasks elsewhere: a `concurrent.futures.Executor` or a pool of worker processes."""

    def submit(self, function: Callable[[ShardTask], int], task: ShardTask, /) -> Future[int]:
        """Start `function(task)`."""


def write_shards(
    folder: Path,
    layout: Layout,
    groups: Sequence[Group],
    *,
    source: str,
    locator: ProductLocator | None = None,
    records_per_shard: int = DEFAULT_RECORDS_PER_SHARD,
    executor: Submits | None = None,
    progress: Progress | None = None,
) -> ShardIndex:
    """Write all groups as shards and an index into `folder`, or go on with that very writing.

    `source` identifies the pixels (a plan's or dataset's digest). A finished folder of the same
    content is left as it is. With an executor the shards are written by its workers. `locator` is
    what the layout's `locate` asks for; it is kept beside the shards.
    `progress(done, total)` counts images. Raises DataError when the groups contradict each other,
    the folder holds something else, the disk is too small, or writing fails; what is finished
    stays, and the same call goes on from there.
    """
    tasks = plan_shards(
        folder, layout, groups, locator=locator, records_per_shard=records_per_shard
    )
    plan = _plan_sha256(layout, tasks, source, locator)
    if not (folder / INDEX_NAME).exists():
        require_space(folder, needed_bytes(unfinished_shards(tasks)))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic.held_folder(folder, DataError(f"another process writes {folder}; wait for it")):
        finished = _begin(folder, plan)
        if finished is None:
            keep_locator(folder, locator)
            _write_all(
                unfinished_shards(tasks), sum(task.images for task in tasks), executor, progress
            )
            finished = _index(layout, tasks, plan, locator)
            write_index(folder, finished)
        _remove_notes(folder, tasks)
    return finished


def write_shard(task: ShardTask) -> int:
    """Write one shard and its note; return the number of its images. Any process may do it.

    Raises DataError when an image does not fit or the disk refuses.
    """
    return _write_shard(task, lambda images: None)


def _write_shard(task: ShardTask, written: Callable[[int], None]) -> int:
    from vialsight.pinned import tf

    task.folder.mkdir(parents=True, exist_ok=True)
    temporary = task.path.with_name(f".{task.path.name}.{secrets.token_hex(6)}.tmp")
    lengths: list[list[int]] = []
    try:
        with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
            for group in task.groups:
                for example in _examples(group, task.cutter):
                    writer.write(example)
                    _count_length(lengths, len(example))
                written(len(group.frames))
        note = _note(task, temporary, lengths)
        temporary.replace(task.path)
    except tf.errors.OpError as error:
        raise DataError(
            f"{task.path}: cannot be written ({error.message}); finished shards are kept, run the "
            "same command again to go on"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    atomic.write_json(task.note, note)
    return task.images


def _examples(group: Group, cutter: FrameCutter) -> Iterator[bytes]:
    """Yield serialised Examples of a group: frames, then vials, then regions."""
    from vialsight.pinned import tf

    frames = group.load()
    if len(frames) != len(group.frames):
        raise DataError(f"{group.name}: expected {len(group.frames)} images, got {len(frames)}")

    def text(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def number(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    common = {
        "product": text(group.product.encode()),
        "run": number(group.run),
        "label": text(group.label.encode()),
    }
    for frame, pixels in zip(group.frames, frames, strict=True):
        with naming(f"{group.name} frame {frame}"):
            patches = cutter.pixels(pixels)
        for place, patch in enumerate(patches):
            vial, region = divmod(place, len(cutter.layout.regions))
            feature = {
                **common,
                "patch": text(patch.tobytes()),
                "frame": number(frame),
                "vial": number(vial),
                "region": number(region),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            # Else the order of the keys, and with it the bytes, may differ between processes.
            yield example.SerializeToString(deterministic=True)


def _count_length(lengths: list[list[int]], length: int) -> None:
    if lengths and lengths[-1][1] == length:
        lengths[-1][0] += 1
    else:
        lengths.append([1, length])


def _note(task: ShardTask, file: Path, lengths: list[list[int]]) -> dict[str, Any]:
    return {
        "name": task.path.name,
        "split": task.groups[0].split,
        "records": sum(count for count, _ in lengths),
        "bytes": file.stat().st_size,
        "sha256": atomic.file_sha256(file, sync=True),
        "lengths": lengths,
    }


def _write_all(
    tasks: Sequence[ShardTask], total: int, executor: Submits | None, progress: Progress | None
) -> None:
    done = total - sum(task.images for task in tasks)

    def advance(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, total)

    advance(0)
    if executor is None:
        for task in tasks:
            _write_shard(task, advance)
        return
    futures = [executor.submit(write_shard, task) for task in tasks]
    try:
        for future in as_completed(futures):
            advance(future.result())
    except BrokenProcessPool as error:
        raise DataError(
            "a process that wrote shards was killed; finished shards are kept, run the same "
            "command again to go on"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def unfinished_shards(tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """Return the shards that are left to write: those without a note, or not of its size."""
    return [task for task in tasks if not _is_finished(task)]


def _is_finished(task: ShardTask) -> bool:
    if not (task.note.exists() and task.path.exists()):
        return False
    note = json.loads(task.note.read_text("utf-8"))
    return bool(task.path.stat().st_size == note["bytes"])


def _index(
    layout: Layout, tasks: Sequence[ShardTask], plan: str, locator: ProductLocator | None
) -> ShardIndex:
    products: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for task in tasks:
        for group in task.groups:
            products[group.split][group.label].add(group.product)
    lists = {s: {label: list(of) for label, of in found.items()} for s, found in products.items()}
    notes = [json.loads(task.note.read_text("utf-8")) for task in tasks]
    known = None if locator is None else locator.sha256
    return new_index(layout, plan=plan, products=lists, shards=notes, locator=known)


def _begin(folder: Path, plan: str) -> ShardIndex | None:
    """Make the folder ready for this plan; return its index when it is finished already."""
    if (folder / INDEX_NAME).exists():
        index = read_index(folder)
        _check_plan(folder, index.plan, plan)
        return index
    if (folder / TABLE_NAME).exists():
        raise DataError(f"{folder} holds a dataset; choose another folder for its shards")
    writing = folder / WRITING_NAME
    if writing.exists():
        _check_plan(folder, json.loads(writing.read_text("utf-8"))["plan"], plan)
    atomic.write_json(writing, {"plan": plan})
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    return None


def _check_plan(folder: Path, found: str, plan: str) -> None:
    if found != plan:
        raise DataError(
            f"{folder} holds other shards (other data, layout, locator or number of records per "
            "shard); "
            "choose another folder or remove it first"
        )


def _remove_notes(folder: Path, tasks: Sequence[ShardTask]) -> None:
    for task in tasks:
        task.note.unlink(missing_ok=True)
    (folder / WRITING_NAME).unlink(missing_ok=True)


def _plan_sha256(
    layout: Layout, tasks: Sequence[ShardTask], source: str, locator: ProductLocator | None
) -> str:
    content = [
        source,
        json.loads(layout.to_json()),
        [[group.metadata for group in task.groups] for task in tasks],
        *([] if locator is None else [locator.sha256]),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
