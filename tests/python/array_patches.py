"""Patches in memory, for tests of what reads patches from anywhere."""

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches


class ArrayPatches:
    """A PatchSource over an array float32 (n,P,P) in [0,1]."""

    block_patches: int | None = None

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    @property
    def patch_size(self) -> int:
        return int(self._patches.shape[1])

    def __len__(self) -> int:
        return len(self._patches)

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        return self._patches[indices]
