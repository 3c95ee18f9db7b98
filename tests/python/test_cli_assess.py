"""`calibrate`, `evaluate` and `report` as a user types them."""

import json
from pathlib import Path

import pytest
from cli_support import run

import vialsight

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def report(
    tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path_factory
) -> tuple[Path, str]:
    """A report folder and what `evaluate` printed."""
    out = tmp_path_factory.mktemp("cli") / "report"
    data = ("--data", tiny_dataset_folder)
    return out, run("evaluate", tiny_calibrated_bundle, *data, "--out", out).stdout


class TestCalibrate:
    def test_objective_and_rule_reach_the_bundle(
        self, tiny_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.vsb"
        done = run(
            "calibrate", tiny_bundle, "--data", tiny_dataset_folder, "--out", out,
            "--objective", "max_detection_at_false_reject=0.2", "--run-rule", "1/1", "--shared",
        )  # fmt: skip
        bundle = vialsight.Bundle.load(out)
        record = json.loads(bundle.manifest_json)["calibration"]
        assert record["objective"] == (
            "max_detection_at_false_reject=0.2, one threshold for all regions"
        )
        assert len(set(bundle.thresholds["strip"])) == 1
        assert record["run_rule"] == {"agree": 1, "runs": 1}
        assert record["levels"]["run"]["origin"] == "fitted"
        assert record["levels"]["strip"]["false_reject_rate"] <= 0.2
        assert done.stdout.startswith("score        ssim\n")
        assert "t_patch" in done.stdout
        assert "region 'top': no defective patches" in done.stderr

    def test_combined_score(
        self, tiny_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        out, data = tmp_path / "out.vsb", ("--data", tiny_dataset_folder)
        score = ("--score", "residual, msgms", "--combine", "sum")
        done = run("calibrate", tiny_bundle, *data, "--out", out, *score)
        line = (
            "score        the sum of what is above the median, of residual, msgms "
            "(normalised per region)\n"
        )
        assert done.stdout.startswith(line)
        assert "ok  golden patches" in run("verify", out).stdout
        shown = run("show", out).stdout
        assert line in shown
        entry = json.loads(vialsight.Bundle.load(out).manifest_json)["score"]["normalisation"][1]
        row = [entry[key][0] for key in ("offset", "scale", "map_scale")]
        assert ["msgms", "top", *(f"{value:.6f}" for value in row)] in [
            text.split() for text in shown.splitlines()
        ]

    @pytest.mark.parametrize(
        ("option", "value", "problem"),
        [
            ("--score", "ssim,mse", "that the bundle offers (ssim, ssim_local, residual,"),
            ("--score", "ssim,ssim", "each component once"),
            ("--combine", "sum", "expected several components to combine"),
            ("--objective", "f1", "objective must be one of balanced_accuracy"),
            ("--objective", "nominal_quantile=2", "expected a share"),
            ("--run-rule", "11/10", "expected AGREE/RUNS"),
            ("--quantile", "0", "nominal_quantile: expected a share"),
            ("--quantile", "most", "nominal_quantile: expected a number"),
        ],
    )
    def test_wrong_option(
        self, tiny_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path, option, value, problem
    ) -> None:
        out = tmp_path / "out.vsb"
        data = ("--data", tiny_dataset_folder)
        done = run("calibrate", tiny_bundle, *data, "--out", out, option, value, code=2)
        assert problem in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_show_says_what_was_fitted(self, tiny_calibrated_bundle: Path) -> None:
        text = run("show", tiny_calibrated_bundle).stdout
        assert "balanced_accuracy" in text
        assert "copied_from_strip" in text
        assert "run rule           7 of 10" in text
        assert "training_images    18\n" in text

    def test_show_says_what_the_network_gives_and_what_is_made_of_it(
        self, tiny_bundle: Path
    ) -> None:
        text = run("show", tiny_bundle).stdout
        manifest = json.loads((tiny_bundle / "manifest.json").read_text())
        version = manifest["provenance"]["runtime_version"]
        assert f"runtime      tensorflow {version}, float32\n" in text
        assert "method       drae, " in text
        assert "output       reconstruction: reconstruction of 32x32\n" in text
        assert "score        ssim\n" in text
        rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
        assert "yes      1 - SSIM of patch and reconstruction" in rows["ssim"]
        assert (
            "-        largest of |patch - reconstruction|, in standard deviations from its "
            "location's mean, smoothed by 1.5 pixels"
        ) in rows["residual"]
        assert "mean of |patch - reconstruction|" in rows["residual_mean"]
        assert "on 4 scales + squared difference, both averaged over 21x21 p" in rows["msgms"]


class TestEvaluate:
    def test_tables_and_page(self, report: tuple[Path, str]) -> None:
        out, text = report
        rows = [line.split()[0] for line in text.splitlines()]
        assert rows == ["unit", "top", "bottom", "vial", "strip"]
        assert sorted(path.name for path in out.iterdir()) == [
            "drift.csv", "identity.json", "latency.csv", "measures.csv", "pictures", "pictures.csv",
            "pixels.csv", "pixels.npz", "report.html", "report.json", "scores.csv", "strips.csv",
        ]  # fmt: skip
        assert not list(out.parent.glob(".*partial*"))

    def test_knapp_study(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        table = tmp_path / "manual.csv"
        rows = ["product,inspections,rejects"]
        rows += [f"test-nominal-{n},50,1" for n in range(4)]
        rows += [f"test-defective-{n},50,41" for n in range(3)]
        table.write_text("\n".join(rows) + "\n")
        done = run(
            "evaluate", tiny_calibrated_bundle, "--data", tiny_dataset_folder,
            "--out", tmp_path / "report", "--knapp", table, "--margin", "0.1",
        )  # fmt: skip
        study = json.loads((tmp_path / "report" / "report.json").read_text())["knapp"]
        assert study["margin"] == 0.1
        assert study["rze"]["man"] == pytest.approx(0.82)
        assert "Knapp study: the machine " in done.stdout
        _, zone = done.stdout.split("Strips people reject, and nominal ones\n")
        assert [line.split()[0] for line in zone.splitlines()][-2:] == ["vial", "strip"]

    @pytest.mark.parametrize("option", [("--knapp", "x.csv"), ("--margin", "0.1")])
    def test_margin_and_study_belong_together(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path, option
    ) -> None:
        data = ("--data", tiny_dataset_folder, "--out", tmp_path / "report")
        done = run("evaluate", tiny_calibrated_bundle, *data, *option, code=2)
        assert "--knapp and --margin belong together" in done.stderr


class TestReport:
    def test_same_bytes(self, report: tuple[Path, str], tmp_path: Path) -> None:
        folder, text = report
        again = tmp_path / "again"
        assert run("report", folder, "--out", again).stdout == text
        for name in ("report.html", "report.json", "measures.csv"):
            assert (again / name).read_bytes() == (folder / name).read_bytes()

    def test_existing_output(self, report: tuple[Path, str], tmp_path: Path) -> None:
        assert "exists" in run("report", report[0], "--out", tmp_path, code=2).stderr

    def test_folder_that_is_no_report(self, tmp_path: Path) -> None:
        done = run("report", tmp_path, "--out", tmp_path / "again", code=2)
        assert "expected the report folder" in done.stderr
        assert list(tmp_path.iterdir()) == []
