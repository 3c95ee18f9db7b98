"""Batches are a pure function of (seed, step), whoever reads them."""

import numpy as np
import pytest
import tensorflow as tf

from vialsight.errors import TrainingError
from vialsight.pipeline import ArrayPatches, Batches, Order

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


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), r"shape \(n,P,P\)"),
        (np.zeros((3, 4, 4)), "must be float32; got float64"),
    ],
)
def test_array_patches_refuse_other_arrays(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArrayPatches(array)
