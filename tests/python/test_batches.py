"""Batches are a pure function of (seed, step), whoever reads them."""

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from array_patches import ArrayPatches

from vialsight.data.sources import expect, spread
from vialsight.errors import TrainingError
from vialsight.training.batches import Batches, Order

pytestmark = pytest.mark.tensorflow


def numbered(count: int) -> ArrayPatches:
    """Patches whose pixels all hold the patch's number."""
    return ArrayPatches(
        np.arange(count, dtype=np.float32)[:, None, None] + np.zeros((1, 2, 2), "f4")
    )


def read(order: Order, first: int, last: int) -> list[list[int]]:
    batches = Batches(numbered(order.patches), order)
    dataset = batches.dataset_function(first, last, 1)(tf.distribute.InputContext())
    return [[int(v) for v in batch.images.numpy()[:, 0, 0, 0]] for batch in dataset]


def test_an_epoch_visits_every_patch_at_most_once() -> None:
    order = Order(patches=10, batch_size=3, seed=1)
    assert order.steps_per_epoch == 3
    for epoch in range(4):
        visited = [i for batch in read(order, 3 * epoch, 3 * epoch + 3) for i in batch]
        assert len(visited) == len(set(visited)) == 9
        assert set(visited) <= set(range(10))


def test_epochs_and_seeds_differ() -> None:
    order = Order(patches=64, batch_size=32, seed=1)
    assert read(order, 0, 2) != read(order, 2, 4)
    assert read(order, 0, 2) != read(Order(patches=64, batch_size=32, seed=2), 0, 2)


def test_starting_later_gives_the_same_batches() -> None:
    order = Order(patches=20, batch_size=4, seed=5)
    assert read(order, 0, 12)[7:] == read(order, 7, 12)


def test_two_workers_share_each_batch() -> None:
    order = Order(patches=20, batch_size=4, seed=5)
    whole = read(order, 0, 6)
    shares = []
    for worker in range(2):
        batches = Batches(numbered(20), order)
        context = tf.distribute.InputContext(2, worker, 2)
        dataset = batches.dataset_function(0, 6, 2)(context)
        shares.append([[int(v) for v in b.images.numpy()[:, 0, 0, 0]] for b in dataset])
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_two_local_replicas_get_consecutive_shares() -> None:
    order = Order(patches=20, batch_size=4, seed=5)
    dataset = Batches(numbered(20), order).dataset_function(0, 3, 2)(tf.distribute.InputContext())
    elements = list(dataset)
    assert [(int(b.step), int(b.first_row)) for b in elements] == [
        (0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2),
    ]  # fmt: skip


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"needs 8 training patches; the data hold 7"):
        Order(patches=7, batch_size=8, seed=0)


def test_batch_that_replicas_cannot_share_is_refused() -> None:
    batches = Batches(numbered(20), Order(patches=20, batch_size=5, seed=0))
    with pytest.raises(TrainingError, match=r"multiple of the 2 replicas; got 5"):
        batches.dataset_function(0, 1, 2)


def test_failure_of_the_source_is_kept() -> None:
    class Broken(ArrayPatches):
        def read(self, indices: np.ndarray) -> np.ndarray:
            raise OSError("disk on fire")

    order = Order(patches=4, batch_size=2, seed=0)
    batches = Batches(Broken(np.zeros((4, 2, 2), np.float32)), order)
    with pytest.raises(tf.errors.OpError):
        next(iter(batches.dataset_function(0, 1, 1)(tf.distribute.InputContext())))
    assert str(batches.failure) == "disk on fire"


class InBlocks(ArrayPatches):
    """Numbered patches that remembers what it was told to expect, and what was read."""

    def __init__(self, count: int, block: int) -> None:
        super().__init__(np.zeros((count, 2, 2), np.float32))
        self.block_patches = block
        self.expected: list[list[int]] = []
        self.unexpected: list[int] = []

    def expect(self, blocks: Sequence[int]) -> None:
        self.expected.append(list(blocks))

    def read(self, indices: np.ndarray) -> np.ndarray:
        blocks = set((indices // self.block_patches).tolist())
        self.unexpected += sorted(blocks - set(self.expected[-1]))
        return super().read(indices)


class TestBlocks:
    SIZES = pytest.mark.parametrize(
        ("patches", "block", "window"),
        [
            (120, 10, 3), (123, 10, 3), (119, 10, 12), (9, 20, 2), (50, 50, 4), (64, 1, 8),
            (107, 10, 1),
        ],
    )  # fmt: skip

    def order(self, patches: int, block: int, window: int, *, batch_size: int = 1) -> Order:
        return Order(
            patches=patches, batch_size=batch_size, seed=3, block_patches=block,
            window_blocks=window,
        )  # fmt: skip

    @SIZES
    def test_every_epoch_is_another_permutation(
        self, patches: int, block: int, window: int
    ) -> None:
        order = self.order(patches, block, window)
        epochs = [
            order.indices(tf.constant(epoch * patches, tf.int64), tf.constant(0, tf.int64), patches)
            for epoch in range(2)
        ]
        for indices in epochs:
            assert sorted(indices.numpy()) == list(range(patches))
        assert (epochs[0].numpy() != epochs[1].numpy()).any()

    def test_patches_of_a_window_come_from_its_blocks_alone(self) -> None:
        order = self.order(120, 10, 3)
        indices = np.concatenate(read(order, 0, 120))
        windows = [set(part // 10) for part in indices.reshape(4, 30)]
        assert [len(blocks) for blocks in windows] == [3] * 4
        assert set.union(*windows) == set(range(12))
        # Neither the blocks nor the patches inside a window keep their order.
        assert list(dict.fromkeys(indices // 10)) != sorted(range(12))
        assert len(set(indices[:10] // 10)) > 1

    def test_a_rest_touches_one_block_more_at_most(self) -> None:
        order = self.order(127, 10, 3)
        indices = np.concatenate(read(order, 0, 127))
        for start in range(0, 127, 30):
            assert len(set(indices[start : start + 30] // 10)) <= 4

    def test_starting_later_and_sharing_change_nothing(self) -> None:
        order = self.order(123, 10, 3, batch_size=4)
        whole = read(order, 0, 61)
        assert whole[37:] == read(order, 37, 61)
        shares = []
        for worker in range(2):
            context = tf.distribute.InputContext(2, worker, 2)
            dataset = Batches(numbered(123), order).dataset_function(0, 61, 2)(context)
            shares.append([[int(v) for v in b.images.numpy()[:, 0, 0, 0]] for b in dataset])
        assert [a + b for a, b in zip(*shares, strict=True)] == whole

    def test_without_blocks_the_order_is_global(self) -> None:
        indices = np.concatenate(read(Order(patches=120, batch_size=1, seed=3), 0, 120))
        assert len(set(indices[:30] // 10)) > 6

    @pytest.mark.parametrize("batch_size", [4, 40])
    def test_source_expects_what_is_read_and_little_more(self, batch_size: int) -> None:
        source = InBlocks(123, 10)
        order = self.order(123, 10, 2, batch_size=batch_size)
        steps = 3 * order.steps_per_epoch
        for _ in Batches(source, order).dataset_function(0, steps, 1)(tf.distribute.InputContext()):
            pass
        assert source.unexpected == []
        windows_at_a_time = 2 + -(-8 * batch_size // 20)
        assert max(map(len, source.expected)) <= 3 * windows_at_a_time

    def test_source_that_prepares_nothing_is_not_asked(self) -> None:
        expect(numbered(10), np.arange(10))


class TestSpread:
    def test_evenly_over_all(self) -> None:
        assert spread(numbered(101), 5).tolist() == [0, 25, 50, 75, 100]

    def test_more_than_there_are(self) -> None:
        assert spread(numbered(3), 5).tolist() == [0, 1, 2]

    def test_of_nothing(self) -> None:
        assert len(spread(numbered(0), 5)) == 0

    def test_over_few_blocks(self) -> None:
        source = InBlocks(1000, 10)
        assert spread(source, 6).tolist() == [0, 1, 3, 5, 7, 9]
        chosen = spread(source, 25)
        assert len(set(chosen.tolist())) == 25
        assert sorted(set(chosen // 10)) == [0, 49, 99]
        expect(source, chosen)
        assert source.expected == [[0, 49, 99]]
