"""Patches rendered while they are read: the same as rendering first, whatever renders them."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from training_support import losses_of

from vialsight import extract_patches
from vialsight.config import DataConfig
from vialsight.data import FrameCutter
from vialsight.errors import ConfigError, DataError, SimulationError, TrainingError
from vialsight.models.configuration import load_config
from vialsight.simulation.plan import SetPlan, plan_set
from vialsight.simulation.product import bfs_layout
from vialsight.simulation.rendered_patches import BlockTask, RenderedPatches, render_block
from vialsight.simulation.rendering import rank_images, render_run
from vialsight.simulation.workers import WorkerPool
from vialsight.training.data import TrainingData, training_data

P = 32
FRAME_PATCHES = 20
RUN_PATCHES = 18 * FRAME_PATCHES
AS_THEY_LIE = bfs_layout(P, locate="none")


def short_plan() -> SetPlan:
    """Two train strips and one of validation, two runs each, of which one frame is seen."""
    plan = plan_set("train", strips=3, runs=2)
    return dataclasses.replace(plan, frames=(8,), rank_images=False)


class AtOnce:
    """Renders where it is asked to, and remembers what."""

    def __init__(self) -> None:
        self.tasks: list[BlockTask] = []

    def submit(self, function: Callable, task: BlockTask) -> Future:
        self.tasks.append(task)
        future: Future = Future()
        future.set_result(function(task))
        return future

    @property
    def runs(self) -> list[tuple[str, int]]:
        return [(task.run.strip.product[-1], task.run.run) for task in self.tasks]


@pytest.fixture(scope="module")
def short_patches() -> np.ndarray:
    """Patches (2 strips x 2 runs x 20) of the train split of the short plan, rendered directly."""
    plan, layout = short_plan(), AS_THEY_LIE
    frames = [
        render_run(strip, run, [8]).frames[0]
        for strip in plan.strips
        if strip.split == "train"
        for run in (1, 2)
    ]
    return np.concatenate([extract_patches(f, layout).reshape(-1, P, P) for f in frames])


@pytest.fixture(scope="module")
def simulated() -> Iterator[TrainingData]:
    """One strip to train on, one to validate with; rendered once for all tests."""
    config = load_config(None, ["data.simulate.strips=2", "data.simulate.runs=1",
                                f"data.simulate.patch_size={P}"])  # fmt: skip
    with training_data(config.data) as data:
        yield data


class TestPatches:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_equal_those_of_rendering_first(self, workers: int, short_patches: np.ndarray) -> None:
        order = np.random.default_rng(workers).permutation(80)
        with WorkerPool(workers) as pool:
            patches = RenderedPatches(short_plan(), split="train", layout=AS_THEY_LIE, pool=pool)
            patches.expect([2, 0, 3, 1])
            assert (len(patches), patches.patch_size, patches.block_patches) == (80, P, 20)
            np.testing.assert_array_equal(patches.read(order), short_patches[order])

    def test_copied_boxes_are_kept_as_bytes(self) -> None:
        pool = AtOnce()
        patches = RenderedPatches(
            short_plan(), split="validation", layout=bfs_layout(locate="none"), pool=pool
        )
        read = patches.read(np.arange(20))
        assert render_block(pool.tasks[0]).dtype == np.uint8
        (strip,) = (s for s in short_plan().strips if s.split == "validation")
        frame = render_run(strip, 1, [8]).frames[0]
        expected = extract_patches(frame, bfs_layout(locate="none")).reshape(-1, 256, 256)
        np.testing.assert_array_equal(read, expected)

    def test_rank_images_follow_the_frames(self, simulated: TrainingData) -> None:
        (strip,) = (s for s in plan_set("train", strips=2, runs=1).strips if s.split == "train")
        frames = render_run(strip, 1, range(1, 17)).frames
        images = [*frames, *rank_images(frames)]
        cutter = FrameCutter(simulated.layout, simulated.locator)
        expected = [cutter.cut(image).patches for image in images]
        np.testing.assert_array_equal(
            simulated.training.read(np.arange(RUN_PATCHES)),
            np.concatenate(expected).reshape(-1, P, P),
        )

    @pytest.mark.parametrize("index", [-1, 80])
    def test_index_outside(self, index: int) -> None:
        patches = RenderedPatches(short_plan(), split="train", layout=AS_THEY_LIE, pool=AtOnce())
        with pytest.raises(IndexError, match=r"\[0, 80\)"):
            patches.read(np.array([index]))

    def test_split_without_strips(self) -> None:
        with pytest.raises(DataError, match="'train' has no strips in the split 'test'"):
            RenderedPatches(short_plan(), split="test", layout=AS_THEY_LIE, pool=AtOnce())

    def test_killed_worker(self) -> None:
        from concurrent.futures.process import BrokenProcessPool

        class Broken(AtOnce):
            def submit(self, function: Callable, task: BlockTask) -> Future:
                future: Future = Future()
                future.set_exception(BrokenProcessPool())
                return future

        patches = RenderedPatches(short_plan(), split="train", layout=AS_THEY_LIE, pool=Broken())
        with pytest.raises(SimulationError, match="rendering process was killed"):
            patches.read(np.array([0]))


class TestMemory:
    def patches(self, pool: AtOnce) -> RenderedPatches:
        return RenderedPatches(short_plan(), split="train", layout=AS_THEY_LIE, pool=pool)

    def test_expected_blocks_are_rendered_in_order_and_once(self) -> None:
        pool = AtOnce()
        patches = self.patches(pool)
        patches.expect([3, 0])
        patches.expect([0, 2])
        patches.read(np.array([0, 41]))
        assert pool.runs == [("2", 2), ("0", 1), ("2", 1)]

    def test_blocks_no_longer_expected_are_forgotten(self) -> None:
        pool = AtOnce()
        patches = self.patches(pool)
        patches.expect([0, 1])
        patches.expect([1])
        patches.read(np.array([0]))
        assert pool.runs == [("0", 1), ("0", 2), ("0", 1)]

    def test_few_unexpected_blocks_are_kept(self) -> None:
        pool = AtOnce()
        patches = self.patches(pool)
        patches.read(np.array([0, 20]))
        patches.read(np.array([1, 21]))
        assert len(pool.tasks) == 2
        patches.read(np.array([40]))
        patches.read(np.array([0]))
        assert len(pool.tasks) == 4

    def test_block_given_up_while_it_is_waited_for_is_rendered_again(self) -> None:
        class Slow(AtOnce):
            """The first block is never begun, and given up when somebody waits for it."""

            def submit(self, function: Callable, task: BlockTask) -> Future:
                if not self.tasks:
                    self.tasks.append(task)
                    future: Future = Future()
                    future.result = lambda: patches.expect([]) or Future.result(future, 0)  # type: ignore[method-assign]
                    return future
                return super().submit(function, task)

        patches = self.patches(Slow())
        assert patches.read(np.array([0])).shape == (1, P, P)


class TestTrainingData:
    def test_identity_is_the_plans(self, simulated: TrainingData) -> None:
        plan = plan_set("train", strips=2, runs=1)
        assert simulated.locator is not None
        assert simulated.identity == {
            "data_sha256": plan.identity,
            "locator": simulated.locator.sha256,
            "layout": json.loads(bfs_layout(P).to_json()),
            "training_products": [strip.product for strip in plan.strips],
        }

    def test_only_chosen_frames_are_rendered(self) -> None:
        overrides = [
            "data.simulate.strips=2",
            "data.simulate.runs=1",
            "data.simulate.frames=[8, 1]",
        ]
        config = load_config(None, [*overrides, f"data.simulate.patch_size={P}"])
        with training_data(config.data) as data:
            assert len(data.training) == len(data.validation) == 2 * 20
            assert data.training.block_patches == 2 * 20
        expected = plan_set("train", strips=2, runs=1, frames=(1, 8))
        assert data.identity["data_sha256"] == expected.identity

    def test_golden_patches_are_of_validation_strips(self, simulated: TrainingData) -> None:
        golden = simulated.golden_patches(count=8)
        first = simulated.validation.read(np.arange(32)).reshape(8, 4, P, P)
        np.testing.assert_array_equal(golden, first.swapaxes(0, 1))

    def test_neither_path_nor_strips(self) -> None:
        with (
            pytest.raises(ConfigError, match=r"--data, or .* data.simulate.strips=N"),
            training_data(DataConfig()),
        ):
            pass

    @pytest.mark.parametrize(
        ("override", "match"),
        [
            ("data.simulate.strips=1", "data.simulate.strips: input should be greater"),
            ("data.simulate.runs=0", "data.simulate.runs: input should be greater"),
            ("data.simulate.patch_size=40", "data.simulate.patch_size: input should be a multiple"),
            ("data.simulate.workers=-1", "data.simulate.workers: input should be greater"),
            ("data.simulate.frames=[0]", "data.simulate.frames.0: input should be greater"),
            ("data.simulate.frames=[17]", "data.simulate.frames.0: input should be less"),
            ("data.simulate.frames=[8, 8]", "data.simulate.frames: give each frame once"),
            ("data.simulate.frames=[]", "data.simulate.frames: tuple should have at least 1 item"),
            ("data.simulate.frames=8", "data.simulate.frames: input should be a valid tuple"),
            ("data.simulate.strip=3", "did you mean 'data.simulate.strips'"),
            ("data.simulate=yes", "data.simulate must be a section"),
            ("data.window_blocks=0", "data.window_blocks: input should be greater"),
            ("data.block_patches=0", "data.block_patches: input should be greater"),
        ],
    )
    def test_wrong_options(self, override: str, match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            load_config(None, [override])

    def test_both_path_and_strips(self) -> None:
        with pytest.raises(ConfigError, match="data: give either path or simulate, not both"):
            load_config(None, ["data.simulate.strips=2", "data.path=x"])


@pytest.mark.slow
@pytest.mark.tensorflow
class TestTraining:
    SETTINGS = (
        "model.preset=drae-16", "training.batch_size=8", "training.checkpoint_every=2",
        "training.validation_patches=8", "data.window_blocks=1",
    )  # fmt: skip

    @classmethod
    def train(cls, data: TrainingData, run: Path, *overrides: str) -> None:
        from vialsight.training.loop import train

        config = load_config(None, [*cls.SETTINGS, *overrides])
        train(config, data.training, data.validation, run, data_identity=data.identity)

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, simulated: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
        run = tmp_path_factory.mktemp("stream") / "whole"
        cls.train(simulated, run, "training.steps=3")
        return run

    def test_other_strips_or_order_are_not_resumed(
        self, whole: Path, simulated: TrainingData
    ) -> None:
        other = dataclasses.replace(simulated, data_sha256="0" * 64)
        with pytest.raises(TrainingError, match="the data themselves"):
            self.train(other, whole, "training.steps=4")
        with pytest.raises(TrainingError, match=r"data.window_blocks 1, now 2"):
            self.train(simulated, whole, "training.steps=4", "data.window_blocks=2")

    def test_resumed_equals_uninterrupted(
        self, whole: Path, simulated: TrainingData, tmp_path: Path
    ) -> None:
        # As after a loss of power between two checkpoints: losses are ahead of the last of them.
        parts = Path(shutil.copytree(whole, tmp_path / "parts"))
        shutil.rmtree(parts / "checkpoints" / "step-00000003")
        self.train(simulated, parts, "training.steps=3")
        assert (parts / "checkpoints" / "step-00000003").is_dir()
        losses = losses_of(parts)
        assert losses.shape == (3, 6)
        np.testing.assert_array_equal(losses, losses_of(whole))
