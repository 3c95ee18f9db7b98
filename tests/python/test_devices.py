"""Devices of a training: what reaches TensorFlow, what is refused, and XLA's losses."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from array_patches import ArrayPatches
from training_process import COMMON, GRDNET, IDENTITY, waves
from training_support import losses_of

from vialsight.config import TrainingConfig
from vialsight.errors import ConfigError, TrainingError
from vialsight.models.configuration import load_config
from vialsight.training.devices import settle_devices
from vialsight.training.loop import train

pytestmark = pytest.mark.tensorflow


class Machine:
    """TensorFlow's settings of a machine with some GPUs; remembers what is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *gpus: str) -> None:
        self.visible, self.growing, self.tf32 = list(gpus), set[str](), True
        for owner, name in (
            (tf.config, "list_physical_devices"),
            (tf.config, "get_visible_devices"),
            (tf.config, "set_visible_devices"),
            (tf.config.experimental, "get_memory_growth"),
            (tf.config.experimental, "set_memory_growth"),
            (tf.config.experimental, "enable_tensor_float_32_execution"),
        ):
            monkeypatch.setattr(owner, name, getattr(self, name))
        self._gpus = gpus

    def list_physical_devices(self, kind: str) -> list[str]:
        assert kind == "GPU"
        return list(self._gpus)

    def get_visible_devices(self, kind: str) -> list[str]:
        assert kind == "GPU"
        return self.visible

    def set_visible_devices(self, devices: list[str], kind: str) -> None:
        assert kind == "GPU"
        self.visible = devices

    def get_memory_growth(self, device: str) -> bool:
        return device in self.growing

    def set_memory_growth(self, device: str, enable: bool) -> None:
        assert enable
        self.growing.add(device)

    def enable_tensor_float_32_execution(self, enabled: bool) -> None:
        self.tf32 = enabled


@pytest.mark.parametrize(
    ("device", "visible"),
    [("auto", ["a", "b"]), ("cpu", []), ("gpu", ["a", "b"]), ("gpu:0", ["a"]), ("gpu:1", ["b"])],
)
def test_only_the_devices_that_are_named_are_seen(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: list[str]
) -> None:
    machine = Machine(monkeypatch, "a", "b")
    settle_devices(TrainingConfig(device=device))
    assert machine.visible == visible
    assert (machine.growing, machine.tf32) == (set(), True)


def test_memory_growth_and_tf32_reach_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "a", "b")
    settle_devices(TrainingConfig(device="gpu:1", memory_growth=True, tf32=False))
    assert machine.growing == {"b"}
    assert not machine.tf32


@pytest.mark.parametrize(
    ("gpus", "device", "found"),
    [((), "gpu", "no GPU"), ((), "gpu:0", "no GPU"), (("a", "b"), "gpu:2", "2: gpu:0 to gpu:1")],
)
def test_missing_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...], device: str, found: str
) -> None:
    Machine(monkeypatch, *gpus)
    with pytest.raises(TrainingError, match=f"{device}: TensorFlow finds {found}; choose another"):
        settle_devices(TrainingConfig(device=device))


def test_memory_growth_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch)
    with pytest.raises(TrainingError, match="finds none; leave it out"):
        settle_devices(TrainingConfig(memory_growth=True))


def test_devices_that_are_in_use_already_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "a")

    def too_late(devices: list[str], kind: str) -> None:
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", too_late)
    with pytest.raises(TrainingError, match="comes too late: Visible devices cannot"):
        settle_devices(TrainingConfig(device="cpu"))
    assert machine.visible == ["a"]


def test_training_refuses_before_it_writes(tmp_path: Path) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    config = load_config(None, [*COMMON, "training.device=gpu", "training.steps=1"])
    source = ArrayPatches(waves(8))
    with pytest.raises(TrainingError, match="finds no GPU"):
        train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["training.device=tpu"], "training.device"),
        (["training.device=gpu:x"], "training.device"),
        (["training.device=cpu", "training.memory_growth=true"], "device is cpu"),
        (["training.jit_compile=true", "training.strategy=mirrored"], "for strategy none"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(None, overrides)


def first_losses(folder: Path, *overrides: str) -> np.ndarray:
    settings = [*COMMON, *overrides, "training.deterministic=false", "training.steps=1"]
    # Enough for the last normalisations, which blow rounding up where they see a few values.
    settings += ["training.batch_size=12"]
    source = ArrayPatches(waves(24, 32))
    train(load_config(None, settings), source, source, folder, data_identity=IDENTITY)
    return losses_of(folder)[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", [(), GRDNET], ids=["drae", "grdnet"])
def test_xla_gives_the_same_losses(tmp_path: Path, method: tuple[str, ...]) -> None:
    operations = first_losses(tmp_path / "operations", *method)
    compiled = first_losses(tmp_path / "xla", *method, "training.jit_compile=true")
    # Of the first step: rounding grows from step to step.
    np.testing.assert_allclose(compiled, operations, rtol=3e-3)
