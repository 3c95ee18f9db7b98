"""Figures of a report against scikit-learn, hand counts, and the evidence's files read anew."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from report_support import combined, evidence_of
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from vialsight.data import DEFECTIVE, NOMINAL, UNKNOWN
from vialsight.errors import DataError
from vialsight.evaluation.evidence import EVIDENCE_NAMES, Evidence, read_evidence, write_evidence
from vialsight.evaluation.findings import find, severity_band


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """24 strips in 10 runs, 10 of them defective; the patches of one are of unknown truth."""
    return evidence_of(tmp_path_factory.mktemp("evidence"), frames=2)


@pytest.fixture(scope="module")
def findings(evidence: Evidence):
    return find(evidence)


class TestTables:
    def test_regions(self, evidence: Evidence, findings) -> None:
        for region, row in enumerate(findings.patch[:-1]):
            scores, truth = evidence.scores[..., region], evidence.truth[..., region]
            known = truth != UNKNOWN
            labels, phi = truth[known] == DEFECTIVE, scores[known].astype(float)
            rejected = phi > evidence.thresholds["patch"][region]
            assert row.unit == evidence.regions[region]
            assert (row.nominal, row.defective) == ((~labels).sum(), labels.sum())
            assert (row.false_rejects, row.detected) == (
                (rejected & ~labels).sum(),
                (rejected & labels).sum(),
            )
            assert row.auroc == pytest.approx(roc_auc_score(labels, phi))
            assert row.average_precision == pytest.approx(average_precision_score(labels, phi))
            assert row.f1 == pytest.approx(f1_score(labels, rejected))
            assert row.accuracy == pytest.approx((rejected == labels).mean())

    def test_vials(self, evidence: Evidence, findings) -> None:
        row = findings.patch[-1]
        counts = {"nominal": 0, "defective": 0, "false_rejects": 0, "detected": 0}
        thresholds = evidence.thresholds["patch"]
        for scores, truth in zip(evidence.scores, evidence.truth, strict=True):
            for vial in range(scores.shape[1]):
                values = set(truth[:, vial].ravel().tolist())
                if DEFECTIVE not in values and UNKNOWN in values:
                    continue
                rejected = bool((scores[:, vial].astype(float) > thresholds).any())
                defective = DEFECTIVE in values
                counts["defective" if defective else "nominal"] += 1
                counts["detected" if defective else "false_rejects"] += rejected
        assert {name: getattr(row, name) for name in counts} == counts

    def test_strips(self, evidence: Evidence, findings) -> None:
        row = findings.strip
        over = evidence.scores.astype(float) - np.array(evidence.thresholds["strip"])
        rejected = (over > 0).any(axis=(1, 2, 3))
        assert row.detected == (rejected & evidence.defective).sum()
        assert row.false_rejects == (rejected & ~evidence.defective).sum()
        expected = roc_auc_score(evidence.defective, over.max(axis=(1, 2, 3)))
        assert row.auroc == pytest.approx(expected)
        rates = row.detection_rate, row.false_reject_rate
        assert row.balanced_accuracy == pytest.approx((rates[0] + 1 - rates[1]) / 2)

    def test_runs(self, evidence: Evidence, findings) -> None:
        over = evidence.scores.astype(float) > np.array(evidence.thresholds["run"])
        rejected = over.any(axis=(1, 2, 3))
        right = {False: 0, True: 0}
        for product in set(evidence.products):
            mine = [i for i, name in enumerate(evidence.products) if name == product]
            label = bool(evidence.defective[mine[0]])
            right[label] += sum(bool(rejected[i]) == label for i in mine) >= 7
        assert findings.run.detected == right[True]
        assert findings.run.nominal - findings.run.false_rejects == right[False]
        assert (findings.run.nominal, findings.run.defective) == (14, 10)
        assert findings.run.auroc is None

    def test_intervals_of_the_run_level_are_wilsons(self, findings) -> None:
        from statsmodels.stats.proportion import proportion_confint

        run = findings.run
        expected = proportion_confint(run.detected, run.defective, method="wilson")
        assert run.detection_rate_interval == pytest.approx(expected)

    def test_intervals_hold_the_figures_and_grow_with_clusters(self, evidence, findings) -> None:
        from statsmodels.stats.proportion import proportion_confint

        for row in (*findings.patch, findings.strip):
            for name in ("accuracy", "false_reject_rate", "auroc", "average_precision"):
                interval, value = getattr(row, f"{name}_interval"), getattr(row, name)
                if interval is None:
                    # Told apart without an error in every resample: no width, hence no interval.
                    assert value == 1.0
                else:
                    assert interval[0] <= value <= interval[1]
        # The runs of a strip agree with one another: as if independent, the interval is too narrow.
        strip = findings.strip
        low, high = strip.false_reject_rate_interval
        naive = proportion_confint(strip.false_rejects, strip.nominal, method="wilson")
        assert high - low > 1.3 * (naive[1] - naive[0])

    def test_same_evidence_same_figures(self, evidence: Evidence, findings) -> None:
        assert find(evidence) == findings


class TestOtherFigures:
    def test_classes(self, evidence: Evidence, findings) -> None:
        kinds = [row for row in findings.classes if row.severity == "all"]
        bands = [row for row in findings.classes if row.kind == "all"]
        assert sum(row.strips for row in kinds) == sum(row.strips for row in bands) == 10
        assert sum(row.detected for row in kinds) == findings.strip.detected
        assert sum(row.confirmed for row in kinds) == findings.run.detected

    @pytest.mark.parametrize(
        ("severity", "band"),
        [
            (0.0, "low"),
            (0.333, "low"),
            (0.334, "middle"),
            (0.667, "high"),
            (1.0, "high"),
        ],
    )
    def test_severity_bands(self, severity: float, band: str) -> None:
        assert severity_band(severity) == band

    def test_unknown_severity(self) -> None:
        assert severity_band(None) is None

    def test_latency(self, evidence: Evidence, findings) -> None:
        total = next(row for row in findings.latency if row.stage == "total")
        assert total.p99_ms == pytest.approx(1e3 * np.quantile(evidence.times["total_s"], 0.99))
        assert total.max_ms == pytest.approx(1e3 * evidence.times["total_s"].max())

    def test_drift(self, evidence: Evidence, findings) -> None:
        from scipy.stats import spearmanr

        means = [
            evidence.scores[np.array(evidence.products) == name][..., 2].max(axis=(1, 2)).mean()
            for name in dict.fromkeys(evidence.products)
            if not evidence.defective[evidence.products.index(name)]
        ]
        expected = spearmanr(np.arange(len(means)), means)
        assert findings.drift[2].rho == pytest.approx(expected.statistic)
        assert findings.drift[2].strips == 14

    def test_knapp_takes_the_lines_verdicts(self, evidence: Evidence, findings) -> None:
        container = findings.knapp.containers[0]
        mine = np.array(evidence.products) == container.product
        assert container.machine_inspections == 10
        assert container.machine_rejects == int((~evidence.accepted[mine]).sum())


class TestLimits:
    def test_runs_of_unequal_number(self, evidence: Evidence) -> None:
        short = _part(evidence, np.arange(len(evidence.products)) != 5)
        findings = find(short)
        assert findings.run is None
        assert any("these have 9 to 10" in text for text in findings.limitations)

    def test_no_defective_strips(self, evidence: Evidence) -> None:
        part = dataclasses.replace(_part(evidence, ~evidence.defective), defects=(), manual=())
        findings = find(dataclasses.replace(part, pixels=None))
        assert findings.strip.detection_rate is None
        assert findings.strip.auroc is None
        assert findings.strip.balanced_accuracy_interval is None
        assert any("nothing is known of the detection rate" in t for t in findings.limitations)

    def test_no_nominal_strips(self, evidence: Evidence) -> None:
        part = dataclasses.replace(_part(evidence, evidence.defective), manual=(), pixels=None)
        findings = find(part)
        assert findings.strip.false_reject_rate is None
        assert findings.drift[0].rho is None
        assert any("nothing is known of the false reject rate" in t for t in findings.limitations)

    def test_one_strip(self, evidence: Evidence) -> None:
        one = np.array(evidence.products) == "S020"
        part = dataclasses.replace(
            _part(evidence, one), defects=(), manual=(), pixels=None, pictures=()
        )
        findings = find(part)
        assert any("one physical strip only" in text for text in findings.limitations)
        assert findings.strip.nominal == 10

    def test_region_without_defects_and_unknown_patches_are_named(self, evidence: Evidence) -> None:
        truth = np.where(evidence.truth == DEFECTIVE, NOMINAL, evidence.truth)
        notes = " ".join(find(dataclasses.replace(evidence, truth=truth)).limitations)
        assert "Region 'flag' has no patch known to be defective" in notes
        assert "10 inspections of defective strips have no mask" in notes


def vouched(folder: Path) -> Path:
    """Write the hashes of the files as they are into identity.json."""
    path = folder / "identity.json"
    content = json.loads(path.read_text())
    for name in content["files"]:
        content["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(content))
    return folder


class TestFiles:
    def test_read_back_gives_the_same_figures_and_files(
        self, evidence: Evidence, findings, tmp_path: Path
    ) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        write_evidence(evidence, tmp_path / "one")
        back = read_evidence(tmp_path / "one")
        assert find(back) == findings
        np.testing.assert_array_equal(back.scores, evidence.scores)
        write_evidence(back, tmp_path / "two")
        names = [name for name in EVIDENCE_NAMES if name != "poses.csv"]
        for name in names:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    @pytest.mark.parametrize(
        "missing", ["identity.json", "strips.csv", "scores.csv", "pictures.csv"]
    )
    def test_missing_file(self, evidence: Evidence, tmp_path: Path, missing: str) -> None:
        write_evidence(evidence, tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(DataError, match=rf"evaluate(?s:.*){missing}"):
            read_evidence(tmp_path)

    def test_row_left_out_of_the_scores(self, evidence: Evidence, tmp_path: Path) -> None:
        write_evidence(evidence, tmp_path)
        lines = (tmp_path / "scores.csv").read_text().splitlines(keepends=True)
        (tmp_path / "scores.csv").write_text("".join(lines[:7] + lines[8:]))
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(vouched(tmp_path))

    @pytest.mark.parametrize("bad", ["nan", "inf", "-", ""])
    def test_score_that_is_no_number(self, evidence: Evidence, tmp_path: Path, bad: str) -> None:
        write_evidence(evidence, tmp_path)
        lines = (tmp_path / "scores.csv").read_text().splitlines(keepends=True)
        lines[9] = lines[9].rpartition(",")[0] + f",{bad}\n"
        (tmp_path / "scores.csv").write_text("".join(lines))
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(vouched(tmp_path))

    def test_rows_of_another_strip(self, evidence: Evidence, tmp_path: Path) -> None:
        write_evidence(evidence, tmp_path)
        text = (tmp_path / "strips.csv").read_text().replace("S003,1,", "S999,1,", 1)
        (tmp_path / "strips.csv").write_text(text)
        with pytest.raises(DataError, match="in their order"):
            read_evidence(vouched(tmp_path))

    def test_no_json(self, evidence: Evidence, tmp_path: Path) -> None:
        write_evidence(evidence, tmp_path)
        content = json.loads((tmp_path / "identity.json").read_text())
        del content["thresholds"]
        (tmp_path / "identity.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="thresholds"):
            read_evidence(tmp_path)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (",defective,", ",Defective,"),
            (",reject,", ",ok,"),
            (",flag,", ",other,"),
            ("S003,1,1,1,", "S003,1,2,1,"),
        ],
    )
    def test_word_that_is_none_of_the_known(
        self, evidence: Evidence, tmp_path: Path, old: str, new: str
    ) -> None:
        write_evidence(evidence, tmp_path)
        for name in ("strips.csv", "scores.csv"):
            text = (tmp_path / name).read_text()
            (tmp_path / name).write_text(text.replace(old, new, 1))
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(vouched(tmp_path))

    def test_altered_missing_and_added_files_are_listed(
        self, evidence: Evidence, tmp_path: Path
    ) -> None:
        write_evidence(evidence, tmp_path)
        rows = (tmp_path / "scores.csv").read_text().splitlines(keepends=True)
        (tmp_path / "scores.csv").write_text("".join([*rows[:1], rows[2], rows[1], *rows[3:]]))
        (tmp_path / "pixels.npz").unlink()
        picture = next((tmp_path / "pictures").iterdir())
        picture.write_bytes(picture.read_bytes() + b" ")
        with pytest.raises(DataError) as error:
            read_evidence(tmp_path)
        listed = str(error.value).splitlines()[1:]
        expected = ["scores.csv: altered", "pixels.npz: missing"]
        assert [line.strip() for line in listed] == [*expected, f"pictures/{picture.name}: altered"]

    def test_file_that_was_not_there(self, evidence: Evidence, tmp_path: Path) -> None:
        write_evidence(dataclasses.replace(evidence, defects=()), tmp_path)
        (tmp_path / "defects.csv").write_text("product,kind,severity,vial\nS001,chip,,\n")
        with pytest.raises(DataError, match=r"defects\.csv: added"):
            read_evidence(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"PK", b"[]", b"\0" * 100])
    def test_pixels_that_are_none(self, evidence: Evidence, tmp_path: Path, content: bytes) -> None:
        write_evidence(evidence, tmp_path)
        (tmp_path / "pixels.npz").write_bytes(content)
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(vouched(tmp_path))

    @pytest.mark.parametrize("text", ["[]", "0", "null", "[" * 100_000, '{"files": []}'])
    def test_identity_of_another_kind(self, evidence: Evidence, tmp_path: Path, text: str) -> None:
        write_evidence(evidence, tmp_path)
        (tmp_path / "identity.json").write_text(text)
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(tmp_path)


def _part(evidence: Evidence, chosen: np.ndarray) -> Evidence:
    """The evidence of some runs only."""
    names = [name for name, keep in zip(evidence.products, chosen, strict=True) if keep]
    return dataclasses.replace(
        evidence,
        products=tuple(names),
        runs=evidence.runs[chosen],
        defective=evidence.defective[chosen],
        accepted=evidence.accepted[chosen],
        reasons=tuple(np.array(evidence.reasons)[chosen]),
        scores=evidence.scores[chosen],
        component_scores=evidence.component_scores[chosen],
        truth=evidence.truth[chosen],
        times={stage: values[chosen] for stage, values in evidence.times.items()},
        defects=tuple(d for d in evidence.defects if d.product in names),
        manual=tuple(m for m in evidence.manual if m.product in names),
    )


class TestComponents:
    @pytest.fixture(scope="class")
    @classmethod
    def several(cls, evidence: Evidence) -> Evidence:
        return combined(evidence)

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls, several: Evidence):
        return {(row.component, row.unit): row for row in find(several).components}

    def test_one_component_is_not_measured_again(self, findings) -> None:
        assert findings.components == ()

    def test_every_unit_of_every_component(self, several: Evidence, rows) -> None:
        units = (*several.regions, "strip")
        assert list(rows) == [(name, unit) for name in ("ssim", "msgms") for unit in units]

    def test_patches(self, several: Evidence, rows) -> None:
        for region, name in enumerate(several.regions):
            truth = several.truth[..., region]
            known = truth != UNKNOWN
            numbers = several.component_scores[..., region, 1][known]
            expected = roc_auc_score(truth[known] == DEFECTIVE, numbers)
            assert rows["msgms", name].auroc == pytest.approx(expected)

    def test_strips_by_what_is_comparable_between_regions(self, several: Evidence, rows) -> None:
        entry = several.score.normalisation[1]
        numbers = several.component_scores[..., 1].astype(float)
        comparable = (numbers - np.array(entry["offset"])) / np.array(entry["scale"])
        expected = roc_auc_score(several.defective, comparable.max(axis=(1, 2, 3)))
        assert rows["msgms", "strip"].auroc == pytest.approx(expected)
        unlike = roc_auc_score(several.defective, numbers.max(axis=(1, 2, 3)))
        assert expected != pytest.approx(unlike, abs=1e-3)

    def test_component_that_is_always_the_largest_is_as_phi(self, several: Evidence, rows) -> None:
        for row in find(several).patch[:-1]:
            alone = rows["ssim", row.unit]
            assert alone.auroc == pytest.approx(row.auroc, abs=1e-4)
            assert alone.auroc_interval == pytest.approx(row.auroc_interval, abs=1e-4)
            assert (alone.nominal, alone.defective) == (row.nominal, row.defective)

    def test_without_a_normalisation_numbers_are_compared_as_they_are(
        self, several: Evidence
    ) -> None:
        score = dataclasses.replace(several.score, normalisation=None)
        rows = find(dataclasses.replace(several, score=score)).components
        expected = roc_auc_score(
            several.defective, several.component_scores[..., 0].max(axis=(1, 2, 3))
        )
        assert rows[len(several.regions)].auroc == pytest.approx(expected)

    def test_evidence_holds_them(self, several: Evidence, tmp_path: Path) -> None:
        write_evidence(several, tmp_path)
        restored = read_evidence(tmp_path)
        assert restored.score == several.score
        np.testing.assert_array_equal(restored.component_scores, several.component_scores)

    @pytest.mark.parametrize(
        "entries",
        [
            [],
            [{"component": "ssim"}],
            [{"component": n, "offset": [0.0]} for n in ("ssim", "msgms")],
        ],
        ids=["no entries", "one component", "no scale"],
    )
    def test_normalisation_of_another_score(
        self, several: Evidence, tmp_path: Path, entries: list
    ) -> None:
        write_evidence(several, tmp_path)
        path = tmp_path / "identity.json"
        description = json.loads(path.read_text())
        description["score"]["normalisation"] = entries
        path.write_text(json.dumps(description))
        with pytest.raises(DataError, match="expected the report folder"):
            read_evidence(tmp_path)

    def test_number_that_is_not_finite(self, several: Evidence, tmp_path: Path) -> None:
        numbers = several.component_scores.copy()
        numbers[0, 0, 0, 0, 1] = np.nan
        write_evidence(dataclasses.replace(several, component_scores=numbers), tmp_path)
        with pytest.raises(DataError, match=r"values of 'score.msgms' that are not finite"):
            read_evidence(tmp_path)
