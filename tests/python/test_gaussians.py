"""Distances from nominal Gaussians: fit and graph against SciPy, scikit-learn, and the C++ core."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from array_patches import ArrayPatches
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

import vialsight
from conftest import write_network
from vialsight import scores
from vialsight.data import Dataset, DatasetPatches
from vialsight.models.configuration import load_config
from vialsight.models.drae.method import METHOD as DRAE
from vialsight.models.drae.method import OpenGenerator
from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part
from vialsight.models.gaussian_fit import Moments, complete, fit_projection
from vialsight.models.gaussians import Gaussians, Inside
from vialsight.models.grdnet.expectation import fit_expectation
from vialsight.models.grdnet.method import METHOD as GRDNET
from vialsight.models.method import Completed
from vialsight.models.pca.method import METHOD as PCA_METHOD
from vialsight.models.pca.method import LinearAutoencoder
from vialsight.models.regions import NearestMean, own_places

pytestmark = pytest.mark.tensorflow

SIZE, REGIONS = 32, 2


def one_hot(region: np.ndarray, regions: int = REGIONS) -> np.ndarray:
    return np.eye(regions, dtype=np.float32)[region]


def shrunk(values: np.ndarray, region: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means (L,k) and covariances (L,k,k) of each region of values (n,L,k), as documented."""
    groups = [values[region == number].astype(np.float64) for number in range(REGIONS)]
    freedom = [len(group) - 1 for group in groups]
    variances = [group.var(axis=0, ddof=1).mean(axis=0) for group in groups]
    together = np.average(variances, axis=0, weights=freedom)
    tau, found = 2 * values.shape[2], []
    for group, m, own in zip(groups, freedom, variances, strict=True):
        target = np.diag(m * own + 2 * together) / (m + 2)
        places = [m * np.cov(group[:, place].T) for place in range(values.shape[1])]
        found.append((group.mean(axis=0), (np.array(places) + tau * target) / (m + tau)))
    return found


def test_distances_are_mahalanobis_distances() -> None:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((REGIONS, 3, 5, 5)) * np.geomspace(1, 0.02, 5)
    covariances = mixing @ mixing.swapaxes(2, 3) + 1e-4 * np.eye(5)
    means = 3.0 * random.standard_normal((REGIONS, 3, 5))
    values = (means[[0, 1, 1, 0]] + random.standard_normal((4, 3, 5))).astype(np.float32)
    found = Gaussians(means, covariances).squared_distances(values, one_hot([0, 1, 1, 0])).numpy()
    for row, region in enumerate([0, 1, 1, 0]):
        for place in range(3):
            inverse = np.linalg.inv(covariances[region, place])
            mean = means[region, place].astype(np.float32)
            expected = mahalanobis(values[row, place].astype(float), mean.astype(float), inverse)
            assert found[row, place] == pytest.approx(expected**2, rel=2e-5)


@pytest.mark.parametrize("batch", [1, 7, 80])
def test_covariances_of_batches_are_those_of_numpy_and_shrunk(batch: int) -> None:
    random = np.random.default_rng(1)
    region = random.integers(0, REGIONS, 80)
    values = (100.0 + random.standard_normal((80, 3, 4)) * [3.0, 1.0, 0.5, 0.1]).astype(np.float32)
    moments = Moments(REGIONS, 3, 4)
    for first in range(0, 80, batch):
        chosen = slice(first, first + batch)
        moments.add(values[chosen], one_hot(region[chosen]))
    means, covariances = moments.gaussians()
    for number, (mean, covariance) in enumerate(shrunk(values, region)):
        np.testing.assert_allclose(means[number], mean, rtol=1e-9)
        np.testing.assert_allclose(covariances[number], covariance, rtol=1e-6, atol=1e-9)


def test_places_where_nothing_varies_are_not_known_exactly() -> None:
    random = np.random.default_rng(3)
    values = random.standard_normal((50, 2, 2)).astype(np.float32)
    values[:, 1] = 0.5
    moments = Moments(1, 2, 2)
    moments.add(values, one_hot(np.zeros(50, int), 1))
    _, covariances = moments.gaussians()
    spread = values.astype(np.float64).var(axis=0, ddof=1).mean(axis=0)
    np.testing.assert_allclose(covariances[0, 1], np.diag(spread) * 4 / 53, rtol=1e-6)


def test_a_region_without_patches_varies_as_the_others_do() -> None:
    values = np.random.default_rng(4).standard_normal((40, 1, 2)).astype(np.float32)
    moments = Moments(2, 1, 2)
    moments.add(values, one_hot(np.zeros(40, int)))
    _, covariances = moments.gaussians()
    spread = values.astype(np.float64).var(axis=0, ddof=1)[0]
    np.testing.assert_allclose(covariances[1, 0], np.diag(spread), rtol=1e-9)


def test_projection_is_on_components_of_what_varies_at_a_place() -> None:
    random = np.random.default_rng(5)
    region = np.arange(60) % REGIONS
    varying = random.standard_normal((60, 4, 4, 20)) * np.geomspace(2, 0.2, 20)
    # Places and regions differ far more than patches do.
    features = varying + 30.0 * random.standard_normal((REGIONS, 4, 4, 20))[region]
    projection = fit_projection(features.astype(np.float32), one_hot(region))
    centred = features.astype(np.float32).astype(np.float64)
    for number in range(REGIONS):
        centred[region == number] -= centred[region == number].mean(axis=0)
    oracle = PCA(n_components=16, svd_solver="full").fit(centred.reshape(-1, 20))
    found = projection(tf.constant(features, tf.float32)).numpy()
    away = (features - features.mean(axis=(0, 1, 2))).reshape(60, 16, 20)
    np.testing.assert_allclose(np.abs(found), np.abs(away @ oracle.components_.T), atol=2e-3)


def test_features_that_do_not_vary_have_one_component() -> None:
    features = np.full((6, 2, 2, 5), 0.25, np.float32)
    projection = fit_projection(features, one_hot(np.arange(6) % REGIONS))
    np.testing.assert_array_equal(projection(tf.constant(features)), np.zeros((6, 4, 1)))


def test_regions_are_those_of_the_nearest_mean() -> None:
    means = np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]])
    patches = np.array([[0.4, 0.4], [0.6, 0.7], [2.5, 0.1]], np.float32)
    nearest = NearestMean(means)
    np.testing.assert_array_equal(nearest.of(patches), np.eye(3))
    np.testing.assert_array_equal(nearest.mean_of(nearest.of(patches)), means)


def test_codes_move_to_their_own_places() -> None:
    codes = np.array([[1.0, 2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0, 5.0]])
    found = codes @ own_places(np.array([0, 0, 1, 1, 1]))
    np.testing.assert_array_equal(found, [[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]])
    assert own_places(np.zeros(0, np.int64)).shape == (0, 1)


class Levels:
    """Sees the mean grey level, and takes patches above 0.5 for the second region's."""

    def inside(self, patches: Any) -> Inside:
        codes = tf.reduce_mean(patches, (1, 2))
        bright = tf.cast(codes > 0.5, tf.float32)
        return Inside({"reconstruction": patches}, tf.concat([1.0 - bright, bright], 1), codes)


def levels(count: int) -> np.ndarray:
    """Patches float32 (2·count,16,16), dark and bright in turn."""
    random = np.random.default_rng(6)
    grey = [0.25, 0.75] + 0.02 * random.standard_normal((count, 2))
    return np.broadcast_to(grey.reshape(-1, 1, 1), (2 * count, 16, 16)).astype(np.float32)


def test_a_network_without_features_has_no_map_of_them() -> None:
    found, warnings = complete(Levels(), levels(30), REGIONS)
    outputs = found(tf.constant(levels(30)[..., None]))
    assert set(outputs) == {"reconstruction", "latent"}
    assert outputs["latent"].shape == (60, 1, 1, 1)
    # m - 1 + τ against m - 1: the variance itself is not shrunk.
    assert float(tf.reduce_mean(outputs["latent"])) == pytest.approx(1.0, abs=0.1)
    assert warnings == ()


def test_few_patches_are_warned_of() -> None:
    _, (warning,) = complete(Levels(), levels(2), REGIONS)
    assert warning.startswith("latent: expected 3 nominal patches of each region at least, got 2:")


def test_one_patch_of_each_region_still_gives_numbers() -> None:
    found, warnings = complete(Levels(), levels(1), REGIONS)
    assert len(warnings) == 1
    assert np.isfinite(found(tf.constant(levels(9)[..., None]))["latent"]).all()


def test_patches_that_look_like_another_region_are_warned_of() -> None:
    nominal = levels(50)
    nominal[:3:2] = nominal[1]
    _, warnings = complete(Levels(), nominal, REGIONS)
    assert any(text.startswith("2.00% of the nominal patches look more like") for text in warnings)


class Nothing:
    """A training that saved its fit, and of which networks keep their first weights."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays

    def fitted(self) -> dict[str, np.ndarray]:
        return self._arrays

    def restore(self, variables: dict[str, Any]) -> None:
        del variables


def drae(patches: np.ndarray) -> tuple[Any, Completed]:
    keras.utils.set_random_seed(3)
    network = deployed_part(build_generator(NetworkOptions(patch_size=SIZE, preset="drae-16")))
    means = patches.reshape(-1, REGIONS, 8, 4, 8, 4).mean((0, 3, 5)).reshape(REGIONS, -1)
    return OpenGenerator(network, means), DRAE.completed(network, patches, REGIONS)


def pca(patches: np.ndarray) -> tuple[Any, Completed]:
    config = load_config(None, ["model.method=pca", "model.components=4"])
    arrays = PCA_METHOD.fit(config, ArrayPatches(patches), REGIONS, lambda done, total: None).arrays
    network = LinearAutoencoder(arrays["means"], arrays["components"], arrays["region"])
    return network, PCA_METHOD.completed(network, patches, REGIONS)


def grdnet(patches: np.ndarray) -> tuple[Any, Completed]:
    keras.utils.set_random_seed(3)
    config = load_config(None, ["model.method=grdnet", "model.preset=line-S"])
    fitted = fit_expectation(4, ArrayPatches(patches), REGIONS, lambda done, total: None)
    network = GRDNET.network(config, SIZE, Nothing(dict(fitted.arrays)))
    return network, GRDNET.completed(network, patches, REGIONS)


def values_of(inside: Inside, name: str) -> np.ndarray:
    """What a distance is of, (n,L,k): codes, or all features."""
    if name == "latent":
        return np.asarray(inside.codes, np.float64)[:, None]
    features = np.asarray(inside.features, np.float64)
    return features.reshape(len(features), -1, features.shape[-1])


def expected_scores(network: Any, nominal: np.ndarray, patches: np.ndarray, name: str) -> Any:
    """The largest squared distance (n,) of patches, in float64 from what the network sees."""
    known, seen = (network.inside(tf.constant(x[..., None])) for x in (nominal, patches))
    region, of = (np.argmax(inside.region, axis=1) for inside in (known, seen))
    sample, values = values_of(known, name), values_of(seen, name)
    if name == "distance":
        means = np.stack([sample[region == number].mean(axis=0) for number in range(REGIONS)])
        centred = (sample - means[region]).reshape(-1, sample.shape[2])
        oracle = PCA(n_components=16, svd_solver="full").fit(centred)
        kept = oracle.explained_variance_ > 1e-4 * oracle.explained_variance_[0]
        basis = oracle.components_[kept].T
        sample, values = sample @ basis, values @ basis
    gaussians = shrunk(sample, region)
    largest = []
    for row, (mean, covariances) in zip(values, (gaussians[number] for number in of), strict=True):
        inverses = np.linalg.inv(covariances)
        away = [mahalanobis(*pair) for pair in zip(row, mean, inverses, strict=True)]
        largest.append(max(away) ** 2)
    return largest


@pytest.fixture(scope="module")
def sources(tiny_dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Nominal patches of the train split, and patches of the test split."""
    parts = [DatasetPatches(tiny_dataset.in_splits(name)) for name in ("train", "test")]
    nominal, patches = (source.read(np.arange(len(source))) for source in parts)
    return nominal, np.ascontiguousarray(patches[::3])


@pytest.mark.parametrize(
    ("make", "method", "name"),
    [
        (drae, DRAE, "latent"),
        (drae, DRAE, "distance"),
        (pca, PCA_METHOD, "latent"),
        (grdnet, GRDNET, "latent"),
        (grdnet, GRDNET, "distance"),
    ],
)
def test_core_scores_frozen_distances_as_scipy_does(
    make: Any,
    method: Any,
    name: str,
    sources: tuple[np.ndarray, np.ndarray],
    tiny_dataset: Dataset,
    tmp_path: Path,
) -> None:
    nominal, patches = sources
    network, completed = make(nominal)
    bundle = write_network(
        tmp_path / "frozen.vsb",
        tiny_dataset,
        completed.network,
        roles=dict(method.outputs),
        components=[scores.map_of(name)],
    )
    found = vialsight.Inspector(bundle, require_thresholds=False).score_patches(patches)
    expected = expected_scores(network, nominal, patches, name)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("method", [DRAE, PCA_METHOD, GRDNET])
def test_methods_offer_what_they_put_out(method: Any) -> None:
    offered = method.scores(load_config(None), SIZE)
    maps = {component["output"] for component in offered if component["component"] == "map"}
    assert maps == {name for name, role in method.outputs.items() if role == "map"}
