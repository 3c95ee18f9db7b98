"""Seeded splits by product, stratified by label."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vialsight.data.records import LABELS, SPLITS, Record, product_key
from vialsight.errors import DataError


@dataclass(frozen=True)
class Fractions:
    """Shares of the products of one label that go to each split; they sum to 1."""

    train: float
    validation: float
    calibration: float
    test: float

    def __post_init__(self) -> None:
        shares = self.shares
        if any(not math.isfinite(share) or share < 0 for share in shares):
            raise DataError(f"split fractions must be finite and not negative; got {shares}")
        if abs(sum(shares) - 1.0) > 1e-9:
            raise DataError(f"split fractions must sum to 1; got {shares}, sum {sum(shares)}")

    @property
    def shares(self) -> tuple[float, ...]:
        """The four fractions in the order of SPLITS."""
        return self.train, self.validation, self.calibration, self.test

    @classmethod
    def parse(cls, text: str) -> "Fractions":
        """Read percentages such as '60/5/15/20' (train/validation/calibration/test).

        Raises DataError when there are not four numbers that sum to 100.
        """
        try:
            percentages = [float(part) for part in text.split("/")]
            train, validation, calibration, test = percentages
        except ValueError as error:
            raise DataError(
                "expected four percentages train/validation/calibration/test, "
                f"e.g. 60/5/15/20; got {text!r}"
            ) from error
        return cls(train / 100, validation / 100, calibration / 100, test / 100)


def assign_splits(
    records: Sequence[Record], *, nominal: Fractions, defective: Fractions, seed: int
) -> tuple[Record, ...]:
    """Return the records with `split` set, all images of a product in one split.

    So are products whose names may be of one (`product_key`). Products are ordered by a hash of
    seed and name, so that the result is the same on every machine and with every library version.
    Counts are rounded by largest remainder.
    """
    chosen: dict[tuple[str, str], str] = {}
    for label, fractions in zip(LABELS, (nominal, defective), strict=True):
        first: dict[str, str] = {}
        for product in sorted({record.product for record in records if record.label == label}):
            first.setdefault(product_key(product), product)
        ordered = sorted(first, key=lambda key: _rank(seed, first[key]))
        splits = zip(ordered, _split_names(len(ordered), fractions), strict=True)
        chosen |= {(label, key): split for key, split in splits}
    return tuple(replace(r, split=chosen[r.label, product_key(r.product)]) for r in records)


def _split_names(count: int, fractions: Fractions) -> list[str]:
    counts = _rounded_counts(count, fractions.shares)
    return [name for name, size in zip(SPLITS, counts, strict=True) for _ in range(size)]


def _rounded_counts(total: int, shares: Sequence[float]) -> list[int]:
    exact = [total * share for share in shares]
    # A product 0.1 + 0.2 short of an integer must not lose a whole unit.
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def _rank(seed: int, product: str) -> bytes:
    return hashlib.sha256(f"{seed}:{product}".encode()).digest()
