"""What a training learns from, wherever it lies: a dataset folder, shards, or a simulated line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vialsight._core import Layout
from vialsight.aliases import Patches, Progress
from vialsight.config import DataConfig, SimulateConfig
from vialsight.data import Dataset, DatasetPatches, dataset_groups, open_shards, read_dataset
from vialsight.data.fingerprints import Fingerprints, describe_all, joined
from vialsight.data.patches import first_of_each_region
from vialsight.data.records import raise_listed
from vialsight.data.shards.index import INDEX_NAME
from vialsight.data.sources import PatchSource, even_groups, expect
from vialsight.errors import ConfigError, DataError
from vialsight.locator import ProductLocator
from vialsight.training.locating import keep_for_run, run_locator

TRAINING_SPLITS: Final = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Nominal patches to train on and to validate with, and what they are.

    `data_sha256` stands for all of their content. `folder` is None where nothing is on disk.
    """

    name: str
    layout: Layout
    training: PatchSource
    validation: PatchSource
    data_sha256: str
    products: tuple[str, ...]
    folder: Path | None
    locator: ProductLocator | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What run.json keeps, as JSON."""
        folder = {} if self.folder is None else {"folder": str(self.folder.absolute())}
        locator = {} if self.locator is None else {"locator": self.locator.sha256}
        return {
            "data_sha256": self.data_sha256,
            "layout": json.loads(self.layout.to_json()),
            "training_products": sorted(self.products),
            **locator,
            **folder,
        }

    def golden_patches(self, *, count: int) -> Patches:
        """Return `count` patches of each region, float32 (R,count,P,P), validation first.

        Raises DataError when there are too few.
        """
        sources = [self.validation, self.training]
        return first_of_each_region(sources, self.layout, count=count, name=self.name)

    def nominal_patches(self, *, count: int) -> Patches:
        """Return up to `count` patches of each region, float32 (n,P,P), those of validation.

        Patch i is of region i modulo R. Without a validation split, training's.
        """
        source = self.validation if len(self.validation) else self.training
        regions = len(self.layout.regions)
        indices = even_groups(len(source), regions, count).ravel()
        expect(source, indices)
        return source.read(indices)

    def fingerprints(self, progress: Progress | None = None) -> Fingerprints:
        """Return what the images trained on are recognised by; `progress` as `describe_all`.

        Images that are rendered while training are counted only.
        """
        per_image = self.layout.patches_per_frame
        sources = (self.training, self.validation)
        if self.folder is None:
            return Fingerprints.unknown(sum(len(source) for source in sources) // per_image)
        described = [describe_all(source, per_image, progress) for source in sources]
        return Fingerprints.of_training(joined(described))


@contextmanager
def training_data(config: DataConfig, *, run: Path | None = None) -> Iterator[TrainingData]:
    """Open what a configuration names; whatever it needs is ended with the `with` block.

    Where products are located, the locator is that of the shards or of `run`, the folder of a run;
    a new run gets it: the shards' or one fitted first to the nominal images of the train split.
    Raises ConfigError when the configuration names nothing, DataError when the data cannot be
    trained on, TrainingError when it is interrupted while fitting.
    """
    if config.simulate is not None:
        with _simulated(config.simulate, run) as data:
            yield data
    elif config.path is None:
        raise ConfigError(
            "data.path is not set; give the dataset folder with --data, or strips to render with "
            "--set data.simulate.strips=N"
        )
    elif not config.path.is_dir():
        raise DataError(
            f"{config.path}: no such folder; give a dataset folder or a folder of shards, "
            "with --data"
        )
    elif (config.path / INDEX_NAME).exists():
        yield _sharded(config.path, run)
    else:
        yield _in_folder(config.path, run, cache_bytes=config.cache_bytes)


def _in_folder(folder: Path, run: Path | None, *, cache_bytes: int) -> TrainingData:
    dataset = read_dataset(folder)
    parts = {split: dataset.select(split=split) for split in TRAINING_SPLITS}
    for split, part in parts.items():
        _refuse_defective(split, [f"{r.product}: {r.image}" for r in part.records if r.defective])
    used = Dataset(folder, dataset.layout, tuple(r for p in parts.values() for r in p.records))
    locator = run_locator(run, dataset.layout, dataset_groups(dataset, ["train"]))
    training, validation = (
        DatasetPatches(parts[split], locator=locator, cache_bytes=cache_bytes)
        for split in TRAINING_SPLITS
    )
    return TrainingData(
        name=str(folder),
        layout=dataset.layout,
        training=training,
        validation=validation,
        data_sha256=used.sha256(),
        products=used.products,
        folder=folder,
        locator=locator,
    )


def _sharded(folder: Path, run: Path | None) -> TrainingData:
    shards = open_shards(folder)
    for split in TRAINING_SPLITS:
        _refuse_defective(split, shards.products(split, "defective"))
    products = [name for split in TRAINING_SPLITS for name in shards.products(split, "nominal")]
    keep_for_run(run, shards.locator)
    return TrainingData(
        name=str(folder),
        layout=shards.layout,
        training=shards.patches("train"),
        validation=shards.patches("validation"),
        data_sha256=shards.index.sha256,
        products=tuple(products),
        folder=folder,
        locator=shards.locator,
    )


@contextmanager
def _simulated(config: SimulateConfig, run: Path | None) -> Iterator[TrainingData]:
    # SciPy's part in it would slow down every start of the command line.
    from vialsight.simulation.plan import plan_set
    from vialsight.simulation.product import bfs_layout
    from vialsight.simulation.rendered_patches import RenderedPatches
    from vialsight.simulation.sharding import set_groups
    from vialsight.simulation.workers import WorkerPool

    plan = plan_set(
        "train",
        strips=config.strips,
        runs=config.runs,
        seed=config.seed,
        frames=config.frames,
    )
    layout = bfs_layout(config.patch_size)
    locator = run_locator(run, layout, set_groups(plan))
    with WorkerPool(config.workers) as pool:
        training, validation = (
            RenderedPatches(plan, split=split, layout=layout, pool=pool, locator=locator)
            for split in TRAINING_SPLITS
        )
        yield TrainingData(
            name=f"simulated set {plan.name!r}",
            layout=layout,
            training=training,
            validation=validation,
            data_sha256=plan.identity,
            products=tuple(strip.product for strip in plan.strips),
            folder=None,
            locator=locator,
        )


def _refuse_defective(split: str, names: list[str]) -> None:
    raise_listed(f"defective images in the {split} split; the model learns nominal", names)
