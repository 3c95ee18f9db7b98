"""Patches to batches: an endless, repeatable order that is a pure function of (seed, step)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from vialsight.errors import TrainingError

Patches = npt.NDArray[np.float32]
Tensor = Any  # tf.Tensor has no usable stubs

_ORDER_STREAM: Final = 1


class PatchSource(Protocol):
    """Something patches can be read from, by any number of threads, always the same ones."""

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""

    def __len__(self) -> int: ...

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices` int64 (n,) as float32 (n,P,P) in [0,1]."""


class ArrayPatches:
    """A PatchSource over an array float32 (n,P,P) in [0,1] in memory."""

    def __init__(self, patches: Patches) -> None:
        if patches.ndim != 3 or patches.shape[1] != patches.shape[2]:
            raise ValueError(f"patches must have the shape (n,P,P); got {patches.shape}")
        if patches.dtype != np.float32:
            raise ValueError(f"patches must be float32; got {patches.dtype}")
        self._patches = patches

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""
        return int(self._patches.shape[1])

    def __len__(self) -> int:
        return len(self._patches)

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices` int64 (n,) as float32 (n,P,P)."""
        return self._patches[indices]


class Batch(NamedTuple):
    """One replica's share of a step: images (n,P,P,1), the step, its first row in the batch."""

    images: Tensor
    step: Tensor
    first_row: Tensor


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which patches a step trains on: a fresh permutation of all of them in every epoch.

    The last incomplete batch of an epoch is left out.
    """

    patches: int
    batch_size: int
    seed: int

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
        seed = tf.stack([tf.constant(self.seed, tf.int64), _ORDER_STREAM, epoch])
        # The public wrapper takes only two of the three seeds.
        return tf.raw_ops.RandomIndexShuffle(
            index=positions, seed=seed, max_index=tf.constant(self.patches - 1, tf.int64), rounds=4
        )


class Batches:
    """The batches of a training as a `tf.data` pipeline, for one or many replicas.

    `failure` holds the exception of `source.read` that ended the pipeline, since tf.data passes on
    only its text.
    """

    def __init__(self, source: PatchSource, order: Order) -> None:
        self._source = source
        self._order = order
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
        images = tf.numpy_function(self._read_numpy, [indices], tf.float32, stateful=False)
        size = self._source.patch_size
        return Batch(tf.reshape(images, (count, size, size, 1)), step, first_row)

    def _read_numpy(self, indices: npt.NDArray[np.int64]) -> Patches:
        try:
            return self._source.read(indices)
        except Exception as failure:
            self.failure = failure
            raise
