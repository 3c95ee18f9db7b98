"""GRD-Net: what is expected, losses, replay, and the way through training, bundle and C++ core."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from array_patches import ArrayPatches
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from sklearn.decomposition import PCA

import vialsight
from vialsight._core import Layout
from vialsight.errors import ConfigError, TrainingError
from vialsight.models.configuration import Config, load_config
from vialsight.models.grdnet import losses
from vialsight.models.grdnet.expectation import Expectation, differences, fit_expectation
from vialsight.models.grdnet.method import DrawnExamples
from vialsight.models.grdnet.network import PRESETS, SegmentationOptions, build_segmentation
from vialsight.models.grdnet.replay import Replay, Shown
from vialsight.models.grdnet.roi import read_roi
from vialsight.training.freezing import freeze
from vialsight.training.loop import train
from vialsight.training.saved import load_network

pytestmark = pytest.mark.tensorflow

SIZE, CROP, REGIONS = 64, 32, 2
LAYOUT = {
    "format_version": 1,
    "name": "two-regions",
    "frame": {"width": 2 * SIZE, "height": SIZE, "bit_depth": 8},
    "frames": 1,
    "patch_size": SIZE,
    "regions": ["dark", "bright"],
    "vials": [[[0, 0, SIZE, SIZE], [SIZE, 0, SIZE, SIZE]]],
}
IDENTITY = {"data_sha256": "0" * 64, "training_products": ["a"], "layout": LAYOUT}


def products(frames: int, seed: int = 0) -> np.ndarray:
    """Patches float32 (2·frames,64,64), dark and bright in turn, with noise and moving waves."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((SIZE, SIZE))
    patches = []
    for _ in range(frames):
        for level, wave in ((0.3, columns / 9.0), (0.65, rows / 7.0)):
            smooth = level + 0.1 * np.sin(wave + 0.4 * random.standard_normal())
            patches.append(smooth + 0.005 * random.standard_normal((SIZE, SIZE)))
    return np.clip(patches, 0.0, 1.0).astype(np.float32)


def pooled(images: np.ndarray, scale: int) -> np.ndarray:
    n, h, w = images.shape
    return images.reshape(n, h // scale, scale, w // scale, scale).mean((2, 4))


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    return tf.image.resize(image[..., None], (side, side), method="bilinear").numpy()[..., 0]


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return products(60)


@pytest.fixture(scope="module")
def fitted(patches: np.ndarray) -> dict[str, np.ndarray]:
    found = fit_expectation(3, ArrayPatches(patches), REGIONS, lambda done, total: None)
    return dict(found.arrays)


def test_the_fit_is_that_of_principal_components(
    patches: np.ndarray, fitted: dict[str, np.ndarray]
) -> None:
    small = pooled(patches, 4).reshape(len(patches), -1)
    for region in range(REGIONS):
        oracle = PCA(n_components=3, svd_solver="full").fit(small[region::REGIONS])
        found = fitted["components"][fitted["region"] == region]
        np.testing.assert_allclose(np.abs(found @ oracle.components_.T), np.eye(3), atol=2e-3)
        np.testing.assert_allclose(
            fitted["means"][region], patches[region::REGIONS].mean(axis=0), atol=1e-6
        )


def test_what_is_expected_is_mean_plus_projection(
    patches: np.ndarray, fitted: dict[str, np.ndarray]
) -> None:
    model = Expectation(fitted)
    reduced = pooled(patches[:8], 4)
    expected = model.of(tf.constant(reduced[..., None]))
    np.testing.assert_array_equal(np.argmax(expected.region, axis=1), np.arange(8) % REGIONS)
    whole = model.reconstruction(expected).numpy()[..., 0]
    for row in range(8):
        region = row % REGIONS
        basis = fitted["components"][fitted["region"] == region].astype(float)
        mean = fitted["means"][region].astype(float)
        away = reduced[row].ravel() - pooled(mean[None], 4).ravel()
        deviation = (basis.T @ (basis @ away)).reshape(SIZE // 4, SIZE // 4)
        np.testing.assert_allclose(
            whole[row], np.clip(mean + enlarged(deviation, SIZE), 0, 1), atol=2e-6
        )
        half = pooled(mean[None], 2)[0] + enlarged(deviation, SIZE // 2)
        np.testing.assert_allclose(expected.half[row, ..., 0], half, atol=2e-6)


def test_codes_do_not_depend_on_the_batch(
    patches: np.ndarray, fitted: dict[str, np.ndarray]
) -> None:
    """Sums in float32 come in another order for few rows; the network amplifies the difference."""
    model = Expectation(fitted)
    reduced = tf.constant(pooled(patches, 4)[..., None], tf.float32)
    whole = model.of(reduced).codes.numpy()
    for batch in (1, 3, 7):
        parts = [model.of(reduced[i : i + batch]).codes for i in range(0, len(patches), batch)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_usual_differences_are_medians_of_absolute_ones(
    patches: np.ndarray, fitted: dict[str, np.ndarray]
) -> None:
    model = Expectation(fitted)
    half = model.of(tf.constant(pooled(patches, 4)[..., None])).half.numpy()[..., 0]
    away = np.abs(pooled(patches, 2) - half)
    for region in range(REGIONS):
        expected = 1.4826 * np.median(away[region::REGIONS], axis=0)
        np.testing.assert_allclose(fitted["spreads"][region], expected, rtol=1e-4, atol=1e-6)


def test_the_network_sees_differences_in_grey_values_and_in_usual_ones(
    patches: np.ndarray, fitted: dict[str, np.ndarray]
) -> None:
    model = Expectation(fitted)
    expected = model.of(tf.constant(pooled(patches[:2], 4)[..., None]))
    seen = differences(tf.constant(patches[:2, ..., None]), model.planes(expected)).numpy()
    away = pooled(patches[:2], 2) - expected.half.numpy()[..., 0]
    usual = np.maximum(fitted["spreads"], 2e-3)
    np.testing.assert_allclose(seen[..., 0], 2 * expected.half[..., 0] - 1, atol=1e-6)
    np.testing.assert_allclose(seen[..., 1], np.clip(8 * away, -3, 3), atol=1e-5)
    np.testing.assert_allclose(seen[..., 2], np.clip(0.3 * away / usual, -3, 3), atol=1e-3)
    np.testing.assert_allclose(seen[0, :, 5, 3], np.linspace(-1, 1, SIZE // 2), atol=1e-6)
    np.testing.assert_allclose(seen[0, 5, :, 4], np.linspace(-1, 1, SIZE // 2), atol=1e-6)


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(TrainingError, match="two patches of each region"):
        fit_expectation(3, ArrayPatches(products(1)), REGIONS, lambda done, total: None)


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_give_logits_at_half_size(preset: str) -> None:
    network = build_segmentation(SegmentationOptions(size=SIZE, regions=REGIONS, preset=preset))
    logits, features = network(
        [
            np.zeros((2, SIZE, SIZE, 1), "f4"),
            np.zeros((2, SIZE // 2, SIZE // 2, 5), "f4"),
            np.eye(2, dtype="f4"),
        ]
    )
    assert logits.shape == (2, SIZE // 2, SIZE // 2, 1)
    assert features.shape[1:3] == (SIZE // 16, SIZE // 16)


LOGITS = np.array([[2.0, -1.0], [0.5, -3.0]], "f4")[None, ..., None]
LABELS = np.array([[1.0, 0.0], [-1.0, 0.0]], "f4")[None, ..., None]


def test_cross_entropy_leaves_out_what_is_uncertain() -> None:
    found = losses.cross_entropy(LOGITS, LABELS, positive_weight=3.0)
    parts = [-3.0 * np.log(expit(2.0)), -np.log(expit(1.0)), -np.log(expit(3.0))]
    assert float(found) == pytest.approx(sum(parts) / 3, rel=1e-5)


def test_focal_loss_is_its_formula() -> None:
    def of(p: float, alpha: float) -> float:
        return -alpha * (1 - p) ** 2 * np.log(p)

    parts = [of(expit(2.0), 0.25), of(expit(1.0), 0.75), of(expit(3.0), 0.75)]
    assert float(losses.focal(LOGITS, LABELS)) == pytest.approx(sum(parts) / 3, rel=1e-5)


def test_a_patch_speaks_by_its_largest_smoothed_logits() -> None:
    random = np.random.default_rng(0)
    logits = random.standard_normal((3, 10, 10, 1)).astype("f4")
    found = losses.largest(tf.constant(logits), 4).numpy()
    for row in range(3):
        padded = np.pad(logits[row, ..., 0], 1)
        sums = sum(padded[i : i + 10, j : j + 10] for i in range(3) for j in range(3))
        ones = np.pad(np.ones((10, 10)), 1)
        counts = sum(ones[i : i + 10, j : j + 10] for i in range(3) for j in range(3))
        assert found[row] == pytest.approx(np.sort((sums / counts).ravel())[-4:].mean(), rel=1e-5)


def test_patches_are_anomalous_nominal_or_neither() -> None:
    labels = np.zeros((4, 4, 4, 1), "f4")
    labels[1, :2, :2] = 1.0  # four pixels
    labels[2, 0, :3] = 1.0  # three: too few
    labels[3, 0, 0] = -1.0
    anomalous, nominal = losses.kinds(tf.constant(labels))
    np.testing.assert_array_equal(anomalous, [0, 1, 0, 0])
    np.testing.assert_array_equal(nominal, [1, 0, 0, 0])
    found = losses.patch_cross_entropy(tf.constant([1.0, 2.0, 9.0, 9.0]), anomalous, nominal)
    expected = (-np.log(expit(-1.0)) - np.log(expit(2.0))) / 2
    assert float(found) == pytest.approx(expected, rel=1e-5)


def shown(levels: list[float]) -> Shown:
    """Examples told apart by their grey level."""
    count = len(levels)
    images = np.array(levels, "f4").reshape(-1, 1, 1, 1) * np.ones((1, 8, 8, 1), "f4")
    origins = np.stack([np.arange(count), np.arange(count)], 1).astype("i4")
    return Shown(tf.constant(images), tf.constant(images[:, :2, :2]), tf.constant(origins))


def kept(replay: Replay) -> dict[float, float]:
    """Hardness by grey level of what is remembered."""
    images, _, _, hardness = (variable.numpy() for variable in replay.state)
    levels = images[:, 0, 0, 0].astype(float).round(2).tolist()
    return dict(zip(levels, hardness.tolist(), strict=True))


def test_replay_keeps_the_hardest_nominal_examples() -> None:
    replay, fresh = Replay(3, 8, 2), tf.constant([-1] * 4)
    nominal = tf.constant([1.0, 1.0, 0.0, 1.0])
    first = shown([0.1, 0.2, 0.3, 0.4])
    mixed, came_from = replay.mixed_in(first, tf.constant([True] * 4), tf.constant([0.0] * 4))
    np.testing.assert_array_equal(came_from, [-1] * 4)  # nothing is remembered yet
    np.testing.assert_array_equal(mixed.images, first.images)
    replay.learn(first, tf.constant([1.0, -2.0, 9.0, 0.5]), nominal, fresh)
    assert kept(replay) == {0.1: 1.0, 0.4: 0.5, 0.2: -2.0}
    second = shown([0.5, 0.6, 0.7, 0.8])
    replay.learn(second, tf.constant([0.7, -3.0, 8.0, 2.0]), nominal, fresh)
    assert kept(replay) == {0.1: 1.0, 0.5: pytest.approx(0.7), 0.8: 2.0}


def test_replayed_examples_come_back_and_are_judged_anew() -> None:
    replay = Replay(2, 8, 2)
    ones, fresh = tf.constant([1.0, 1.0]), tf.constant([-1, -1])
    replay.learn(shown([0.25, 0.5]), tf.constant([3.0, 4.0]), ones, fresh)
    chosen = tf.constant([True, False])
    mixed, came_from = replay.mixed_in(shown([0.9, 0.8]), chosen, tf.constant([0.99, 0.1]))
    place = int(came_from[0])
    remembered = float(replay.state[0][place, 0, 0, 0])
    assert place == 1
    assert int(came_from[1]) == -1
    np.testing.assert_allclose(mixed.images[:, 0, 0, 0], [remembered, 0.8], atol=1e-3)
    np.testing.assert_array_equal(mixed.origins[0], replay.state[2][place])
    replay.learn(mixed, tf.constant([-5.0, -9.0]), ones, came_from)
    hardness = replay.state[3].numpy()
    assert hardness[place] == -5.0
    assert sorted(hardness)[1] in (3.0, 4.0)


def configured(*overrides: str) -> Config:
    return load_config(
        None,
        [
            "model.method=grdnet",
            "model.preset=line-S",
            "model.components=3",
            "model.batch_norm_momentum=0.8",
            f"model.crop={CROP}",
            # Of little patches a heap fills most: too hard for a few steps.
            "model.anomalies.families.repetition=0",
            "model.replay.patches=16",
            "optimizer.learning_rate=0.003",
            "training.batch_size=8",
            "training.steps=60",
            "training.checkpoint_every=100",
            "training.sample_every=100",
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def run(patches: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grdnet") / "run"
    validation = ArrayPatches(products(12, seed=5))
    train(configured(), ArrayPatches(patches), validation, folder, data_identity=IDENTITY)
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return freeze_run(run, tmp_path_factory.mktemp("grdnet") / "frozen.vsb")


def freeze_run(run: Path, out: Path) -> Path:
    golden = products(8, seed=9).reshape(8, REGIONS, SIZE, SIZE).swapaxes(0, 1)
    freeze(
        run,
        out,
        layout=Layout.from_json(json.dumps(LAYOUT)),
        golden_patches=np.ascontiguousarray(golden),
        nominal_patches=products(20, seed=6),
        fingerprints=vialsight.data.fingerprints.Fingerprints.unknown(0).to_bytes(),
    )
    return out


def test_losses_fall(run: Path) -> None:
    rows = np.loadtxt(run / "losses.csv", delimiter=",", skiprows=1)
    assert rows[-15:, 2].mean() < 0.8 * rows[:15, 2].mean()


def test_a_run_that_goes_on_does_not_fit_again(run: Path, patches: np.ndarray) -> None:
    before = (run / "fitted" / "step-00000001" / "state.npz").read_bytes()

    class NoReading(ArrayPatches):
        def read(self, indices: np.ndarray) -> np.ndarray:
            raise AssertionError("a finished run needs no patches")

    validation = ArrayPatches(products(12, seed=5))
    train(configured(), NoReading(patches), validation, run, data_identity=IDENTITY)
    assert (run / "fitted" / "step-00000001" / "state.npz").read_bytes() == before


def test_the_mean_over_the_ends_of_cycles_is_deployed(patches: np.ndarray, tmp_path: Path) -> None:
    cycles = ("schedule.restart_unit=steps", "schedule.restart_period=4", "training.steps=9")
    config = configured("model.average_cycles=true", "training.checkpoint_every=1", *cycles)
    config = config.model_copy(
        update={"training": config.training.model_copy(update={"keep_checkpoints": 9})}
    )
    source = ArrayPatches(patches)
    train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    saved = {
        step: dict(np.load(tmp_path / f"run/checkpoints/step-{step:08d}/state.npz"))
        for step in (3, 4, 8, 9)
    }
    assert saved[3]["average/ended"] == 0.0
    names = [name for name in saved[9] if name.startswith("network/")]
    for name in names:
        mean = (saved[4][name].astype(float) + saved[8][name]) / 2.0
        kept = saved[9][name.replace("network", "average")]
        np.testing.assert_allclose(kept, mean, rtol=1e-6, atol=1e-7)
    # What is deployed is what it would be had the training ended with those weights.
    shutil.copytree(tmp_path / "run", tmp_path / "moved")
    last = dict(saved[9])
    moved = {name: last.pop(name.replace("network", "average")) for name in names}
    del last["average/ended"]
    np.savez(tmp_path / "moved/checkpoints/step-00000009/state.npz", **{**last, **moved})
    shown = tf.constant(products(2, seed=3)[..., None])
    found, expected = (load_network(tmp_path / name)(shown)["anomaly"] for name in ("run", "moved"))
    np.testing.assert_array_equal(found, expected)


def test_a_spot_stands_out_of_the_map(run: Path) -> None:
    network = load_network(run)
    clean = products(10, seed=3)
    spotted = clean.copy()
    spotted[:, 24:34, 30:40] *= 0.3
    maps = [network(tf.constant(x[..., None]))["anomaly"].numpy()[..., 0] for x in (clean, spotted)]
    inside = maps[1][:, 12:17, 15:20].max(axis=(1, 2))
    assert np.median(inside - maps[0].max(axis=(1, 2))) > 0.0


def test_core_scores_the_frozen_map_as_the_formula_says(run: Path, bundle: Path) -> None:
    inputs = products(5, seed=12)
    maps = load_network(run)(tf.constant(inputs[..., None]))["anomaly"].numpy()[..., 0]
    smooth = gaussian_filter(maps.astype(float), (0, 1.0, 1.0), mode="reflect", truncate=4.0)
    expected = smooth.max(axis=(1, 2))
    inspector = vialsight.Inspector(bundle, require_thresholds=False)
    found = inspector.score_patches(inputs)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_bundle_offers_the_papers_score_as_well(bundle: Path) -> None:
    offered = [
        c["name"] for c in json.loads((bundle / "manifest.json").read_text())["score"]["components"]
    ]
    assert offered[0] == "anomaly"
    assert "ssim" in offered


def test_perlin_anomalies_train(patches: np.ndarray, tmp_path: Path) -> None:
    config = configured(
        "model.crop=null",
        "model.anomalies.kind=perlin",
        "training.steps=2",
        "model.loss.pixel=focal",
    )
    source = ArrayPatches(patches)
    train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    assert np.isfinite(np.loadtxt(tmp_path / "run/losses.csv", delimiter=",", skiprows=1)).all()


def test_perlin_anomalies_of_crops_are_refused() -> None:
    with pytest.raises(ConfigError, match="need whole patches"):
        configured("model.anomalies.kind=perlin")


def mask(path: Path, size: int) -> Path:
    image = np.full((size, size), 255, np.uint8)
    image[:, : size // 2] = 0
    image[0, size // 2] = 0
    Image.fromarray(image).save(path)
    return path


def test_a_region_of_interest_counts_where_no_pixel_is_black(tmp_path: Path) -> None:
    roi = read_roi([None, mask(tmp_path / "roi.png", SIZE)], REGIONS, SIZE)
    expected = np.ones((REGIONS, SIZE // 2, SIZE // 2), bool)
    expected[1, :, : SIZE // 4] = False
    expected[1, 0, SIZE // 4] = False
    np.testing.assert_array_equal(roi, expected)
    assert read_roi(None, REGIONS, SIZE).all()


def test_wrong_regions_of_interest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected 2 entries, one for each region, got 1"):
        read_roi([None], REGIONS, SIZE)
    small = mask(tmp_path / "small.png", SIZE // 2)
    with pytest.raises(TrainingError, match="expected 64x64 pixels, those of a patch, got 32x32"):
        read_roi([small, None], REGIONS, SIZE)
    with pytest.raises(TrainingError, match=r"model\.roi: .*missing\.png"):
        read_roi([tmp_path / "missing.png", None], REGIONS, SIZE)


def test_a_lost_fit_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "fitted")
    with pytest.raises(TrainingError, match="holds no fit"):
        load_network(tmp_path / "run")


GENERATED = [
    "model.crop=null",
    "model.generator.preset=drae-16",
    "training.steps=40",
    "training.sample_every=20",
    "training.checkpoint_every=20",
    "training.batch_size=4",
]


@pytest.mark.parametrize("kind", ["mixed", "perlin"])
def test_a_generator_learns_what_is_expected_instead(
    kind: str, patches: np.ndarray, tmp_path: Path
) -> None:
    config = configured(*GENERATED, f"model.anomalies.kind={kind}")
    source = ArrayPatches(patches)
    train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    header = (tmp_path / "run/losses.csv").read_text().splitlines()[0].split(",")
    rows = np.loadtxt(tmp_path / "run/losses.csv", delimiter=",", skiprows=1)
    contextual = rows[:, header.index("contextual")]
    assert contextual[-8:].mean() < 0.8 * contextual[:8].mean()
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("bottleneck", ["dense", "convolutional"])
def test_a_generator_is_frozen_with_the_network(
    bottleneck: str, patches: np.ndarray, tmp_path: Path
) -> None:
    config = configured(*GENERATED, f"model.generator.bottleneck={bottleneck}", "training.steps=3")
    source = ArrayPatches(patches)
    train(config, source, source, tmp_path / "run", data_identity=IDENTITY)
    freeze_run(tmp_path / "run", tmp_path / "frozen.vsb")
    inputs = products(5, seed=12)
    outputs = load_network(tmp_path / "run")(tf.constant(inputs[..., None]))
    whole = outputs["reconstruction"].numpy()[..., 0]
    assert whole.shape == inputs.shape
    smooth = gaussian_filter(
        outputs["anomaly"].numpy()[..., 0].astype(float), (0, 1.0, 1.0), mode="reflect"
    )
    inspector = vialsight.Inspector(tmp_path / "frozen.vsb", require_thresholds=False)
    np.testing.assert_allclose(inspector.score_patches(inputs), smooth.max(axis=(1, 2)), atol=2e-4)


def test_a_generator_goes_on_where_it_was(patches: np.ndarray, tmp_path: Path) -> None:
    """With all its state. Not bit by bit as without one: docs/methods.md says why."""
    source, run = ArrayPatches(patches), tmp_path / "run"
    for length in (3, 4):
        config = configured(*GENERATED, "training.checkpoint_every=1", f"training.steps={length}")
        train(config, source, source, run, data_identity=IDENTITY)
    before, after = (
        dict(np.load(run / f"checkpoints/step-0000000{step}/state.npz")) for step in (3, 4)
    )
    rate = 2.0 * config.model.generator.learning_rate
    for name in ("generator", "encoder", "discriminator"):
        optimizer = "discriminator" if name == "discriminator" else "generator"
        assert any(key.startswith(f"{optimizer}_optimizer/") for key in before)
        weights = [key for key in before if key.startswith(f"{name}/") and before[key].ndim == 4]
        assert weights
        # One step of Adam moves a weight by its rate or so; fresh weights are far from these.
        assert all(np.abs(after[key] - before[key]).max() < 3.0 * rate for key in weights)
        assert any((after[key] != before[key]).any() for key in weights)


def test_a_generator_is_shown_anomalies_and_taught_clean_images(patches: np.ndarray) -> None:
    """The target has no anomaly, and the same noise, place and exposure."""
    config = configured(*GENERATED, "model.anomalies.probability=1.0")
    fitted = fit_expectation(3, ArrayPatches(patches), REGIONS, lambda done, total: None)
    arrays = {**fitted.arrays, "roi": np.ones((REGIONS, SIZE // 2, SIZE // 2), bool)}
    examples = DrawnExamples(config, ArrayPatches(patches), REGIONS, arrays)
    images, labels, _, _, clean = examples(patches[:40], np.arange(40), 0, 0)
    changed = np.abs(images - clean)
    labelled = np.kron(labels == 1.0, np.ones((2, 2))) > 0
    assert (
        changed[labelled].mean()
        > 20.0 * changed[np.kron(labels == 0.0, np.ones((2, 2))) > 0].mean()
    )
    np.testing.assert_allclose(clean, patches[:40], atol=0.25)


def test_a_generator_of_crops_is_refused() -> None:
    with pytest.raises(ConfigError, match="a generator needs whole patches"):
        configured("model.generator.preset=drae-16")


def test_patches_that_do_not_halve_five_times_are_refused(tmp_path: Path) -> None:
    odd = ArrayPatches(np.ascontiguousarray(products(60)[:, :48, :48]))
    with pytest.raises(TrainingError, match="a multiple of 32; got 48"):
        train(configured(), odd, odd, tmp_path / "run", data_identity=IDENTITY)
