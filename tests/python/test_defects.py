"""`defects.csv`: what is read is what was written; every malformed row is named."""

from pathlib import Path

import pytest

from vialsight.data import KnownDefect, check_defects, read_defects, write_defects
from vialsight.errors import DataError

HEADER = "product,kind,severity,vial\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "defects.csv"
    path.write_text(text)
    return path


def test_round_trip(tmp_path: Path) -> None:
    defects = (
        KnownDefect(product="a,b", kind="scratch", severity=0.509, vial=4),
        KnownDefect(product="a,b", kind="foam"),
        KnownDefect(product="c", kind="underfill", severity=0.0, vial=1),
    )
    write_defects(tmp_path / "defects.csv", defects)
    assert read_defects(tmp_path / "defects.csv") == defects


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("p,foam,0.5", "expected 4 cells, got 3"),
        (",foam,0.5,1", "product is empty"),
        ("p,,0.5,1", "kind is empty"),
        ("p, ,0.5,1", "kind is empty"),
        ("p,fo\tam,0.5,1", "kind must be text on one line"),
        ("p,all,0.5,1", "kind must not be 'all'"),
        ("p,foam,1.5,1", "severity must be a number from 0 to 1"),
        ("p,foam,nan,1", "severity must be a number from 0 to 1"),
        ("p,foam,gross,1", "severity must be a number from 0 to 1"),
        ("p,foam,0.5,0", "vial must be an integer from 1"),
        ("p,foam,0.5,x", "vial must be an integer from 1"),
    ],
)
def test_malformed_row(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(DataError, match=f"line 3: {problem}"):
        read_defects(written(tmp_path, f"{HEADER}p,foam,0.5,1\n{row}\n"))


@pytest.mark.parametrize("text", ["", "product,kind\n", "kind,product,severity,vial\n"])
def test_other_columns(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="expected the columns product,kind,severity,vial"):
        read_defects(written(tmp_path, text))


def test_no_text(tmp_path: Path) -> None:
    path = tmp_path / "defects.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="expected a UTF-8 CSV table"):
        read_defects(path)


def test_products_that_are_not_defective(tmp_path: Path) -> None:
    defects = [KnownDefect(product=name, kind="foam") for name in ("good", "bad", "none")]
    with pytest.raises(DataError, match=r"'good': labelled nominal\n  product 'none': not in"):
        check_defects(tmp_path, defects, {"good": False, "bad": True}, vials=5)


def test_vial_that_the_layout_has_not(tmp_path: Path) -> None:
    defects = [KnownDefect(product="bad", kind="foam", vial=6)]
    with pytest.raises(DataError, match="'bad': vial 6, where the layout has 5"):
        check_defects(tmp_path, defects, {"bad": True}, vials=5)
