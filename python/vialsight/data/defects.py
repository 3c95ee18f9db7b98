"""`defects.csv`: what is known of the defects of a dataset's products, beside `dataset.csv`."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.data.records import has_control_characters, raise_listed
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.files.tables import read_table, table_text

DEFECTS_NAME: Final = "defects.csv"
DEFECT_COLUMNS: Final = ("product", "kind", "severity", "vial")
# What reports call all kinds together.
ALL_KINDS: Final = "all"


@dataclass(frozen=True, kw_only=True)
class KnownDefect:
    """A defect of a product: its class, severity from 0 to 1 and vial from 1, where known."""

    product: str
    kind: str
    severity: float | None = None
    vial: int | None = None


def gravest(defects: Iterable[KnownDefect]) -> dict[str, KnownDefect]:
    """Return the defect of highest severity of each product; an unknown severity counts as 0."""
    return {d.product: d for d in sorted(defects, key=lambda d: d.severity or 0.0)}


def read_defects(path: Path) -> tuple[KnownDefect, ...]:
    """Read a table of defects; a product may have several, severity and vial may be empty.

    Raises DataError naming lines and values that are wrong.
    """
    header, rows = read_table(path, hint=f"expected a table {','.join(DEFECT_COLUMNS)}")
    if header != DEFECT_COLUMNS:
        expected, got = ",".join(DEFECT_COLUMNS), ",".join(header)
        raise DataError(f"{path}: expected the columns {expected}, got {got or 'none'}")
    problems = [f"line {line}: {text}" for line, cells in rows for text in _problems(cells)]
    raise_listed(f"{path}: wrong values", problems)
    return tuple(_defect(cells) for _, cells in rows)


def write_defects(path: Path, defects: Iterable[KnownDefect]) -> None:
    """Write a table of defects atomically."""
    rows = ((d.product, d.kind, d.severity, d.vial) for d in defects)
    atomic.write_text(path, table_text([DEFECT_COLUMNS, *rows]))


def check_defects(
    path: Path, defects: Sequence[KnownDefect], labels: dict[str, bool], *, vials: int
) -> None:
    """Raise DataError unless every product is known and defective, and has such a vial.

    `labels` says which products are defective.
    """
    problems = [
        f"product {product!r}: " + ("labelled nominal" if product in labels else "not in the data")
        for product in dict.fromkeys(defect.product for defect in defects)
        if not labels.get(product, False)
    ]
    problems += [
        f"product {defect.product!r}: vial {defect.vial}, where the layout has {vials}"
        for defect in defects
        if defect.vial is not None and defect.vial > vials
    ]
    raise_listed(f"{path}: expected defective products of the data", problems)


def _problems(cells: Sequence[str]) -> list[str]:
    if len(cells) != len(DEFECT_COLUMNS):
        return [f"expected {len(DEFECT_COLUMNS)} cells, got {len(cells)}"]
    product, kind, severity, vial = cells
    texts = {"product": product, "kind": kind}
    problems = [f"{name} is empty" for name, text in texts.items() if not text.strip()]
    problems += [
        f"{name} must be text on one line, got {text!r}"
        for name, text in texts.items()
        if has_control_characters(text)
    ]
    if kind == ALL_KINDS:
        problems.append(f"kind must not be {ALL_KINDS!r}, which stands for all kinds together")
    if severity and not _is_share(severity):
        problems.append(f"severity must be a number from 0 to 1 or empty, got {severity!r}")
    if vial and not (vial.isascii() and vial.isdigit() and len(vial) < 7 and int(vial) > 0):
        problems.append(f"vial must be an integer from 1 or empty, got {vial!r}")
    return problems


def _is_share(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and 0.0 <= value <= 1.0


def _defect(cells: Sequence[str]) -> KnownDefect:
    product, kind, severity, vial = cells
    return KnownDefect(
        product=product,
        kind=kind,
        severity=float(severity) if severity else None,
        vial=int(vial) if vial else None,
    )
