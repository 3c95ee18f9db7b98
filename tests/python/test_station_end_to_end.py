"""A whole station with real processes: camera, inspector, worker, recorder, page, OPC UA, machine.

Only the camera is simulated, and it speaks GigE Vision. Nothing here says how long things take.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from station_support import short_folder

import vialsight
from vialsight.data import Dataset

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import station_cuts  # noqa: E402
from station_counts import differences, gaps, recorded_strips, verified  # noqa: E402
from station_line import (  # noqa: E402
    CAMERA_PROGRAM,
    Camera,
    Line,
    eventually,
    make_line,
    write_stream,
)
from vialsight.station.kit import make_kit  # noqa: E402
from vialsight.station.services import inspector_program  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not inspector_program().exists(), reason="built without the station"),
]
needs_camera = pytest.mark.skipif(
    not CAMERA_PROGRAM.exists(), reason="built without Aravis (libaravis-dev)"
)
# Of the loopback, its own for every process that runs tests.
ADDRESS = f"127.{random.Random(os.getpid()).randrange(2, 250)}.78.1"


@pytest.fixture(scope="module")
def bundle(tiny_openvino_bundle: Path) -> Path:
    return tiny_openvino_bundle


@pytest.fixture(scope="module")
def kit(bundle: Path, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("station") / "kit"
    strips = tiny_dataset.in_splits("calibration", "validation")
    make_kit(vialsight.Bundle.load(bundle), strips, out, good=1, defective=2)
    return out


@pytest.fixture(scope="module")
def stream(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("station") / "line.stream"
    write_stream(tiny_dataset.in_splits("test", "train"), out)
    return out


@pytest.fixture
def line(bundle: Path, kit: Path) -> Iterator[Line]:
    # A busy machine must not make every strip late.
    changes = {
        "slot_ms": 400.0,
        "budget_ms": 390.0,
        "scheduling": {"priority": 0},
        "limits": {"min_free_gib": 0.0},
    }
    with (
        short_folder() as folder,
        make_line(
            folder / "line", bundle, source=f"gige:{ADDRESS}", kit=kit, changes=changes
        ) as made,
    ):
        yield made


@contextlib.contextmanager
def camera_of(line: Line, stream: Path, *options: str) -> Iterator[Camera]:
    truth = line.folder / f"truth-{time.monotonic_ns()}.csv"
    with Camera(line, stream, ADDRESS, truth, "--interval-ms", "60", *options) as camera:
        yield camera


def passed(camera: Camera, count: int) -> Callable[[], bool]:
    before = len(camera.strips())
    return lambda: len(camera.strips()) >= before + count


def check_books(line: Line, machine: list[dict[str, str]]) -> None:
    """Every trigger has one verdict and one record, and the record stands."""
    record = line.config.paths.record
    assert differences(machine, recorded_strips(record), gaps(record)) == []
    assert verified(record).findings.found == []


@needs_camera
def test_camera_to_record_while_everything_but_the_inspector_is_killed(
    line: Line, stream: Path
) -> None:
    with camera_of(line, stream) as camera:
        line.start()
        eventually(lambda: not line.status().hindrances, "camera and machine are there")
        line.begin_batch("1")
        eventually(passed(camera, 3), "strips pass")
        idle = {role: os.sched_getscheduler(pid) for role, pid in line.processes().items()}
        assert {role for role, policy in idle.items() if policy == os.SCHED_IDLE} == {
            "recorder",
            "web",
            "opcua",
        }
        for role in ("web", "opcua", "recorder", "worker"):
            assert line.signal(role, signal.SIGKILL)
            eventually(passed(camera, 2), f"strips pass without {role}")
            eventually(lambda role=role: role in line.processes(), f"{role} is there again")
        eventually(line.is_ready, "the worker is ready again")
        eventually(passed(camera, 3), "strips pass")
        camera.stop()
        status = line.status()
        assert status.balanced
        assert status.worker_restarts == 1
        record = line.config.paths.record
        eventually(lambda: len(recorded_strips(record)) >= status.triggers, "all is recorded")
        line.close_batch()
        assert line.stop() == 0
        machine = camera.strips()
    assert len(machine) == status.triggers
    assert {"accept", "reject"} <= {row["verdict"] for row in machine}
    check_books(line, machine)


@needs_camera
def test_batch_is_held_after_the_inspector_died(line: Line, stream: Path) -> None:
    with camera_of(line, stream) as camera:
        line.start("--without", "web,opcua")
        eventually(lambda: not line.status().hindrances, "camera and machine are there")
        line.begin_batch("1")
        eventually(passed(camera, 3), "strips pass")
        before = line.status().pid
        line.signal("inspector", signal.SIGKILL)
        eventually(lambda: "inspector" in line.processes(), "the inspector is there again")
        with line.client() as client:
            eventually(
                lambda: client.request("batch_status")["status"] == "held", "the batch is held"
            )
        assert line.status().mode == "halted"
        line.resume_batch("looked at it")
        eventually(line.is_ready, "the line is ready again")
        eventually(passed(camera, 3), "strips pass again")
        assert line.status().pid != before
        camera.stop()
        line.stop()
        machine = camera.strips()
    # Triggers that came while it was away, and what its memory held when it was killed.
    strips = recorded_strips(line.config.paths.record)
    known = {strip.strip_id for strip in strips}
    lost = [row for row in machine if int(row["strip_id"]) not in known]
    assert len([row for row in lost if row["verdict"]]) <= 2, lost
    kept = [row for row in machine if int(row["strip_id"]) in known]
    assert differences(kept, strips) == []
    assert verified(line.config.paths.record).findings.found == []


@needs_camera
def test_camera_that_goes_away_and_comes_back(line: Line, stream: Path) -> None:
    with camera_of(line, stream, "--unplug-every", "4", "--unplug-for", "9") as camera:
        line.start("--without", "web,opcua")
        eventually(lambda: not line.status().hindrances, "camera and machine are there")
        line.begin_batch("1")
        eventually(lambda: "camera_lost" in line.status().hindrances, "the camera is missed")
        eventually(line.is_ready, "it is found again, without a restart")
        eventually(passed(camera, 2), "strips pass again")
        camera.stop()
        status = line.status()
        record = line.config.paths.record
        eventually(lambda: len(recorded_strips(record)) >= status.triggers, "all is recorded")
        line.stop()
        machine = camera.strips()
    found = {row["reason"] for row in machine}
    assert "not_ready" in found or "frame_missing" in found
    assert not [row for row in machine if row["gate"] == "accept" and row["verdict"] != "accept"]
    check_books(line, machine)


def test_power_cuts(bundle: Path, kit: Path, tiny_dataset: Dataset) -> None:
    with short_folder() as folder:
        found = station_cuts.cut(
            folder, bundle, kit, tiny_dataset.in_splits("test", "train"), cuts=4, longest_s=4.0,
            seed=os.getpid(),
        )  # fmt: skip
    assert found.wrong == []
    assert found.cuts == 4
    assert found.strips > 0


def test_status_of_one_that_runs_and_a_second_that_may_not(
    bundle: Path, kit: Path, tiny_dataset: Dataset
) -> None:
    with short_folder() as folder:
        pipe = folder / "pipe"
        feeder = station_cuts.Feeder(tiny_dataset.in_splits("test"), pipe, slot_s=0.1)
        source = f"stream:{pipe}"
        changes = {"isolation": "in_process", "limits": {"min_free_gib": 0.0}}
        with make_line(folder / "line", bundle, source=source, kit=kit, changes=changes) as line:
            feeder.start()
            line.start("--without", "opcua")
            command = [sys.executable, "-m", "vialsight", "station"]
            asked = subprocess.run(
                [*command, "status", str(line.folder), "--json"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            again = subprocess.run(
                [*command, "run", str(line.folder)], capture_output=True, text=True, check=False
            )
            feeder.stop()
        found = json.loads(asked.stdout)
        running = {"inspector": True, "recorder": True, "web": True, "opcua": False}
        assert found["processes"] == running
        assert found["inspector"]["balanced"] is True
        assert again.returncode == 2
        assert "this station runs already" in again.stderr
