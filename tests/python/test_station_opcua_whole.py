"""A batch from its challenge to its halt over OPC UA, with the recorder itself."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua
from station_opcua_support import NONE, PARAMETERS, ServerProcess, connected, run
from station_snapshot_writer import SnapshotWriter
from station_support import (
    BUNDLE_SHA256,
    PASSWORD,
    FakeInspector,
    RecorderProcess,
    add_user,
    short_folder,
    write_station,
)

from vialsight.station.record.reading import RecordReader

AUTOMATIC = "VisionStateMachine.AutomaticModeStateMachine"
START = (NONE, NONE, NONE, NONE, PARAMETERS)


class Line:
    """Recorder, inspector and server of one folder; the snapshot shows the inspector's mode."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"opcua-whole-{os.getpid()}"
        opcua = {"port": 0, "unencrypted": True}
        write_station(folder, name=self.name, opcua=opcua)
        self.inspector = FakeInspector(folder)
        self.snapshot = SnapshotWriter(
            Path(f"/dev/shm/vialsight-{self.name}"), sha256=BUNDLE_SHA256
        )
        self.recorder = RecorderProcess(folder).start()
        self.server = ServerProcess(folder)
        self._over = threading.Event()
        self._showing = threading.Thread(target=self._show, daemon=True)
        self._showing.start()

    def _show(self) -> None:
        beat = 0
        while not self._over.wait(0.05):
            beat += 1
            self.snapshot.status(
                mode=self.inspector.mode, batch=self.inspector.batch, heartbeat=beat
            )

    def close(self) -> None:
        self._over.set()
        self._showing.join(5)
        self.server.close()
        self.recorder.kill()
        self.inspector.__exit__()
        self.snapshot.remove()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with short_folder() as folder:
        line = Line(folder)
        try:
            engineer = add_user(line.recorder.client(), "erik", "engineer")
            operator = add_user(engineer, "olga", "operator")
            add_user(engineer, "anna", "auditor")
            opened = operator.request("open_batch", product="bfs 5 ml", number="7", comment="")
            assert opened["ok"], opened
            line.server.start()
            yield line
        finally:
            line.close()


def test_a_batch_is_challenged_started_and_stopped(line):
    async def work():
        async with connected(line.server, "olga", PASSWORD) as peer:
            await peer.comes(("Operational", "Ready"), peer.state)
            found = await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START)
            assert found == "BadInvalidState"
            assert "the challenge was not passed" in await peer.signal("LastRefusal")
            job, error = await peer.call(f"{AUTOMATIC}.StartSingleJob", *START)
            assert (job.Id, error) == ("1", 0)
            await peer.comes("passed", lambda: peer.signal("BatchState"))
            await peer.comes(("Operational", "Ready"), peer.state)
            await peer.call(f"{AUTOMATIC}.StartContinuous", *START)
            await peer.comes(("Operational", "ContinuousExecution"), peer.state)
            seq = line.inspector.strip(verdict="reject")
            await peer.call(f"{AUTOMATIC}.Stop", 3, "lunch")
            await peer.comes("halted", lambda: peer.signal("BatchState"))
            await peer.comes(("Operational", "Ready"), peer.state)
            await result_of(peer, seq)
            await peer.call(f"{AUTOMATIC}.StartContinuous", *START)
            await peer.comes("running", lambda: peer.signal("BatchState"))
            await peer.call("VisionStateMachine.Halt", 0, "")
            await peer.comes(("Halted", None), peer.state)

    run(work, 90)
    reader = RecordReader(line.folder / "record.sqlite")
    told = {entry.kind: entry for entry in reader.entries(limit=1000)}
    reader.close()
    for kind in ("challenge_passed", "batch_started", "batch_halted", "batch_resumed", "refused"):
        assert told[kind].actor == "olga", kind


async def result_of(peer, seq):
    wanted = ua.ResultIdDataType(Id=str(seq))
    _, result, _ = await peer.call("ResultManagement.GetResultById", wanted, 0)
    assert (result.JobId.Id, result.ProductId.Id) == ("1", "bfs 5 ml")
    assert result.ResultContent[0].Value == "reject"


def test_wrong_passwords_lock_the_account_as_everywhere(line):
    async def work():
        for password in ("wrong",) * 5 + (PASSWORD,):
            with pytest.raises(Exception, match="BadUserAccessDenied"):
                async with connected(line.server, "anna", password):
                    pass
            await asyncio.sleep(0.1)

    run(work, 90)
    reader = RecordReader(line.folder / "record.sqlite")
    failed = reader.entries(kinds=["login_failed"])
    reader.close()
    causes = [entry.value()["cause"] for entry in failed if entry.actor == "anna"]
    assert causes == ["password"] * 5 + ["locked"]
