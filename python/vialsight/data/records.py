"""Rows of `dataset.csv`: reading with every check, writing."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.files.tables import Row, read_table, table_text

TABLE_NAME: Final = "dataset.csv"
COLUMNS: Final = ("image", "product", "run", "frame", "label", "split", "mask")
LABELS: Final = ("nominal", "defective")
SPLITS: Final = ("train", "validation", "calibration", "test")
_LISTED: Final = 10
# Choose between looks of the character before.
_VARIANTS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One image of the data: a frame of one run of one product."""

    image: Path
    product: str
    run: int = 1
    frame: int = 1
    label: str
    split: str = ""  # empty: in no split
    mask: Path | None = None

    @property
    def defective(self) -> bool:
        """Whether the product is labelled defective."""
        return self.label == "defective"


def read_records(folder: Path) -> tuple[Record, ...]:
    """Read and check `folder/dataset.csv`; relative paths are taken from `folder`.

    Raises DataError naming lines and values that are wrong: columns, labels, splits, numbers,
    duplicates, missing files, a product in two splits or with two labels.
    """
    rows = _read_rows(folder / TABLE_NAME)
    problems = [f"line {line}: {text}" for line, row in rows for text in _row_problems(row)]
    raise_listed(f"{folder / TABLE_NAME}: wrong values", problems)
    records = tuple(_record(folder, row) for _, row in rows)
    _check_duplicates(records)
    _check_products(records)
    check_files(records)
    return records


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Write `folder/dataset.csv` atomically; files outside `folder` get absolute paths."""
    rows: list[Sequence[Any]] = [COLUMNS]
    for record in records:
        mask = None if record.mask is None else path_text(folder, record.mask)
        image = path_text(folder, record.image)
        numbers = (record.run, record.frame)
        rows.append((image, record.product, *numbers, record.label, record.split, mask))
    atomic.write_text(folder / TABLE_NAME, table_text(rows))


def check_files(records: Sequence[Record]) -> None:
    """Raise DataError naming the images and masks that do not exist."""
    paths = [record.image for record in records]
    paths += [record.mask for record in records if record.mask is not None]
    missing = [str(path) for path in paths if not path.is_file()]
    raise_listed("files named in the data do not exist", missing)


def raise_listed(title: str, problems: Sequence[str]) -> None:
    """Raise DataError with the first problems listed, or return when there are none."""
    if not problems:
        return
    items = list(problems[:_LISTED])
    if len(problems) > _LISTED:
        items.append(f"and {len(problems) - _LISTED} more")
    raise DataError(f"{title} ({len(problems)}):", items)


def product_key(product: str) -> str:
    """Return what two names of one product have in common.

    Case, white space around and inside, invisible characters and the Unicode form do not count:
    tables that people and programs hand on change them.
    """
    text = unicodedata.normalize("NFKC", product).casefold()
    visible = (c for c in text if unicodedata.category(c) != "Cf" and c not in _VARIANTS)
    return " ".join(unicodedata.normalize("NFKC", "".join(visible)).split())


def refuse_overlap(products: Iterable[str], used: Iterable[str], purpose: str) -> None:
    """Raise DataError listing the products that were already used for `purpose`."""
    raise_listed(
        f"products already used for {purpose}; take products the bundle has not seen",
        sorted(set(products) & set(used)),
    )


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    header, rows = read_table(path, hint=f"a dataset is a folder with {TABLE_NAME} and layout.json")
    _check_columns(path, header)
    return _named_cells(path, rows)


def _named_cells(path: Path, rows: Sequence[Row]) -> list[tuple[int, dict[str, str]]]:
    if not rows:
        raise DataError(f"{path}: expected at least one row, the table is empty")
    problems = [
        f"line {line}: {len(cells)} cells" for line, cells in rows if len(cells) != len(COLUMNS)
    ]
    raise_listed(f"{path}: expected {len(COLUMNS)} cells ({','.join(COLUMNS)})", problems)
    return [(line, dict(zip(COLUMNS, cells, strict=True))) for line, cells in rows]


def _check_columns(path: Path, header: Sequence[str]) -> None:
    if header == COLUMNS:
        return
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    details = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    raise DataError(
        f"{path}: expected the columns {','.join(COLUMNS)} in this order; "
        f"{'; '.join(details) or 'order or number differs'}"
    )


def _row_problems(row: dict[str, str]) -> list[str]:
    problems = [f"{name} is empty" for name in ("image", "product") if not row[name].strip()]
    problems += [
        f"{name} must be an integer from 1, got {row[name]!r}"
        for name in ("run", "frame")
        if not _is_positive_integer(row[name])
    ]
    if row["label"] not in LABELS:
        problems.append(f"label must be {' or '.join(LABELS)}, got {row['label']!r}")
    if row["split"] not in ("", *SPLITS):
        problems.append(f"split must be {', '.join(SPLITS)} or empty, got {row['split']!r}")
    if has_control_characters(row["product"]):
        problems.append(f"product must be text on one line, got {row['product']!r}")
    if row["mask"] and row["label"] == "nominal":
        problems.append("a nominal image has no defect mask; leave mask empty")
    return problems


def has_control_characters(text: str) -> bool:
    """Whether a name holds line ends, tabs or the like, which tables and lists cannot show."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _is_positive_integer(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1


def _record(folder: Path, row: dict[str, str]) -> Record:
    return Record(
        image=_absolute(folder, row["image"]),
        product=row["product"],
        run=int(row["run"]),
        frame=int(row["frame"]),
        label=row["label"],
        split=row["split"],
        mask=_absolute(folder, row["mask"]) if row["mask"] else None,
    )


def _check_duplicates(records: Sequence[Record]) -> None:
    images = Counter(str(record.image) for record in records)
    raise_listed("images listed more than once", [path for path, n in images.items() if n > 1])
    frames = Counter((record.product, record.run, record.frame) for record in records)
    raise_listed(
        "product, run and frame listed more than once",
        [f"product {p!r} run {r} frame {f}" for (p, r, f), n in frames.items() if n > 1],
    )


def _check_products(records: Sequence[Record]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    for record in records:
        key = product_key(record.product)
        splits[key].add(record.split)
        names[key].add(record.product)
        labels[record.product].add(record.label)
    raise_listed(
        "products in more than one split (a product belongs to one; case, white space and the "
        "Unicode form make no other product)",
        [
            f"{', '.join(map(ascii, sorted(names[key])))}: {_words(found)}"
            for key, found in splits.items()
            if len(found) > 1
        ],
    )
    raise_listed(
        "products with more than one label",
        [f"{product!r}: {_words(found)}" for product, found in labels.items() if len(found) > 1],
    )


def _words(values: set[str]) -> str:
    return ", ".join(value or "(none)" for value in sorted(values))


def _absolute(folder: Path, text: str) -> Path:
    path = (folder / text).absolute()
    if ".." not in path.parts:
        return path
    # Through a link to the folder `..` leads elsewhere than from the folder itself.
    return Path(os.path.normpath(folder.resolve() / text))


def path_text(folder: Path, path: Path) -> str:
    """Return a path as tables in `folder` name it.

    Relative below the folder and below the one that holds it, so that both can be moved together;
    absolute elsewhere.
    """
    root, path = folder.absolute(), path.absolute()
    beside = root.parent != root.parent.parent and path.is_relative_to(root.parent)
    return os.path.relpath(path, root) if beside else str(path)
