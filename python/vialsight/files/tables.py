"""CSV tables as all our files are: UTF-8, comma separated, a header, lines ending in LF."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vialsight.errors import DataError

Row = tuple[int, list[str]]  # line of the file, cells


def read_table(path: Path, *, hint: str) -> tuple[tuple[str, ...], list[Row]]:
    """Return the header and the rows that are not empty.

    Raises DataError when the file is missing, with `hint` saying what belongs there, or is no
    UTF-8 CSV table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = tuple(next(reader, []))
            return header, [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {hint}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a UTF-8 CSV table, cannot read it ({error})") from error


def table_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows, the header first, as CSV text; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
