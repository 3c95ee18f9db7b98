"""What the data did not allow is said in a sentence, and what is odd in them can be drawn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from report_page import PageParser, Report, written
from report_support import evidence_of

from vialsight.data import UNKNOWN
from vialsight.evaluation.evidence import Picture
from vialsight.evaluation.findings import find
from vialsight.report import tables
from vialsight.report.figures import drift, histogram, roc


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """60 products of one patch, seen once: no runs, defects, masks or manual results."""
    folder = tmp_path_factory.mktemp("cells")
    one_patch = {"vials": 1, "regions": ("cell",), "frames": 1, "runs": 1}
    evidence = evidence_of(folder, strips=60, defective=20, with_defects=False, **one_patch)
    evidence = dataclasses.replace(evidence, manual=(), margin=None, pictures=(), limitations=())
    findings = find(evidence)
    return written(evidence, findings)


def test_many_pictures_are_grouped_and_closed(cells: Report) -> None:
    folder = cells.evidence.folder
    names = [path.name for path in sorted((folder / "pictures").iterdir())]
    many = tuple(
        Picture(
            file=names[k % len(names)],
            purpose="miss",
            product=f"<{k % 5}>",
            run=1,
            frame=1,
            vial=1,
            region="cell",
            score=0.01,
            threshold=0.02,
            defective=None,
        )
        for k in range(25)
    )
    page = written(dataclasses.replace(cells.evidence, pictures=many), cells.findings).page
    assert page.count("<details>") == 5
    assert page.count("<summary>&lt;4&gt;: 5 pictures</summary>") == 1
    assert "but accepted (25)</h3>" in page
    few = dataclasses.replace(cells.evidence, pictures=many[:24])
    assert "<details>" not in written(few, cells.findings).page


def test_parts_that_are_missing_are_stated(cells: Report) -> None:
    for sentence in (
        "There is no run level",
        "no figures by class and severity",
        "no pixel measures",
        "There is no Knapp study",
        "No nominal strip was rejected.",
        "No samples were drawn.",
        "this product has other regions",
        "Each product is one patch",
    ):
        assert sentence in cells.page
    assert "operating characteristic" not in cells.page.lower()
    assert "paper</th>" not in cells.page


def test_missing_pictures_are_not_taken_for_no_errors(cells: Report) -> None:
    """A strip was missed but no picture of it was kept: the gallery does not say "none"."""
    assert cells.findings.strip.detected < cells.findings.strip.defective
    assert "No defective strip was accepted." not in cells.page
    assert "pictures of them were not kept" in cells.page


def test_one_patch_has_no_vial_row(cells: Report) -> None:
    units = [row[0] for row in PageParser(cells.page).rows]
    assert "vial" not in units
    assert units.count("cell") >= 3


def test_region_of_one_class_has_no_roc(cells: Report) -> None:
    nominal = dataclasses.replace(
        cells.evidence, truth=np.zeros_like(cells.evidence.truth), defective=np.zeros(60, bool)
    )
    assert roc(nominal, 0) is None
    page = written(nominal, cells.findings).page
    assert "cell has no ROC: it needs nominal and defective patches." in page


def test_scores_that_are_not_finite_are_counted(cells: Report) -> None:
    scores = cells.evidence.scores.copy()
    scores[:3] = np.nan
    broken = dataclasses.replace(cells.evidence, scores=scores)
    assert "3 scores were not finite and are not drawn." in written(broken, cells.findings).page


def test_scores_that_are_all_equal_can_be_drawn(cells: Report) -> None:
    equal = dataclasses.replace(cells.evidence, scores=np.full_like(cells.evidence.scores, 0.5))
    for paint in (histogram, drift, roc):
        assert "<svg" in str(paint(equal, 0))


def test_one_inspection_can_be_shown(tmp_path: Path) -> None:
    one = evidence_of(tmp_path, strips=1, defective=0, runs=1, with_defects=False)
    one = dataclasses.replace(one, manual=(), margin=None)
    page = written(one, find(one)).page
    assert "There was no defective strip, so nothing is known of them." in page
    assert "too few nominal strips for a correlation" in page
    assert "There is one physical strip only" in page


def test_patches_of_unknown_truth_can_be_shown(cells: Report) -> None:
    unknown = dataclasses.replace(cells.evidence, truth=np.full_like(cells.evidence.truth, UNKNOWN))
    assert roc(unknown, 0) is None
    assert "<svg" in histogram(unknown, 0)


def test_parts_that_are_missing_have_no_table(cells: Report) -> None:
    assert list(tables(cells.findings)) == ["measures.csv", "latency.csv", "drift.csv"]
