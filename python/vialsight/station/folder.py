"""A new station's folder: its configuration with comments, its folders, its first account."""

import json
import re
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vialsight import _core
from vialsight.errors import BundleError, ConfigError
from vialsight.files import atomic
from vialsight.line.standin import is_calibrated
from vialsight.station.config import CONFIG_NAME, SourceSection, StationConfig, load_station

DEFAULT_SOURCE: Final = "gige"
_LONGEST_NAME: Final = 32

# What people change first; docs/station.md has every key.
_TEXT: Final = """\
# A station of VialSight. These are the keys that are changed first; docs/station.md has all.
# Paths are relative to this file. It is read when the station starts.

# Of the line; the shared memory is /dev/shm/vialsight-NAME.
name: {name}
bundle: {bundle}

{source}

# From one strip to the next, and from a strip's trigger until the machine must have the verdict.
slot_ms: {slot_ms:g}
budget_ms: {budget_ms:g}
# worker: the network in a process of its own; or in_process.
isolation: worker

scheduling:
  # SCHED_FIFO of what inspects. auto: 40 where the system allows it; 0: none.
  priority: auto
  # Logical CPUs that it stays on, such as [2, 3]; empty: all.
  cpus: []
  lock_memory: false

# Strips of known verdict, to be passed before a batch may start: vialsight station kit.
challenge:
  kit: {kit}
  valid_hours: 12

# The operators' page; for other machines than this one only with certificate and key.
web:
  host: 127.0.0.1
  port: {web_port}

opcua:
  host: 127.0.0.1
  port: {opcua_port}
"""
_SOURCES: Final = {
    "gige": """\
# A GigE Vision camera: its address or name, or null for the first that is found. Packets: null for
# the largest that arrive whole; 9000 bytes need jumbo frames on all of the way.
source:
  kind: gige
  camera: {value}
  packet_bytes: null""",
    "stream": "# Frames from a pipe.\nsource:\n  kind: stream\n  path: {value}",
    "folder": "# Strips on disk, one after another.\nsource:\n  kind: folder\n  path: {value}",
}


def parse_source(text: str) -> SourceSection:
    """Return the source that `gige[:CAMERA]`, `stream:PATH` or `folder:PATH` says.

    Raises ConfigError for anything else.
    """
    kind, _, value = text.partition(":")
    if kind == "gige":
        return SourceSection(kind="gige", camera=value or None)
    if kind == "stream" and value:
        return SourceSection(kind="stream", path=Path(value).absolute())
    if kind == "folder" and value:
        return SourceSection(kind="folder", path=Path(value).absolute())
    raise ConfigError(
        f"--source: expected gige, gige:CAMERA, stream:PATH or folder:PATH, got {text!r}"
    )


def make_station(
    folder: Path,
    bundle: Path,
    *,
    source: SourceSection,
    name: str | None = None,
    kit: Path | None = None,
    web_port: int | None = None,
    opcua_port: int | None = None,
) -> StationConfig:
    """Write `station.yaml` and the folders of a new station; return what the file says.

    Raises ConfigError when there is one already, or a value does not fit; BundleError for a bundle
    that cannot inspect a line.
    """
    atomic.require_folder(folder, ConfigError, option="DIR")
    path = folder / CONFIG_NAME
    atomic.refuse_existing(path, ConfigError)
    if not is_calibrated(_core.Bundle.load(bundle)):
        raise BundleError(f"{bundle} has no thresholds; give one that vialsight calibrate wrote")
    # Of the schema: it names what does not fit, and has the defaults.
    ports = {"web": web_port, "opcua": opcua_port}
    config = _checked(
        {
            "name": name or name_of(folder),
            "bundle": bundle.absolute(),
            "source": source,
            **{section: {"port": port} for section, port in ports.items() if port is not None},
        }
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_text(path, text_of(config, kit))
    made = load_station(folder)
    made.paths.make()
    return made


def text_of(config: StationConfig, kit: Path | None) -> str:
    """Return `station.yaml` as it is written for a new station."""
    source = config.source
    value = source.camera if source.kind == "gige" else str(source.path)
    return _TEXT.format(
        name=config.name,
        bundle=json.dumps(str(config.bundle)),
        source=_SOURCES[source.kind].format(value=json.dumps(value)),
        slot_ms=config.slot_ms,
        budget_ms=config.budget_ms,
        kit=json.dumps(None if kit is None else str(kit.absolute())),
        web_port=config.web.port,
        opcua_port=config.opcua.port,
    )


def name_of(folder: Path) -> str:
    """Return a station's name made of its folder's."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-")
    return plain[:_LONGEST_NAME] or "station"


def _checked(values: dict[str, Any]) -> StationConfig:
    try:
        return StationConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {first['msg']}; got {first['input']!r}") from None
