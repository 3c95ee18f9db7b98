"""The linear autoencoder: its fit, its network, its way through run folder, bundle and C++ core."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from array_patches import ArrayPatches
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA

import vialsight
from vialsight._core import Layout
from vialsight.errors import TrainingError
from vialsight.models.configuration import Config, load_config
from vialsight.models.pca.fit import StreamingComponents, enough_for
from vialsight.training.freezing import freeze
from vialsight.training.loop import train
from vialsight.training.saved import load_network

pytestmark = pytest.mark.tensorflow

SIZE = 16
LAYOUT = {
    "format_version": 1,
    "name": "two-regions",
    "frame": {"width": 32, "height": 16, "bit_depth": 8},
    "frames": 1,
    "patch_size": SIZE,
    "regions": ["dark", "bright"],
    "vials": [[[0, 0, 16, 16], [16, 0, 16, 16]]],
}
IDENTITY = {"data_sha256": "0" * 64, "training_products": ["a"], "layout": LAYOUT}


def rows_of(count: int, size: int, rank: int, seed: int = 0) -> np.ndarray:
    """Rows of a few strong directions, weak noise and a mean of their own, float64 (count,size)."""
    random = np.random.default_rng(seed)
    strengths = np.linspace(3.0, 1.0, rank)
    basis = np.linalg.qr(random.standard_normal((size, rank)))[0].T
    codes = random.standard_normal((count, rank)) * strengths
    return codes @ basis + 0.01 * random.standard_normal((count, size)) + random.random(size)


def in_batches(rows: np.ndarray, batch: int, rank: int) -> StreamingComponents:
    stream = StreamingComponents(rows.shape[1], rank)
    for first in range(0, len(rows), batch):
        stream.merge(rows[first : first + batch])
    return stream


@pytest.mark.parametrize("batch", [7, 50, 300])
def test_fit_in_batches_equals_a_full_decomposition(batch: int) -> None:
    rows = rows_of(300, 80, 5)
    oracle = PCA(n_components=5, svd_solver="full").fit(rows)
    stream = in_batches(rows, batch, rank=40)
    components, shares = stream.components()
    np.testing.assert_allclose(stream.mean, oracle.mean_, atol=1e-12)
    np.testing.assert_allclose(shares[:5], oracle.explained_variance_ratio_, rtol=1e-6)
    cosines = np.abs((components[:5] * oracle.components_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-5)
    np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-9)


def test_fit_of_fewer_rows_than_rank_is_exact() -> None:
    rows = rows_of(6, 30, 3)
    components, shares = in_batches(rows, 2, rank=20).components()
    assert shares.sum() == pytest.approx(1.0, abs=1e-9)
    centred = rows - rows.mean(axis=0)
    np.testing.assert_allclose(centred @ components.T @ components, centred, atol=1e-9)


def test_equal_rows_have_no_components() -> None:
    components, _ = in_batches(np.ones((8, 5)), 4, rank=3).components()
    assert len(components) == 0


def test_as_few_components_as_explain_the_variance() -> None:
    shares = np.array([0.5, 0.25, 0.125])
    assert [enough_for(shares, value) for value in (0.4, 0.5, 0.7, 0.8)] == [1, 1, 2, 3]
    assert enough_for(shares, 0.9) is None


class CountingPatches(ArrayPatches):
    """Counts how often each patch is read."""

    def __init__(self, patches: np.ndarray) -> None:
        super().__init__(patches)
        self.reads = np.zeros(len(patches), int)

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.reads[indices] += 1
        return super().read(indices)


def two_regions(frames: int, seed: int = 0) -> np.ndarray:
    """Patches float32 (2·frames,16,16): dark and bright in turn, each of three directions."""
    parts = []
    for region in range(2):
        rows = rows_of(frames, SIZE * SIZE, 3, seed=seed + region)
        centred = rows - rows.mean(axis=0)
        parts.append(0.25 + 0.5 * region + 0.02 * centred)
    both = np.stack(parts, axis=1).reshape(-1, SIZE, SIZE)
    return np.clip(both, 0.0, 1.0).astype(np.float32)


def configured(*overrides: str) -> Config:
    return load_config(None, ["model.method=pca", "model.components=3", *overrides])


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return two_regions(60)


@pytest.fixture(scope="module")
def run(patches: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pca") / "run"
    source = CountingPatches(patches)
    settings = configured("model.batch_patches=16")
    train(settings, source, ArrayPatches(patches[:20]), folder, data_identity=IDENTITY)
    assert (source.reads == 1).all()
    return folder


def reconstruction(patches: np.ndarray, components: int) -> np.ndarray:
    """What the network should give, in float64, each region by itself."""
    result = np.empty(patches.shape)
    for region in range(2):
        rows = patches[region::2].reshape(-1, SIZE * SIZE).astype(np.float64)
        model = PCA(n_components=components, svd_solver="full").fit(rows)
        result[region::2] = model.inverse_transform(model.transform(rows)).reshape(-1, SIZE, SIZE)
    return np.clip(result, 0.0, 1.0)


def test_network_reconstructs_each_region_by_its_own_components(
    run: Path, patches: np.ndarray
) -> None:
    found = load_network(run)(tf.constant(patches[..., np.newaxis]))["reconstruction"].numpy()[
        ..., 0
    ]
    np.testing.assert_allclose(found, reconstruction(patches, 3), atol=1e-5)


def test_run_says_what_was_found(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["step"]) == ("finished", 1)
    figures = json.loads((run / "fit.json").read_text())
    assert figures["region_2_components"] == 3
    assert 0.9 < figures["region_1_share_of_variance"] <= 1.0
    assert 0.0 <= figures["validation_mean_score"] < 0.2


def test_bundle_scores_as_the_formula_does(run: Path, patches: np.ndarray, tmp_path: Path) -> None:
    golden = np.stack([patches[region::2][:8] for region in range(2)])
    out = tmp_path / "pca.vsb"
    layout = Layout.from_json(json.dumps(LAYOUT))
    freeze(
        run,
        out,
        layout=layout,
        golden_patches=golden,
        nominal_patches=patches,
        fingerprints=_no_fingerprints(),
    )
    inspector = vialsight.Inspector(out, require_thresholds=False)
    expected = reconstruction(patches, 3)
    similarity = [ssim_of(x, y) for x, y in zip(patches, expected, strict=True)]
    scores = inspector.score_patches(patches)
    np.testing.assert_allclose(scores, 1.0 - np.array(similarity), atol=2e-6)
    stored = np.load(out / "golden/inputs.npy")
    assert stored.dtype == np.uint8
    assert np.abs(stored / 255.0 - golden).max() <= 0.5 / 255.0 + 1e-7
    assert np.load(out / "golden/output_reconstruction.npy").shape[:2] == (2, 1)


def ssim_of(x: np.ndarray, y: np.ndarray) -> float:
    """The definition of the paper's score, by scikit-image in float64."""
    value: float = structural_similarity(
        x.astype(np.float64),
        y,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return value


def _no_fingerprints() -> bytes:
    from vialsight.data.fingerprints import Fingerprints

    return Fingerprints.unknown(1).to_bytes()


def test_share_of_variance_chooses_the_number(patches: np.ndarray, tmp_path: Path) -> None:
    settings = configured("model.components=40", "model.variance=0.5")
    source = ArrayPatches(patches)
    train(settings, source, source, tmp_path / "run", data_identity=IDENTITY)
    figures = json.loads((tmp_path / "run" / "fit.json").read_text())
    rows = patches[0::2].reshape(-1, SIZE * SIZE)
    shares = np.cumsum(PCA(svd_solver="full").fit(rows).explained_variance_ratio_)
    assert figures["region_1_components"] == np.argmax(shares >= 0.5) + 1


def test_regions_that_look_alike_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alike = two_regions(30)
    alike[1::2] = alike[0::2][::-1]
    source = ArrayPatches(alike)
    with caplog.at_level("WARNING", logger="vialsight.training"):
        train(configured(), source, source, tmp_path / "run", data_identity=IDENTITY)
    assert "look more like another region" in caplog.text


def test_finished_run_is_left_alone(run: Path, patches: np.ndarray) -> None:
    before = (run / "run.json").read_bytes()
    source = CountingPatches(patches)
    settings = configured("model.batch_patches=16")
    train(settings, source, source, run, data_identity=IDENTITY)
    assert not source.reads.any()
    assert (run / "run.json").read_bytes() == before


def test_other_configuration_is_refused(run: Path, patches: np.ndarray) -> None:
    source = ArrayPatches(patches)
    settings = configured("model.batch_patches=16", "model.components=4")
    with pytest.raises(TrainingError, match=r"model\.components 3, now 4"):
        train(settings, source, source, run, data_identity=IDENTITY)


def test_interruption_leaves_a_record_and_begins_again(patches: np.ndarray, tmp_path: Path) -> None:
    class Interrupted(ArrayPatches):
        def read(self, indices: np.ndarray) -> np.ndarray:
            raise KeyboardInterrupt

    folder, source = tmp_path / "run", ArrayPatches(patches)
    with pytest.raises(TrainingError, match="the same command begins it again"):
        train(configured(), Interrupted(patches), source, folder, data_identity=IDENTITY)
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    train(configured(), source, source, folder, data_identity=IDENTITY)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_too_few_patches_are_refused(patches: np.ndarray, tmp_path: Path) -> None:
    few = ArrayPatches(patches[:3])
    with pytest.raises(TrainingError, match="two patches of each region at least"):
        train(configured(), few, few, tmp_path / "run", data_identity=IDENTITY)


def test_patches_that_are_not_finite_are_refused(patches: np.ndarray, tmp_path: Path) -> None:
    spoilt = patches.copy()
    spoilt[5, 3, 3] = np.nan
    source = ArrayPatches(spoilt)
    with pytest.raises(TrainingError, match="not finite"):
        train(configured(), source, source, tmp_path / "run", data_identity=IDENTITY)


def test_data_without_a_layout_are_refused(patches: np.ndarray, tmp_path: Path) -> None:
    identity = {key: value for key, value in IDENTITY.items() if key != "layout"}
    source = ArrayPatches(patches)
    with pytest.raises(TrainingError, match="which patch is of which region"):
        train(configured(), source, source, tmp_path / "run", data_identity=identity)
