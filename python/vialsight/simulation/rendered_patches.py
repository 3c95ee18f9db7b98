"""Patches of a simulated set, rendered while they are read, with nothing on disk.

A block is one run of one strip: its images, rank images included, cut into patches. Worker
processes render the blocks that are expected; only those are kept, as the pixels of the frames.
Which process renders a block, and when, changes nothing in it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.data.cutting import FrameCutter, naming
from vialsight.data.pixels import Normaliser, Pixels, check_indices
from vialsight.errors import DataError, SimulationError
from vialsight.locator import ProductLocator
from vialsight.simulation.plan import SetPlan
from vialsight.simulation.runs import RunTask, render_pictures, run_tasks

# Blocks read without being expected that stay at hand.
_UNEXPECTED_BLOCKS: Final = 2


@dataclass(frozen=True)
class BlockTask:
    """One block to render: a run, and what cuts its images."""

    run: RunTask
    cutter: FrameCutter


class Submits(Protocol):
    """Renders elsewhere: a pool of worker processes, or any executor."""

    def submit(self, function: Callable[[BlockTask], Pixels], task: BlockTask, /) -> Future[Pixels]:
        """Start `function(task)`."""


def render_block(task: BlockTask) -> Pixels:
    """Return the patches of a run (n·V·R,P,P): images, then vials, then regions.

    Raises NotLocatedError, naming the picture, when a product is not found.
    """
    parts = []
    for (_, name), image in zip(task.run.pictures, render_pictures(task.run), strict=True):
        with naming(task.run.folder / name):
            parts.append(task.cutter.pixels(image))
    return np.concatenate(parts)


class RenderedPatches:
    """The patches of one split of a set. A `PatchSource` and `ReadAhead`.

    Threads may read at the same time. `pool` renders; it must outlive this object.
    """

    def __init__(
        self,
        plan: SetPlan,
        *,
        split: str,
        layout: Layout,
        pool: Submits,
        locator: ProductLocator | None = None,
    ) -> None:
        """Raise DataError for an empty split, or unless `locator` is what the layout asks for."""
        self.layout, self.locator = layout, locator
        cutter = FrameCutter(layout, locator)
        self._normalise = Normaliser(self.layout)
        self._pool = pool
        self._tasks = [
            BlockTask(run, cutter) for run in run_tasks(plan) if run.strip.split == split
        ]
        if not self._tasks:
            raise DataError(f"the set {plan.name!r} has no strips in the split {split!r}")
        self._blocks: dict[int, Future[Pixels]] = {}
        self._expected: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self.block_patches: int | None = plan.images_per_run * self.layout.patches_per_frame

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""
        return self.layout.patch_size

    def __len__(self) -> int:
        return len(self._tasks) * (self.block_patches or 0)

    def expect(self, blocks: Sequence[int]) -> None:
        """Render these blocks, in this order, if they are not at hand; forget all others."""
        with self._lock:
            self._expected = frozenset(blocks)
            for block in [block for block in self._blocks if block not in self._expected]:
                self._blocks.pop(block).cancel()
            for block in blocks:
                self._block(block)

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices`, int64 (n,), as float32 (n,P,P) in [0,1].

        Waits for blocks that are not rendered yet. Raises IndexError for an index outside
        [0, len), SimulationError when a rendering process was lost.
        """
        check_indices(indices, len(self))
        result = np.empty((len(indices), self.patch_size, self.patch_size), np.float32)
        blocks, places = np.divmod(indices, self.block_patches or 1)
        for block in np.unique(blocks):
            pixels = self._rendered(int(block))
            for row in np.flatnonzero(blocks == block):
                result[row] = self._normalise(pixels[places[row]])
        return result

    def _rendered(self, block: int) -> Pixels:
        with self._lock:
            future = self._block(block)
            unexpected = [known for known in self._blocks if known not in self._expected]
            for old in unexpected[:-_UNEXPECTED_BLOCKS]:
                if old != block:
                    self._blocks.pop(old)
        try:
            return future.result()
        except CancelledError:
            # It was no longer expected; the one who reads it wants it all the same.
            return self._rendered(block)
        except BrokenProcessPool as error:
            raise SimulationError(
                "a rendering process was killed, or ran out of memory; run the same command again, "
                "with fewer data.simulate.workers if memory is short"
            ) from error

    def _block(self, block: int) -> Future[Pixels]:
        if block not in self._blocks:
            self._blocks[block] = self._pool.submit(render_block, self._tasks[block])
        return self._blocks[block]
