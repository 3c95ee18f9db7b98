"""The shapes of DRAE's networks: the paper's, and ones that suit a CPU.

`drae-N` is the paper's, from full size on. `line-S` and `line-M` spend the same work where a CPU
does it fast: a patch is folded to a quarter of its size before the first convolution, channels are
multiples of 16, the width of a vector, and blocks have two convolutions (docs/methods.md has what
they cost).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Stages of an encoder; the decoder goes the same way back.

    `widths` are the channels of every stage. With `fold` 1 there is one stage a halving and each
    begins at the size before it (the paper's). Otherwise fold x fold pixels become one before the
    first stage, every further stage halves, and `repeats` are its blocks besides the halving one.
    """

    widths: tuple[int, ...]
    fold: int = 1
    repeats: tuple[int, ...] = ()

    @property
    def reduction(self) -> int:
        """Pixels of the patch, along one edge, to one of the last feature map."""
        halvings = len(self.widths) if self.fold == 1 else len(self.widths) - 1
        return int(self.fold * 2**halvings)


def _paper(last: int) -> Topology:
    """Four stages whose channels double up to `last`."""
    return Topology(widths=tuple(last >> shift for shift in (3, 2, 1, 0)))


# drae-1024 is the paper's, 16 and 32 serve small demonstrations.
TOPOLOGIES: Final[dict[str, Topology]] = {
    **{f"drae-{last}": _paper(last) for last in (16, 32, 64, 128, 256, 512, 1024)},
    "line-S": Topology(widths=(32, 48, 64, 96), fold=4, repeats=(0, 1, 1, 1)),
    "line-M": Topology(widths=(32, 64, 96, 96), fold=4, repeats=(1, 1, 2, 1)),
}
