"""The locator of a run: fitted first, kept, used again, and never exchanged."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import located_support as moved
import numpy as np
import pytest

from vialsight.cli import model
from vialsight.config import DataConfig
from vialsight.data import dataset_groups, write_shards
from vialsight.data.locators import FOLDER_NAME, find_locator, kept_locator
from vialsight.errors import DataError, TrainingError
from vialsight.locator import ProductLocator, write_locator
from vialsight.models.configuration import Config
from vialsight.training.data import TrainingData, training_data
from vialsight.training.runfolder import RunFolder, check_resumable, new_record

FITTING = "vialsight.data.locating"


class Fits:
    """Stands for `fit_locator`: what it is asked for, and what it answers."""

    def __init__(self, locator: ProductLocator) -> None:
        self.locator = locator
        self.products: list[list[str]] = []

    def __call__(self, layout: object, groups: list, progress: object) -> SimpleNamespace:
        self.products.append(sorted({group.product for group in groups}))
        return SimpleNamespace(locator=self.locator)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    found = Fits(moved.locator())
    monkeypatch.setitem(sys.modules, FITTING, SimpleNamespace(fit_locator=found))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return moved.write_folder(tmp_path / "data").folder


def opened(data: Path, run: Path | None) -> TrainingData:
    with training_data(DataConfig(path=data), run=run) as found:
        return found


def begin(run: Path, data: TrainingData) -> None:
    """Leave what a run has once it trains."""
    record = new_record(Config(), patch_size=moved.P, total_steps=1, data_identity=data.identity)
    RunFolder(run).begin(Config(), record)


class TestFolder:
    def test_is_fitted_to_train_kept_and_named(
        self, folder: Path, tmp_path: Path, fits: Fits
    ) -> None:
        data = opened(folder, tmp_path / "run")
        assert fits.products == [["train-0", "train-1", "train-2"]]
        assert kept_locator(tmp_path / "run").sha256 == fits.locator.sha256
        assert data.identity["locator"] == data.locator.sha256 == fits.locator.sha256
        frame = moved.groups()[0].load()[0]
        expected = moved.located_patches(frame)
        np.testing.assert_array_equal(data.training.read(np.arange(6)), expected)

    def test_is_not_fitted_again_once_a_run_has_begun(
        self, folder: Path, tmp_path: Path, fits: Fits
    ) -> None:
        begin(tmp_path / "run", opened(folder, tmp_path / "run"))
        fits.locator = moved.locator(residual_limit=0.03)
        again = opened(folder, tmp_path / "run")
        assert (len(fits.products), again.locator.sha256) == (1, moved.locator().sha256)

    def test_what_never_became_a_run_is_replaced(
        self, folder: Path, tmp_path: Path, fits: Fits
    ) -> None:
        opened(folder, tmp_path / "run")
        fits.locator = moved.locator(residual_limit=0.03)
        opened(folder, tmp_path / "run")
        assert find_locator(tmp_path / "run").sha256 == fits.locator.sha256

    def test_interrupted_nothing_is_left(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setitem(sys.modules, FITTING, SimpleNamespace(fit_locator=interrupt))
        with pytest.raises(TrainingError, match="interrupted while the locator was fitted"):
            opened(folder, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_none_where_the_layout_does_not_locate(self, tmp_path: Path, fits: Fits) -> None:
        data = opened(
            moved.write_folder(tmp_path / "lying", locate="none").folder, tmp_path / "run"
        )
        assert (data.locator, fits.products, "locator" in data.identity) == (None, [], False)
        assert not (tmp_path / "run").exists()


class TestShards:
    def shards(self, tmp_path: Path, locator: ProductLocator) -> Path:
        out = tmp_path / f"shards-{locator.residual_limit}"
        write_shards(out, moved.layout(), moved.groups(), source="x", locator=locator)
        return out

    def test_the_run_gets_theirs(self, tmp_path: Path, fits: Fits) -> None:
        locator = moved.locator(residual_limit=0.03)
        data = opened(self.shards(tmp_path, locator), tmp_path / "run")
        assert data.identity["locator"] == locator.sha256
        assert find_locator(tmp_path / "run").sha256 == locator.sha256
        assert fits.products == []

    def test_a_run_does_not_go_on_with_those_of_another(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        begin(run, opened(self.shards(tmp_path, moved.locator()), run))
        other = moved.locator(residual_limit=0.03)
        now = opened(self.shards(tmp_path, other), run)
        record = new_record(Config(), patch_size=moved.P, total_steps=1, data_identity=now.identity)
        folder = RunFolder(run)
        text = f"locator {moved.locator().sha256}, now {other.sha256}"
        with pytest.raises(TrainingError, match=text):
            check_resumable(folder, Config(), record, folder.record() or {})
        assert find_locator(run).sha256 == moved.locator().sha256

    def test_freeze_refuses_those_of_another(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        begin(run, opened(self.shards(tmp_path, moved.locator()), run))
        other = self.shards(tmp_path, moved.locator(residual_limit=0.03))
        with pytest.raises(DataError, match="located by the locator of the run"):
            model.freeze(run, tmp_path / "out.vsb", other)


class TestFreeze:
    def test_refuses_another_locator_in_the_run(
        self, folder: Path, tmp_path: Path, fits: Fits
    ) -> None:
        import shutil

        run = tmp_path / "run"
        begin(run, opened(folder, run))
        shutil.rmtree(run / FOLDER_NAME)
        write_locator(run / FOLDER_NAME, moved.locator(residual_limit=0.03))
        with pytest.raises(DataError, match="located by the locator of the run"):
            model.freeze(run, tmp_path / "out.vsb", None)

    def test_refuses_data_as_they_lie(self, folder: Path, tmp_path: Path, fits: Fits) -> None:
        run = tmp_path / "run"
        begin(run, opened(folder, run))
        layout = json.loads((folder / "layout.json").read_text())
        (folder / "layout.json").write_text(json.dumps(layout | {"locate": "none"}))
        with pytest.raises(DataError, match="they are located by None"):
            model.freeze(run, tmp_path / "out.vsb", None)


def test_shards_and_folder_train_on_the_same_patches(
    folder: Path, tmp_path: Path, fits: Fits
) -> None:
    loose = opened(folder, tmp_path / "run")
    from vialsight.data import read_dataset

    groups = dataset_groups(read_dataset(folder), ["train", "validation"])
    write_shards(tmp_path / "shards", loose.layout, groups, source="x", locator=loose.locator)
    packed = opened(tmp_path / "shards", tmp_path / "other")
    for name in ("training", "validation"):
        pair = (getattr(data, name) for data in (loose, packed))
        first, second = (source.read(np.arange(len(source))) for source in pair)
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(loose.golden_patches(count=4), packed.golden_patches(count=4))
