"""Evaluation of a real bundle through the C++ core, from images to evidence."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import vialsight
from vialsight.calibration.fitting import calibrate
from vialsight.calibration.thresholds import RunRule, parse_objective
from vialsight.data import Dataset, KnownDefect, write_defects
from vialsight.errors import BundleError, DataError
from vialsight.evaluation import strip_inspections
from vialsight.evaluation.evaluate import ManualStudy, evaluate
from vialsight.evaluation.evidence import Evidence, read_evidence
from vialsight.evaluation.findings import Findings
from vialsight.report import new_report, rebuild_report
from vialsight.statistics.manual import ManualResult
from vialsight.statistics.pixels import PixelCounts

pytestmark = pytest.mark.tensorflow


def evaluated(bundle: Path, dataset: Dataset, out: Path, **options) -> tuple[Evidence, Findings]:
    loaded = vialsight.Bundle.load(bundle)
    with evaluate(loaded, dataset, out, **options) as evidence:
        return new_report(evidence, out)


@pytest.fixture(scope="module")
def report(tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path_factory) -> Path:
    """The report of the tiny test split; shared: never written into."""
    out = tmp_path_factory.mktemp("evaluation") / "report"
    evaluated(tiny_calibrated_bundle, tiny_dataset, out)
    return out


@pytest.fixture(scope="module")
def values(report: Path):
    return json.loads((report / "report.json").read_text())


class TestFiguresOfTheTestSplit:
    def test_units(self, values) -> None:
        counted = {m["unit"]: (m["nominal"], m["defective"]) for m in values["patch"]}
        # 4 nominal and 3 defective strips of 3 frames and 2 vials; the defect is in vial 1, bottom.
        assert counted == {"top": (42, 0), "bottom": (33, 9), "vial": (11, 3)}
        assert (values["strip"]["nominal"], values["strip"]["defective"]) == (4, 3)
        assert values["run"] is None

    def test_scores_are_the_inspectors(
        self, report: Path, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        bundle, evidence = vialsight.Bundle.load(tiny_calibrated_bundle), read_evidence(report)
        number = evidence.products.index("test-defective-0")
        records = [r for r in tiny_dataset.records if r.product == "test-defective-0"]
        frames = [np.array(Image.open(r.image)) for r in records]
        patches = [vialsight.extract_patches(frame, bundle.layout) for frame in frames]
        flat = np.concatenate(patches).reshape(-1, 32, 32)
        scores = vialsight.Inspector(bundle).score_patches(flat)
        np.testing.assert_allclose(evidence.scores[number].ravel(), scores, atol=1e-6)

    def test_pixel_measures_against_scikit_learn(
        self, values, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        from vialsight.data import load_frame, load_mask

        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        inspector, layout = vialsight.Inspector(bundle), bundle.layout
        maps, masks = [], []
        for record in tiny_dataset.select(split="test").records:
            patches = vialsight.extract_patches(load_frame(record.image, 8), layout)[:, 1].copy()
            # φ alone decides: its map is |X - X̂|.
            _, _, outputs = inspector.score_with_outputs(patches, regions=[1, 1])
            maps.append(np.abs(patches - outputs["reconstruction"]))
            mask = load_mask(record.mask) if record.mask else np.zeros((80, 96), bool)
            # The boxes of the bottom region are as large as the patch: no resampling to imitate.
            for vial in range(2):
                x, y, width, height = layout.box(vial, 1)
                masks.append(mask[y : y + height, x : x + width])
        expected = roc_auc_score(np.stack(masks).ravel(), np.concatenate(maps).ravel())
        bottom = next(row for row in values["pixels"] if row["region"] == "bottom")
        assert bottom["auroc"] == pytest.approx(expected, abs=2e-3)

    def test_score_is_named(self, values, report: Path) -> None:
        assert values["score"] == {"components": ["ssim"], "combine": None, "measures": []}
        assert values["identity"]["method"] == "drae"
        assert re.search(r"vialsight \S+, tensorflow \d", values["identity"]["trained_by"])
        page = (report / "report.html").read_text("utf-8")
        assert "φ is ssim: 1 − SSIM of patch and reconstruction" in page
        assert "Each component alone" not in page
        assert not (report / "components.csv").exists()

    def test_identity(self, values, tiny_calibrated_bundle: Path, tiny_dataset: Dataset) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        assert values["identity"]["bundle_sha256"] == bundle.sha256
        part = tiny_dataset.select(split="test")
        assert values["identity"]["test_data_sha256"] == part.sha256()
        assert values["thresholds"] == bundle.thresholds

    def test_a_picture_of_every_wrong_verdict(self, report: Path) -> None:
        evidence = read_evidence(report)
        wrong = {
            name
            for name, accepted, defective in zip(
                evidence.products, evidence.accepted, evidence.defective, strict=True
            )
            if accepted == defective
        }
        pictured = {p.product for p in evidence.pictures if p.purpose in ("miss", "false_reject")}
        assert pictured == wrong
        for picture in evidence.pictures:
            with Image.open(report / "pictures" / picture.file) as image:
                # Input, reconstruction, heatmap, and the mask of a defective patch.
                panels = 4 if picture.defective else 3
                assert image.size == (32 * panels, 32)

    def test_rebuilt_report_has_the_same_bytes(self, report: Path, tmp_path: Path) -> None:
        rebuild_report(report, tmp_path / "again")
        files = sorted(p.relative_to(report) for p in report.rglob("*") if p.is_file())
        again = tmp_path / "again"
        assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
        for name in files:
            assert (report / name).read_bytes() == (again / name).read_bytes(), name


class TestLabels:
    def test_images_without_masks_count_only_as_strips(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        records = tuple(dataclasses.replace(r, mask=None) for r in tiny_dataset.records)
        unmasked = dataclasses.replace(tiny_dataset, records=records)
        _, findings = evaluated(tiny_calibrated_bundle, unmasked, tmp_path / "out")
        counted = {m.unit: (m.nominal, m.defective) for m in (*findings.patch, findings.strip)}
        assert counted == {"top": (24, 0), "bottom": (24, 0), "vial": (8, 0), "strip": (4, 3)}
        assert findings.pixels == ()
        assert any("have no mask" in text for text in findings.limitations)

    def test_classes_come_from_the_table_of_defects(
        self, tiny_calibrated_bundle: Path, own_dataset_folder: Path, tmp_path: Path
    ) -> None:
        from vialsight.data import read_dataset

        kinds = {0: "chip", 1: "chip", 2: "crack"}
        write_defects(
            own_dataset_folder / "defects.csv",
            [KnownDefect(product=f"test-defective-{n}", kind=k) for n, k in kinds.items()],
        )
        _, findings = evaluated(
            tiny_calibrated_bundle, read_dataset(own_dataset_folder), tmp_path / "out"
        )
        assert {row.kind: row.strips for row in findings.classes} == {"chip": 2, "crack": 1}

    def test_thresholds_that_were_not_fitted_are_named(self, values) -> None:
        notes = " ".join(values["limitations"])
        assert "thresholds of the run level are copies of the strip level's" in notes
        assert "no defective patches of top: the patch thresholds there are quantiles" in notes

    @pytest.mark.parametrize(
        ("product", "problem"),
        [
            ("test-defectiv-0", "'test-defectiv-0': not in the data"),
            ("test-nominal-0", "'test-nominal-0': labelled nominal"),
        ],
    )
    def test_defect_of_a_product_that_has_none(
        self,
        tiny_calibrated_bundle: Path,
        own_dataset_folder: Path,
        tmp_path: Path,
        product,
        problem,
    ) -> None:
        from vialsight.data import read_dataset

        table = own_dataset_folder / "defects.csv"
        write_defects(table, [KnownDefect(product=product, kind="chip")])
        dataset = read_dataset(own_dataset_folder)
        with pytest.raises(DataError, match=problem):
            evaluated(tiny_calibrated_bundle, dataset, tmp_path / "out")


class TestKnapp:
    def test_study_is_part_of_the_report(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        products = tiny_dataset.select(split="test").products
        results = tuple(
            ManualResult(product=name, inspections=50, rejects=45 if "defective" in name else 2)
            for name in products
        )
        study = ManualStudy(results=results, margin=0.1)
        _, findings = evaluated(
            tiny_calibrated_bundle, tiny_dataset, tmp_path / "out", manual=study
        )
        assert findings.knapp.margin == 0.1
        assert [c.product for c in findings.knapp.containers] == list(products)
        assert findings.knapp.rze.man == pytest.approx(0.9)
        assert (tmp_path / "out" / "knapp.csv").is_file()

    def test_products_that_do_not_match_are_refused_before_the_work(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        results = (ManualResult(product="other", inspections=50, rejects=1),)
        with pytest.raises(DataError, match="other"):
            evaluated(
                tiny_calibrated_bundle,
                tiny_dataset,
                tmp_path / "out",
                manual=ManualStudy(results=results, margin=0.1),
            )
        assert list(tmp_path.iterdir()) == []


class TestLimitations:
    def test_strip_that_comes_twice_and_another_rule_are_stated(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        again = [
            dataclasses.replace(r, product="again")
            for r in tiny_dataset.records
            if r.product == "test-nominal-1"
        ]
        doubled = dataclasses.replace(tiny_dataset, records=(*tiny_dataset.records, *again))
        rule = RunRule(agree=2, runs=3)
        evidence, _ = evaluated(tiny_calibrated_bundle, doubled, tmp_path / "out", rule=rule)
        stated = " ".join(evidence.limitations)
        assert "6 images have the same pixels as an image of another product" in stated
        assert "the first of 'test-nominal-1' and 'again'" in stated
        assert "were fitted for 7 of 10, not for 2 of 3" in stated

    def test_nothing_to_state(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        bundle, out = vialsight.Bundle.load(tiny_bundle), tmp_path / "fitted.vsb"
        objective = parse_objective("nominal_quantile=0.9")
        calibrate(bundle, tiny_dataset, out, objective=objective, rule=RunRule(agree=1, runs=1))
        evidence, _ = evaluated(out, tiny_dataset, tmp_path / "out")
        assert evidence.limitations == ()


class TestRefusals:
    @pytest.mark.parametrize(("source", "purpose"), [("train", "training"), ("calibration",) * 2])
    def test_products_that_were_used_before(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path, source, purpose
    ) -> None:
        moved = tuple(
            dataclasses.replace(r, split="test") for r in tiny_dataset.records if r.split == source
        )
        overlapping = dataclasses.replace(tiny_dataset, records=moved)
        with pytest.raises(DataError, match=f"already used for {purpose}.*\n  {source}-"):
            evaluated(tiny_calibrated_bundle, overlapping, tmp_path / "out")

    @pytest.mark.parametrize(("source", "purpose"), [("train", "training"), ("calibration",) * 2])
    def test_images_that_were_used_before_under_another_name(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path, source, purpose
    ) -> None:
        product = f"{source}-nominal-1"
        moved = tuple(
            dataclasses.replace(r, split="test", product="renamed")
            for r in tiny_dataset.records
            if r.product == product
        )
        renamed = dataclasses.replace(tiny_dataset, records=moved)
        with pytest.raises(DataError, match=rf"{product}-1.png \({purpose}, same pixels"):
            evaluated(tiny_calibrated_bundle, renamed, tmp_path / "out", accept_lookalikes=True)
        assert list(tmp_path.iterdir()) == []

    def test_uncalibrated_bundle(
        self, tiny_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        with pytest.raises(BundleError, match="is not calibrated; run `vialsight calibrate`"):
            evaluated(tiny_bundle, tiny_dataset, tmp_path / "out")

    def test_strip_with_a_missing_frame(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        partial = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[:-1])
        with pytest.raises(DataError, match="test-defective-2/run 1: has 2"):
            evaluated(tiny_calibrated_bundle, partial, tmp_path / "out")

    def test_existing_output_is_kept(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="exists"):
            evaluated(tiny_calibrated_bundle, tiny_dataset, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_verdict_that_contradicts_its_scores(self, report: Path) -> None:
        from vialsight.evaluation.evaluate import _check_verdicts

        evidence = read_evidence(report)
        _check_verdicts(evidence)
        accepted = evidence.accepted.copy()
        accepted[2] = not accepted[2]
        with pytest.raises(BundleError, match=rf"1 verdicts.*{evidence.products[2]}/run 1"):
            _check_verdicts(dataclasses.replace(evidence, accepted=accepted))


class TestInterruption:
    def test_goes_on_where_it_was(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, report: Path, tmp_path: Path
    ) -> None:
        def interrupt(done: int, _: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

        out, calls = tmp_path / "out", []
        with pytest.raises(KeyboardInterrupt):
            evaluated(tiny_calibrated_bundle, tiny_dataset, out, progress=interrupt)
        assert not out.exists()
        evaluated(
            tiny_calibrated_bundle, tiny_dataset, out, progress=lambda done, _: calls.append(done)
        )
        assert calls == [5, 6, 7]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        # Only times differ from an evaluation in one go.
        for name in ("scores.csv", "pixels.csv", "measures.csv", "pictures.csv"):
            assert (out / name).read_bytes() == (report / name).read_bytes()

    def test_other_data_starts_anew(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        def interrupt(done: int, _: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

        out, calls = tmp_path / "out", []
        with pytest.raises(KeyboardInterrupt):
            evaluated(tiny_calibrated_bundle, tiny_dataset, out, progress=interrupt)
        records = tuple(r for r in tiny_dataset.records if r.product != "test-nominal-3")
        fewer = dataclasses.replace(tiny_dataset, records=records)
        evaluated(tiny_calibrated_bundle, fewer, out, progress=lambda done, _: calls.append(done))
        assert calls == [1, 2, 3, 4, 5, 6]

    def test_arrays_of_another_version_start_anew(
        self,
        tiny_calibrated_bundle: Path,
        tiny_dataset: Dataset,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def interrupt(done: int, _: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

        out, calls = tmp_path / "out", []
        with monkeypatch.context() as patch:
            patch.setattr(strip_inspections, "_ARRAYS_VERSION", 1)
            with pytest.raises(KeyboardInterrupt):
                evaluated(tiny_calibrated_bundle, tiny_dataset, out, progress=interrupt)
        evaluated(
            tiny_calibrated_bundle, tiny_dataset, out, progress=lambda done, _: calls.append(done)
        )
        assert calls[0] == 1

    def test_strip_interrupted_half_counted_is_counted_once(
        self,
        tiny_calibrated_bundle: Path,
        tiny_dataset: Dataset,
        report: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        counted, left = PixelCounts.add, iter(range(30))

        def interrupted(*arguments) -> None:
            counted(*arguments)
            if next(left, None) is None:
                raise KeyboardInterrupt

        out = tmp_path / "out"
        with monkeypatch.context() as patch:
            patch.setattr(PixelCounts, "add", interrupted)
            with pytest.raises(KeyboardInterrupt):
                evaluated(tiny_calibrated_bundle, tiny_dataset, out)
        evaluated(tiny_calibrated_bundle, tiny_dataset, out)
        for name in ("pixels.npz", "pictures.csv"):
            assert (out / name).read_bytes() == (report / name).read_bytes()

    def test_rows_in_another_order_start_anew(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, report: Path, tmp_path: Path
    ) -> None:
        def interrupt(done: int, _: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

        out = tmp_path / "out"
        with pytest.raises(KeyboardInterrupt):
            evaluated(tiny_calibrated_bundle, tiny_dataset, out, progress=interrupt)
        turned = dataclasses.replace(tiny_dataset, records=tiny_dataset.records[::-1])
        evaluated(tiny_calibrated_bundle, turned, out)
        scores = [set((path / "scores.csv").read_text().splitlines()) for path in (out, report)]
        assert scores[0] == scores[1]

    def test_folder_is_held_until_the_report_is_written(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        bundle, out = vialsight.Bundle.load(tiny_calibrated_bundle), tmp_path / "out"
        with evaluate(bundle, tiny_dataset, out) as evidence:
            with pytest.raises(DataError, match="another process evaluates into"):
                evaluated(tiny_calibrated_bundle, tiny_dataset, out)
            new_report(evidence, out)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_work_is_kept_where_the_report_cannot_be_written(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset, tmp_path: Path
    ) -> None:
        bundle, out = vialsight.Bundle.load(tiny_calibrated_bundle), tmp_path / "out"
        with pytest.raises(OSError, match="full"), evaluate(bundle, tiny_dataset, out):
            raise OSError("the disk is full")
        assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
        evaluated(tiny_calibrated_bundle, tiny_dataset, out)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
