"""What `vialsight station status` tells: read beside a running station, which does not notice."""

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.station import services
from vialsight.station.config import StationConfig
from vialsight.station.record.reading import RecordReader
from vialsight.station.snapshot import Snapshot, SnapshotGone, Status

# It writes every 100 ms; a machine that is busy may hold it up a little.
_ALIVE_S: Final = 2.0


def overview(config: StationConfig) -> dict[str, Any]:
    """Return the state of a station's processes, counters, batch and alarms as plain JSON values.

    A part that cannot be read is None.
    """
    status = _snapshot(config.snapshot)
    return {
        "name": config.name,
        "folder": str(config.dir),
        "bundle": str(config.bundle),
        "processes": _processes(config, status),
        "inspector": None if status is None else _inspector(status),
        "record": _record(config.paths.record),
        "page": services.page_address(config) if config.web.enabled else None,
        "opcua": services.opcua_address(config) if config.opcua.enabled else None,
    }


def _processes(config: StationConfig, status: Status | None) -> dict[str, bool]:
    found = {
        services.INSPECTOR: status is not None and status.age_s() < _ALIVE_S,
        services.RECORDER: services.listens(config.paths.recorder_socket),
    }
    if config.web.enabled:
        found[services.WEB] = services.answers(config.web.host, config.web.port)
    if config.opcua.enabled:
        found[services.OPCUA] = services.answers(config.opcua.host, config.opcua.port)
    return found


def _snapshot(path: Path) -> Status | None:
    try:
        snapshot = Snapshot(path)
    except SnapshotGone:
        return None
    try:
        return snapshot.status()
    except SnapshotGone:
        return None
    finally:
        snapshot.close()


def _inspector(status: Status) -> dict[str, Any]:
    return {
        "pid": status.pid,
        "mode": status.mode,
        "ready": status.ready,
        "hindrances": list(status.hindrances),
        "since_unix": status.started_unix_ns / 1e9,
        "age_s": round(status.age_s(time.monotonic_ns()), 3),
        "triggers": status.triggers,
        "accepted": status.accepted,
        "rejected": {reason: n for reason, n in status.rejected.items() if n},
        "in_flight": status.in_flight,
        "balanced": status.balanced,
        "not_on_disk": status.last_seq - status.spooled_seq,
        "worker_restarts": status.worker_restarts,
        "frames_received": status.frames_received,
        "frames_dropped": status.frames_dropped,
        "last_fault": status.last_fault,
        "source": status.source,
    }


def _record(path: Path) -> dict[str, Any] | None:
    try:
        reader = RecordReader(path)
    except DataError:
        return None
    try:
        return _record_of(reader)
    except sqlite3.Error:
        return None
    finally:
        reader.close()


def _record_of(reader: RecordReader) -> dict[str, Any]:
    entries, head = reader.head()
    batches = reader.batches(limit=1)
    return {
        "entries": entries,
        "head": head,
        "batch": None
        if not batches
        else {
            "id": batches[0].id,
            "product": batches[0].product,
            "number": batches[0].number,
            "status": batches[0].status,
            "balance": batches[0].balance.to_json(),
        },
        "alarms": [
            {"id": alarm.id, "alarm": alarm.key, "text": alarm.text} for alarm in reader.alarms()
        ],
    }
