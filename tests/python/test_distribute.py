"""Two worker processes on this machine train as one process does."""

import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from array_patches import ArrayPatches
from training_process import COMMON, GRDNET, IDENTITY, waves
from training_support import finish, losses_of, start

from vialsight.errors import TrainingError
from vialsight.models.configuration import load_config

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SETTINGS = ("training.steps=2", "training.checkpoint_every=1", "training.batch_size=12")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def logged(errors: str) -> np.ndarray:
    """Losses (steps, 6) that a process logged."""
    lines = re.findall(r"^step \d+: (.*)$", errors, re.MULTILINE)
    return np.array([[float(value) for value in line.split()] for line in lines])


@pytest.mark.parametrize(
    ("method", "optimizers"),
    [((), ("generator_optimizer", "discriminator_optimizer")), (GRDNET, ("optimizer",))],
    ids=["drae", "grdnet"],
)
def test_two_workers_agree_with_each_other_and_with_one(
    tmp_path: Path, method: tuple[str, ...], optimizers: tuple[str, ...]
) -> None:
    settings = (*SETTINGS, *method)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(
            tmp_path / "two",
            *settings,
            "training.strategy=multi_worker",
            tf_config=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    first, second = (logged(finish(worker)) for worker in workers)
    assert len(first) == 2
    np.testing.assert_array_equal(first, second)

    finish(start(tmp_path / "one", *settings))
    # The same global batch, noise and synchronised batch norm; only the order of sums differs.
    np.testing.assert_allclose(
        losses_of(tmp_path / "two")[0], losses_of(tmp_path / "one")[0], rtol=5e-3
    )
    # Adam forgives a wrong scale of gradients; its first moments, a tenth of them, show it. An
    # untrained network magnifies rounding: input noise of 1e-7 alone turns gradients by 18 %.
    two, one = (first_moments(tmp_path / name, optimizers) for name in ("two", "one"))
    norms = np.linalg.norm(two), np.linalg.norm(one)
    assert 0.7 < norms[0] / norms[1] < 1.4
    assert float(two @ one) / (norms[0] * norms[1]) > 0.7


def first_moments(run: Path, optimizers: tuple[str, ...]) -> np.ndarray:
    """All first moments after one step, (parameters,)."""
    with np.load(run / "checkpoints" / "step-00000001" / "state.npz") as state:
        moments = []
        for optimizer in optimizers:
            names = sorted(name for name in state.files if name.startswith(f"{optimizer}/"))
            moments += [state[name].ravel() for name in names[: len(names) // 2]]
        return np.concatenate(moments)


def test_multi_worker_without_tf_config_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vialsight.training.loop import train

    monkeypatch.delenv("TF_CONFIG", raising=False)
    config = load_config(None, [*COMMON, *SETTINGS, "training.strategy=multi_worker"])
    source = ArrayPatches(waves(24))
    with pytest.raises(TrainingError, match="needs the environment variable TF_CONFIG"):
        train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    assert not (tmp_path / "run").exists()
