"""The run folder: what a training is (config.yaml, run.json) and who may write it."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from vialsight.errors import TrainingError
from vialsight.files import atomic
from vialsight.models.configuration import Config, load_config

RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"
FINISHED: Final = "finished"
FAILED: Final = "failed"

# They may differ between the parts of one run: they do not change what a step computes.
_FREE_KEYS: Final = (
    "data.path",
    "data.cache_bytes",
    "data.simulate.workers",
    "training.steps",
    "training.epochs",
    "training.memory_growth",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.sample_every",
    "training.validation_patches",
)
# Where the data lay is no part of what they are; the locator is compared by itself.
_FREE_IDENTITY: Final = ("folder", "locator")


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one training run."""

    path: Path

    @property
    def record_path(self) -> Path:
        """run.json: status, step, versions, seed, data identity."""
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def fitted(self) -> Path:
        """Folder of what was fitted before the steps."""
        return self.path / "fitted"

    def record(self) -> dict[str, Any] | None:
        """Content of run.json, None when the run has not begun."""
        if not self.record_path.exists():
            return None
        try:
            content = json.loads(self.record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"cannot read {self.record_path}: {error}") from None
        if not isinstance(content, dict):
            raise TrainingError(f"{self.record_path} must hold an object; it was changed")
        return content

    def config(self) -> Config:
        """Return the resolved configuration of the run."""
        return load_config(self.path / "config.yaml")

    def begin(self, config: Config, record: Mapping[str, Any]) -> None:
        """Write config.yaml and run.json of a run that starts or resumes."""
        atomic.write_text(self.path / "config.yaml", config.to_yaml())
        self.update(record, status=RUNNING)

    def update(self, record: Mapping[str, Any], **changes: Any) -> None:
        """Write run.json with `changes`."""
        atomic.write_json(self.record_path, {**record, **changes})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises TrainingError when another one has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        taken = TrainingError(
            f"another process trains in {self.path}; wait for it or choose another folder"
        )
        with atomic.held_folder(self.path, taken):
            yield


def new_record(
    config: Config, *, patch_size: int, total_steps: int, data_identity: Mapping[str, Any]
) -> dict[str, Any]:
    """Content of run.json for a run at step 0."""
    return {
        "status": RUNNING,
        "step": 0,
        "total_steps": total_steps,
        "patch_size": patch_size,
        "seed": config.training.seed,
        "config_sha256": config.sha256(),
        "data_identity": dict(data_identity),
        "versions": _versions(),
    }


def found_run(
    folder: RunFolder, config: Config, record: Mapping[str, Any], *, resume: bool
) -> dict[str, Any] | None:
    """Return the record of the run to go on with, None for a new one.

    Raises TrainingError when there is a run and it is another one, or `resume` is False.
    """
    found = folder.record()
    if found is None:
        return None
    if not resume:
        raise TrainingError(f"{folder.path} holds a run; choose a new folder, or resume it")
    check_resumable(folder, config, record, found)
    return found


def check_resumable(
    folder: RunFolder, config: Config, record: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    """Raise TrainingError when the run in `folder` is not the one that is asked for."""
    differences = _config_differences(folder.config(), config)
    if found.get("patch_size") != record["patch_size"]:
        differences.append(f"patch size {found.get('patch_size')}, now {record['patch_size']}")
    before, now = (r.get("data_identity", {}) for r in (found, record))
    if before.get("locator") != now.get("locator"):
        differences.append(f"locator {before.get('locator')}, now {now.get('locator')}")
    if _comparable(before) != _comparable(now):
        differences.append("the data themselves")
    if differences:
        raise TrainingError(
            f"{folder.path} holds a run that differs in: {'; '.join(differences)}. Choose a new "
            f"run folder, or go back to what it was trained with"
        )


def _config_differences(before: Config, now: Config) -> list[str]:
    old, new = (dict(_flat("", config.model_dump(mode="json"))) for config in (before, now))
    return [
        f"{key} {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(old | new)
        if key not in _FREE_KEYS and old.get(key) != new.get(key)
    ]


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and their values; a section that is null has no keys."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        elif value is not None:
            yield prefix + key, value


def _comparable(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key not in _FREE_IDENTITY}


def _versions() -> dict[str, str]:
    names = ("vialsight", "tensorflow-cpu", "tensorflow", "keras", "numpy")
    versions = {name: _version(name) for name in names}
    return {
        "python": platform.python_version(),
        **{name: version for name, version in versions.items() if version is not None},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
