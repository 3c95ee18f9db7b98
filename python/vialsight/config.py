"""The sections that every training has, and reading of YAML with `--set` overrides.

The whole schema, with the section of each method, is `models.configuration`.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vialsight.errors import ConfigError

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]

FrameNumber = Annotated[int, Field(ge=1, le=16)]


# Whole numbers up to here are exact wherever they go: in JSON, float64 and TensorFlow.
_LARGEST_INTEGER = 2**53


class Section(BaseModel):
    """A closed set of keys; an instance never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _no_huge_number(cls, value: Any) -> Any:
        if isinstance(value, int | float) and math.isfinite(value) and value > _LARGEST_INTEGER:
            raise ValueError(f"expected at most {_LARGEST_INTEGER}")
        return value


class SimulateConfig(Section):
    """Strips of the simulated set `train`, rendered while training."""

    strips: int | None = Field(
        default=None, ge=2, le=1_000_000, description="null: the paper's 782"
    )
    runs: int = Field(default=10, ge=1, le=10_000, description="acquisitions of each strip")
    frames: tuple[FrameNumber, ...] | None = Field(
        default=None,
        min_length=1,
        description="of a run, such as [1, 8, 16]; null: all 16 and the rank images",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the strips")
    patch_size: int = Field(
        default=256, ge=16, multiple_of=16, description="256 copies the boxes; others resample them"
    )
    workers: int = Field(
        default=0, ge=0, le=1024, description="rendering processes; 0: one per core"
    )

    @field_validator("frames")
    @classmethod
    def _each_once(cls, frames: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if frames is not None and len(set(frames)) < len(frames):
            raise ValueError("give each frame once")
        return frames


class DataConfig(Section):
    """Where the patches come from: exactly one of path and simulate."""

    path: Path | None = Field(default=None, description="dataset folder, or folder of shards")
    simulate: SimulateConfig | None = Field(
        default=None, description="instead of path: strips rendered while training; its keys:"
    )
    cache_bytes: int = Field(
        default=2**31, ge=0, description="memory for extracted patches of a dataset folder"
    )
    block_patches: int | None = Field(
        default=None,
        ge=1,
        description="neighbouring patches read together; null: any patch by itself, rendered ones "
        "by the run",
    )
    window_blocks: int = Field(
        default=8, ge=1, description="blocks at hand at a time; patches are shuffled within them"
    )

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if self.path is not None and self.simulate is not None:
            raise ValueError("give either path or simulate, not both")
        return self


class AugmentationConfig(Section):
    """Applied to X before the perturbation, by drae; the reconstruction target includes it."""

    rotation_rad: float = Field(
        default=math.pi / 8,
        ge=0.0,
        le=math.pi / 2,
        description="rotation is U(-this, this); the paper's. Located products: 0, it undoes that",
    )
    vertical_flip: Probability = Field(
        default=0.5, description="probability; the paper's. Located products: 0"
    )


class OptimizerConfig(Section):
    """Adam, one for the generator and second encoder, one for the discriminator."""

    learning_rate: Positive = Field(
        default=1.5e-4, le=1.0, description="maximum before the first restart"
    )
    discriminator_learning_rate: Positive | None = Field(
        default=None, le=1.0, description="null: the same as learning_rate"
    )
    beta_1: float = Field(default=0.9, ge=0.0, lt=1.0, description="decay of the first moment")
    beta_2: float = Field(default=0.999, ge=0.0, lt=1.0, description="decay of the second moment")
    epsilon: Positive = Field(default=1e-7, description="added to the root of the second moment")


class ScheduleConfig(Section):
    """Cosine decay with restarts (SPEC section 4). The default period is one epoch."""

    restart_period: Positive = Field(
        default=1.0, description="length of one cosine, in restart_unit"
    )
    restart_unit: Literal["epochs", "steps"] = Field(
        default="epochs",
        description="the paper's 2,533,680 is one epoch counted in patches, hence the default",
    )
    restart_factor: float = Field(
        default=1 / 3, gt=0.0, le=1.0, description="maximum after a restart over the one before"
    )
    warmup_steps: int = Field(default=0, ge=0, description="linear rise of the first maximum")


class TrainingConfig(Section):
    """Length, batch, precision and bookkeeping of the run."""

    epochs: Positive | None = Field(default=10.0, description="passes over the training patches")
    steps: int | None = Field(
        default=None, ge=1, description="optimizer steps; replaces epochs if given"
    )
    batch_size: int = Field(default=32, ge=2, description="of all replicas together")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of weights, order, noise")
    deterministic: bool = Field(
        default=True, description="bit-equal repetition on the same machine"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="float32", description="mixed_float16 scales the loss"
    )
    strategy: Literal["none", "mirrored", "multi_worker"] = Field(
        default="none",
        description="mirrored: all local GPUs; multi_worker: TF_CONFIG names the workers",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|gpu(:(0|[1-9]\d?))?)$",
        description="auto: all GPUs there are, else the CPU; cpu; gpu: refused without one; gpu:1",
    )
    memory_growth: bool = Field(
        default=False, description="a GPU's memory is taken as needed, not all at once"
    )
    tf32: bool = Field(
        default=True, description="float32 products on GPUs that can round their factors to 10 bits"
    )
    jit_compile: bool = Field(
        default=False, description="networks, losses and optimizers are compiled by XLA"
    )
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=3, ge=1, description="older ones are deleted")
    sample_every: int = Field(default=500, ge=1, description="steps between sample reconstructions")
    validation_patches: int = Field(default=1024, ge=1, description="scored at every checkpoint")

    @model_validator(mode="after")
    def _possible(self) -> "TrainingConfig":
        if self.jit_compile and self.strategy != "none":
            raise ValueError(
                "jit_compile is for strategy none: XLA cannot compile the exchange between replicas"
            )
        if self.memory_growth and self.device == "cpu":
            raise ValueError("memory_growth is about GPUs; device is cpu")
        return self


def read_values(path: Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read nested values: the YAML file, then `key=value` overrides. Raises ConfigError."""
    values = _read_yaml(path) if path is not None else {}
    for override in overrides:
        _apply_override(values, override)
    return values


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML forbids duplicate keys; PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"key {key!r} stands twice{node.start_mark}; keep one of the two")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {os.fspath(path)}: {error}") from None
    values = _parse_yaml(text, os.fspath(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} must hold a mapping of sections such as `training:`; "
            f"got a {type(values).__name__}"
        )
    return values


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: of PyYAML, for what looks like a date and is none.
        words = " ".join(str(error).split())
        raise ConfigError(f"{source} is not valid YAML: {words}") from None


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(
            f"an override must read section.key=value, such as training.steps=100; got {override!r}"
        )
    target = values
    for part in parts[:-1]:
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{key!r}: {part!r} is a value and has no keys inside")
        target = inner
    target[parts[-1]] = _parse_yaml(text, f"the value of {key}")
