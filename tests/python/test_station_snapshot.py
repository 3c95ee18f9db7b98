"""The reader of a station's snapshot against a writer that was made from the contract alone."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from station_snapshot_writer import SnapshotWriter

from vialsight.station.snapshot import Snapshot, SnapshotFollower, SnapshotGone, snapshot_path

WRITER = Path(__file__).with_name("station_snapshot_writer.py")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SnapshotWriter]:
    made = SnapshotWriter(tmp_path / "snapshot")
    yield made
    made.close()


def random_frames(count: int, high: int = 256, size: tuple[int, int] = (48, 64)) -> dict:
    rng = np.random.default_rng(1)
    return {f: rng.integers(0, high, size) for f in range(count)}


def test_header_says_what_the_station_is(writer: SnapshotWriter) -> None:
    header = Snapshot(writer.path).header
    assert (header.frames, header.vials, header.regions, header.patch_size) == (3, 5, 4, 16)
    assert (header.width, header.height, header.bytes_per_pixel, header.bit_depth) == (64, 48, 1, 8)
    assert (header.bundle, header.bundle_sha256) == ("bfs-5", "ab" * 32)
    assert (header.strips.blocks, header.pictures.blocks) == (256, 8)


def test_status_gives_every_field(writer: SnapshotWriter) -> None:
    numbers = (
        *("strip_id", "heartbeat", "triggers", "accepted", "in_flight", "batch", "batch_triggers"),
        *("batch_accepted", "last_seq", "spooled_seq", "gaps", "pictures_left_out"),
        *("worker_restarts", "frames_received", "frames_dropped"),
    )
    given = {name: 1000 + number for number, name in enumerate(numbers)}
    given |= {"pid": 2**40, "ready": True, "busy": False, "result_valid": True, "accept": False}
    given |= {"reason": "not_located", "mode": "challenge", "last_fault": "Pose außerhalb"}
    given |= {"session": "f" * 32, "source": "folder", "budget_ms": 499.5, "margin_ms": 2.5}
    writer.status(hindrance=0b10101, rejected={"defect": 3}, batch_rejected={"frame_stale": 4})
    writer.status(**given)
    status = Snapshot(writer.path).status()
    assert {name: getattr(status, name) for name in given} == given
    assert status.hindrances == ("camera_lost", "spool_lag", "starting")
    assert status.rejected["defect"] == sum(status.rejected.values()) == 3
    assert status.batch_rejected["frame_stale"] == sum(status.batch_rejected.values()) == 4
    assert len(status.rejected) == 9
    assert status.age_s(status.updated_mono_ns + 2 * 10**9) == 2.0


def test_status_says_whether_every_trigger_is_accounted_for(writer: SnapshotWriter) -> None:
    writer.status(triggers=7, accepted=4, rejected={"defect": 1, "not_ready": 1}, in_flight=1)
    assert Snapshot(writer.path).status().balanced
    writer.status(in_flight=0)
    assert not Snapshot(writer.path).status().balanced


@pytest.mark.parametrize(("frames", "vials", "regions"), [(3, 5, 4), (1, 1, 1), (1, 3, 3)])
def test_strip_gives_every_field(tmp_path: Path, frames: int, vials: int, regions: int) -> None:
    shape = {"frames": frames, "vials": vials, "regions": regions}
    writer = SnapshotWriter(tmp_path / "snapshot", **shape)
    scores = np.arange(frames * vials * regions, dtype=np.float32) / 7
    scores[0] = np.nan
    places = np.arange(frames * 4, dtype=np.float32).reshape(frames, 4)
    limits = np.arange(regions, dtype=np.float32) + 0.5
    good = [vial != 0 for vial in range(vials)]
    times = (0.1, 0.2, 0.3, 0.4, 0.5)
    writer.strip(
        seq=9,
        strip_id=2**60,
        unix_ns=-5,
        batch=3,
        accept=False,
        reason="defect",
        gate=False,
        pictures=True,
        latency_ms=123.25,
        slack_ms=-1.5,
        times_ms=times,
        thresholds=limits,
        scores=scores,
        vials=good,
        locations=places,
    )
    (strip,) = Snapshot(writer.path).strips()
    assert (strip.n, strip.seq, strip.strip_id, strip.unix_ns) == (0, 9, 2**60, -5)
    assert (strip.batch, strip.mode, strip.verdict, strip.gate) == (
        3,
        "production",
        *["reject"] * 2,
    )
    assert (strip.reason, strip.pictures_kept) == ("defect", True)
    assert (strip.latency_ms, strip.slack_ms) == (123.25, -1.5)
    assert tuple(strip.times_ms.values()) == times
    np.testing.assert_array_equal(strip.thresholds, limits)
    np.testing.assert_array_equal(strip.scores, scores.reshape(frames, vials, regions))
    assert strip.vials == tuple(good)
    np.testing.assert_array_equal(strip.locations, places)
    writer.close()


def test_strips_come_oldest_first_and_only_those_still_there(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "snapshot", strips=4)
    snapshot = Snapshot(writer.path)
    assert snapshot.strips() == []
    for number in range(6):
        writer.strip(strip_id=100 + number)
    assert [strip.strip_id for strip in snapshot.strips()] == [102, 103, 104, 105]
    assert [strip.n for strip in snapshot.strips(after=3)] == [4, 5]
    assert snapshot.strips(after=5) == []
    writer.close()


def test_pictures_of_rejects_come_back_to_the_pixel(writer: SnapshotWriter) -> None:
    frames = random_frames(3)
    del frames[1]
    rng = np.random.default_rng(2)
    maps = [(2, v, 3, 0.5 + v, 0.25, 0.75, rng.integers(0, 256, (16, 16))) for v in range(5)]
    writer.picture(frames, maps, seq=5, strip_id=77)
    snapshot = Snapshot(writer.path)
    assert snapshot.pictures() == [0]
    picture = snapshot.picture(0)
    assert picture is not None
    assert (picture.n, picture.seq, picture.strip_id) == (0, 5, 77)
    assert sorted(picture.frames) == [0, 2]
    for index, pixels in frames.items():
        np.testing.assert_array_equal(picture.frames[index], pixels)
    assert [(m.frame, m.vial, m.region) for m in picture.maps] == [(2, v, 3) for v in range(5)]
    assert [(m.phi, m.vmin, m.vmax) for m in picture.maps] == [
        (0.5 + v, 0.25, 0.75) for v in range(5)
    ]
    for found, given in zip(picture.maps, maps, strict=True):
        np.testing.assert_array_equal(found.heat, given[-1])


def test_overwritten_and_unknown_pictures_are_none(writer: SnapshotWriter) -> None:
    snapshot = Snapshot(writer.path)
    assert (snapshot.live(), snapshot.picture(0), snapshot.picture(-1)) == (None, None, None)
    for number in range(10):
        writer.picture(random_frames(3), strip_id=number)
    assert snapshot.pictures() == list(range(2, 10))
    assert snapshot.picture(1) is None
    assert snapshot.picture(10) is None
    kept = snapshot.picture(9)
    assert kept is not None
    assert kept.strip_id == 9


def test_live_is_the_strip_shown_last(writer: SnapshotWriter) -> None:
    snapshot = Snapshot(writer.path)
    frames = random_frames(3)
    for number in range(3):
        writer.live(frames, strip_id=number)
        live = snapshot.live()
        assert live is not None
        assert (live.strip_id, live.maps) == (number, ())
    np.testing.assert_array_equal(live.frames[2], frames[2])


def test_live_being_written_gives_the_one_before(writer: SnapshotWriter) -> None:
    for number in range(2):
        writer.live(random_frames(3), strip_id=number)
    writer.hold("live", 1)
    live = Snapshot(writer.path).live()
    assert live is not None
    assert live.strip_id == 0


def test_frames_above_8_bit(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "snapshot", pixel_bytes=2, bit_depth=12)
    frames = random_frames(3, high=4096)
    writer.picture(frames)
    picture = Snapshot(writer.path).picture(0)
    assert picture is not None
    assert picture.frames[0].dtype == np.uint16
    np.testing.assert_array_equal(picture.frames[2], frames[2])
    writer.close()


def test_patches_whose_size_is_no_multiple_of_8(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "snapshot", patch=11, size=(33, 35))
    frames = random_frames(3, size=(33, 35))
    heat = np.arange(121).reshape(11, 11)
    writer.picture(frames, [(0, 1, 2, 0.0, 0.0, 1.0, heat), (1, 2, 3, 0.0, 0.0, 1.0, heat)])
    picture = Snapshot(writer.path).picture(0)
    assert picture is not None
    np.testing.assert_array_equal(picture.frames[2], frames[2])
    np.testing.assert_array_equal(picture.maps[1].heat, heat)
    writer.close()


def test_no_station(tmp_path: Path) -> None:
    with pytest.raises(SnapshotGone, match="no station shows itself"):
        Snapshot(tmp_path / "none")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(SnapshotGone, match="is empty"):
        Snapshot(tmp_path / "empty")


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "else").write_bytes(b"GIF89a" * 1000)
    with pytest.raises(SnapshotGone, match="no snapshot of a station of this version"):
        Snapshot(tmp_path / "else")


def test_link_to_elsewhere(writer: SnapshotWriter, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(writer.path)
    with pytest.raises(SnapshotGone):
        Snapshot(tmp_path / "link")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (8, 2**40),
        (16, 4),
        (32, 2**30),
        (40, 3),
        (52, 59),
        (56, 2**31),
        (72, 8),
        (96, 4),
        (112, 2**62),
    ],
)
def test_header_that_contradicts_itself(writer: SnapshotWriter, at: int, value: int) -> None:
    size = 8 if at == 8 or at >= 64 else 4
    writer.memory[at : at + size] = value.to_bytes(size, "little")
    with pytest.raises(SnapshotGone, match=r"contradicts itself|are said to have"):
        Snapshot(writer.path)


def test_cut_short(writer: SnapshotWriter, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(writer.path.read_bytes()[:-8])
    with pytest.raises(SnapshotGone, match="contradicts itself"):
        Snapshot(tmp_path / "cut")


def test_station_killed_while_it_wrote_its_status(writer: SnapshotWriter) -> None:
    snapshot = Snapshot(writer.path)
    writer.hold("status")
    with pytest.raises(SnapshotGone, match="stopped while it wrote"):
        snapshot.status()


def test_strip_that_is_never_finished_is_left_out(writer: SnapshotWriter) -> None:
    for number in range(3):
        writer.strip(strip_id=number)
    writer.hold("strips", 1)
    assert [strip.strip_id for strip in Snapshot(writer.path).strips()] == [0, 2]


def test_restarted_station_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    follower = SnapshotFollower(path)
    with pytest.raises(SnapshotGone):
        follower.current()
    first = SnapshotWriter(path)
    first.status(heartbeat=5, pid=1)
    snapshot, status = follower.current()
    assert status.pid == 1
    second = SnapshotWriter(path, frames=1)
    second.status(heartbeat=5, pid=2)
    with pytest.raises(SnapshotGone, match="another station"):
        snapshot.status()
    snapshot, status = follower.current()
    assert (status.pid, snapshot.header.frames) == (2, 1)
    second.remove()
    with pytest.raises(SnapshotGone):
        follower.current()
    follower.close()
    first.close()


def test_station_whose_heart_still_beats_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    writer = SnapshotWriter(path)
    snapshot = Snapshot(path)
    path.unlink()
    for heartbeat in range(1, 4):
        writer.status(heartbeat=heartbeat)
        assert snapshot.status().heartbeat == heartbeat
    writer.close()


def test_reading_changes_nothing(writer: SnapshotWriter) -> None:
    writer.picture(random_frames(3))
    before = writer.path.read_bytes()
    snapshot = Snapshot(writer.path)
    snapshot.picture(0)
    snapshot.strips()
    snapshot.close()
    assert writer.path.read_bytes() == before


def test_place_of_a_snapshot() -> None:
    assert snapshot_path("line-1") == Path("/dev/shm/vialsight-line-1")


@contextmanager
def busy_writer(path: Path, *options: str) -> Iterator[None]:
    """Another process that writes as fast as it can."""
    child = subprocess.Popen([sys.executable, str(WRITER), str(path), *options])
    try:
        deadline = time.monotonic() + 60
        while not path.exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
    finally:
        child.kill()
        child.wait()


def torn(path: Path, *, seconds: float, first: bool = False) -> tuple[int, int]:
    """Blocks read and those that are of more than one moment; `first`: until there is one."""
    snapshot, read, wrong = Snapshot(path), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (first and wrong):
        status = snapshot.status()
        counts = {*status.rejected.values(), status.accepted, status.triggers // 10}
        wrong += len(counts) > 1
        for strip in snapshot.strips():
            values = {*strip.scores.ravel().tolist(), *strip.thresholds.tolist()}
            wrong += values != {strip.n} or strip.strip_id != strip.n or strip.latency_ms != strip.n
            read += 1
        for number in snapshot.pictures():
            picture = snapshot.picture(number)
            if picture is not None:
                read += 1
                pixels = {v for f in picture.frames.values() for v in (f.min(), f.max())}
                hot = {v for m in picture.maps for v in (m.heat.min(), m.heat.max())}
                wrong += pixels != {number % 7} or hot != pixels or picture.strip_id != number
    return read, wrong


def test_no_torn_block_is_ever_seen(tmp_path: Path) -> None:
    with busy_writer(tmp_path / "snapshot"):
        read, wrong = torn(tmp_path / "snapshot", seconds=4)
    assert read > 100
    assert wrong == 0


def test_without_the_lock_torn_blocks_would_be_seen(tmp_path: Path) -> None:
    with busy_writer(tmp_path / "snapshot", "careless"):
        _, wrong = torn(tmp_path / "snapshot", seconds=60, first=True)
    assert wrong > 0
