"""systemd units of a station's processes: what `vialsight station units` writes.

A person looks through them, copies them to /etc/systemd/system and enables the target. They read
`station.yaml` when they start, so that a change of it needs no new units.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vialsight.errors import ConfigError
from vialsight.files import atomic
from vialsight.station.config import StationConfig
from vialsight.station.services import INSPECTOR, OPCUA, RECORDER, WEB

_WHAT: Final[Mapping[str, str]] = {
    INSPECTOR: "inspector, in the machine's slot",
    RECORDER: "recorder, the only writer of the record",
    WEB: "operators' page",
    OPCUA: "OPC UA server",
}
# None of them needs more than its folder, the network and shared memory.
_HARDENED: Final = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
ReadWritePaths={folder}
"""
_INSPECTOR: Final = """\
[Unit]
Description=VialSight {name}: {what}
PartOf={target}
# Stopping goes the other way: the recorder ends when all is in the spool.
After=network.target {recorder}

[Service]
User={user}
ExecStart={python} -m vialsight.station.inspector {folder}
Restart=always
RestartSec=100ms
# Finishes the strip in flight and writes the spool to its end.
TimeoutStopSec=20
KillMode=mixed
# What `scheduling` of station.yaml asks for. CPUs may be set here or there; memory that is locked
# includes all of the network's library.
LimitRTPRIO=99
LimitMEMLOCK=infinity
#CPUAffinity=2 3
OOMScoreAdjust=-900
{hardened}
[Install]
WantedBy={target}
"""
_OTHER: Final = """\
[Unit]
Description=VialSight {name}: {what}
PartOf={target}
After={after}

[Service]
User={user}
ExecStart={python} -m vialsight.station.{service} {folder}
Restart=always
RestartSec=1
TimeoutStopSec={stop_s}
# Only what the inspector leaves of the CPUs.
CPUSchedulingPolicy=idle
IOSchedulingClass=idle
{hardened}RestrictRealtime=yes
RestrictAddressFamilies={families}

[Install]
WantedBy={target}
"""
_TARGET: Final = """\
[Unit]
Description=VialSight station {name}

[Install]
WantedBy=multi-user.target
"""


def write_units(config: StationConfig, folder: Path, out: Path, *, user: str) -> list[Path]:
    """Write the units of a station whose `station.yaml` lies in `folder`; return their paths.

    Raises ConfigError where a path cannot stand in a unit.
    """
    for path in (folder, Path(sys.executable)):
        if any(c.isspace() or c in "%\"'\\$;" for c in str(path)):
            raise ConfigError(f"{path}: expected a path without spaces, quotes, %, $ or ; in it")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in unit_texts(config, folder, user=user).items():
        atomic.write_text(out / name, text)
        written.append(out / name)
    return written


def unit_texts(config: StationConfig, folder: Path, *, user: str) -> dict[str, str]:
    """Return the units' texts by file name: a target and a service for each process."""
    target = f"vialsight-{config.name}.target"
    recorder = f"vialsight-{config.name}-{RECORDER}.service"
    texts = {target: _TARGET.format(name=config.name)}
    chosen = [INSPECTOR, RECORDER]
    chosen += [WEB] if config.web.enabled else []
    chosen += [OPCUA] if config.opcua.enabled else []
    for service in chosen:
        text = _INSPECTOR if service == INSPECTOR else _OTHER
        texts[f"vialsight-{config.name}-{service}.service"] = text.format(
            name=config.name,
            what=_WHAT[service],
            target=target,
            user=user,
            python=sys.executable,
            folder=folder,
            service=service,
            hardened=_HARDENED.format(folder=folder),
            recorder=recorder,
            after="local-fs.target" if service == RECORDER else recorder,
            stop_s=30 if service == RECORDER else 5,
            families="AF_UNIX" if service == RECORDER else "AF_UNIX AF_INET AF_INET6",
        )
    return texts
