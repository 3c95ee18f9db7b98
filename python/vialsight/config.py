"""The configuration of a training: one validated schema, read from YAML and `--set` overrides."""

import difflib
import hashlib
import json
import math
import os
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vialsight.errors import ConfigError

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Preset = Literal["drae-16", "drae-32", "drae-64", "drae-128", "drae-256", "drae-512", "drae-1024"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulateConfig(_Section):
    """Strips of the simulated set `train`, rendered while training."""

    strips: int | None = Field(default=None, ge=2, description="null: the paper's 782")
    runs: int = Field(default=10, ge=1, description="acquisitions of each strip")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the strips")
    patch_size: int = Field(
        default=256, ge=16, multiple_of=16, description="256 copies the boxes; others resample them"
    )
    workers: int = Field(default=0, ge=0, description="rendering processes; 0: one per core")


class DataConfig(_Section):
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


class ModelConfig(_Section):
    """The network (SPEC section 2). The patch size comes from the layout."""

    preset: Preset = Field(default="drae-64", description="width of the last encoder stage")
    activation: Literal["relu", "leaky_relu"] = Field(
        default="relu", description="leaky_relu has slope 0.2"
    )
    batch_norm_momentum: float = Field(
        default=0.99,
        ge=0.0,
        lt=1.0,
        description="of the running statistics; 0.9 suits short trainings",
    )


class AugmentationConfig(_Section):
    """Applied to X before the perturbation; the reconstruction target includes it."""

    rotation_rad: float = Field(
        default=math.pi / 8, ge=0.0, le=math.pi / 2, description="rotation is U(-this, this)"
    )
    vertical_flip: Probability = Field(default=0.5, description="probability")


class PerturbationConfig(_Section):
    """Perlin noise laid over X (SPEC section 3, equation 7)."""

    probability: Probability = Field(default=0.75, description="q, the share of perturbed patches")
    threshold: float = Field(
        default=0.6,
        ge=0.0,
        lt=1.0,
        description="noise above it is the mask; 0.5 is no noise, 1 its peak",
    )
    octaves: int = Field(
        default=3, ge=1, le=6, description="each doubles the cells, halves the amplitude"
    )
    min_scale: int = Field(
        default=1, ge=0, le=6, description="coarsest octave has at least 2^this cells"
    )
    max_scale: int = Field(
        default=4, ge=0, le=6, description="coarsest octave has at most 2^this cells"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "PerturbationConfig":
        if self.min_scale > self.max_scale:
            raise ValueError(
                f"min_scale must not exceed max_scale; got {self.min_scale} > {self.max_scale}"
            )
        return self


class LossConfig(_Section):
    """Weights and forms of the generator's losses (SPEC section 4)."""

    adversarial_weight: Weight = Field(default=1.0, description="w_1")
    contextual_weight: Weight = Field(default=50.0, description="w_2")
    encoder_weight: Weight = Field(default=1.0, description="w_3")
    noise_weight: Weight = Field(default=3.0, description="w_4")
    pixel_weight: Weight = Field(default=2.0, description="w_a, inside the contextual loss")
    ssim_weight: Weight = Field(default=1.0, description="w_b, inside the contextual loss")
    ramp_steps: int = Field(
        default=0,
        ge=0,
        description="w_1 and w_3 grow linearly over this many steps; 0: in full from the start",
    )
    pixel: Literal["huber", "l1"] = Field(
        default="huber", description="huber: 2026 paper; l1: 2024 paper"
    )
    noise: Literal["2026", "2024"] = Field(default="2026", description="form of L_nse, by paper")


class OptimizerConfig(_Section):
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


class ScheduleConfig(_Section):
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


class TrainingConfig(_Section):
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
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=3, ge=1, description="older ones are deleted")
    sample_every: int = Field(default=500, ge=1, description="steps between sample reconstructions")
    validation_patches: int = Field(default=1024, ge=1, description="scored at every checkpoint")


class Config(_Section):
    """Everything a training depends on, besides the data itself."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    perturbation: PerturbationConfig = PerturbationConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()

    def to_yaml(self) -> str:
        """Return the resolved configuration as YAML that `load_config` reads back equal."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def sha256(self) -> str:
        """Return the hex SHA-256 of the canonical JSON of all values."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration: defaults, then the YAML file, then `key=value` overrides.

    Override values are YAML scalars, keys are dotted (`training.steps=100`). Raises ConfigError
    that names the key, what was expected and, for an unknown key, the nearest valid one.
    """
    values = _read_yaml(path) if path is not None else {}
    for override in overrides:
        _apply_override(values, override)
    return parse_config(values)


def parse_config(values: Mapping[str, Any]) -> Config:
    """Validate nested values. Raises ConfigError; see `load_config`."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def describe_config() -> str:
    """Return the default configuration as YAML with each key's meaning as a comment."""
    lines = ["# Default configuration; each key may be left out."]
    for section, model in _sections():
        lines += ["", f"# {model.__doc__}", f"{section}:", *_described(model, "  ")]
    return "\n".join(lines) + "\n"


def _described(model: type[_Section], indent: str) -> Iterator[str]:
    defaults = model().model_dump(mode="json")
    for key, field in model.model_fields.items():
        value = yaml.safe_dump(defaults[key]).splitlines()[0]
        yield f"{indent}{key}: {value}  # {field.description}"
        optional = _section_inside(field.annotation)
        if optional is not None:
            # It stands for null; its own keys are told in comments.
            yield from (f"{indent}#   {line}" for line in _described(optional, ""))


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
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None


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


def _explain(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown configuration key {key!r}; {_nearest(key)}"
    if item["type"] in ("model_type", "model_attributes_type"):
        return f"{key or 'the configuration'} must be a section with keys; got {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{key}: {message}; got {item['input']!r}"


def _nearest(key: str) -> str:
    valid = list(_all_keys())
    section, _, name = key.rpartition(".")
    siblings = [known for known in valid if known.rpartition(".")[0] == section]
    # A right name in a wrong section is nearer than a similar name in the right one.
    close = (
        [known for known in valid if known.rpartition(".")[2] == name]
        or _similar(name, siblings, cutoff=0.5)
        or _similar(name, valid, cutoff=0.7)
    )
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid keys here: {', '.join(siblings or valid)}"


def _similar(name: str, keys: list[str], *, cutoff: float) -> list[str]:
    """Return the key whose last part is most like `name`, if any is."""
    by_name = {key.rpartition(".")[2]: key for key in keys}
    return [by_name[match] for match in difflib.get_close_matches(name, by_name, 1, cutoff)]


def _all_keys() -> Iterator[str]:
    for section, model in _sections():
        yield section
        for key, field in model.model_fields.items():
            yield f"{section}.{key}"
            optional = _section_inside(field.annotation)
            if optional is not None:
                yield from (f"{section}.{key}.{inner}" for inner in optional.model_fields)


def _section_inside(annotation: Any) -> type[_Section] | None:
    """Return the section a key may hold, if it may hold one."""
    sections = [
        kind
        for kind in typing.get_args(annotation)
        if isinstance(kind, type) and issubclass(kind, _Section)
    ]
    return sections[0] if sections else None


def _sections() -> Iterator[tuple[str, type[_Section]]]:
    for name, field in Config.model_fields.items():
        yield name, typing.cast(type[_Section], field.annotation)
