"""What a training left in its run folder, and the network rebuilt from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from vialsight.errors import TrainingError
from vialsight.models.method import Network, method_of
from vialsight.pinned import pin
from vialsight.training.checkpoints import Checkpoints
from vialsight.training.precision import settle_float16
from vialsight.training.runfolder import RunFolder


@dataclass(frozen=True)
class LastCheckpoint:
    """The state saved at `step`."""

    checkpoints: Checkpoints
    step: int
    fits: Checkpoints

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """All arrays by name; TrainingError when the file is unreadable."""
        return self.checkpoints.arrays(self.step)

    def fitted(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what was fitted before the steps; TrainingError when it is not there."""
        steps = self.fits.steps()
        if not steps:
            raise TrainingError(
                f"{self.fits.path(1).parent} holds no fit, which was made before the first step; "
                "was it deleted? Train again in a new folder"
            )
        return self.fits.arrays(steps[-1])

    def restore(self, variables: Mapping[str, Any]) -> None:
        """Assign saved values to variables; see `Checkpoints.restore`."""
        self.checkpoints.restore(self.step, variables)


def load_network(run_dir: Path) -> Network:
    """Rebuild the trained network, patches to outputs by name, from its last checkpoint.

    Raises TrainingError when the folder holds no run or no checkpoint.
    """
    folder = RunFolder(run_dir)
    checkpoints = Checkpoints(folder.checkpoints, keep=1)
    record, steps = folder.record(), checkpoints.steps()
    if record is None or not steps:
        raise TrainingError(f"{run_dir} holds no trained network; run `vialsight train` first")
    config = folder.config()
    pin()
    settle_float16()
    saved = LastCheckpoint(checkpoints, steps[-1], Checkpoints(folder.fitted, keep=1))
    return method_of(config).network(config, int(record["patch_size"]), saved)
