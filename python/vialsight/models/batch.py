"""What a training step is given."""

from typing import Any, NamedTuple

Tensor = Any  # tf.Tensor has no usable stubs


class Batch(NamedTuple):
    """One replica's share of a step: images (n,P,P,1), the step, its first row in the batch."""

    images: Tensor
    step: Tensor
    first_row: Tensor
