"""Patches to batches: an endless, repeatable order that is a pure function of (seed, step)."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Tensor
from vialsight.data.sources import PatchSource, ReadAhead
from vialsight.errors import TrainingError
from vialsight.models.method import Batch, Examples
from vialsight.pinned import tf

# Streams of random numbers, one per purpose.
_ORDER_STREAM: Final = 1
_WINDOW_STREAM: Final = 2
_BLOCK_STREAM: Final = 3
_REST_STREAM: Final = 4
# Steps that may still be read while a later one is: two parallel reads, and the buffer.
_STRAGGLERS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which patches a step trains on: a fresh permutation of all of them in every epoch.

    The last incomplete batch of an epoch is left out. With `block_patches` the permutation is a
    local one: the blocks come in random order, and patches are shuffled within windows of
    `window_blocks` blocks only, so that no more blocks need be at hand at a time. A rest of fewer
    patches than a block is a shorter block, somewhere among the others.
    """

    patches: int
    batch_size: int
    seed: int
    block_patches: int | None = None
    window_blocks: int = 8

    def __post_init__(self) -> None:
        if self.patches < self.batch_size:
            raise TrainingError(
                f"a batch needs {self.batch_size} training patches; the data hold {self.patches}: "
                f"add images or lower training.batch_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the patches."""
        return self.patches // self.batch_size

    def indices(self, step: Tensor, first_row: Tensor, count: int) -> Tensor:
        """Return indices int64 (count,) of rows first_row… of the batch of `step`."""
        epoch, step_in_epoch = step // self.steps_per_epoch, step % self.steps_per_epoch
        positions = step_in_epoch * self.batch_size + first_row + tf.range(count, dtype=tf.int64)
        if self.block_patches is None:
            return self._shuffle(positions, self.patches, _ORDER_STREAM, epoch)
        return self._in_blocks(positions, epoch)

    def blocks(self, step: int) -> list[int]:
        """Return the blocks needed at `step` and in the window after it, in their order.

        Those of a few steps before are included, since they may still be under way.
        """
        before = self._window(max(step - _STRAGGLERS, 0), row=0)
        after = self._window(step, row=self.batch_size - 1) + 1
        with tf.device("CPU"):
            found = [block for number in range(before, after + 1) for block in self._blocks(number)]
        return list(dict.fromkeys(found))

    def _window(self, step: int, *, row: int) -> int:
        """Return the number of the window, over all epochs, that a row of a step is in."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        position = step_in_epoch * self.batch_size + row
        return epoch * self._windows_per_epoch + position // self._window_patches

    def _blocks(self, window: int) -> list[int]:
        epoch, number = divmod(window, self._windows_per_epoch)
        first = number * self._window_patches
        positions = tf.range(first, min(first + self._window_patches, self.patches), dtype=tf.int64)
        places = self._places(positions, tf.constant(epoch, tf.int64))
        return list(dict.fromkeys((places.numpy() // self._block).tolist()))

    @property
    def _block(self) -> int:
        return min(self.block_patches or 1, self.patches)

    @property
    def _window_patches(self) -> int:
        return min(self._block * self.window_blocks, self.patches)

    @property
    def _windows_per_epoch(self) -> int:
        return -(-self.patches // self._window_patches)

    def _in_blocks(self, positions: Tensor, epoch: Tensor) -> Tensor:
        window = positions // self._window_patches
        starts = window * self._window_patches
        lengths = tf.minimum(self.patches - starts, self._window_patches)
        number = epoch * self._windows_per_epoch + window
        shuffled = self._shuffle(positions - starts, lengths, _WINDOW_STREAM, number)
        return self._places(starts + shuffled, epoch)

    def _places(self, positions: Tensor, epoch: Tensor) -> Tensor:
        """From positions in the sequence of shuffled blocks to indices of patches."""
        full, rest = divmod(self.patches, self._block)
        zero = tf.zeros_like(epoch)
        rest_start = self._block * self._shuffle(zero, full + 1, _REST_STREAM, epoch)
        is_rest = (positions >= rest_start) & (positions < rest_start + rest)
        # As if there were no rest; what this gives inside the rest is not used.
        others = tf.where(positions < rest_start, positions, tf.maximum(positions - rest, 0))
        blocks = self._shuffle(others // self._block, full, _BLOCK_STREAM, epoch)
        in_block = blocks * self._block + others % self._block
        return tf.where(is_rest, full * self._block + positions - rest_start, in_block)

    def _shuffle(self, values: Tensor, size: Any, stream: int, number: Tensor) -> Tensor:
        """Permute values in [0, size) as this stream and number (one, or one each) say."""
        fixed = tf.ones_like(number)
        seed = tf.stack([self.seed * fixed, stream * fixed, number], axis=-1)
        # The public wrapper takes only two of the three seeds.
        return tf.raw_ops.RandomIndexShuffle(
            index=values, seed=seed, max_index=tf.cast(size, tf.int64) - 1, rounds=4
        )


class Batches:
    """The batches of a training as a `tf.data` pipeline, for one or many replicas.

    `failure` holds the exception of `source.read` that ended the pipeline, since tf.data passes on
    only its text.
    """

    def __init__(self, source: PatchSource, order: Order, examples: Examples | None = None) -> None:
        self._source = source
        self._order = order
        self._examples = examples
        self._announced = -1
        self._lock = threading.Lock()
        self.failure: Exception | None = None

    def dataset_function(
        self, first_step: int, last_step: int, replicas: int
    ) -> Callable[[tf.distribute.InputContext], tf.data.Dataset]:
        """For `Strategy.distribute_datasets_from_function`: steps first_step … last_step - 1.

        Raises TrainingError when the batch cannot be shared evenly by the replicas.
        """
        share, rest = divmod(self._order.batch_size, replicas)
        if rest:
            raise TrainingError(
                f"training.batch_size must be a multiple of the {replicas} replicas; "
                f"got {self._order.batch_size}"
            )

        def create(context: tf.distribute.InputContext) -> tf.data.Dataset:
            # Consecutive elements of one input pipeline go to the replicas it feeds.
            local = replicas // context.num_input_pipelines
            offset = context.input_pipeline_id * local
            elements = tf.data.Dataset.range(first_step * local, last_step * local)
            return elements.map(
                lambda k: self._read(k // local, (offset + k % local) * share, share),
                num_parallel_calls=2,
                deterministic=True,
            ).prefetch(2 * local)

        return create

    def _read(self, step: Tensor, first_row: Tensor, count: int) -> Batch:
        indices = self._order.indices(step, first_row, count)
        specs = () if self._examples is None else tuple(self._examples.signature)
        images, *extras = tf.numpy_function(
            self._read_numpy,
            [indices, step, first_row],
            [tf.float32, *(spec.dtype for spec in specs)],
            stateful=False,
        )
        size = self._source.patch_size
        shaped = (
            tf.reshape(extra, (count, *spec.shape))
            for extra, spec in zip(extras, specs, strict=True)
        )
        return Batch(tf.reshape(images, (count, size, size, 1)), step, first_row, tuple(shaped))

    def _read_numpy(
        self, indices: npt.NDArray[np.int64], step: np.int64, first_row: np.int64
    ) -> list[npt.NDArray[Any]]:
        try:
            self._announce(int(step))
            images = self._source.read(indices)
            if self._examples is None:
                return [images]
            return [images, *self._examples(images, indices, int(step), int(first_row))]
        except Exception as failure:
            self.failure = failure
            raise

    def _announce(self, step: int) -> None:
        """Tell a source that prepares blocks which ones come next."""
        if not isinstance(self._source, ReadAhead):
            return
        with self._lock:
            if step > self._announced:
                self._announced = step
                self._source.expect(self._order.blocks(step))
