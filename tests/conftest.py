"""Fixtures of all Python tests: a small product, its data, bundles of an untrained network."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vialsight
from vialsight.data import Dataset, Record, read_dataset, write_dataset
from vialsight.locator import ProductLocator

PATCH = 32
# Boxes of other sizes than the patch are resampled; the 32x32 one is copied.
BOXES = [
    [(2, 4, 40, 36), (4, 44, 32, 32)],
    [(50, 4, 40, 36), (54, 44, 32, 32)],
]
FRAME_SHAPE = (80, 96)
COUNTS = {
    ("train", "nominal"): 4,
    ("validation", "nominal"): 2,
    ("calibration", "nominal"): 5,
    ("calibration", "defective"): 3,
    ("test", "nominal"): 4,
    ("test", "defective"): 3,
}

# Begun first, so that workers side by side end together.
LONGEST = (
    "test_station_end_to_end",
    "test_distribute",
    "test_resume",
    "test_parity",
    "test_cli",
    "test_training",
    "test_rendered_patches",
    "test_installed_package",
    "test_pinned",
    "test_station_web_browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order inside a file stays."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


def make_tiny_layout(**changes: object) -> vialsight.Layout:
    """Two vials, two regions, three frames; `changes` replace constructor arguments."""
    arguments = {
        "name": "tiny",
        "frame_width": FRAME_SHAPE[1],
        "frame_height": FRAME_SHAPE[0],
        "frames": 3,
        "regions": ["top", "bottom"],
        "boxes": BOXES,
        "patch_size": PATCH,
    }
    return vialsight.Layout(**(arguments | changes))


@pytest.fixture(scope="session")
def tiny_layout() -> vialsight.Layout:
    return make_tiny_layout()


def nominal_frame(random: np.random.Generator) -> np.ndarray:
    """Smooth uint8 waves of random phase and length with a little noise; no two look alike."""
    rows, columns = np.indices(FRAME_SHAPE)
    phase, length = random.uniform(0, 2 * np.pi, 2), random.uniform(5.0, 9.0, 2)
    waves = np.sin(rows / length[0] + phase[0]) + np.cos(columns / length[1] + phase[1])
    return np.clip(128 + 40 * waves + random.normal(0, 3, FRAME_SHAPE), 0, 255).astype(np.uint8)


def add_defect(frame: np.ndarray) -> np.ndarray:
    """Draw a checkered defect into the bottom region of the first vial; return its mask."""
    mask = np.zeros(FRAME_SHAPE, np.uint8)
    mask[50:66, 10:26] = 255
    checks = (np.indices(FRAME_SHAPE).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame[mask > 0] = checks[mask > 0]
    return mask


def write_tiny_dataset(folder: Path) -> Path:
    """Write images, masks, dataset.csv and layout.json; products are named by split and label."""
    random, records = np.random.default_rng(7), []
    for (split, label), count in COUNTS.items():
        for number in range(count):
            product = f"{split}-{label}-{number}"
            for frame in range(1, 4):
                pixels = nominal_frame(random)
                image, mask = folder / f"{product}-{frame}.png", None
                if label == "defective":
                    mask = folder / f"{product}-{frame}-mask.png"
                    Image.fromarray(add_defect(pixels)).save(mask)
                Image.fromarray(pixels).save(image)
                record = Record(image=image, product=product, frame=frame, label=label, split=split)
                records.append(dataclasses.replace(record, mask=mask))
    write_dataset(folder, make_tiny_layout(), records)
    return folder


@pytest.fixture(scope="session")
def tiny_dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset folder with images; shared: never write into it."""
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny-data"))


@pytest.fixture(scope="session")
def tiny_dataset(tiny_dataset_folder: Path) -> Dataset:
    return read_dataset(tiny_dataset_folder)


@pytest.fixture
def own_dataset_folder(tmp_path: Path) -> Path:
    """A dataset folder of this test alone, free to be damaged."""
    folder = tmp_path / "data"
    folder.mkdir()
    return write_tiny_dataset(folder)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Dataset) -> Path:
    """Uncalibrated bundle of an untrained drae-16, its golden patches scored independently."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny.vsb", tiny_dataset)


@pytest.fixture(scope="session")
def tiny_calibrated_bundle(tiny_bundle: Path, tiny_dataset: Dataset) -> Path:
    """The tiny bundle with thresholds fitted on the tiny dataset."""
    from vialsight.calibration.fitting import calibrate

    out = tiny_bundle.with_name("calibrated.vsb")
    calibrate(vialsight.Bundle.load(tiny_bundle), tiny_dataset, out)
    return out


@pytest.fixture(scope="session")
def tiny_openvino_bundle(tiny_calibrated_bundle: Path, tiny_dataset: Dataset) -> Path:
    """The calibrated tiny bundle, for OpenVINO in float32."""
    pytest.importorskip("openvino", reason="pip install 'vialsight[openvino]'")
    from vialsight.calibration.optimizing import optimize

    out = tiny_calibrated_bundle.with_name("openvino.vsb")
    optimize(vialsight.Bundle.load(tiny_calibrated_bundle), tiny_dataset, out)
    return out


def reference_scores(inputs: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """φ = 1 - SSIM of (n,P,P) by scikit-image in float64.

    Not by tf.image.ssim, whose float32 is off by 2e-5 where both images are nearly constant.
    """
    from skimage.metrics import structural_similarity

    def score(x: np.ndarray, y: np.ndarray) -> float:
        _, similarity = structural_similarity(
            x.astype(np.float64), y.astype(np.float64), data_range=1.0, full=True,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        return 1.0 - float(similarity[5:-5, 5:-5].mean())

    return np.array([score(x, y) for x, y in zip(inputs, reconstructions, strict=True)])


def write_tiny_bundle(out: Path, dataset: Dataset, locator: Any = None) -> Path:
    """Freeze an untrained network with TensorFlow and write its bundle; all scores are offered."""
    import keras

    from vialsight.models.drae.network import NetworkOptions, build_generator, deployed_part

    keras.utils.set_random_seed(3)
    generator = build_generator(NetworkOptions(patch_size=PATCH, preset="drae-16"))
    return write_network(out, dataset, deployed_part(generator), locator=locator)


def write_network(
    out: Path,
    dataset: Dataset,
    network: Any,
    *,
    roles: dict[str, str] | None = None,
    components: Sequence[Any] | None = None,
    method: str = "drae",
    locator: ProductLocator | None = None,
) -> Path:
    """Write a bundle of `network`; where it offers 1 - SSIM, scikit-image says what that is.

    By default the network has one reconstruction, and all that can be said of it is offered.
    """
    from vialsight import scores
    from vialsight.bundle import Provenance, write_bundle
    from vialsight.data import DatasetPatches
    from vialsight.data.cutting import FrameCutter
    from vialsight.data.fingerprints import Fingerprints
    from vialsight.data.independence import describe_images
    from vialsight.data.patches import first_of_each_region
    from vialsight.training import freezing

    used = dataset.in_splits("validation", "train")
    source = DatasetPatches(used, locator=locator)
    size, regions = used.layout.patch_size, len(used.layout.regions)
    inputs = first_of_each_region([source], used.layout, count=8, name="tiny")
    described = describe_images(used, FrameCutter(used.layout, locator))
    model = freezing.freeze_graph(network, size, roles=roles, method=method)
    components = components or scores.of_reconstruction(size)
    nominal = source.read(np.arange(len(source)))
    locations = freezing.measure_locations(model, components, nominal, regions)
    golden = freezing.golden(model, components, inputs, locations)
    if components[0]["component"] == "ssim":
        flat = golden.inputs.reshape(-1, size, size)
        expected = reference_scores(flat, golden.outputs["reconstruction"].reshape(flat.shape))
        golden.components[..., 0] = expected.reshape(inputs.shape[:2])
    write_bundle(
        out,
        layout=dataset.layout,
        model=model,
        golden=golden,
        score=scores.definition(components),
        locations=locations,
        locator=locator,
        provenance=Provenance(
            config_sha256="0" * 64,
            data_sha256=dataset.sha256(),
            seed=3,
            training_products=used.products,
        ),
        fingerprints=Fingerprints.of_training(described).to_bytes(),
    )
    return out


@pytest.fixture
def copied_bundle(tiny_calibrated_bundle: Path, tmp_path: Path) -> Callable[[], Path]:
    """A function that copies the calibrated bundle to a fresh place, free to be damaged."""
    import shutil

    def copy() -> Path:
        return Path(shutil.copytree(tiny_calibrated_bundle, tmp_path / "copy.vsb"))

    return copy


def kit_locator(kit: Dataset, layout: vialsight.Layout) -> Any:
    """Fit a locator to the nominal strips of a small kit: one is enough to find others by."""
    from vialsight.data import dataset_groups
    from vialsight.data.locating import fit_locator

    nominal = [group for group in dataset_groups(kit, ["test"]) if group.label == "nominal"]
    # Of one strip the residuals say little of others'.
    return dataclasses.replace(fit_locator(layout, nominal).locator, residual_limit=0.1)


@pytest.fixture(scope="session")
def kit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated kit of one nominal and two defective strips, one run each; never written into."""
    from vialsight.simulation.plan import plan_set
    from vialsight.simulation.writing import write_set

    out = tmp_path_factory.mktemp("simulated") / "kit"
    plan = plan_set("kit", strips=3, runs=1)
    assert write_set(plan, out, workers=2, say=lambda _: None, progress=lambda *_: None)
    return out
