"""One pass over the patches of a source, for what is fitted to them."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vialsight.aliases import Patches, Progress
from vialsight.data.sources import PatchSource, expect
from vialsight.errors import TrainingError

# Batches that are expected ahead of the one being read.
_AHEAD: Final = 8


def read_in_order(source: PatchSource, at_a_time: int, progress: Progress) -> Iterator[Patches]:
    """Yield all patches once, in order, float32 (n,P,P) with n up to `at_a_time`.

    `progress` is told of a batch when the next one is asked for. Raises TrainingError where a value
    is not finite.
    """
    for first in range(0, len(source), at_a_time):
        last = min(first + at_a_time, len(source))
        expect(source, np.arange(first, min(first + _AHEAD * at_a_time, len(source))))
        patches = source.read(np.arange(first, last))
        if not np.isfinite(patches).all():
            raise TrainingError(f"patches {first} to {last - 1} hold values that are not finite")
        yield patches
        progress(last, len(source))
