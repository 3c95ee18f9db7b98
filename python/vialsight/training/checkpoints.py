"""Checkpoints: complete training states on disk, each in its own folder, written atomically."""

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import TrainingError
from vialsight.files import atomic

_FOLDER: Final = re.compile(r"step-(\d{8,})")
_STATE: Final = "state.npz"


class Checkpoints:
    """The checkpoints of one run, `step-00000500/state.npz` and so on, newest last."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending."""
        if not self._folder.is_dir():
            return []
        matches = (_FOLDER.fullmatch(entry.name) for entry in self._folder.iterdir())
        steps = (int(match[1]) for match in matches if match)
        return sorted(step for step in steps if (self.path(step) / _STATE).is_file())

    def path(self, step: int) -> Path:
        """Return the folder of the checkpoint of `step`."""
        return self._folder / f"step-{step:08d}"

    def save(self, step: int, variables: Mapping[str, Any]) -> None:
        """Write all variables, then delete the oldest checkpoints beyond the number to keep.

        Raises TrainingError and writes nothing when a value is not finite.
        """
        arrays = {name: np.asarray(variable) for name, variable in variables.items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise TrainingError(
                    f"{name} holds values that are not finite at step {step}; no checkpoint was "
                    f"written; lower optimizer.learning_rate and start again"
                )
        if step in self.steps():
            return
        with atomic.new_folder(self.path(step)) as temporary:
            np.savez(temporary / _STATE, **arrays)  # type: ignore[arg-type]
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self.path(old))

    def restore(self, step: int, variables: Mapping[str, Any]) -> None:
        """Assign the values saved at `step`; names and shapes must match, extra ones are ignored.

        Raises TrainingError when the file is unreadable or belongs to another network.
        """
        path = self.path(step) / _STATE
        arrays = self._read(path, list(variables))
        for name, variable in variables.items():
            if arrays[name].shape != tuple(variable.shape):
                raise TrainingError(
                    f"{path}: {name} has the shape {arrays[name].shape}, the network needs "
                    f"{tuple(variable.shape)}; was the configuration changed?"
                )
        for name, variable in variables.items():
            variable.assign(arrays[name])

    def arrays(self, step: int) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays saved at `step`. Raises TrainingError when the file is unreadable."""
        return self._read(self.path(step) / _STATE, None)

    def _read(self, path: Path, names: Sequence[str] | None) -> dict[str, npt.NDArray[Any]]:
        """Return the named arrays of a state; None: all there are."""
        try:
            with np.load(path) as saved:
                return {name: saved[name] for name in names or saved.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"cannot read the checkpoint {path}: {error}; delete its folder to go on from the "
                f"one before"
            ) from None
