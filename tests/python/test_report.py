"""The page shows what was found, needs nothing else, and says what is missing."""

import dataclasses
import html
import json
import re
from pathlib import Path

import pytest
from report_page import PageParser, Report, written
from report_support import REGIONS, combined, evidence_of, small_kit

from vialsight.errors import DataError
from vialsight.evaluation.findings import find
from vialsight.report import report_values, tables, write_page
from vialsight.report import text as texts
from vialsight.report.decisions import decision_tables, threshold_rows
from vialsight.report.figures import drift
from vialsight.report.score import score_part


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """16 strips in 10 runs, with names that must be escaped."""
    evidence = small_kit(tmp_path_factory.mktemp("kit"), names="S<{:03d}>&")
    return written(evidence, find(evidence))


def test_page_needs_nothing_else(kit: Report) -> None:
    page = PageParser(kit.page)
    assert {"script", "link", "iframe", "object", "base", "form"}.isdisjoint(page.tags)
    assert [link[:40] for link in page.links if not link.startswith(("data:image/", "#"))] == []
    assert not re.search(r"@import|url\((?!#)", kit.page)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in kit.page


def test_anchors_lead_somewhere(kit: Report) -> None:
    page = PageParser(kit.page)
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids)
    assert {"decisions", "knapp", "gallery", "identity", "glossary"} <= anchors


def test_names_are_escaped(kit: Report) -> None:
    assert "S<0" not in kit.page
    assert html.escape(kit.evidence.pictures[0].product) in kit.page
    assert "<7>" not in kit.page
    assert "line &lt;7&gt; &amp; co" in kit.page


def test_same_input_gives_same_bytes(kit: Report, tmp_path: Path) -> None:
    write_page(kit.evidence, kit.findings, tmp_path)
    assert (tmp_path / "report.html").read_text("utf-8") == kit.page


def test_kit_has_every_kind_of_error(kit: Report) -> None:
    """What the other tests look at exists."""
    purposes = [picture.purpose for picture in kit.evidence.pictures]
    assert {"miss", "false_reject", "sample"} == set(purposes)
    assert kit.findings.run is not None
    assert kit.findings.knapp is not None


def test_confusion_holds_the_counts(kit: Report) -> None:
    rows = PageParser(kit.page).rows
    found = kit.findings
    assert found.run is not None
    levels = [("patch", row) for row in found.patch] + [("strip", found.strip), ("run", found.run)]
    for level, row in levels:
        counts = (
            row.detected,
            row.defective - row.detected,
            row.false_rejects,
            row.nominal - row.false_rejects,
        )
        assert [row.unit, level, *(f"{count:,}" for count in counts)] in rows


def test_tables_hold_rates_with_intervals(kit: Report) -> None:
    strip = kit.findings.strip
    decisions = kit.page[: kit.page.index("Confusion in counts")]
    (ours,) = (row for row in PageParser(decisions).rows if row[0] == "strip" and len(row) == 7)
    low, high = strip.detection_rate_interval or (0, 0)
    assert ours[1] == f"{strip.detected} of {strip.defective}"
    assert ours[2] == f"{strip.false_rejects} of {strip.nominal}"
    assert ours[3] == f"{strip.detection_rate:.4f} [{low:.4f},\N{NO-BREAK SPACE}{high:.4f}]"


def test_thresholds_of_the_paper_are_beside_its_score_only(kit: Report) -> None:
    published = [row.published for row in threshold_rows(kit.evidence)]
    assert all(published)
    assert not any(row.published for row in threshold_rows(combined(kit.evidence)))


def test_components_are_beside_their_combination(kit: Report, tmp_path: Path) -> None:
    evidence = dataclasses.replace(combined(kit.evidence), pictures=(), folder=tmp_path)
    found = find(evidence)
    several = written(evidence, found)
    rows = {row[0].split()[0]: row for row in PageParser(several.page).rows if len(row) == 6}
    shown = [f"{row.auroc:.4f}" for row in found.components if row.component == "msgms"]
    assert [cell[:6] for cell in rows["msgms"][1:]] == [shown[-1], *shown[:-1]]
    together = [f"{row.auroc:.4f}" for row in (found.strip, *found.patch[:-1])]
    assert [cell[:6] for cell in rows["φ"][1:]] == together
    assert "φ is the largest of 2 numbers (ssim, msgms), each less an offset" in several.page


def test_sum_is_named(kit: Report) -> None:
    evidence = combined(kit.evidence)
    score = dataclasses.replace(evidence.score, combine="sum")
    part = score_part(dataclasses.replace(evidence, score=score), kit.findings)
    assert part.name == "Score: the sum of what is above 0 of ssim, msgms"
    assert part.rows == ()


def test_summary_starts_with_integers(kit: Report) -> None:
    strip = kit.findings.strip
    detected = (
        f"{strip.detected} of {strip.defective} inspections of defective strips were rejected"
    )
    rejected = (
        f"{strip.false_rejects} of {strip.nominal} inspections of nominal strips were rejected"
    )
    assert kit.page.index(detected) < kit.page.index(rejected) < kit.page.index("Table 1")


def test_every_limitation_is_shown_once(kit: Report) -> None:
    for sentence in (*kit.evidence.limitations, *kit.findings.limitations):
        assert kit.page.count(sentence) == 1


def test_every_picture_is_embedded_with_its_caption(kit: Report) -> None:
    assert kit.page.count('<img src="data:image/webp;base64,') == len(kit.evidence.pictures)
    for title, purpose in (("accepted", "miss"), ("rejected", "false_reject")):
        number = sum(picture.purpose == purpose for picture in kit.evidence.pictures)
        assert f"but {title} ({number})</h3>" in kit.page
    picture = kit.evidence.pictures[0]
    place = f"run {picture.run}, frame {picture.frame}, vial {picture.vial}, {picture.region}: φ "
    assert f"{place}{picture.score:.6f}" in kit.page


def test_picture_that_is_missing_is_named(kit: Report, tmp_path: Path) -> None:
    evidence = dataclasses.replace(kit.evidence, folder=tmp_path)
    with pytest.raises(DataError, match=r"_\d+\.webp: expected a picture of the evaluation"):
        write_page(evidence, kit.findings, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_picture_that_is_broken_is_named(kit: Report, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    picture = kit.evidence.pictures[0]
    (tmp_path / "pictures" / picture.file).write_bytes(b"RIFF\x04\x00\x00\x00WEBP")
    evidence = dataclasses.replace(kit.evidence, folder=tmp_path, pictures=(picture,))
    with pytest.raises(DataError, match=re.escape(picture.file)):
        write_page(evidence, kit.findings, tmp_path)


def test_identity_is_complete(kit: Report) -> None:
    rows = PageParser(kit.page).rows
    assert ["machine.cpu", "Xeon E-2278GE"] in rows
    assert ["bundle_sha256", "3f" * 32] in rows
    assert ["config.regions", "flag, bottom"] in rows


def test_drift_draws_one_dot_per_inspection(kit: Report) -> None:
    """A dot is a stroke without length: its two coordinates are equal."""
    path = re.compile(r"M ([\d.]+ [\d.]+)\s*L \1\b")
    assert len(path.findall(drift(kit.evidence, 0))) == len(kit.evidence.products)


def test_values_are_plain_json(kit: Report) -> None:
    values = report_values(kit.evidence, kit.findings)
    again = json.loads(json.dumps(values, allow_nan=False))
    assert again["strip"]["detected"] == kit.findings.strip.detected
    assert again["identity"] == kit.evidence.identity
    assert again["rule"] == {"agree": 7, "runs": 10}
    assert again["thresholds"]["run"] == list(kit.evidence.thresholds["run"])
    assert again["inspections"] == 160
    assert again["strips"] == 16


def test_tables_are_flat(kit: Report) -> None:
    found = tables(kit.findings)
    names = ["measures", "classes", "pixels", "latency", "drift", "knapp", "reject_zone"]
    assert list(found) == [f"{name}.csv" for name in names]
    for rows in found.values():
        assert len({tuple(row) for row in rows}) == 1
        assert all(not isinstance(v, dict | list | tuple) for row in rows for v in row.values())
    measures = found["measures.csv"]
    assert [row["level"] for row in measures] == ["patch"] * 5 + ["strip", "run"]
    low, high = kit.findings.strip.accuracy_interval or (0, 0)
    assert (measures[5]["accuracy_low"], measures[5]["accuracy_high"]) == (low, high)
    assert "accuracy_interval" not in measures[5]


def test_paper_stands_beside_the_right_unit(kit: Report) -> None:
    rows = decision_tables(kit.evidence, kit.findings)
    assert rows.compared
    for row in rows.patch:
        assert row.published is not None
        assert row.published.unit == row.ours.unit
    # Beside tables 1 to 3, and beside those of the strips that people reject.
    assert kit.page.count("not a like-for-like comparison") == 2


def test_page_of_a_full_kit_is_small(kit: Report, tmp_path: Path) -> None:
    """2,610 inspections; what is written of them, pictures aside, does not depend on findings."""
    evidence = evidence_of(tmp_path, strips=261, defective=141, with_pictures=False)
    page = written(evidence, kit.findings).page
    assert len(evidence.products) == 2610
    assert evidence.regions == REGIONS
    assert len(page.encode()) < 3e6


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0"), (1.0, "100.0"), (0.9999, "99.99"), (0.00012, "0.01"), (0.967, "96.7")],
)
def test_percent_never_rounds_to_all_or_none(share: float, text: str) -> None:
    assert texts.percent(share) == f"{text}\N{NO-BREAK SPACE}%"


def test_small_p_value_is_a_bound() -> None:
    assert texts.probability(3e-7) == "< 0.0001"
    assert texts.probability(0.04567) == "0.0457"


def test_nested_identity_is_flattened_in_order() -> None:
    value = {"b": {"x": [1, 2], "y": None}, "a": "text", "c": []}
    assert texts.flat(value) == [("b.x", "1, 2"), ("b.y", "–"), ("a", "text"), ("c", "–")]
