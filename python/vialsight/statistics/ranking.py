"""How well scores rank defective above nominal units: AUROC, average precision, ROC, F1.

Ties are exact: units of one score form one group, and no order within it is assumed.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError

FloatArray = npt.NDArray[np.float64]
# Elements of one chunk of replicates: some ten arrays of this many 8-byte numbers live at once.
_CHUNK: Final = 500_000


class Replicates(NamedTuple):
    """AUROC and average precision float (B,) per replicate; NaN where a class was not drawn."""

    auroc: FloatArray
    average_precision: FloatArray


def auroc(scores: npt.NDArray[Any], defective: npt.NDArray[np.bool_]) -> float | None:
    """Probability that a defective unit scores above a nominal one, ties counting half.

    `scores` float (n,), `defective` bool (n,). None without one of the classes. Raises DataError
    on NaN. Source: Hanley & McNeil 1982, Radiology 143:29-36.
    """
    return _finite(_unweighted(scores, defective).auroc[0])


def average_precision(scores: npt.NDArray[Any], defective: npt.NDArray[np.bool_]) -> float | None:
    """Sum over distinct scores of precision times the gain in detection rate.

    `scores` float (n,), `defective` bool (n,). None without one of the classes. Raises DataError
    on NaN. Not interpolated, as in scikit-learn.
    """
    return _finite(_unweighted(scores, defective).average_precision[0])


def f1(detected: int, false_rejects: int, defective: int) -> float | None:
    """Harmonic mean of precision and detection rate; None without defective units."""
    if defective == 0:
        return None
    return 2 * detected / (detected + false_rejects + defective)


def ranking_replicates(
    scores: npt.NDArray[Any],
    defective: npt.NDArray[np.bool_],
    strip: npt.NDArray[np.integer[Any]],
    draws: npt.NDArray[np.integer[Any]],
) -> Replicates:
    """AUROC and average precision of every replicate of a bootstrap of strips.

    `scores` float (n,), `defective` bool (n,), `strip` int (n,) in 0..K-1 says which physical strip
    a unit belongs to, `draws` int (B, K) how often each strip was drawn: the weight of its units.
    Sorted once, then linear in n per replicate, in chunks of bounded memory. Raises DataError on
    NaN.
    """
    results = Replicates(np.full(len(draws), np.nan), np.full(len(draws), np.nan))
    if scores.size == 0:
        return results
    both_of_strips, positive_of_strips = _counts_of_strips(scores, defective, strip, draws.shape[1])
    draws_of_strips = np.ascontiguousarray(draws.T, np.float64)
    for part in _chunks(len(draws), both_of_strips.shape[0]):
        both = both_of_strips @ draws_of_strips[:, part]
        positive = positive_of_strips @ draws_of_strips[:, part]
        results.auroc[part] = auroc_of_counts(both - positive, positive)
        results.average_precision[part] = _average_precision_of_counts(both, positive)
    return results


def _counts_of_strips(
    scores: npt.NDArray[Any],
    defective: npt.NDArray[np.bool_],
    strip: npt.NDArray[np.integer[Any]],
    strips: int,
) -> tuple[Any, Any]:
    """Count all and the defective units per group and strip, as sparse matrices (G, strips).

    Groups are of equal scores, highest first; neighbouring groups without a defective unit are
    joined, since no figure depends on the order within them.
    """
    from scipy.sparse import csr_array

    order, starts = _tie_groups(scores)
    truth = defective[order]
    found = np.logical_or.reduceat(truth, starts)
    first = np.append(True, found[1:] | found[:-1])
    group = np.repeat(np.cumsum(first) - 1, np.diff(np.append(starts, order.size)))
    place, shape = (group, strip[order]), (int(group[-1]) + 1, strips)
    return (
        csr_array((np.ones(order.size), place), shape),
        csr_array((truth.astype(np.float64), place), shape),
    )


def auroc_of_counts(nominal: FloatArray, defective: FloatArray) -> FloatArray:
    """AUROC of counts float (G, ...) per group of equal scores, highest score first.

    Returns float (...); NaN without one of the classes. Exact while the pairs are below 2**52.
    """
    above = np.cumsum(defective, axis=0) - defective / 2
    wins = (above * nominal).sum(axis=0)
    return _divided(wins, nominal.sum(axis=0) * defective.sum(axis=0))


def roc_points(
    scores: npt.NDArray[Any], defective: npt.NDArray[np.bool_], limit: int = 200
) -> tuple[FloatArray, FloatArray]:
    """ROC as false reject and detection rates from (0, 0) to (1, 1), thinned for plotting.

    Points on a straight line between their neighbours go first, which changes nothing; where more
    than `limit` corners are left, those evenly spaced along the curve stay. Both arrays are empty
    without one of the classes. Raises DataError on NaN.
    """
    order, starts = _tie_groups(scores)
    detected = np.append(0, np.cumsum(defective[order]))[np.append(starts, order.size)]
    rejected = np.append(starts, order.size) - detected
    if detected[-1] == 0 or rejected[-1] == 0:
        return np.empty(0), np.empty(0)
    kept = _corners(rejected, detected)
    fpr, tpr = rejected[kept] / rejected[-1], detected[kept] / detected[-1]
    spaced = _evenly_spaced(fpr + tpr, limit)
    return fpr[spaced], tpr[spaced]


def _unweighted(scores: npt.NDArray[Any], defective: npt.NDArray[np.bool_]) -> Replicates:
    one_strip = np.zeros(scores.size, np.int64)
    return ranking_replicates(scores, defective, one_strip, np.ones((1, 1), np.int64))


def _finite(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _tie_groups(scores: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Order of falling scores, and where in it each group of equal scores starts."""
    missing = int(np.isnan(scores).sum())
    if missing:
        raise DataError(
            f"expected a score for every unit, {missing} of {scores.size} are NaN; "
            "leave out units that were not scored"
        )
    order = np.argsort(scores, kind="stable")[::-1]
    falling = scores[order]
    first = np.ones(scores.size, bool)
    first[1:] = falling[1:] != falling[:-1]
    return order, np.flatnonzero(first)


def _chunks(replicates: int, groups: int) -> Iterator[slice]:
    size = max(1, _CHUNK // groups)
    return (slice(start, start + size) for start in range(0, replicates, size))


def _average_precision_of_counts(both: FloatArray, defective: FloatArray) -> FloatArray:
    # Before anything was drawn both sums are 0; 1 only keeps 0 / 0 away.
    precision = np.cumsum(defective, axis=0) / np.maximum(np.cumsum(both, axis=0), 1)
    gains = (precision * defective).sum(axis=0)
    total = defective.sum(axis=0)
    return _divided(gains, np.where(both.sum(axis=0) > total, total, 0))


def _divided(values: npt.NDArray[Any], by: npt.NDArray[Any]) -> FloatArray:
    result = np.full(np.shape(values), np.nan)
    np.divide(values, by, out=result, where=by > 0)
    return result


def _corners(
    rejected: npt.NDArray[np.int64], detected: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    right, up = np.diff(rejected), np.diff(detected)
    bends = right[:-1] * up[1:] != right[1:] * up[:-1]
    return np.concatenate([[True], bends, [True]])


def _evenly_spaced(length: FloatArray, limit: int) -> npt.NDArray[np.intp]:
    """At most `limit` indices, first and last among them, evenly along `length`."""
    if length.size <= limit:
        return np.arange(length.size)
    targets = np.linspace(0, length[-1], limit)
    return np.unique(np.minimum(np.searchsorted(length, targets), length.size - 1))
