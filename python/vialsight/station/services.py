"""The processes of a station, as its configuration asks for them."""

import os
import resource
import socket
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final

from vialsight import _core
from vialsight.station import unix_sockets
from vialsight.station.config import SourceSection, StationConfig
from vialsight.station.supervisor import Service

INSPECTOR: Final = "inspector"
RECORDER: Final = "recorder"
WEB: Final = "web"
OPCUA: Final = "opcua"
# Those a station can do without.
OPTIONAL: Final = (WEB, OPCUA)

# Of the threads that inspect where station.yaml says "auto": below the interrupt threads of a
# real-time kernel (50), which must bring the frames.
AUTO_PRIORITY: Final = 40
# The last strip, and what waits for the disk; then the spool's rest into the record.
_INSPECTOR_PATIENCE_S: Final = 20.0
_RECORDER_PATIENCE_S: Final = 30.0
_OTHERS_PATIENCE_S: Final = 5.0
_PROBE_S: Final = 0.5


def inspector_program() -> Path:
    """Return where the inspector process lies, built or not."""
    return Path(_core.__file__).with_name("vialsight-station")


def inspector_command(config: StationConfig) -> tuple[str, ...]:
    """Return the inspector's command line."""
    scheduling, extra = config.scheduling, []
    if scheduling.cpus:
        extra += ["--cpus", ",".join(map(str, scheduling.cpus))]
    if scheduling.lock_memory:
        extra.append("--lock-memory")
    return (
        *(str(inspector_program()), "--name", config.name, "--dir", str(config.dir)),
        *("--bundle", str(config.bundle), "--source", source_argument(config.source)),
        *("--slot-ms", f"{config.slot_ms:g}", "--budget-ms", f"{config.budget_ms:g}"),
        *("--margin-ms", f"{config.margin_ms:g}"),
        *("--isolation", config.isolation, "--threads", str(scheduling.threads)),
        *("--priority", str(priority_of(config)), *extra),
    )


def source_argument(source: SourceSection) -> str:
    """Return a source as the inspector's --source takes it."""
    if source.kind == "gige":
        packet = "" if source.packet_bytes is None else f",packet={source.packet_bytes}"
        return f"gige:{source.camera or ''}{packet}"
    return f"{source.kind}:{source.path}"


def priority_of(config: StationConfig) -> int:
    """Return the SCHED_FIFO priority of the inspector: as configured, or what is allowed here."""
    chosen = config.scheduling.priority
    if chosen != "auto":
        return chosen
    return AUTO_PRIORITY if may_have_priority(AUTO_PRIORITY) else 0


def may_have_priority(priority: int) -> bool:
    """Return whether the system lets this process have a real-time priority."""
    if resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= priority:
        return True
    allowed = []

    def probe() -> None:
        # Of this thread alone, which ends at once; a capability is what allows it, or not.
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            return
        allowed.append(True)

    thread = threading.Thread(target=probe)
    thread.start()
    thread.join()
    return bool(allowed)


def services_of(
    config: StationConfig, folder: Path, *, without: Collection[str] = ()
) -> list[Service]:
    """Return the services to run; `folder` holds `station.yaml`, which each of them reads.

    They are stopped in this order: first the inspector, and those that only show things; last the
    recorder, when all there is to record is in the spool.
    """
    services = [
        Service(
            name=INSPECTOR,
            command=inspector_command(config),
            patience_s=_INSPECTOR_PATIENCE_S,
            background=False,
            is_up=config.snapshot.exists,
        ),
        Service(
            name=RECORDER,
            command=_python("vialsight.station.recorder", folder),
            stop_rank=1,
            patience_s=_RECORDER_PATIENCE_S,
            is_up=lambda: listens(config.paths.recorder_socket),
        ),
    ]
    if config.web.enabled and WEB not in without:
        services.append(_server(WEB, folder, config.web.host, config.web.port))
    if config.opcua.enabled and OPCUA not in without:
        services.append(_server(OPCUA, folder, config.opcua.host, config.opcua.port))
    return services


def page_address(config: StationConfig) -> str:
    """Return the address of the operators' page."""
    scheme = "https" if config.web.certificate else "http"
    return f"{scheme}://{_reachable(config.web.host)}:{config.web.port}/"


def opcua_address(config: StationConfig) -> str:
    """Return the address of the OPC UA server."""
    return f"opc.tcp://{_reachable(config.opcua.host)}:{config.opcua.port}/"


def listens(path: Path) -> bool:
    """Return whether a process listens on a socket of packets at `path`."""
    try:
        unix_sockets.connected(path, timeout_s=_PROBE_S).close()
    except OSError:
        return False
    return True


def answers(host: str, port: int) -> bool:
    """Return whether a process listens on a TCP port."""
    try:
        socket.create_connection((_reachable(host), port), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def _server(name: str, folder: Path, host: str, port: int) -> Service:
    return Service(
        name=name,
        command=_python(f"vialsight.station.{name}", folder),
        patience_s=_OTHERS_PATIENCE_S,
        is_up=lambda: answers(host, port),
    )


def _python(module: str, folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", module, str(folder))


def _reachable(host: str) -> str:
    """Return a name for this machine where a server listens on all its addresses."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
