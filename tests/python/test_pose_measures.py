"""Figures of poses, and of evaluations with products that were not located, counted by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from report_page import PageParser, written
from report_support import combined, evidence_of, located, small_kit
from sklearn.metrics import average_precision_score, roc_auc_score

from vialsight.data import UNKNOWN
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import find
from vialsight.evaluation.pose_measures import CoordinateMeasures, pose_measures
from vialsight.report import tables
from vialsight.report.values import report_values


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence_of(tmp_path_factory.mktemp("kit"), strips=16, defective=7, frames=3)


@pytest.fixture(scope="module")
def lost(plain: Evidence) -> list[int]:
    """Two inspections of nominal strips and one of a defective strip."""
    nominal, defective = np.flatnonzero(~plain.defective), np.flatnonzero(plain.defective)
    return [int(nominal[2]), int(nominal[30]), int(defective[11])]


@pytest.fixture(scope="module")
def evidence(plain: Evidence, lost: list[int]) -> Evidence:
    return located(plain, lost=lost, truth=True)


def of(evidence: Evidence, name: str) -> CoordinateMeasures:
    measures = pose_measures(evidence)
    assert measures is not None
    return next(row for row in measures.coordinates if row.coordinate == name)


def test_nothing_where_nothing_is_located(plain: Evidence) -> None:
    findings = find(plain)
    assert findings.poses is None
    assert "poses" not in report_values(plain, findings)
    assert "pose_measures.csv" not in tables(findings)


def test_counts(evidence: Evidence) -> None:
    measures = pose_measures(evidence)
    assert (measures.frames, measures.frames_not_located) == (480, 3)
    assert (measures.inspections, measures.not_located) == (160, 3)


def test_frames_that_do_not_agree_are_not_located_inspections(plain: Evidence) -> None:
    reasons = ("not_located", *plain.reasons[1:])
    apart = dataclasses.replace(located(plain), reasons=reasons)
    measures = pose_measures(apart)
    assert (measures.frames_not_located, measures.not_located) == (0, 1)


@pytest.mark.parametrize(("name", "place"), [("dx", 0), ("dy", 1), ("turn", 2)])
def test_spread_is_numpys(evidence: Evidence, name: str, place: int) -> None:
    values = evidence.poses.pose[~evidence.not_located][..., place].ravel()
    row = of(evidence, name)
    assert row.mean == pytest.approx(np.mean(values))
    assert row.standard_deviation == pytest.approx(np.sqrt(np.var(values, ddof=1)))
    assert row.percentile_5 == pytest.approx(np.quantile(values, 0.05))
    assert row.percentile_95 == pytest.approx(np.quantile(values, 0.95))


def test_apart_is_within_an_inspection(evidence: Evidence) -> None:
    kept = evidence.poses.pose[~evidence.not_located][..., 1]
    assert of(evidence, "dy").apart == max(max(row) - min(row) for row in kept.tolist())


def test_drift_is_seen_where_it_is(plain: Evidence) -> None:
    poses = located(plain).poses
    pose = np.zeros_like(poses.pose)
    random = np.random.default_rng(3)
    pose[..., 0] = np.linspace(0, 2, len(pose))[:, None] + random.normal(0, 0.1, (len(pose), 1))
    pose[..., 1] = random.normal(0, 0.1, (len(pose), 1))
    evidence = dataclasses.replace(located(plain), poses=dataclasses.replace(poses, pose=pose))
    dx, dy = of(evidence, "dx"), of(evidence, "dy")
    assert dx.drift == pytest.approx(2.0, abs=0.1)
    assert dx.drift_interval[0] > 1.8
    assert dy.drift_interval[0] < 0.0 < dy.drift_interval[1]


def test_error_is_less_the_gauge(evidence: Evidence) -> None:
    known = ~evidence.not_located
    difference = (evidence.poses.pose - evidence.poses.truth)[known][..., 0].ravel()
    errors = sorted(abs(difference - np.median(difference)))
    row = of(evidence, "dx")
    assert row.error_worst == pytest.approx(errors[-1])
    assert row.error_median == pytest.approx(np.median(errors))
    assert row.error_median < 0.05
    assert of(evidence, "residual").error_median is None


def test_no_error_without_truth(plain: Evidence) -> None:
    assert of(located(plain), "dx").error_worst is None


def test_nothing_located_at_all(plain: Evidence) -> None:
    gone = located(plain, lost=range(len(plain.products)))
    gone = dataclasses.replace(
        gone, poses=dataclasses.replace(gone.poses, found=np.zeros_like(gone.poses.found))
    )
    row = of(gone, "turn")
    assert (row.mean, row.apart, row.drift, row.drift_interval) == (None, None, None, None)


class TestCountedAsRejects:
    def test_strips(self, plain: Evidence, evidence: Evidence, lost: list[int]) -> None:
        found, before = find(evidence).strip, find(plain).strip
        new = [s for s in lost if plain.accepted[s]]
        assert found.nominal == before.nominal
        assert found.false_rejects == before.false_rejects + sum(~plain.defective[new])
        assert found.detected == before.detected + sum(plain.defective[new])

    def test_they_rank_above_every_score(self, evidence: Evidence, lost: list[int]) -> None:
        over = evidence.scores.astype(float) - np.array(evidence.thresholds["strip"])
        worst = over.max(axis=(1, 2, 3))
        worst[lost] = np.nanmax(worst) + 1.0
        strip = find(evidence).strip
        assert strip.auroc == pytest.approx(roc_auc_score(evidence.defective, worst))
        precision = average_precision_score(evidence.defective, worst)
        assert strip.average_precision == pytest.approx(precision)

    def test_patches_are_left_out(self, plain: Evidence, evidence: Evidence, lost) -> None:
        kept = (plain.truth != UNKNOWN)[..., 0]
        kept[lost] = False
        for row, region in zip(find(evidence).patch, evidence.regions, strict=False):
            assert row.unit == region
            assert row.nominal + row.defective == kept.sum()

    def test_said_in_a_sentence(self, evidence: Evidence) -> None:
        notes = [note for note in find(evidence).limitations if "not located" in note]
        assert len(notes) == 1
        assert notes[0].startswith("3 of 160 inspections were rejected")
        assert "180 patches are left out" in notes[0]

    def test_components_rank_them_alike(self, evidence: Evidence, lost: list[int]) -> None:
        joined = combined(dataclasses.replace(evidence, scores=np.nan_to_num(evidence.scores)))
        numbers = joined.score.comparable(joined.component_scores)
        for row in find(joined).components:
            if row.unit == "strip":
                place = joined.score.names.index(row.component)
                largest = numbers[..., place].max(axis=(1, 2, 3))
                largest[lost] = largest.max() + 1.0
                assert row.auroc == pytest.approx(roc_auc_score(joined.defective, largest))

    def test_score_drift_leaves_them_out(self, tmp_path: Path) -> None:
        plain = small_kit(tmp_path)
        nominal = np.flatnonzero(~plain.defective)
        names = set(np.array(plain.products)[nominal])
        once = located(plain, lost=nominal[:1].tolist())
        assert {row.strips for row in find(once).drift} == {len(names)}


def test_report_has_them(evidence: Evidence) -> None:
    findings = find(evidence)
    poses = report_values(evidence, findings)["poses"]
    assert (poses["frames"], poses["not_located"]) == (480, 3)
    assert [row["coordinate"] for row in poses["coordinates"]] == ["dx", "dy", "turn", "residual"]
    row = tables(findings)["pose_measures.csv"][0]
    assert (row["drift_low"], row["drift_high"]) == poses["coordinates"][0]["drift_interval"]


class TestPage:
    def test_what_the_table_says(self, evidence: Evidence) -> None:
        report = written(evidence, find(evidence))
        rows = {row[0]: row for row in PageParser(report.page).rows if len(row) == 8}
        dx = of(evidence, "dx")
        shown = rows["to the right, px"]
        assert shown[1] == f"{dx.mean:.2f}"
        assert shown[5].split() == [
            f"{dx.drift:+.2f}".replace("-", "−"),
            *(
                f"[{dx.drift_interval[0]:+.2f}, {dx.drift_interval[1]:+.2f}]".replace(
                    "-", "−"
                ).split()
            ),
        ]
        assert shown[7] == f"{dx.error_worst:.2f}"
        assert rows["residual, ‰"][6:] == ["–", "–"]
        assert (
            "3 of 160 inspections were rejected because the product was not located" in report.page
        )

    def test_errors_only_where_the_truth_is_known(self, plain: Evidence) -> None:
        evidence = located(plain)
        page = written(evidence, find(evidence)).page
        assert "error, worst" not in page
        assert "The product was found in all 480 frames." in page

    def test_nothing_of_it_where_nothing_is_located(self, plain: Evidence) -> None:
        page = written(plain, find(plain)).page
        assert "#poses" not in page
        assert "Where the products lay" not in page
