"""Runs in this process: what they leave behind, how they refuse, what the network learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from array_patches import ArrayPatches
from training_process import COMMON, IDENTITY, waves

from vialsight.errors import DataError, TrainingError
from vialsight.models.configuration import Config, load_config
from vialsight.training.loop import total_steps, train
from vialsight.training.saved import load_network

pytestmark = pytest.mark.tensorflow

# Op determinism is a state of the whole process; other tests live here too.
SETTINGS = (
    *COMMON,
    "training.deterministic=false",
    "training.batch_size=12",
    "model.preset=drae-64",
    "training.checkpoint_every=20",
    "training.sample_every=50",
    "optimizer.learning_rate=3e-3",
    "schedule.restart_period=70",
    "schedule.restart_unit=steps",
)


def configured(*overrides: str) -> Config:
    return load_config(None, [*SETTINGS, "training.steps=70", *overrides])


def run(config: Config, folder: Path, **changes: object) -> None:
    source = ArrayPatches(waves(24))
    arguments = {"data_identity": IDENTITY, "training": source, "validation": source} | changes
    train(config, run_dir=folder, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "run"
    run(configured(), folder)
    return folder


def test_run_folder_is_complete(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    assert (record["status"], record["step"], record["total_steps"]) == ("finished", 70, 70)
    assert record["data_identity"] == IDENTITY
    assert record["versions"]["keras"]
    assert load_config(finished / "config.yaml") == configured()
    assert yaml.safe_load((finished / "config.yaml").read_text())["training"]["steps"] == 70
    lines = (finished / "losses.csv").read_text().splitlines()
    assert lines[0].startswith("step,learning_rate,generator,adversarial,contextual")
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, 71))
    assert [p.name for p in sorted((finished / "samples").iterdir())] == [
        "step-00000050.png",
        "step-00000070.png",
    ]
    assert [p.name[-2:] for p in sorted((finished / "checkpoints").iterdir())] == ["40", "60", "70"]
    assert any((finished / "tensorboard").iterdir())
    steps = [line.split(",")[0] for line in (finished / "validation.csv").read_text().split()]
    assert steps == ["step", "20", "40", "60", "70"]


def test_generator_loss_is_the_weighted_sum(finished: Path) -> None:
    rows = np.loadtxt(finished / "losses.csv", delimiter=",", skiprows=1)
    expected = rows[:, 3] * 1 + rows[:, 4] * 50 + rows[:, 5] * 1 + rows[:, 6] * 3
    np.testing.assert_allclose(rows[:, 2], expected, rtol=1e-5)


def test_network_learns_more_than_the_mean_image(finished: Path) -> None:
    images = waves(24)[..., np.newaxis]
    mean = np.broadcast_to(images.mean(axis=0), images.shape)
    naive = 1.0 - float(np.mean(tf.image.ssim(images, mean, max_val=1.0)))
    score = np.loadtxt(finished / "validation.csv", delimiter=",", skiprows=1)[-1, 1]
    assert score < 0.9 * naive


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["line-S", "line-M"])
def test_line_presets_learn(tmp_path: Path, preset: str) -> None:
    source = ArrayPatches(waves(24, size=32))
    changes = {"training": source, "validation": source}
    run(configured(f"model.preset={preset}", "training.steps=40"), tmp_path / "run", **changes)
    contextual = np.loadtxt(tmp_path / "run" / "losses.csv", delimiter=",", skiprows=1)[:, 4]
    assert contextual[-5:].mean() < 0.7 * contextual[:5].mean()


def test_patches_that_do_not_fit_the_preset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"line-S must be a positive multiple of 32; got 16;"):
        run(configured("model.preset=line-S"), tmp_path / "run")


def test_finished_run_is_left_alone(finished: Path) -> None:
    before = (finished / "losses.csv").read_bytes(), (finished / "run.json").read_bytes()
    run(configured(), finished)
    assert before == ((finished / "losses.csv").read_bytes(), (finished / "run.json").read_bytes())


def test_generator_is_loaded_back(finished: Path) -> None:
    patches = waves(3)[..., np.newaxis]
    first, again = (
        load_network(finished)(patches, training=False)["reconstruction"] for _ in range(2)
    )
    assert first.shape == patches.shape
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.seed=1", "training.seed 0, now 1"),
        ("model.loss.pixel=l1", "model.loss.pixel 'huber', now 'l1'"),
        ("training.batch_size=6", "training.batch_size 12, now 6"),
    ],
)
def test_run_of_another_configuration_is_not_resumed(
    finished: Path, override: str, told: str
) -> None:
    with pytest.raises(TrainingError, match=told):
        run(configured(override), finished)


def test_run_of_other_data_is_not_resumed(finished: Path) -> None:
    with pytest.raises(TrainingError, match="the data themselves"):
        run(configured(), finished, data_identity=IDENTITY | {"data_sha256": "1" * 64})


def test_data_may_move(finished: Path) -> None:
    run(configured(), finished, data_identity=IDENTITY | {"folder": "elsewhere"})


def test_existing_run_without_resume_is_refused(finished: Path) -> None:
    with pytest.raises(TrainingError, match="holds a run; choose a new folder"):
        run(configured(), finished, resume=False)


def test_too_few_patches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs 12 training patches; the data hold 3"):
        run(configured(), tmp_path / "run", training=ArrayPatches(waves(3)))
    assert not (tmp_path / "run").exists()


def test_folder_without_a_run_has_no_generator(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no trained network"):
        load_network(tmp_path)


def test_broken_checkpoint_is_named(finished: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(finished, broken)
    state = broken / "checkpoints" / "step-00000070" / "state.npz"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="delete its folder to go on from the one before"):
        load_network(broken)
    shutil.rmtree(state.parent)
    assert load_network(broken) is not None


def test_total_steps() -> None:
    assert total_steps(load_config(None, ["training.epochs=2.5"]), 10) == 25
    assert total_steps(load_config(None, ["training.steps=3"]), 10) == 3


@pytest.mark.slow
def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    finished: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    bad = waves(24)
    bad[:] = np.nan
    with pytest.raises(TrainingError, match=r"not finite at step 71 \(generator.*step-00000070"):
        run(configured("training.steps=72"), folder, training=ArrayPatches(bad))
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert (folder / "checkpoints" / "step-00000070" / "state.npz").exists()
    assert not (folder / "checkpoints" / "step-00000072").exists()


@pytest.mark.slow
def test_error_of_the_data_passes_through(tmp_path: Path) -> None:
    class Unreadable(ArrayPatches):
        def read(self, indices: np.ndarray) -> np.ndarray:
            raise DataError("image 7 is truncated")

    with pytest.raises(DataError, match="image 7 is truncated"):
        run(configured(), tmp_path / "run", training=Unreadable(waves(24)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["training.precision=mixed_float16"],
        [
            "training.precision=mixed_bfloat16",
            "training.strategy=mirrored",
            "model.loss.pixel=l1",
            "model.loss.noise='2024'",
        ],
    ],
)
def test_other_precisions_losses_and_strategies_train(tmp_path: Path, overrides: list[str]) -> None:
    folder = tmp_path / "run"
    run(configured(*overrides, "training.steps=3"), folder)
    assert np.isfinite(np.loadtxt(folder / "losses.csv", delimiter=",", skiprows=1)).all()
    found = load_network(folder)(waves(2)[..., np.newaxis], training=False)
    assert found["reconstruction"].dtype == "float32"
