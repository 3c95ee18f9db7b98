"""The configuration of a training: one validated schema, read from YAML and `--set` overrides."""

import copy
import difflib
import hashlib
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from vialsight.config import (
    AugmentationConfig,
    DataConfig,
    OptimizerConfig,
    ScheduleConfig,
    Section,
    TrainingConfig,
    read_values,
)
from vialsight.errors import ConfigError
from vialsight.models.drae.section import DraeSection
from vialsight.models.grdnet.section import GrdnetSection
from vialsight.models.pca.section import PcaSection

# The methods there are: a section names its method, and the method's folder.
MethodSection = DraeSection | PcaSection | GrdnetSection
AnySection = TypeVar("AnySection", bound=Section)

METHODS: Final = tuple(
    str(section.model_fields["method"].default) for section in typing.get_args(MethodSection)
)
_DEFAULT_METHOD: Final = METHODS[0]
# Kinds of errors of pydantic's at keys whose values are texts.
_WANT_TEXT: Final = ("literal_error", "string_type", "path_type")
# Sections that belong to one method lie inside it.
_MOVED: Final = {"perturbation": "model.perturbation", "loss": "model.loss"}


class Config(Section):
    """Everything a training depends on, besides the data itself."""

    data: DataConfig = DataConfig()
    model: Annotated[MethodSection, Field(discriminator="method")] = DraeSection()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="before")
    @classmethod
    def _named_method(cls, values: Any) -> Any:
        model = values.get("model") if isinstance(values, Mapping) else None
        if not isinstance(model, Mapping) or "method" in model:
            return values
        return {**values, "model": {"method": _DEFAULT_METHOD, **model}}

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
    values = read_values(path, overrides)
    texts = {key.strip(): text for key, _, text in (item.partition("=") for item in overrides)}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        return parse_config(_with_texts(values, error, texts))


def parse_config(values: Mapping[str, Any]) -> Config:
    """Validate nested values. Raises ConfigError; see `load_config`."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = [_explain(item) for item in error.errors()]
        if len(problems) == 1:
            raise ConfigError(problems[0]) from None
        raise ConfigError("the configuration:", problems) from None


def section_of(config: Config, kind: type[AnySection]) -> AnySection:
    """Return what a configuration says of a method; ValueError where it names another."""
    if not isinstance(config.model, kind):
        expected = kind.model_fields["method"].default
        raise ValueError(f"expected a configuration of {expected!r}; got {config.model.method!r}")
    return config.model


def describe_config() -> str:
    """Return the default configuration as YAML with each key's meaning as a comment."""
    lines = ["# Default configuration; each key may be left out."]
    defaults = Config()
    for name in Config.model_fields:
        section = getattr(defaults, name)
        lines += ["", f"# {section.__doc__}", f"{name}:", *_described(section, "  ")]
        if name == "model":
            lines += _other_methods()
    return "\n".join(lines) + "\n"


def _other_methods() -> Iterator[str]:
    for section in typing.get_args(MethodSection)[1:]:
        yield f"# {section.__doc__} Its keys, instead of those above:"
        yield from (f"#{line}" for line in _described(section(), "  "))


def _described(section: Section, indent: str) -> Iterator[str]:
    values = section.model_dump(mode="json")
    for key, field in type(section).model_fields.items():
        inside = getattr(section, key)
        if isinstance(inside, Section):
            yield f"{indent}{key}:  # {field.description}"
            yield from _described(inside, indent + "  ")
            continue
        value = yaml.safe_dump(values[key]).splitlines()[0]
        yield f"{indent}{key}: {value}  # {field.description}"
        optional = _section_inside(field.annotation)
        if optional is not None:
            # It stands for null; its own keys are told in comments.
            yield from (f"{indent}#   {line}" for line in _described(optional(), ""))


def _with_texts(
    values: Mapping[str, Any], error: ValidationError, texts: Mapping[str, str]
) -> dict[str, Any]:
    """Return values with what YAML took for a number where a text is wanted: 2024 as "2024"."""
    corrected = copy.deepcopy(dict(values))
    for item in error.errors():
        if item["type"] not in _WANT_TEXT or isinstance(item["input"], str):
            continue
        place, _ = _place(item)
        text = texts.get(".".join(place))
        if text is None and type(item["input"]) is int:
            text = str(item["input"])
        if text is not None:
            _put(corrected, place, text.strip())
    return corrected


def _put(values: dict[str, Any], place: Sequence[str], text: str) -> None:
    for name in place[:-1]:
        inner = values.get(name)
        if not isinstance(inner, dict):
            return
        values = inner
    values[place[-1]] = text


def _place(item: Any) -> tuple[list[str], str]:
    """Return the keys that lead to a value that is wrong, and the method they belong to."""
    place = [str(part) for part in item["loc"]]
    method = place.pop(1) if place[:1] == ["model"] and len(place) > 1 else _DEFAULT_METHOD
    return place, method


def _explain(item: Any) -> str:
    place, method = _place(item)
    key = ".".join(place)
    if item["type"] == "extra_forbidden":
        if key in _MOVED:
            new = _MOVED[key]
            return f"{key!r} belongs to the method and is now {new!r}: write {_new_keys(item, new)}"
        return f"unknown configuration key {key!r}; {_nearest(key, method)}"
    if item["type"] == "union_tag_invalid":
        came = item["ctx"]["tag"]
        return f"model.method: expected one of {', '.join(METHODS)}; got {came!r}"
    if item["type"] in ("model_type", "model_attributes_type"):
        return f"{key or 'the configuration'} must be a section with keys; got {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{key}: {message}; got {item['input']!r}"


def _new_keys(item: Any, new: str) -> str:
    """Return where the keys of a section that has moved belong."""
    values = item["input"]
    if not isinstance(values, dict) or not values:
        return new
    return ", ".join(f"{new}.{name}" for name in values)


def _nearest(key: str, method: str) -> str:
    valid = list(_all_keys(method))
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


def _all_keys(method: str) -> Iterator[str]:
    """Dotted keys of a configuration with this method."""
    for name, field in Config.model_fields.items():
        yield name
        section = _section_named(method) if name == "model" else field.annotation
        yield from _keys_below(name, typing.cast(type[Section], section))


def _keys_below(prefix: str, section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{prefix}.{name}"
        inside = _section_inside(field.annotation)
        if inside is not None:
            yield from _keys_below(f"{prefix}.{name}", inside)


def _section_named(method: str) -> type[Section]:
    sections = dict(zip(METHODS, typing.get_args(MethodSection), strict=True))
    return typing.cast(type[Section], sections[method])


def _section_inside(annotation: Any) -> type[Section] | None:
    """Return the section a key holds, or may hold."""
    for kind in (annotation, *typing.get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None
