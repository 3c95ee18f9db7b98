"""The recorder: the only writer of the record.

`python -m vialsight.station.recorder DIR` records a station.

One loop: requests, what the spool brings, upkeep. It takes only what the inspector leaves of the
processor; when it stands still, verdicts go on into the spool, and it catches up afterwards. It may
be killed at any moment.
"""

import os
import selectors
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import vialsight
from vialsight.errors import VialSightError
from vialsight.files import atomic
from vialsight.station import retention
from vialsight.station.actions import Actions
from vialsight.station.alarms import Alarms
from vialsight.station.batch_state import STARTED
from vialsight.station.batches import Batches
from vialsight.station.bundle_names import region_names
from vialsight.station.clock import ClockWatch
from vialsight.station.config import StationConfig, load_station
from vialsight.station.control_link import ControlLink
from vialsight.station.packet_server import Client, PacketServer
from vialsight.station.processor import take_what_is_left
from vialsight.station.record.store import RecordStore
from vialsight.station.recording import Recorded, Recording
from vialsight.station.requests import Deferred
from vialsight.station.spool import SpoolReader, SpoolReset

_POLL_S: Final = 0.05
_UPKEEP_S: Final = 1.0
_RETENTION_S: Final = 600.0
_RETRY_S: Final = 1.0
# The inspector answers between strips; a client waits so long for its word in the spool.
_PATIENCE_S: Final = 12.0
# A strip whose pictures do not come is recorded without when the inspector is gone so long.
_GONE_S: Final = 3.0
# What the inspector wrote before it took the connection has been read after this time.
_SETTLED_S: Final = 1.0
# Whoever asked has gone away by then, or asks again.
_STALE_S: Final = 60.0
_DRAIN_S: Final = 5.0
_ENTRIES_AT_ONCE: Final = 500
_PAYLOAD_AT_ONCE: Final = 32 * 2**20
_GIB: Final = 2**30
_MIB: Final = 2**20


class Recorder:
    """The recorder of a station's folder. One thread; `turn` is one turn of its loop."""

    def __init__(self, config: StationConfig) -> None:
        self._config, paths = config, config.paths
        self._selector = selectors.DefaultSelector()
        self._store = RecordStore(paths.record)
        self._batches = Batches(self._store, config.challenge)
        self._alarms = Alarms(self._store, config.limits, region_names(config.bundle))
        self._control = ControlLink(paths.control_socket, self._selector)
        self._actions = Actions(
            self._store, self._batches, self._alarms, send=self._control.send,
            is_reachable=lambda: self._control.is_connected, now_s=time.monotonic,
        )  # fmt: skip
        self._recording = Recording(self._store, paths.frames, self._batches, self._is_alive)
        self._spool = SpoolReader(paths.spool, self._recording.position, self._has_start)
        self._clock = ClockWatch(self._store)
        retention.remove_unfinished(paths.frames)
        self._server = PacketServer(paths.recorder_socket, self._selector)
        self._waiting: dict[int, tuple[Client, float]] = {}
        self._hindrance: str | None = None
        self._retry_s = self._upkeep_s = self._retention_s = self._came_s = 0.0
        self._is_behind = self._unsettled = True
        self._has_begun = False

    def close(self) -> None:
        """End connections, and leave the record in one file."""
        self._server.close()
        self._control.close()
        self._spool.close()
        self._selector.close()
        with suppress(sqlite3.Error):
            self._store.close()

    def drain(self) -> None:
        """Record what is in the spool, as long as that goes on and for a few seconds at most."""
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end and self._hindrance is None:
            self._record(time.monotonic())
            if not self._is_behind and self._spool.waiting_bytes() == 0:
                return

    def turn(self) -> None:
        """Serve whoever asks, record what has come, look after the rest."""
        for key, _ in self._selector.select(0.0 if self._is_behind else _POLL_S):
            self._serve(key.data)
        now = time.monotonic()
        if self._control.keep():
            self._unsettled = True
        if now >= self._retry_s:
            self._record(now)
        self._give_up_waiting(now)
        if now - self._upkeep_s >= _UPKEEP_S and self._hindrance is None:
            self._upkeep_s = now
            self._try(self._upkeep, now)

    def _begin(self) -> None:
        """Say that it began, once: with a full disk not before there is room."""
        if self._has_begun:
            return
        self._store.append(
            "recorder_started", "recorder",
            {
                "pid": os.getpid(), "vialsight": vialsight.__version__,
                "spool_seq": self._recording.position, "name": self._config.name,
            },
        )  # fmt: skip
        self._has_begun = True

    def _serve(self, source: Any) -> None:
        if isinstance(source, PacketServer):
            source.accept()
        elif isinstance(source, ControlLink):
            source.receive()
        else:
            request = self._server.receive(source)
            if request is not None:
                self._handle(source, request)

    def _handle(self, client: Client, request: dict[str, Any]) -> None:
        try:
            answer = self._actions.handle(request)
        except (OSError, sqlite3.Error) as error:
            self._hinder(str(error))
            text = f"nothing can be recorded, so nothing is done: {error}"
            answer = {"ok": False, "code": "busy", "error": text}
        if isinstance(answer, Deferred):
            until = time.monotonic() + _PATIENCE_S
            self._waiting[answer.command.command_id] = client, until
            return
        if request.get("action") == "batch_status" and answer["ok"]:
            answer["recording"] = {"ok": self._hindrance is None, "error": self._hindrance}
        self._server.answer(client, answer)

    def _record(self, now: float) -> None:
        recorded = self._try(self._record_some, now)
        self._is_behind = recorded is not None and recorded.entries >= _ENTRIES_AT_ONCE // 2
        if recorded is None:
            return
        if self._hindrance is not None:
            self._hindrance = None
        for command_id, answer in recorded.answers:
            client, _ = self._waiting.pop(command_id, (None, 0.0))
            if client is not None:
                self._server.answer(client, answer)

    def _record_some(self, now: float) -> Recorded:
        self._begin()
        # What could not be recorded waits here; all that follows it, in the spool.
        if self._hindrance is None or self._recording.waiting == 0:
            items = self._spool.read(entries=_ENTRIES_AT_ONCE, payload_bytes=_PAYLOAD_AT_ONCE)
            self._came_s = now if items else self._came_s
            self._recording.add(items)
        recorded = self._recording.step()
        if recorded.entries == 0:
            return recorded
        with self._store.transaction():
            for start in recorded.starts:
                self._alarms.began(start)
            self._alarms.strips(recorded.strips)
            for event in recorded.events:
                self._alarms.event(event)
        self._spool.delete_recorded(self._recording.position or 0)
        return recorded

    def _upkeep(self, now: float) -> None:
        self._settle(now)
        changed = self._clock.check()
        if changed is not None:
            self._alarms.event(changed)
        limits, check = self._config.limits, self._alarms.check
        space = os.statvfs(self._config.paths.folder)
        free = space.f_bavail * space.f_frsize / _GIB
        check("disk_space", free < limits.min_free_gib,
              f"{free:.2f} GiB are free for the record (limit {limits.min_free_gib:g})",
              value=free, limit=limits.min_free_gib)  # fmt: skip
        waiting = self._spool.waiting_bytes() / _MIB
        check("spool_lag", waiting > limits.spool_lag_mib,
              f"{waiting:.0f} MiB of the spool are not recorded (limit {limits.spool_lag_mib:g})",
              value=waiting, limit=limits.spool_lag_mib)  # fmt: skip
        status = self._batches.status_of_challenge()
        started = self._batches.state["status"] == STARTED
        check("challenge_due", started and status is not None, status or "the challenge holds")
        if now - self._retention_s >= _RETENTION_S:
            self._retention_s = now
            retention.delete_old(self._store, self._config.paths.frames, self._config.pictures)

    def _try(self, work: Any, now: float) -> Any:
        """Do what needs the disk; None when it cannot be done now: it is tried again."""
        try:
            return work(now)
        except (OSError, sqlite3.Error, SpoolReset) as error:
            self._hinder(str(error))
            self._retry_s = now + _RETRY_S
            return None

    def _hinder(self, cause: str) -> None:
        if cause != self._hindrance:
            print(f"recorder: nothing can be recorded: {cause}", file=sys.stderr, flush=True)
        self._hindrance = cause

    def _give_up_waiting(self, now: float) -> None:
        late = [id for id, (_, until) in self._waiting.items() if now > until]
        for id in late:
            client, _ = self._waiting.pop(id)
            text = "the inspector was told, and has not carried it out yet; look again"
            self._server.answer(client, {"ok": False, "code": "busy", "error": text})

    def _settle(self, now: float) -> None:
        """Send again what the inspector may not have got; halt one that produces by itself.

        Only when all that it has written is recorded: it may have done, or forgotten, it already.
        A command done twice does nothing more, but a challenge, which then is not passed.
        """
        settled = not self._is_behind and self._recording.waiting == 0
        if (
            not settled
            or not self._control.is_connected
            or now - self._control.changed_s < _SETTLED_S
        ):
            return
        pending = self._batches.state["pending"]
        if pending is not None and self._unsettled:
            self._send_again(pending)
        self._unsettled = False
        command = self._batches.halt_stray()
        if command is not None:
            self._control.send(command.packet)

    def _send_again(self, pending: dict[str, Any]) -> None:
        """Send a command again; none to begin production that someone asked for long ago."""
        age_s = (time.time_ns() - pending["since_ns"]) / 1e9
        if pending["packet"]["command"] != "halt" and not 0.0 <= age_s <= _STALE_S:
            self._batches.outcomes.give_up(f"it was asked for {age_s:.0f} s ago")
            return
        self._control.send(pending["packet"])

    def _is_alive(self) -> bool:
        """Return whether the pictures of the last strip may still come."""
        since = time.monotonic() - max(self._control.changed_s, self._came_s)
        return self._control.is_connected or since < _GONE_S

    def _has_start(self, seq: int, unix_ns: int) -> bool:
        rows = self._store.connection.execute(
            "SELECT 1 FROM entry WHERE kind = 'start' AND unix_ns = ? AND "
            "json_extract(body, '$.seq') = ?",
            (unix_ns, seq),
        ).fetchall()
        return bool(rows)


def run(config: StationConfig) -> None:
    """Record until SIGTERM or SIGINT. Raises VialSightError when another recorder does."""
    paths = config.paths
    paths.make()
    stop = [False]

    def end(_: int, __: Any) -> None:
        stop[0] = True

    busy = VialSightError(f"{paths.folder}: another recorder writes this record; stop it first")
    with atomic.held_folder(paths.frames, busy):
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        take_what_is_left()
        recorder = Recorder(config)
        try:
            while not stop[0]:
                recorder.turn()
            recorder.drain()
        finally:
            recorder.close()


def main() -> int:
    """Record the station whose folder is the argument."""
    if len(sys.argv) != 2:
        print("usage: python -m vialsight.station.recorder DIR", file=sys.stderr)
        return 2
    try:
        run(load_station(Path(sys.argv[1])))
    except VialSightError as error:
        print(f"recorder: {error}", file=sys.stderr)
        return 2
    except (OSError, sqlite3.Error) as error:
        print(f"recorder: cannot begin: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
