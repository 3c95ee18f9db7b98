"""The report's files: made again they are the same, and they are as the document says."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_support import small_kit

from vialsight.evaluation.evidence import write_evidence
from vialsight.evaluation.findings import find
from vialsight.report import write_report

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "report.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    evidence = small_kit(folder)
    write_evidence(evidence, folder)
    write_report(evidence, find(evidence), folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_report_made_again_by_another_process_is_the_same(folder: Path, tmp_path: Path) -> None:
    """Python's hashes are salted anew in each process: no order may depend on them."""
    code = (
        "import sys, pathlib, vialsight.report as report\n"
        "report.rebuild_report(*map(pathlib.Path, sys.argv[1:]))"
    )
    again = tmp_path / "again"
    command = [sys.executable, "-c", code, str(folder), str(again)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "12345"}, timeout=300)
    assert contents(again) == contents(folder)


def test_example_computes_the_reports_auroc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, dict[str, float]] = {}
    exec(example, names)  # the document's own code
    with (folder / "measures.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["unit"]: row["auroc"] for row in csv.DictReader(file)}
    assert len(names["auroc"]) == 4
    for region, value in names["auroc"].items():
        assert value == pytest.approx(float(rows[region]), abs=1e-12)


def test_every_file_is_described(folder: Path) -> None:
    described = set(re.findall(r"`([\w./]+)`", DOCUMENT.read_text("utf-8")))
    written = {path.name + ("/" if path.is_dir() else "") for path in folder.iterdir()}
    assert written <= described
    assert {"manual.csv", "pixels.npz", "knapp.csv", "defects.csv"} <= written


@pytest.mark.parametrize("name", ["strips.csv", "scores.csv", "pictures.csv"])
def test_columns_are_described(folder: Path, name: str) -> None:
    line = next(x for x in DOCUMENT.read_text("utf-8").splitlines() if x.startswith(f"| `{name}`"))
    described = [c for part in re.findall(r"`([^`]+)`", line) for c in part.split(", ")]
    with (folder / name).open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert [column for column in described if column in header] == header
