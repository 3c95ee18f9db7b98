"""What a training asks of a method: a model, and how it learns.

A method learns by one fit (a pass over the patches: `FitTraining`), in steps (batches, gradients,
checkpoints: `StepTraining`), or by a fit first and then in steps. Either way it leaves named
arrays, from which `network` rebuilds what is deployed. `docs/methods.md` shows how to add one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches, Progress, Tensor
from vialsight.bundle import RECONSTRUCTION
from vialsight.data.sources import PatchSource
from vialsight.models.configuration import Config
from vialsight.scores import Component, of_reconstruction


class Batch(NamedTuple):
    """One replica's share of a step: images (n,P,P,1), the step, its first row in the batch.

    `extras` are what the method's `Examples` made of the images.
    """

    images: Tensor
    step: Tensor
    first_row: Tensor
    extras: tuple[Tensor, ...] = ()


class Examples(Protocol):
    """What a method makes of nominal patches before a step, outside the graph."""

    @property
    def signature(self) -> Sequence[Tensor]:
        """A `tf.TensorSpec` of each result, without the rows' dimension."""

    def __call__(
        self, images: Patches, indices: npt.NDArray[np.int64], step: int, first_row: int, /
    ) -> Sequence[npt.NDArray[Any]]:
        """Return results of images (n,P,P), whose `indices` int64 (n,) are those in the source.

        Row 0 is row `first_row` of the whole batch. The same arguments give the same results.
        """


class StepTraining(Protocol):
    """Networks and optimizers of one training, moved step by step.

    Made inside a distribution strategy's scope; a call runs in replica context and inside a
    `tf.function`.
    """

    @property
    def loss_names(self) -> Sequence[str]:
        """Names of what a call returns."""

    def variables(self) -> dict[str, Any]:
        """All state by a stable name, for checkpoints."""

    def pace(self, step: int, steps_per_epoch: int) -> tuple[Tensor, ...]:
        """Return what changes by plan, as scalars; the first is the learning rate."""

    def __call__(self, batch: Batch, pace: Any) -> Tensor:
        """Train on one replica's share; return its losses float32 (k,), as `loss_names`."""

    def reconstruct(self, images: Patches) -> Patches:
        """Return X̂ of images (n,P,P,1), in inference mode, for validation and samples."""


class SavedState(Protocol):
    """What a training left in its run folder."""

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """All arrays by name."""

    def fitted(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what was fitted before a training in steps."""

    def restore(self, variables: Mapping[str, Any]) -> None:
        """Assign saved values to variables; TrainingError where name or shape differ."""


class Network(Protocol):
    """What is frozen: patches (n,P,P,1) in [0,1] to outputs by name, as `Method.outputs`."""

    def __call__(self, patches: Tensor, training: bool = False) -> Mapping[str, Tensor]:
        """Return every output (n,h,w,1); built of operations a bundle may hold."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit found: arrays to keep, figures to log, and sentences of warning."""

    arrays: Mapping[str, npt.NDArray[Any]]
    figures: Mapping[str, float]
    warnings: tuple[str, ...] = ()


class Completed(NamedTuple):
    """A network with what was fitted to it at freezing, and sentences of warning."""

    network: Network
    warnings: tuple[str, ...] = ()


class FitTraining(Protocol):
    """Fit to all patches of `training`, each read once; patch i is of region i modulo `regions`."""

    def __call__(
        self, config: Config, training: PatchSource, regions: int, progress: Progress
    ) -> Fitted:
        """Return what was found; raises TrainingError where the patches do not allow a fit."""


def of_reconstruction_network(config: Config, patch_size: int) -> Sequence[Component]:
    """Return what `vialsight.scores` offers of a reconstruction."""
    del config
    return of_reconstruction(patch_size)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A model and how it learns: by `fit`, in `steps`, or by a fit and then in steps.

    `steps(config, patch_size, replicas, fitted)` makes fresh networks, given the arrays of the fit;
    `examples(config, training, regions, fitted)` what prepares their batches, if anything does;
    `network(config, patch_size, saved)` rebuilds what was trained, and `completed(network, nominal,
    regions)` fits to it, at freezing, what is deployed with it: to nominal patches float32 (n,P,P),
    patch i of region i modulo `regions`. `outputs` are the roles of what is deployed, by name;
    `scores(config, patch_size)` are the components of scores it offers (`vialsight.scores`), the
    default first.
    """

    network: Callable[[Config, int, SavedState], Network]
    outputs: Mapping[str, str] = field(default_factory=lambda: {RECONSTRUCTION: RECONSTRUCTION})
    scores: Callable[[Config, int], Sequence[Component]] = of_reconstruction_network
    completed: Callable[[Any, Patches, int], Completed] | None = None
    steps: Callable[[Config, int, int, Mapping[str, npt.NDArray[Any]]], StepTraining] | None = None
    fit: FitTraining | None = None
    examples: (
        Callable[[Config, PatchSource, int, Mapping[str, npt.NDArray[Any]]], Examples] | None
    ) = None

    def __post_init__(self) -> None:
        if self.steps is None and self.fit is None:
            raise ValueError("a method learns in steps or by a fit; give one of the two, or both")
        if self.steps is None and self.examples is not None:
            raise ValueError("examples are made for steps; give steps, or leave them out")


def method_of(config: Config) -> Method:
    """Return the method a configuration names: METHOD in the module `method` of its folder."""
    module = import_module(f"vialsight.models.{config.model.method}.method")
    method: Method = module.METHOD
    return method
