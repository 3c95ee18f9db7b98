"""Tables of manual inspection: how often people rejected each container."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.data.records import raise_listed
from vialsight.errors import DataError
from vialsight.files.tables import Row, read_table

COLUMNS: Final = ("product", "inspections", "rejects")
INSPECTOR_COLUMNS: Final = ("product", "inspector", "inspections", "rejects")


@dataclass(frozen=True, kw_only=True, slots=True)
class ManualResult:
    """How often people inspected and rejected one container."""

    product: str
    inspections: int
    rejects: int


def read_manual(path: Path) -> tuple[ManualResult, ...]:
    """Read a CSV table of manual results, summed over the inspectors of a product.

    Columns are `product,inspections,rejects` or `product,inspector,inspections,rejects`. Products
    keep the order in which they first come. Raises DataError naming every wrong line: cells, names,
    numbers, more rejects than inspections, rows that come twice; or a file that cannot be read.
    """
    columns, rows = _read_rows(Path(path))
    problems = [
        f"line {line}: {text}" for line, cells in rows for text in _problems(columns, cells)
    ]
    problems += _repeated(columns, rows)
    raise_listed(f"{path}: wrong values", problems)
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for _, cells in rows:
        inspections, rejects = totals[cells[0]]
        totals[cells[0]] = (inspections + int(cells[-2]), rejects + int(cells[-1]))
    return tuple(
        ManualResult(product=product, inspections=inspections, rejects=rejects)
        for product, (inspections, rejects) in totals.items()
    )


def _read_rows(path: Path) -> tuple[Sequence[str], list[Row]]:
    header, rows = read_table(path, hint=f"expected a CSV table {','.join(COLUMNS)}")
    if header not in (COLUMNS, INSPECTOR_COLUMNS):
        raise DataError(
            f"{path}: expected the columns {','.join(COLUMNS)} or {','.join(INSPECTOR_COLUMNS)} "
            f"in this order, got {','.join(header) or 'an empty file'}"
        )
    if not rows:
        raise DataError(f"{path}: expected at least one row, the table is empty")
    return header, rows


def _problems(columns: Sequence[str], cells: list[str]) -> list[str]:
    if len(cells) != len(columns):
        return [f"expected {len(columns)} cells ({','.join(columns)}), got {len(cells)}"]
    row = dict(zip(columns, cells, strict=True))
    problems = [f"{name} is empty" for name in columns[:-2] if not row[name].strip()]
    wrong = [name for name in columns[-2:] if not _is_count(row[name])]
    problems += [f"{name} must be an integer from 0, got {row[name]!r}" for name in wrong]
    return problems if wrong else problems + _impossible(row)


def _impossible(row: dict[str, str]) -> list[str]:
    inspections, rejects = int(row["inspections"]), int(row["rejects"])
    if inspections == 0:
        return ["inspections must be at least 1, got 0; leave out what was not inspected"]
    if rejects > inspections:
        return [f"expected at most {inspections} rejects, one per inspection, got {rejects}"]
    return []


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _repeated(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """One problem for each line that repeats the names of an earlier one."""
    first: dict[tuple[str, ...], int] = {}
    problems = []
    for line, cells in rows:
        names = tuple(cells[: len(columns) - 2])
        if len(cells) == len(columns) and first.setdefault(names, line) != line:
            problems.append(
                f"line {line}: {' '.join(names)!r} comes twice, see line {first[names]}"
            )
    return problems
