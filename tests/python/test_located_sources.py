"""The same patches from a folder, from shards and from a stream: those of the core's extraction."""

import json
import shutil
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import located_support as moved
import numpy as np
import pytest

from vialsight import _core
from vialsight.data import (
    DatasetPatches,
    check_shards,
    chosen_locator,
    dataset_groups,
    find_locator,
    locators,
    open_shards,
    read_index,
    write_shards,
)
from vialsight.data.locators import FOLDER_NAME, keep_locator
from vialsight.data.shards.index import ShardIndex, content_sha256
from vialsight.errors import DataError
from vialsight.locator import ProductLocator, write_locator
from vialsight.simulation.plan import plan_set
from vialsight.simulation.product import bfs_layout
from vialsight.simulation.rendered_patches import RenderedPatches
from vialsight.simulation.rendering import render_run

FITTING = "vialsight.data.locating"


def write(folder: Path, **changes: object) -> ShardIndex:
    options = {"source": "moved", "locator": moved.locator(), "records_per_shard": 12}
    return write_shards(folder, moved.layout(), moved.groups(), **(options | changes))


def of_core(split: str) -> np.ndarray:
    frames = [frame for g in moved.groups() if g.split == split for frame in g.load()]
    return np.concatenate([moved.located_patches(frame) for frame in frames])


class TestEqual:
    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_folder_shards_and_core(self, tmp_path: Path, split: str) -> None:
        dataset = moved.write_folder(tmp_path / "folder")
        groups = dataset_groups(dataset, ["train", "validation"])
        write_shards(
            tmp_path / "shards", dataset.layout, groups, source="x", locator=moved.locator()
        )
        folder = DatasetPatches(dataset.select(split=split), locator=moved.locator())
        shards = open_shards(tmp_path / "shards").patches(split)
        expected = of_core(split)
        for source in (folder, shards):
            np.testing.assert_array_equal(source.read(np.arange(len(source))), expected)

    def test_stream(self) -> None:
        """A simulated strip as the stream cuts it; the locator is made of another frame of it."""
        plan = replace(plan_set("train", strips=2, runs=1), frames=(8,), rank_images=False)
        layout, locator = located_strip(plan)
        patches = RenderedPatches(
            plan, split="train", layout=layout, pool=AtOnce(), locator=locator
        )
        (strip,) = (s for s in plan.strips if s.split == "train")
        frame = render_run(strip, 1, [8]).frames[0]
        where = locator.core().locate(frame)
        expected = _core.extract_patches(frame, layout, (where.dx, where.dy, where.turn))
        np.testing.assert_array_equal(patches.read(np.arange(20)), expected.reshape(-1, 32, 32))


class TestFolder:
    def test_an_image_whose_product_is_not_found_is_named(self, tmp_path: Path) -> None:
        dataset = moved.write_folder(tmp_path / "folder")
        image = dataset.records[0].image
        shutil.copyfile(image, tmp_path / "kept.png")
        blank = np.zeros((moved.HEIGHT, moved.WIDTH), np.uint8)
        from PIL import Image

        Image.fromarray(blank).save(image)
        patches = DatasetPatches(dataset, locator=moved.locator())
        with pytest.raises(DataError, match=rf"{image.name}: the product is not located"):
            patches.read(np.array([0]))

    def test_needs_a_locator(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="there is no locator"):
            DatasetPatches(moved.write_folder(tmp_path / "folder"))


class TestShards:
    def test_hold_their_locator(self, tmp_path: Path) -> None:
        index = write(tmp_path)
        known = moved.locator().sha256
        assert (
            index.locator == known == json.loads((tmp_path / "index.json").read_text())["locator"]
        )
        assert (index.dtype, open_shards(tmp_path).locator.sha256) == ("float32", known)
        assert check_shards(tmp_path) == []

    def test_as_they_lie_the_index_says_nothing_of_it(self, tmp_path: Path) -> None:
        groups, layout = moved.groups(), moved.layout(locate="none")
        write_shards(tmp_path, layout, groups, source="x")
        assert "locator" not in json.loads((tmp_path / "index.json").read_text())
        assert open_shards(tmp_path).locator is None
        assert not (tmp_path / FOLDER_NAME).exists()

    def test_are_finished_with_the_same_locator(self, tmp_path: Path) -> None:
        interrupt(tmp_path)
        assert find_locator(tmp_path).sha256 == moved.locator().sha256
        write(tmp_path)
        whole = write(tmp_path.with_name("whole"))
        assert read_index(tmp_path) == whole

    def test_are_not_finished_with_another(self, tmp_path: Path) -> None:
        interrupt(tmp_path)
        with pytest.raises(DataError, match=r"holds other shards .*locator"):
            write(tmp_path, locator=moved.locator(residual_limit=0.03))

    def test_are_not_mistaken_for_those_of_another(self, tmp_path: Path) -> None:
        write(tmp_path)
        with pytest.raises(DataError, match=r"holds other shards .*locator"):
            write(tmp_path, locator=moved.locator(residual_limit=0.03))

    def test_a_product_that_is_not_found(self, tmp_path: Path) -> None:
        strict = moved.locator(residual_limit=1e-5)
        with pytest.raises(DataError, match=r"product 'train-0' run 1 frame 1: .* not located"):
            write(tmp_path, locator=strict)

    def test_without_their_locator(self, tmp_path: Path) -> None:
        write(tmp_path)
        shutil.rmtree(tmp_path / FOLDER_NAME)
        with pytest.raises(DataError, match=r"expected the locator [0-9a-f]{64} of index\.json"):
            open_shards(tmp_path)
        (problem,) = check_shards(tmp_path)
        assert "expected the locator" in problem

    def test_with_another_locator(self, tmp_path: Path) -> None:
        write(tmp_path)
        shutil.rmtree(tmp_path / FOLDER_NAME)
        other = moved.locator(residual_limit=0.03)
        write_locator(tmp_path / FOLDER_NAME, other)
        with pytest.raises(DataError, match=f"got {other.sha256}"):
            open_shards(tmp_path)

    @pytest.mark.parametrize("change", [{"locator": "0" * 64}, {"locator": None}])
    def test_an_edited_index(self, tmp_path: Path, change: dict) -> None:
        write(tmp_path)
        rewrite(tmp_path, change)
        with pytest.raises(DataError, match="the index was changed"):
            read_index(tmp_path)

    def test_an_index_that_locates_without_a_locator(self, tmp_path: Path) -> None:
        write(tmp_path)
        content = json.loads((tmp_path / "index.json").read_text())
        del content["locator"]
        content["sha256"] = content_sha256(content)
        (tmp_path / "index.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="locate 'rigid', expected a locator's SHA-256"):
            read_index(tmp_path)


class TestKeep:
    def after_another_worker(self, monkeypatch: pytest.MonkeyPatch, other: ProductLocator) -> None:
        def write_later(folder: Path, locator: ProductLocator) -> None:
            write_locator(folder, other)
            write_locator(folder, locator)

        monkeypatch.setattr(locators, "write_locator", write_later)

    def test_after_a_worker_that_was_quicker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.after_another_worker(monkeypatch, moved.locator())
        keep_locator(tmp_path, moved.locator())
        assert find_locator(tmp_path).sha256 == moved.locator().sha256

    def test_after_a_worker_with_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.after_another_worker(monkeypatch, moved.locator(residual_limit=0.03))
        with pytest.raises(DataError, match="locator is another locator"):
            keep_locator(tmp_path, moved.locator())


class TestChosen:
    def test_none_where_the_layout_does_not_locate(self) -> None:
        assert chosen_locator(moved.layout(locate="none"), moved.groups()) is None

    def test_given_where_the_layout_does_not_locate(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected no locator, the layout says locate none"):
            chosen_locator(moved.layout(locate="none"), [], given=tmp_path)

    def test_given_before_kept_before_fitted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given, kept, fitted = (moved.locator(residual_limit=n / 100) for n in (1, 2, 3))
        write_locator(tmp_path / "given", given)
        write_locator(tmp_path / "kept" / FOLDER_NAME, kept)
        groups: list = []

        def fit(layout: object, chosen: list, progress: object) -> SimpleNamespace:
            groups.extend(chosen)
            return SimpleNamespace(locator=fitted)

        monkeypatch.setitem(sys.modules, FITTING, SimpleNamespace(fit_locator=fit))
        known = moved.groups()

        def choose(**options: Path) -> ProductLocator | None:
            return chosen_locator(moved.layout(), known, **options)

        paths = {"given": tmp_path / "given", "kept": tmp_path / "kept"}
        assert choose(**paths).sha256 == given.sha256
        assert choose(kept=paths["kept"]).sha256 == kept.sha256
        assert choose(kept=tmp_path) is fitted
        assert [group.product for group in groups] == ["train-0", "train-1", "train-2"]

    @pytest.mark.parametrize("groups", [moved.groups()[3:], moved.groups(label="defective")])
    def test_nothing_to_fit_to(self, groups: list) -> None:
        with pytest.raises(DataError, match=r"no nominal images of the train split .* --locator"):
            chosen_locator(moved.layout(), groups)


class TestFind:
    @pytest.mark.parametrize("place", ["", FOLDER_NAME])
    def test_in_a_folder(self, tmp_path: Path, place: str) -> None:
        folder = tmp_path / "folder"
        write_locator(folder / place, moved.locator())
        assert find_locator(folder).sha256 == moved.locator().sha256

    def test_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected a folder that holds a locator, found none"):
            find_locator(tmp_path)

    def test_in_a_bundle_that_does_not_locate(self, tiny_bundle: Path) -> None:
        with pytest.raises(DataError, match="expected a bundle that locates products"):
            find_locator(tiny_bundle)


class AtOnce:
    """Renders where it is asked to, what another process would be sent."""

    def submit(self, function, task) -> Future:
        import pickle

        future: Future = Future()
        future.set_result(function(pickle.loads(pickle.dumps(task))))
        return future


def located_strip(plan) -> tuple[_core.Layout, ProductLocator]:
    frame = render_run(plan.strips[0], 1, [5]).frames[0]
    template = _core.reduced_frame(frame, 4)
    weights = np.ones_like(template)
    # The gripper's jaws stand still.
    weights[:35] = 0.0
    locator = moved.of_template(template, weights, width=1408, scale=4, residual_limit=0.1)
    return bfs_layout(32, locate="rigid"), locator


def interrupt(folder: Path) -> None:
    """Leave the second shard unwritten, as an interrupt does."""

    def stop() -> list:
        raise KeyboardInterrupt

    groups = moved.groups()
    groups[1] = replace(groups[1], load=stop)
    with pytest.raises(KeyboardInterrupt):
        write_shards(
            folder, moved.layout(), groups, source="moved", locator=moved.locator(),
            records_per_shard=12,
        )  # fmt: skip


def rewrite(folder: Path, change: dict) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
