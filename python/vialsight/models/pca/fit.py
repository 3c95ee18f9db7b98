"""Principal components from one pass over the patches, in bounded memory.

The components found so far, scaled by what they explain, stand for all rows before; a batch of rows
is merged by a decomposition of both together, with one more row for the shift of the mean (Ross et
al. 2008, Incremental learning for robust visual tracking, section 3.1).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

# Components beyond those wanted, so that what is cut off while merging is not what is wanted.
OVERSAMPLING: Final = 32
# Directions with less than this share of the largest variance are rounding errors.
_SMALLEST_SHARE: Final = 1e-12


class StreamingComponents:
    """Mean and leading principal components of rows (n,D) that come in batches.

    Memory: (rank + rows of a batch)·D doubles. Exact while no more than `rank` directions have
    been seen.
    """

    def __init__(self, size: int, rank: int) -> None:
        self._rank = rank
        self._scaled = np.empty((0, size))  # components times singular values, (k,D)
        self.count = 0
        self.mean = np.zeros(size)
        self.total = 0.0  # sum of squares about the mean

    def merge(self, rows: npt.NDArray[np.floating]) -> None:
        """Add rows (m,D), m >= 1."""
        new = np.asarray(rows, np.float64)
        mean = new.mean(axis=0)
        count = self.count + len(new)
        shift = np.sqrt(self.count * len(new) / count) * (mean - self.mean)
        centred = new - mean
        self.total += float(np.square(centred).sum() + np.square(shift).sum())
        self._scaled = _leading(np.concatenate([self._scaled, centred, shift[None]]), self._rank)
        self.mean += (mean - self.mean) * (len(new) / count)
        self.count = count

    def components(self) -> tuple[Float64, Float64]:
        """Return orthonormal components (k,D), strongest first, and their shares of variance."""
        squares = np.square(self._scaled).sum(axis=1)
        shares = squares / self.total if self.total > 0.0 else squares
        return self._scaled / np.sqrt(squares)[:, None], shares


def _leading(rows: Float64, rank: int) -> Float64:
    """Return at most `rank` orthogonal rows with the scatter of `rows`, strongest first.

    By the small Gram matrix: rows are few and long.
    """
    squares, vectors = np.linalg.eigh(rows @ rows.T)
    order = np.argsort(squares)[::-1][:rank]
    kept = order[squares[order] > _SMALLEST_SHARE * max(float(squares[-1]), np.finfo(float).tiny)]
    return np.asarray(vectors[:, kept].T @ rows)


def enough_for(shares: Float64, variance: float) -> int | None:
    """Return how many leading components explain this share of the variance; None: not all do."""
    reached = np.flatnonzero(np.cumsum(shares) >= variance)
    return int(reached[0]) + 1 if len(reached) else None
