"""The command line: exit codes, stdout for data, stderr for people, no TensorFlow before need."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import flip_a_byte, run, run_process
from PIL import Image

import vialsight
from vialsight.simulation.plan import plan_set

VERBS = (
    "simulate",
    "locate",
    "prepare",
    "shards",
    "train",
    "freeze",
    "calibrate",
    "evaluate",
    "report",
    "inspect",
    "verify",
    "bench",
    "show",
)


class TestWithoutTensorflow:
    @pytest.mark.parametrize(
        "code",
        [
            "import vialsight",
            "import vialsight.cli",
            "import vialsight.cli; vialsight.cli.app(['--help'], standalone_mode=False)",
            "import vialsight.cli; vialsight.cli.app(['train', '--help'], standalone_mode=False)",
        ],
    )
    def test_imports_load_no_tensorflow(self, code: str) -> None:
        check = "import sys; bad = {'tensorflow', 'keras'} & set(sys.modules); assert not bad, bad"
        maps = "assert 'libtensorflow' not in open('/proc/self/maps').read()"
        subprocess.run(
            [sys.executable, "-c", f"{code}\n{check}\n{maps}"], check=True, capture_output=True
        )

    def test_help_names_every_verb(self) -> None:
        text = run_process("--help").stdout
        for verb in VERBS:
            assert re.search(rf"^\s*{verb}\b", text, re.MULTILINE), verb

    def test_version(self) -> None:
        assert run_process("--version").stdout.strip() == vialsight.__version__

    def test_cmake_dir(self) -> None:
        assert run("--cmake-dir").stdout.strip() == str(vialsight.cmake_dir())

    def test_installed_command_is_the_same(self) -> None:
        script = Path(sys.executable).with_name("vialsight")
        if not script.exists():
            pytest.skip("the package is not installed")
        version = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
        assert version.stdout.strip() == vialsight.__version__

    def test_unknown_verb(self) -> None:
        assert "No such command 'traim'" in run_process("traim", code=2).stderr

    def test_unknown_configuration_key(self, tiny_dataset_folder: Path, tmp_path: Path) -> None:
        done = run(
            "train", "--data", tiny_dataset_folder, "--out", tmp_path / "run",
            "--set", "training.batchsize=4", code=2,
        )  # fmt: skip
        assert "training.batch_size" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_training_without_data(self, tmp_path: Path) -> None:
        done = run("train", "--out", tmp_path / "run", code=2)
        assert "give the dataset folder with --data" in done.stderr

    def test_training_on_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        done = run("train", "--data", tmp_path / "no", "--out", tmp_path / "run", code=2)
        assert "give a dataset folder or a folder of shards, with --data" in done.stderr

    def test_training_on_two_kinds_of_data(self, tmp_path: Path) -> None:
        done = run(
            "train", "--data", tmp_path, "--out", tmp_path / "run",
            "--set", "data.simulate.strips=2", code=2,
        )  # fmt: skip
        assert "give either path or simulate, not both" in done.stderr

    def test_checking_what_are_no_shards(self, tmp_path: Path) -> None:
        assert "index.json: no such file" in run("shards", "check", tmp_path, code=2).stderr

    def test_packing_no_split(self, tiny_dataset_folder: Path, tmp_path: Path) -> None:
        done = run(
            "prepare", "shards", tiny_dataset_folder, "--out", tmp_path / "out",
            "--split", "dev", code=2,
        )  # fmt: skip
        assert "split 'dev' is empty; images per split: train 12" in done.stderr
        assert not (tmp_path / "out").exists()

    def test_training_on_defective_products(self, own_dataset_folder: Path, tmp_path: Path) -> None:
        table = own_dataset_folder / "dataset.csv"
        table.write_text(table.read_text().replace(",defective,calibration,", ",defective,train,"))
        done = run("train", "--data", own_dataset_folder, "--out", tmp_path / "run", code=2)
        assert "defective images in the train split" in done.stderr

    def test_freezing_what_is_no_run(self, tmp_path: Path) -> None:
        done = run("freeze", tmp_path, "--out", tmp_path / "a.vsb", code=2)
        assert "expected the folder of a training" in done.stderr

    def test_freezing_with_other_data(self, own_dataset_folder: Path, tmp_path: Path) -> None:
        run_folder = tmp_path / "run"
        run_folder.mkdir()
        identity = {"data_sha256": "0" * 64, "folder": str(own_dataset_folder)}
        (run_folder / "run.json").write_text(json.dumps({"data_identity": identity}))
        done = run("freeze", run_folder, "--out", tmp_path / "a.vsb", code=2)
        assert "expected the data of the training" in done.stderr

    def test_freezing_with_data_of_another_name(
        self, own_dataset_folder: Path, tmp_path: Path
    ) -> None:
        run_folder = tmp_path / "run"
        run_folder.mkdir()
        identity = {
            "data_sha256": "0" * 64, "folder": str(own_dataset_folder), "layout": {"name": "old"},
        }  # fmt: skip
        (run_folder / "run.json").write_text(json.dumps({"data_identity": identity}))
        done = run("freeze", run_folder, "--out", tmp_path / "a.vsb", code=2)
        assert "its layout is named 'tiny', the training's 'old'" in done.stderr

    def test_prepare_prints_counts(self, tiny_dataset_folder: Path, tmp_path: Path) -> None:
        done = run("prepare", "split", tiny_dataset_folder, "--out", tmp_path / "out", "--seed", 1)
        assert done.stdout.splitlines()[0].split() == ["split", "label", "products", "images"]
        assert (tmp_path / "out" / "dataset.csv").exists()

    def test_prepare_with_wrong_fractions(self, tiny_dataset_folder: Path, tmp_path: Path) -> None:
        done = run(
            "prepare", "split", tiny_dataset_folder, "--out", tmp_path / "out",
            "--nominal", "50/50/50/0", code=2,
        )  # fmt: skip
        assert "must sum to 1" in done.stderr


QUICK = tuple(
    argument
    for setting in (
        "model.preset=drae-16", "training.steps=1", "training.batch_size=4",
        "training.validation_patches=4",
    )
    for argument in ("--set", setting)
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.tensorflow
def test_from_shards_to_a_bundle(tiny_dataset_folder: Path, tmp_path: Path) -> None:
    shards, moved, bundle = (tmp_path / name for name in ("shards", "moved", "a.vsb"))
    pack = ("prepare", "shards", tiny_dataset_folder, "--out", shards, "--records-per-shard", 20)
    first = run_process(*pack)
    assert "18 images to 3 shards, at most" in first.stderr
    assert [line.split() for line in first.stdout.splitlines()] == [
        ["split", "products", "shards", "patches"],
        ["train", "4", "2", "48"],
        ["validation", "2", "1", "24"],
    ]
    assert run(*pack).stdout == first.stdout
    assert "every shard is as in index.json" in run_process("shards", "check", shards).stdout
    run("train", "--data", shards, "--out", tmp_path / "run", *QUICK)
    shards.rename(moved)
    assert "no such folder" in run("freeze", tmp_path / "run", "--out", bundle, code=2).stderr
    run("freeze", tmp_path / "run", "--out", bundle, "--data", moved)
    provenance = json.loads(vialsight.Bundle.load(bundle).manifest_json)["provenance"]
    assert provenance["data_sha256"] == json.loads((moved / "index.json").read_text())["sha256"]
    flip_a_byte(moved / "shard-00001.tfrecord")
    assert "shard-00001.tfrecord" in run_process("shards", "check", moved, code=1).stderr


@pytest.mark.slow
@pytest.mark.tensorflow
def test_from_a_simulated_line_to_a_bundle(tmp_path: Path) -> None:
    strips = ("strips=2", "runs=1", "patch_size=32", "workers=1")
    chosen = [argument for s in strips for argument in ("--set", f"data.simulate.{s}")]
    run("train", "--out", tmp_path / "run", *chosen, *QUICK)
    run("freeze", tmp_path / "run", "--out", tmp_path / "a.vsb")
    run("verify", tmp_path / "a.vsb")
    manifest = json.loads(vialsight.Bundle.load(tmp_path / "a.vsb").manifest_json)
    plan = plan_set("train", strips=2, runs=1)
    assert manifest["provenance"]["data_sha256"] == plan.identity
    assert manifest["provenance"]["training_products"] == [s.product for s in plan.strips]
    assert manifest["layout"]["name"] == "bfs-5"


@pytest.mark.slow
@pytest.mark.tensorflow
def test_from_images_to_verdicts(tiny_dataset_folder: Path, tmp_path: Path) -> None:
    frozen, calibrated = tmp_path / "frozen.vsb", tmp_path / "calibrated.vsb"
    settings = ("model.preset=drae-16", "training.steps=2", "training.batch_size=4")
    options = [argument for setting in settings for argument in ("--set", setting)]
    data = ("--data", tiny_dataset_folder)
    run_process("train", *data, "--out", tmp_path / "run", *options)
    run_process("freeze", tmp_path / "run", "--out", frozen)
    run_process("calibrate", frozen, *data, "--out", calibrated)
    run_process("verify", calibrated)
    run_process("evaluate", calibrated, *data, "--out", tmp_path / "report")
    products = json.loads(run_process("inspect", calibrated, *data, "--json").stdout)["products"]
    assert len(products) == 7
    provenance = json.loads(vialsight.Bundle.load(calibrated).manifest_json)["provenance"]
    assert provenance["training_products"] == [
        *(f"train-nominal-{i}" for i in range(4)),
        *(f"validation-nominal-{i}" for i in range(2)),
    ]


@pytest.mark.tensorflow
class TestBundleVerbs:
    def test_verify(self, tiny_bundle: Path) -> None:
        done = run("verify", tiny_bundle)
        assert vialsight.Bundle.load(tiny_bundle).sha256 in done.stdout
        assert "16 scored" in done.stdout
        assert "no: vialsight calibrate" in done.stdout

    @pytest.mark.parametrize("name", ["model.pb", "golden/scores.npy", "manifest.json"])
    def test_verify_finds_a_flipped_byte(
        self, copied_bundle: Callable[[], Path], name: str
    ) -> None:
        bundle = copied_bundle()
        flip_a_byte(bundle / name)
        done = run("verify", bundle, code=1)
        assert "must not be used" in done.stderr
        assert name in done.stderr
        assert done.stdout == ""

    def test_verify_missing_folder(self, tmp_path: Path) -> None:
        assert "no such folder" in run("verify", tmp_path / "a.vsb", code=2).stderr

    def test_show(self, tiny_calibrated_bundle: Path) -> None:
        text = run("show", tiny_calibrated_bundle).stdout
        assert "3 frames of 96x80, 8 bit; 2 vials x 2 regions; patches of 32" in text
        assert "copied_from_strip" in text

    def test_show_json_is_the_manifest(self, tiny_bundle: Path) -> None:
        manifest = json.loads(run_process("show", tiny_bundle, "--json").stdout)
        assert manifest == json.loads((tiny_bundle / "manifest.json").read_text())

    def test_bench_json(self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path) -> None:
        images = [tiny_dataset_folder / f"test-nominal-0-{i}.png" for i in (1, 2, 3)]
        done = run_process("bench", tiny_calibrated_bundle, *images, "--strips", 3, "--json")
        result = json.loads(done.stdout)
        assert (result["strips"], result["budget_ms"], result["input"]) == (3, 500.0, "images")
        assert result["machine"]["cores"] >= 1


@pytest.mark.tensorflow
class TestInspect:
    def images(self, folder: Path, product: str) -> list[Path]:
        return [folder / f"{product}-{frame}.png" for frame in (1, 2, 3)]

    def test_json_verdict_per_product(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path
    ) -> None:
        images = self.images(tiny_dataset_folder, "test-nominal-0")
        images += self.images(tiny_dataset_folder, "test-defective-0")
        result = json.loads(run("inspect", tiny_calibrated_bundle, *images, "--json").stdout)
        assert result["bundle_sha256"] == vialsight.Bundle.load(tiny_calibrated_bundle).sha256
        for product, first in zip(result["products"], (images[0], images[3]), strict=True):
            assert product["images"][0] == str(first)
            over = [
                score > threshold
                for frame in product["scores"]
                for vial in frame
                for score, threshold in zip(vial, product["thresholds"], strict=True)
            ]
            assert product["verdict"] == ("reject" if any(over) else "accept")

    def test_dataset_and_heatmaps(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        done = run(
            "inspect", tiny_calibrated_bundle, "--data", tiny_dataset_folder, "--json",
            "--heatmaps", tmp_path / "pictures",
        )  # fmt: skip
        products = json.loads(done.stdout)["products"]
        assert [p["product"] for p in products][:2] == ["test-defective-0", "test-defective-1"]
        rejected = sum(
            score > threshold
            for p in products
            for frame in p["scores"]
            for vial in frame
            for score, threshold in zip(vial, p["thresholds"], strict=True)
        )
        patches = sorted((tmp_path / "pictures").glob("*-vial*.png"))
        assert len(patches) == rejected
        assert all(Image.open(picture).size == (96, 32) for picture in patches)
        frames = {picture.name.partition("-vial")[0] + ".png" for picture in patches}
        written = {picture.name for picture in (tmp_path / "pictures").iterdir()}
        assert written - {picture.name for picture in patches} == frames

    def test_unreadable_image_is_reported_as_reject_and_the_rest_inspected(
        self, tiny_calibrated_bundle: Path, own_dataset_folder: Path
    ) -> None:
        images = self.images(own_dataset_folder, "test-nominal-0")
        images += self.images(own_dataset_folder, "test-nominal-1")
        images[1].write_bytes(images[1].read_bytes()[:-300])
        done = run("inspect", tiny_calibrated_bundle, *images, "--json", code=2)
        broken, whole = json.loads(done.stdout)["products"]
        assert (broken["verdict"], broken["reason"]) == ("reject", "frame_invalid")
        assert whole["scores"][0][0][0] is not None
        assert images[1].name in done.stderr

    def test_slot_too_short_is_a_reject_not_an_error(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path
    ) -> None:
        images = self.images(tiny_dataset_folder, "test-nominal-0")
        done = run("inspect", tiny_calibrated_bundle, *images, "--budget-ms", "0.001", "--json")
        product = json.loads(done.stdout)["products"][0]
        assert (product["verdict"], product["reason"]) == ("reject", "deadline_missed")

    def test_wrong_number_of_images(
        self, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path
    ) -> None:
        images = self.images(tiny_dataset_folder, "test-nominal-0")[:2]
        done = run("inspect", tiny_calibrated_bundle, *images, code=2)
        assert "expected a multiple of 3 images" in done.stderr

    def test_uncalibrated_bundle(self, tiny_bundle: Path, tiny_dataset_folder: Path) -> None:
        images = self.images(tiny_dataset_folder, "test-nominal-0")
        done = run("inspect", tiny_bundle, *images, code=2)
        assert "calibrate" in done.stderr

    def test_neither_images_nor_data(self, tiny_calibrated_bundle: Path) -> None:
        done = run("inspect", tiny_calibrated_bundle, code=2)
        assert "either IMAGES or --data" in done.stderr

    def test_flipped_byte(
        self, copied_bundle: Callable[[], Path], tiny_dataset_folder: Path
    ) -> None:
        bundle = copied_bundle()
        flip_a_byte(bundle / "golden" / "inputs.npy")
        images = self.images(tiny_dataset_folder, "test-nominal-0")
        done = run("inspect", bundle, *images, code=2)
        assert "inputs.npy" in done.stderr
        assert done.stdout == ""
