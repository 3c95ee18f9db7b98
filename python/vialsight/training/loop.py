"""Training: alternate generator and discriminator steps, checkpointed and exactly resumable.

A step is a pure function of the state before it and of (seed, step), so that a run that was killed
and resumed goes on with the same losses as one that was not.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Tensor
from vialsight.data.sources import PatchSource, expect, spread
from vialsight.errors import TrainingError
from vialsight.models.configuration import Config
from vialsight.models.method import Examples, StepTraining, method_of
from vialsight.models.similarity import ssim
from vialsight.pinned import keras, pin, tf
from vialsight.progress import Show, shown
from vialsight.training.batches import Batches, Order
from vialsight.training.checkpoints import Checkpoints
from vialsight.training.devices import settle_devices
from vialsight.training.fit import fit_run, fitted_first, region_count
from vialsight.training.journal import CsvLog, TensorBoard, log, sample_picture, write_png
from vialsight.training.precision import settle_float16
from vialsight.training.runfolder import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    RunFolder,
    found_run,
    new_record,
)

_SAMPLES: Final = 8
_SCORING_BATCH: Final = 32


def train(
    config: Config,
    training: PatchSource,
    validation: PatchSource,
    run_dir: Path,
    *,
    resume: bool = True,
    data_identity: Mapping[str, Any],
) -> None:
    """Train to the configured length, or go on with the interrupted run in `run_dir`.

    `data_identity` (JSON) is stored in run.json and must be equal when a run resumes. SIGINT and
    SIGTERM save a checkpoint first. Raises TrainingError when the run cannot start or resume, when
    it was interrupted, and when a loss is no longer finite.
    """
    settle_devices(config.training)
    if method_of(config).steps is None:
        fit_run(config, training, validation, run_dir, resume=resume, data_identity=data_identity)
        return
    order = Order(
        patches=len(training),
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        block_patches=training.block_patches or config.data.block_patches,
        window_blocks=config.data.window_blocks,
    )
    record = new_record(
        config,
        patch_size=training.patch_size,
        total_steps=total_steps(config, order.steps_per_epoch),
        data_identity=data_identity,
    )
    folder = RunFolder(run_dir)
    with ExitStack() as stack:
        chief = _is_chief(config)
        if chief:
            stack.enter_context(folder.locked())
        first_step = _first_step(folder, config, record, resume=resume)
        if first_step >= record["total_steps"]:
            log.info("the run in %s is finished at step %d", run_dir, first_step)
            return
        run = _Run(config, folder, record, training, validation, order, chief=chief)
        run.train(first_step)


def total_steps(config: Config, steps_per_epoch: int) -> int:
    """Return the steps of the whole run: training.steps, or training.epochs in steps."""
    if config.training.steps is not None:
        return config.training.steps
    if config.training.epochs is None:
        raise TrainingError("set training.steps or training.epochs; both are null")
    return max(1, round(config.training.epochs * steps_per_epoch))


@dataclass
class _Run:
    """One process' part in one training."""

    config: Config
    folder: RunFolder
    record: dict[str, Any]
    training: PatchSource
    validation: PatchSource
    order: Order
    chief: bool = field(kw_only=True)

    def train(self, first_step: int) -> None:
        """Restore step `first_step` (0: start) and train to the end."""
        self._prepare_runtime()
        strategy = _strategy(self.config)
        settle_float16()
        replicas = strategy.num_replicas_in_sync
        fitted = fitted_first(
            self.config, self.training, self.folder, self.record, chief=self.chief
        )
        with strategy.scope():
            steps = method_of(self.config).steps
            assert steps is not None  # train() sends every other method elsewhere
            self.method = steps(self.config, self.training.patch_size, replicas, fitted)
        self.batches = Batches(self.training, self.order, self._examples(fitted))
        self.variables = self.method.variables()
        self.checkpoints = Checkpoints(
            self.folder.checkpoints, keep=self.config.training.keep_checkpoints
        )
        if first_step:
            self.checkpoints.restore(first_step, self.variables)
            log.info("resuming at step %d", first_step)
        self._steps(strategy, self.method, first_step)

    def _examples(self, fitted: Mapping[str, npt.NDArray[Any]]) -> Examples | None:
        make = method_of(self.config).examples
        if make is None:
            return None
        return make(self.config, self.training, region_count(self.record["data_identity"]), fitted)

    def _prepare_runtime(self) -> None:
        pin()
        if self.config.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(self.config.training.seed)

    def _steps(self, strategy: tf.distribute.Strategy, step: StepTraining, first_step: int) -> None:
        last_step = self.record["total_steps"]
        iterator = iter(
            strategy.distribute_datasets_from_function(
                self.batches.dataset_function(first_step, last_step, strategy.num_replicas_in_sync)
            )
        )

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def distributed(batch: Any, pace: Any) -> Tensor:
            shares = strategy.run(step, args=(batch, pace))
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, shares, axis=None)

        with self._journal(first_step) as journal, _stop_requests() as stop:
            for number in range(first_step + 1, last_step + 1):
                values = distributed(_next(iterator, self.batches), self._pace(number - 1)).numpy()
                log.debug("step %d: %s", number, " ".join(f"{value:.9g}" for value in values))
                self._check_finite(values, number)
                if journal is not None:
                    journal.step(number, values)
                if journal is not None and self._is_due(number, last_step, stop):
                    self._save(number, journal)
                if stop.is_set() and number < last_step:
                    self._interrupted(number)

    def _pace(self, step: int) -> tuple[Tensor, ...]:
        return self.method.pace(step, self.order.steps_per_epoch)

    def _check_finite(self, values: npt.NDArray[np.float32], step: int) -> None:
        if np.isfinite(values).all():
            return
        if self.chief:
            self.folder.update(self.record, status=FAILED)
        named = zip(self.method.loss_names, values, strict=True)
        bad = ", ".join(name for name, value in named if not np.isfinite(value))
        saved = self.checkpoints.steps()
        raise TrainingError(
            f"the loss is not finite at step {step} ({bad}); "
            + (f"the last good checkpoint is {self.checkpoints.path(saved[-1])}; " if saved else "")
            + "lower optimizer.learning_rate or set training.precision=float32, and train in a "
            "new run folder"
        )

    def _is_due(self, step: int, last_step: int, stop: threading.Event) -> bool:
        every = self.config.training.checkpoint_every
        return step % every == 0 or step == last_step or stop.is_set()

    def _save(self, step: int, journal: "_Journal") -> None:
        journal.sync()
        self.checkpoints.save(step, self.variables)
        self.record["step"] = step
        finished = step == self.record["total_steps"]
        self.folder.update(self.record, status=FINISHED if finished else RUNNING)
        journal.validated(step, self._validate())

    def _interrupted(self, step: int) -> None:
        if self.chief:
            self.folder.update(self.record, status=INTERRUPTED)
        raise TrainingError(
            f"interrupted after step {step} of {self.record['total_steps']}; a checkpoint is "
            f"saved: run the same command again to go on from there"
        )

    def _validate(self) -> float:
        """Mean φ of unperturbed validation patches in inference mode; NaN when there are none."""
        chosen = spread(self.validation, self.config.training.validation_patches)
        if not len(chosen):
            return float("nan")
        expect(self.validation, chosen)
        scores = [
            self._score(chosen[start : start + _SCORING_BATCH])
            for start in range(0, len(chosen), _SCORING_BATCH)
        ]
        return float(np.mean(np.concatenate(scores)))

    def _score(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        images = self.validation.read(indices)[..., np.newaxis]
        scores = 1.0 - ssim(images, self.method.reconstruct(images))
        return np.asarray(scores, np.float32)

    def _samples(self) -> npt.NDArray[np.uint8]:
        source = self.validation if len(self.validation) else self.training
        images = source.read(spread(source, _SAMPLES))
        return sample_picture(images, self.method.reconstruct(images[..., np.newaxis])[..., 0])

    @contextmanager
    def _journal(self, first_step: int) -> Iterator["_Journal | None"]:
        """Open what only the chief writes."""
        if not self.chief:
            yield None
            return
        self.record["step"] = first_step
        self.folder.begin(self.config, self.record)
        with shown("training", log.info) as show:
            show(first_step, self.record["total_steps"])
            journal = _Journal(self, show, first_step)
            try:
                yield journal
            finally:
                journal.close()


class _Journal:
    """Losses, scores and samples of a run, on disk, in TensorBoard and on the screen."""

    def __init__(self, run: _Run, show: Show, first_step: int) -> None:
        folder = run.folder.path
        self._run, self._show = run, show
        self._names = ["learning_rate", *run.method.loss_names]
        self._losses = CsvLog(folder / "losses.csv", self._names, resume_step=first_step)
        self._scores = CsvLog(folder / "validation.csv", ["mean_score"], resume_step=first_step)
        self._board = TensorBoard(folder / "tensorboard")

    def step(self, step: int, values: npt.NDArray[np.float32]) -> None:
        """Record a step's losses, and samples where they are due."""
        rate = float(self._run._pace(step - 1)[0])
        row = [rate, *map(float, values)]
        self._losses.append(step, row)
        self._board.scalars(step, self._names, row)
        self._show(step, self._run.record["total_steps"], self._note(values))
        last = step == self._run.record["total_steps"]
        if last or step % self._run.config.training.sample_every == 0:
            picture = self._run._samples()
            write_png(self._run.folder.path / "samples" / f"step-{step:08d}.png", picture)
            self._board.picture(step, picture)

    def _note(self, values: npt.NDArray[np.float32]) -> str:
        first, last = self._names[1], self._names[-1]
        return f"{first} {values[0]:.3f}  {last} {values[-1]:.3f}"

    def validated(self, step: int, mean_score: float) -> None:
        """Record the mean validation score of a checkpoint."""
        self._scores.append(step, [mean_score])
        self._board.scalars(step, ["validation_score"], [mean_score])

    def sync(self) -> None:
        """Put the losses on disk, so that no checkpoint is newer than they are."""
        self._losses.sync()
        self._board.flush()

    def close(self) -> None:
        """Close all files."""
        self._losses.close()
        self._scores.close()
        self._board.close()


def _first_step(
    folder: RunFolder, config: Config, record: Mapping[str, Any], *, resume: bool
) -> int:
    """Return the step of the last checkpoint of this very run, 0 for a new one."""
    if found_run(folder, config, record, resume=resume) is None:
        return 0
    steps = Checkpoints(folder.checkpoints, keep=1).steps()
    return steps[-1] if steps else 0


def _is_chief(config: Config) -> bool:
    """Whether this process writes files: the first worker, or the only process there is."""
    if config.training.strategy != "multi_worker":
        return True
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if not resolver.cluster_spec().as_dict():
        raise TrainingError(
            "training.strategy=multi_worker needs the environment variable TF_CONFIG with the "
            f"cluster and this process' task; got {os.environ.get('TF_CONFIG')!r}"
        )
    return bool(resolver.task_id == 0)


def _strategy(config: Config) -> tf.distribute.Strategy:
    if config.training.strategy == "mirrored":
        return tf.distribute.MirroredStrategy()
    if config.training.strategy == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def _next(iterator: Iterator[Any], batches: Batches) -> Any:
    try:
        return next(iterator)
    except tf.errors.OpError:
        if batches.failure is not None:
            raise batches.failure from None
        raise


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Yield an event that SIGINT or SIGTERM sets; a second SIGINT interrupts at once."""
    stop = threading.Event()

    def request(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
