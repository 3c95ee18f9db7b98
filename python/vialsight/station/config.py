"""The configuration of a station: one validated schema, read from `station.yaml`."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from vialsight.config import Positive, Probability, Section, read_values
from vialsight.errors import ConfigError
from vialsight.station.snapshot import snapshot_path

CONFIG_NAME = "station.yaml"
Port = Annotated[int, Field(ge=0, le=65_535)]


class SourceSection(Section):
    """Where frames come from; which keys count depends on the kind."""

    kind: Literal["gige", "stream", "folder"] = "gige"
    camera: str | None = Field(default=None, description="gige: name or address; null: the first")
    packet_bytes: int | None = Field(default=None, ge=576, le=65_535, description="gige")
    path: Path | None = Field(default=None, description="stream: pipe; folder: folder of strips")

    @model_validator(mode="after")
    def _path_where_needed(self) -> "SourceSection":
        if self.kind != "gige" and self.path is None:
            raise ValueError(f"source.kind is {self.kind}: expected a path, got none")
        return self


class SchedulingSection(Section):
    """Of the inspector's threads; the others take what it leaves."""

    priority: Literal["auto"] | Annotated[int, Field(ge=0, le=98)] = Field(
        default="auto", description="SCHED_FIFO; auto: 40 where the system allows it; 0: none"
    )
    cpus: tuple[int, ...] = Field(default=(), description="that they stay on; empty: all")
    lock_memory: bool = False
    threads: int = Field(default=0, ge=0, le=1024, description="of the network; 0: one per core")


class WebSection(Section):
    """The operators' page. Without a certificate it answers on the loopback only."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 8480
    public_now: bool = Field(default=False, description="the current view needs no log-in")
    hosts: tuple[str, ...] = Field(
        default=(), description="names of the page besides addresses and the machine's own"
    )
    clients: int = Field(default=32, ge=1, le=256, description="live views at once")
    certificate: Path | None = Field(default=None, description="TLS: PEM file")
    key: Path | None = Field(default=None, description="TLS: PEM file of the private key")

    @model_validator(mode="after")
    def _both_or_none(self) -> "WebSection":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give both certificate and key, or neither")
        return self


class OpcuaSection(Section):
    """The OPC UA server."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 4840
    anonymous_read: bool = Field(default=False, description="who gives no name may read")
    unencrypted: bool = Field(default=False, description="on the loopback only")

    @model_validator(mode="after")
    def _unencrypted_on_loopback(self) -> "OpcuaSection":
        if self.unencrypted and not _is_loopback(self.host):
            raise ValueError(f"unencrypted: expected a host on the loopback, got {self.host}")
        return self


class DriftSection(Section):
    """Mean φ of a region over the last accepted strips, against a reference of the batch."""

    strips: int = Field(default=100, ge=2, le=10_000, description="averaged")
    deviations: Positive = Field(
        default=4.0, description="standard deviations of single strips' means between both means"
    )


class LimitsSection(Section):
    """What raises an alarm."""

    last: int = Field(default=200, ge=10, le=100_000, description="strips that rates are over")
    reject_rate: Probability = Field(default=0.2, description="of the last strips, all reasons")
    by_reason: dict[str, Probability] = Field(
        default_factory=lambda: {
            "deadline_missed": 0.02, "frame_missing": 0.02, "backend_fault": 0.01,
            "not_located": 0.05,
        },
        description="of the last strips, by reason",
    )  # fmt: skip
    drift: DriftSection = DriftSection()
    spool_lag_mib: Positive = Field(default=64.0, description="in the spool, not recorded")
    min_free_gib: float = Field(default=2.0, ge=0.0, description="on the record's disk")


class ChallengeSection(Section):
    """Named strips with expected verdicts, before every batch."""

    kit: Path | None = Field(default=None, description="folder with kit.json")
    valid_hours: Positive = 12.0
    on_resume: bool = Field(default=False, description="a held or halted batch needs a new one")


class PicturesSection(Section):
    """How long pictures of rejects are kept; their deletion is recorded."""

    keep_days: Positive = 90.0
    max_gib: Positive = 20.0


class StationConfig(Section):
    """Everything about one line. `dir` is the folder that `station.yaml` lies in, unless given."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    bundle: Path
    dir: Path = Path()
    source: SourceSection = SourceSection()
    slot_ms: Positive = 500.0
    budget_ms: Positive = 450.0
    margin_ms: Positive = 2.0
    isolation: Literal["in_process", "worker"] = "worker"
    scheduling: SchedulingSection = SchedulingSection()
    web: WebSection = WebSection()
    opcua: OpcuaSection = OpcuaSection()
    limits: LimitsSection = LimitsSection()
    challenge: ChallengeSection = ChallengeSection()
    pictures: PicturesSection = PicturesSection()

    @model_validator(mode="after")
    def _budget_in_slot(self) -> "StationConfig":
        if self.budget_ms > self.slot_ms:
            raise ValueError(
                f"budget_ms: expected at most slot_ms ({self.slot_ms:g}), got {self.budget_ms:g}"
            )
        return self

    @property
    def paths(self) -> "StationPaths":
        """Where the station's files lie."""
        return StationPaths(self.dir)

    @property
    def snapshot(self) -> Path:
        """The shared memory that the inspector writes and others read."""
        return snapshot_path(self.name)


class StationPaths:
    """Files and sockets below a station's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.machine_socket = self.run / "machine.sock"
        self.control_socket = self.run / "control.sock"
        self.recorder_socket = self.run / "recorder.sock"
        self.spool = folder / "spool"
        self.record = folder / "record.sqlite"
        self.frames = folder / "frames"
        self.web = folder / "web"
        self.opcua = folder / "opcua"

    def make(self) -> None:
        """Make the folders that are not there, open to their owner alone."""
        for path in (self.folder, self.run, self.spool, self.frames, self.web, self.opcua):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)


def load_station(path: Path) -> StationConfig:
    """Read `station.yaml`, or the one in a folder; relative paths are relative to it.

    Raises ConfigError naming each key that is wrong.
    """
    file = path / CONFIG_NAME if path.is_dir() else path
    values = read_values(file)
    try:
        config = StationConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{file} is not valid:", _problems(error)) from None
    return _absolute(config, file.absolute().parent)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, problem['loc'])) or 'station'}: {problem['msg']}"
        for problem in error.errors()
    ]


def _absolute(config: StationConfig, base: Path) -> StationConfig:
    def at(path: Path | None) -> Path | None:
        return None if path is None else base / path

    source = config.source.model_copy(update={"path": at(config.source.path)})
    web = config.web.model_copy(
        update={"certificate": at(config.web.certificate), "key": at(config.web.key)}
    )
    challenge = config.challenge.model_copy(update={"kit": at(config.challenge.kit)})
    return config.model_copy(
        update={
            "bundle": base / config.bundle,
            "dir": base / config.dir,
            "source": source,
            "web": web,
            "challenge": challenge,
        }
    )
