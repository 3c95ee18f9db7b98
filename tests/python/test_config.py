"""The configuration schema: every wrong input is refused by name."""

from importlib import resources
from pathlib import Path

import pytest
import yaml

from vialsight.errors import ConfigError
from vialsight.models.configuration import (
    Config,
    describe_config,
    load_config,
    parse_config,
    section_of,
)
from vialsight.models.drae.section import DraeSection
from vialsight.models.pca.section import PcaSection


def test_defaults_are_the_papers() -> None:
    config = load_config(None)
    loss = config.model.loss
    assert (loss.pixel_weight, loss.ssim_weight) == (2.0, 1.0)
    assert (loss.adversarial_weight, loss.contextual_weight) == (1.0, 50.0)
    assert (loss.encoder_weight, loss.noise_weight) == (1.0, 3.0)
    assert config.optimizer.learning_rate == 1.5e-4
    assert config.training.batch_size == 32
    assert config.training.epochs == 10
    assert config.model.perturbation.probability == 0.75


def test_simulated_data_are_a_section_of_their_own(tmp_path: Path) -> None:
    assert load_config(None).data.simulate is None
    config = load_config(None, ["data.simulate.strips=20"])
    assert config.data.simulate is not None
    assert (config.data.simulate.strips, config.data.simulate.runs) == (20, 10)
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file) == config
    assert "  #   strips: null" in describe_config()


def test_file_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("training:\n  steps: 7\n  seed: 3\nmodel: {preset: drae-128}\n")
    config = load_config(
        file, ["training.seed=4", "model.loss.pixel=l1", "optimizer.learning_rate=1e-3"]
    )
    assert (config.training.steps, config.training.seed) == (7, 4)
    assert config.model.preset == "drae-128"
    assert config.model.loss.pixel == "l1"
    assert config.optimizer.learning_rate == 1e-3


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("# nothing\n")
    assert load_config(file) == Config()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.bach_size=4", "did you mean 'training.batch_size'"),
        ("trainig.batch_size=4", "did you mean 'training'"),
        ("model.learning_rate=0.1", "did you mean 'optimizer.learning_rate'"),
        ("training.xyzzy=4", "valid keys here: training.epochs"),
        ("training.batch_size=1", "training.batch_size: input should be greater than or equal"),
        (
            "model.perturbation.probability=1.5",
            "model.perturbation.probability: input should be less than",
        ),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate"),
        ("model.loss.noise_weight=.inf", "model.loss.noise_weight"),
        ("model.preset=drae-65", "model.preset: input should be 'drae-16'"),
        ("training.batch_size=many", "training.batch_size: input should be a valid integer"),
        ("training=5", "training must be a section"),
        ("model.perturbation.min_scale=5", "min_scale must not exceed max_scale"),
        (
            "loss.pixel=l1",
            "'loss' belongs to the method and is now 'model.loss': write model.loss.pixel",
        ),
        ("perturbation.octaves=2", "write model.perturbation.octaves"),
        ("model.method=vae", "model.method: expected one of drae, pca, grdnet; got 'vae'"),
        ("model.components=4", "unknown configuration key 'model.components'"),
        ("training.steps", "must read section.key=value"),
        ("=5", "must read section.key=value"),
        ("training.steps.more=5", "training.steps"),
        ("training.steps=[1", "not valid YAML"),
    ],
)
def test_wrong_override_is_refused(override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace("[", r"\[")):
        load_config(None, [override])


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"training": {"seeed": 1, "batch_size": 0}})
    assert "training.seed" in str(caught.value)
    assert "training.batch_size" in str(caught.value)


def test_duplicate_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("training:\n  seed: 1\n  seed: 2\n")
    with pytest.raises(ConfigError, match="'seed' stands twice"):
        load_config(file)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n"])
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load_config(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_yaml_round_trip_and_hash(tmp_path: Path) -> None:
    config = load_config(None, ["training.seed=9", "data.path=some/folder"])
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file) == config
    assert load_config(file).sha256() == config.sha256()
    assert load_config(file, ["training.seed=8"]).sha256() != config.sha256()


def test_description_is_the_default_configuration() -> None:
    text = describe_config()
    assert parse_config(yaml.safe_load(text)) == Config()
    assert "q, the share of perturbed patches" in text


@pytest.mark.parametrize("name", ["default.yaml", "elpv_drae.yaml", "elpv.yaml", "bfs_5.yaml"])
def test_shipped_presets_are_valid(name: str) -> None:
    with resources.as_file(resources.files("vialsight") / "presets" / name) as path:
        config = load_config(path)
    if name == "default.yaml":
        assert config == Config()


def test_configuration_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().training.seed = 3  # type: ignore[misc]


def test_method_chooses_its_keys() -> None:
    config = load_config(None, ["model.method=pca", "model.components=8"])
    assert config.model.method == "pca"
    assert parse_config(yaml.safe_load(config.to_yaml())) == config
    with pytest.raises(ConfigError, match=r"unknown configuration key 'model\.preset'"):
        load_config(None, ["model.method=pca", "model.preset=drae-64"])


def test_section_of_another_method_is_refused() -> None:
    config = load_config(None, ["model.method=pca"])
    assert section_of(config, PcaSection).components == 64
    with pytest.raises(ValueError, match="expected a configuration of 'drae'; got 'pca'"):
        section_of(config, DraeSection)


def test_old_section_in_a_file_is_refused_with_its_new_place(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("loss: {pixel: l1, noise: '2024'}\n")
    with pytest.raises(ConfigError, match=r"write model\.loss\.pixel, model\.loss\.noise"):
        load_config(file)


def test_description_tells_the_keys_of_every_method() -> None:
    text = describe_config()
    assert "#  method: pca" in text
    assert "#  components: 64" in text
