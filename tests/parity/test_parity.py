"""Training code, frozen graph and C++ library give the same φ, on real images.

The three ways share nothing but the weights: the Keras model with TensorFlow's SSIM, the frozen
graph run by TensorFlow in Python with TensorFlow's SSIM, and the C++ library with its own.

TensorFlow's SSIM is the code behind `tf.image.ssim`, given float64: the public function computes in
float32, whose rounding alone moves φ by up to 4e-5 on real cells (the variance of a smooth patch is
a difference of nearly equal numbers). A test below shows that only this sets it apart.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import vialsight
from vialsight.data import DatasetPatches, read_dataset

pytest.importorskip("elpv_dataset", reason="real images: pip install 'vialsight[data]'")
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "python" / "vialsight" / "presets" / "elpv_drae.yaml"
STEPS = 12
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Scores:
    """φ (n,) of the same patches, made in three ways, and what belongs to them."""

    patches: np.ndarray
    reconstructions: np.ndarray
    keras: np.ndarray
    frozen: np.ndarray
    cpp: np.ndarray
    inspector: vialsight.Inspector


def run_verbs(folder: Path, preset: str) -> Path:
    """Train the paper's GAN on solar cells, shortly, by the command line's own functions."""
    from typer.testing import CliRunner

    from vialsight.cli import app

    for arguments in (
        ["prepare", "elpv", "--out", folder / "data"],
        ["train", "-c", CONFIG, "--data", folder / "data", "--out", folder / "run",
         "--set", f"model.preset={preset}", "--set", f"training.steps={STEPS}",
         "--set", "training.checkpoint_every=100"],
        ["freeze", folder / "run", "--out", folder / "frozen.vsb"],
        ["calibrate", folder / "frozen.vsb", "--data", folder / "data", "--out", folder / "x.vsb"],
    ):  # fmt: skip
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return folder / "x.vsb"


def tensorflow_scores(patches: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """φ (n,) in float64, by TensorFlow's own code."""
    import tensorflow as tf
    from tensorflow.python.ops import image_ops_impl

    x, y = patches[..., np.newaxis], reconstructions.reshape(*patches.shape, 1)
    exact = [tf.constant(images, tf.float64) for images in (x, y)]
    similarity, _ = image_ops_impl._ssim_per_channel(*exact, max_val=tf.constant(1.0, tf.float64))
    return 1.0 - similarity.numpy()[:, 0]


# The demo's network, and one whose graph is folded and unfolded.
@pytest.fixture(scope="module", params=["drae-64", "line-S"])
def scores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    from vialsight.bundle import Model, Output
    from vialsight.training.freezing import run_frozen
    from vialsight.training.saved import load_network

    folder = tmp_path_factory.mktemp("parity")
    bundle = vialsight.Bundle.load(run_verbs(folder, request.param))
    dataset = read_dataset(folder / "data")
    source = DatasetPatches(dataset)
    patches = source.read(np.linspace(0, len(source) - 1, 600).astype(np.int64))
    generator = load_network(folder / "run")
    predicted = generator.predict(patches[..., np.newaxis], batch_size=60, verbose=0)
    keras_output = predicted["reconstruction"]
    outputs = {name: Output(*spec) for name, spec in bundle.outputs.items()}
    model = Model(graph_def=bundle.model, outputs=outputs, method=bundle.method)
    frozen_output = run_frozen(model, patches)["reconstruction"]
    inspector = vialsight.Inspector(bundle)
    return Scores(
        patches=patches,
        reconstructions=keras_output,
        keras=tensorflow_scores(patches, keras_output),
        frozen=tensorflow_scores(patches, frozen_output),
        cpp=inspector.score_patches(patches, batch_size=60),
        inspector=inspector,
    )


def test_there_are_enough_different_scores(scores: Scores) -> None:
    assert len(scores.patches) >= 500
    assert len(np.unique(scores.cpp)) > 0.99 * len(scores.cpp)
    assert np.std(scores.cpp) > 0.01


def test_frozen_graph_equals_keras(scores: Scores) -> None:
    assert np.abs(scores.frozen - scores.keras).max() <= TOLERANCE


def test_cpp_equals_keras(scores: Scores) -> None:
    assert np.abs(scores.cpp - scores.keras).max() <= TOLERANCE


def test_cpp_equals_frozen_graph(scores: Scores) -> None:
    assert np.abs(scores.cpp - scores.frozen).max() <= TOLERANCE


def test_public_tf_image_ssim_differs_by_its_own_rounding_only(scores: Scores) -> None:
    import tensorflow as tf

    x = tf.constant(scores.patches[..., np.newaxis])
    public = 1.0 - tf.image.ssim(x, tf.constant(scores.reconstructions), max_val=1.0).numpy()
    rounding = np.abs(public - scores.keras)
    assert rounding.max() <= 1e-4
    assert (np.abs(scores.cpp - public) <= rounding + TOLERANCE).all()


def test_no_verdict_differs(scores: Scores) -> None:
    (threshold,) = scores.inspector.bundle.thresholds["patch"]
    rejected = scores.cpp > threshold
    assert 0 < rejected.sum() < len(rejected), "the threshold must separate some"
    np.testing.assert_array_equal(scores.keras > threshold, rejected)
    np.testing.assert_array_equal(scores.frozen > threshold, rejected)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batch_size_does_not_matter(scores: Scores, batch_size: int) -> None:
    others = scores.inspector.score_patches(scores.patches, batch_size=batch_size)
    assert np.abs(others - scores.cpp).max() <= 1e-6
