"""Where patches come from, as whoever reads them sees it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches


class PatchSource(Protocol):
    """Something patches can be read from, by any number of threads, always the same ones."""

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""

    @property
    def block_patches(self) -> int | None:
        """Neighbouring patches that are cheap to read together; None: any patch is."""

    def __len__(self) -> int: ...

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices` int64 (n,) as float32 (n,P,P) in [0,1]."""


@runtime_checkable
class ReadAhead(Protocol):
    """What a source offers that prepares its blocks before they are read."""

    @property
    def block_patches(self) -> int | None:
        """Patches of a block."""

    def expect(self, blocks: Sequence[int]) -> None:
        """Blocks that are read next, in this order; all others may be forgotten."""


def expect(source: PatchSource, indices: npt.NDArray[np.int64]) -> None:
    """Tell a source that prepares blocks that these patches are read next, and no others."""
    if isinstance(source, ReadAhead):
        source.expect(np.unique(indices // (source.block_patches or 1)).tolist())


def even_groups(patches: int, regions: int, count: int) -> npt.NDArray[np.int64]:
    """Return indices (g,R) of g <= `count` groups of a patch of each region, evenly over them all.

    Patch i of `patches` is of region i modulo `regions`.
    """
    groups = patches // regions
    first = np.unique(np.linspace(0, groups - 1, min(count, groups)).astype(np.int64)) * regions
    return np.asarray(first[:, np.newaxis] + np.arange(regions))


def spread(source: PatchSource, count: int) -> npt.NDArray[np.int64]:
    """Return `count` indices, or as many as there are, spread evenly over a source.

    Where the source has blocks they are spread over as few blocks as can hold them.
    """
    count = min(count, len(source))
    if not count:
        return np.empty(0, np.int64)
    if source.block_patches is None:
        return np.linspace(0, len(source) - 1, count).astype(np.int64)
    size = min(source.block_patches, len(source))
    blocks = np.linspace(0, len(source) // size - 1, -(-count // size)).astype(np.int64)
    shares = np.array_split(np.arange(count), len(blocks))
    return np.concatenate(
        [
            block * size + np.linspace(0, size - 1, len(share)).astype(np.int64)
            for block, share in zip(blocks, shares, strict=True)
        ]
    )
