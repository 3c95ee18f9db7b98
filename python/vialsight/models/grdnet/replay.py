"""The nominal examples that looked most anomalous so far, to be shown again.

All of it is state of the training, so that a resumed run shows the same ones. Every replica of a
distribution keeps the same memory: it sees the examples of all of them.
"""

from typing import Any, NamedTuple

from vialsight.aliases import Tensor
from vialsight.pinned import tf

# Hardness of an empty place: anything is harder.
_EMPTY = -1e9


class Shown(NamedTuple):
    """Examples as the network sees them: image, averages of the whole patch, place of the crop.

    (n,S,S,1), (n,P/4,P/4,1) in [0,1], and int32 (n,2).
    """

    images: Tensor
    reduced: Tensor
    origins: Tensor


class Replay(tf.Module):  # type: ignore[misc]
    """Up to `places` examples and how hard each was: the mean of its largest logits."""

    def __init__(self, places: int, crop: int, reduced: int) -> None:
        super().__init__(name="replay")
        self.places = places
        # Half precision is finer than any sensor's noise.
        self._images = _state(tf.zeros((places, crop, crop, 1), tf.float16))
        self._reduced = _state(tf.zeros((places, reduced, reduced, 1), tf.float16))
        self._origins = _state(tf.zeros((places, 2), tf.int32))
        self._hardness = _state(tf.fill((places,), _EMPTY))

    @property
    def state(self) -> list[Any]:
        """What a checkpoint needs."""
        return [self._images, self._reduced, self._origins, self._hardness]

    def mixed_in(self, fresh: Shown, chosen: Tensor, draws: Tensor) -> tuple[Shown, Tensor]:
        """Replace the examples that are `chosen` bool (n,) by remembered ones.

        `draws` float32 (n,) in [0,1) says which. Returns them, and the place each one came from,
        int32 (n,), -1 for fresh ones. Nothing is replaced before every place is taken.
        """
        full = tf.reduce_min(self._hardness) > _EMPTY
        chosen = tf.logical_and(chosen, full)
        place = tf.cast(draws * self.places, tf.int32)
        old = Shown(
            tf.cast(tf.gather(self._images, place), tf.float32),
            tf.cast(tf.gather(self._reduced, place), tf.float32),
            tf.gather(self._origins, place),
        )
        square = tf.reshape(chosen, (-1, 1, 1, 1))
        mixed = Shown(
            tf.where(square, old.images, fresh.images),
            tf.where(square, old.reduced, fresh.reduced),
            tf.where(tf.reshape(chosen, (-1, 1)), old.origins, fresh.origins),
        )
        return mixed, tf.where(chosen, place, -1)

    def learn(self, shown: Shown, hardness: Tensor, nominal: Tensor, came_from: Tensor) -> None:
        """Note how hard nominal examples were: of those replayed, and of harder ones than known.

        `hardness`, `nominal` float32 (n,), `came_from` as `mixed_in` returned it.
        """
        shown, hardness, nominal, came_from = _of_all_replicas(shown, hardness, nominal, came_from)
        count = min(int(hardness.shape[0]), self.places)
        self._update_hardness(came_from, hardness)
        usable = tf.logical_and(nominal > 0.5, came_from < 0)
        order = tf.math.top_k(tf.where(usable, hardness, _EMPTY), count)
        easiest = tf.math.top_k(-self._hardness, count)
        better = order.values > -easiest.values
        rows, places = (
            tf.boolean_mask(order.indices, better),
            tf.boolean_mask(easiest.indices, better),
        )
        _put(self._images, places, tf.cast(tf.gather(shown.images, rows), tf.float16))
        _put(self._reduced, places, tf.cast(tf.gather(shown.reduced, rows), tf.float16))
        _put(self._origins, places, tf.gather(shown.origins, rows))
        _put(self._hardness, places, tf.boolean_mask(order.values, better))

    def _update_hardness(self, came_from: Tensor, hardness: Tensor) -> None:
        # A place that was shown twice in a step gets the mean, whatever the order of writing.
        replayed = came_from >= 0
        places = tf.boolean_mask(came_from, replayed)
        sums = tf.math.unsorted_segment_mean(
            tf.boolean_mask(hardness, replayed), places, self.places
        )
        seen = tf.math.bincount(places, minlength=self.places, maxlength=self.places) > 0
        _assign(self._hardness, tf.where(seen, sums, self._hardness))


def _of_all_replicas(shown: Shown, *rows: Tensor) -> tuple[Any, ...]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return (shown, *rows)
    gathered = [context.all_gather(part, axis=0) for part in (*shown, *rows)]
    count = int(rows[0].shape[0]) * context.num_replicas_in_sync
    for part, one in zip(gathered, (*shown, *rows), strict=True):
        part.set_shape((count, *one.shape[1:]))
    return (Shown(*gathered[:3]), *gathered[3:])


def _state(value: Tensor) -> Any:
    return tf.Variable(value, trainable=False)


def _put(variable: Any, places: Tensor, values: Tensor) -> None:
    # By handle: every replica writes the same into its own copy.
    tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=places, updates=values)


def _assign(variable: Any, value: Tensor) -> None:
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
