"""Report files hold what the evaluation found, and the page needs nothing else."""

import csv
import html.parser
import json
from pathlib import Path

import numpy as np
import pytest

from vialsight.errors import DataError
from vialsight.measures import Evaluation, Outcomes, StripResult, measure
from vialsight.report import write_report


@pytest.fixture
def evaluation() -> Evaluation:
    scores = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    defective = np.array([False, False, True, True])
    units = [
        Outcomes(unit=name, scores=scores, defective=defective, rejected=scores > 0.25)
        for name in ("<cell>", "vial", "strip")
    ]
    units[0] = Outcomes(
        unit="<cell>",
        scores=np.tile(scores, 2),
        defective=np.tile(defective, 2),
        rejected=np.tile(scores > 0.35, 2),
    )
    strips = tuple(
        StripResult(
            product=f"<p{i}>",
            run=1,
            defective=bool(defective[i]),
            accepted=i != 3,
            reason="none" if i != 3 else "defect",
            score=float(scores[i]),
        )
        for i in range(4)
    )
    identity = {
        "bundle": "b & c",
        "bundle_sha256": "f" * 64,
        "level": "strip",
        "thresholds": {"<cell>": 0.35},
    }
    measures = tuple(measure(unit) for unit in units)
    return Evaluation(identity=identity, measures=measures, outcomes=tuple(units), strips=strips)


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]


def test_json_holds_all(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["identity"]["bundle_sha256"] == "f" * 64
    assert [row["unit"] for row in report["measures"]] == ["<cell>", "vial", "strip"]
    assert report["measures"][2]["detected"] == 2
    assert report["strips"][3] == {
        "product": "<p3>", "run": 1, "defective": True, "accepted": False, "reason": "defect",
        "score": pytest.approx(0.4),
    }  # fmt: skip


def test_csv_holds_integer_counts(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path / "report")
    with (tmp_path / "report" / "measures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["nominal"] == "4"
    assert rows[0]["detected"] == "2"
    assert float(rows[0]["detection_rate"]) == 0.5
    with (tmp_path / "report" / "strips.csv").open(newline="") as file:
        assert [row["product"] for row in csv.DictReader(file)] == ["<p0>", "<p1>", "<p2>", "<p3>"]


def test_page_is_self_contained_and_escaped(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    parser = _Links()
    parser.feed(page)
    assert parser.loaded == []
    assert "script" not in parser.tags
    assert parser.tags.count("svg") == 3
    assert "<cell>" not in page
    assert "&lt;p2&gt;" in page  # accepted though defective: among the wrong verdicts
    assert "&lt;p3&gt;" not in page


def test_equal_evaluations_give_equal_pages(evaluation: Evaluation, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(evaluation, tmp_path / name)
    one, two = (tmp_path / name / "report.html" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_existing_folder_is_kept(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="exists; choose another name"):
        write_report(evaluation, tmp_path)
    assert list(tmp_path.iterdir()) == []
