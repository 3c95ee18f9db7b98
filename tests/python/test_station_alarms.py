"""Alarms: raised once, cleared, acknowledged, the same after a restart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import station_support as support
from record_support import Desk

from vialsight.station.clock import ClockWatch
from vialsight.station.record.reading import RecordReader

LIMITS = {"last": 40, "reject_rate": 0.25, "by_reason": {"frame_missing": 0.1}}


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path, limits=LIMITS)
    made.begin()
    yield made
    made.close()


def alarms(desk: Desk, open_only: bool = False) -> list[Any]:
    reader = RecordReader(desk.folder / "record.sqlite")
    try:
        return list(reversed(reader.alarms(open_only=open_only)))
    finally:
        reader.close()


def states(desk: Desk) -> list[tuple[str, str]]:
    rows = desk.store.connection.execute(
        "SELECT json_extract(body, '$.alarm'), json_extract(body, '$.state') FROM entry "
        "WHERE kind = 'alarm' ORDER BY id"
    )
    return list(rows)


def test_a_reject_rate_is_raised_once_and_cleared_with_distance(desk: Desk) -> None:
    for _ in range(30):
        desk.strip(batch=1)
    for _ in range(10):
        desk.strip(batch=1, verdict="reject")
    assert states(desk) == []
    desk.strip(batch=1, verdict="reject")
    assert states(desk) == [("reject_rate", "raised")]
    (alarm,) = alarms(desk)
    assert (alarm.value, alarm.limit) == (11 / 40, 0.25)
    assert alarm.text == "27.5% of the last strips were rejected (limit 25.0%)"
    for _ in range(31):
        desk.strip(batch=1)
    assert states(desk) == [("reject_rate", "raised")]
    desk.strip(batch=1)
    assert states(desk) == [("reject_rate", "raised"), ("reject_rate", "cleared")]


def test_few_strips_raise_nothing(desk: Desk) -> None:
    for _ in range(19):
        desk.strip(batch=1, verdict="reject")
    assert states(desk) == []
    desk.strip(batch=1, verdict="reject")
    assert states(desk) == [("reject_rate", "raised")]


def test_a_reason_has_its_own_limit(desk: Desk) -> None:
    for number in range(40):
        missing = number % 8 == 0
        desk.strip(batch=1, verdict="reject" if missing else "accept",
                   **({"reason": "frame_missing"} if missing else {}))  # fmt: skip
    assert states(desk) == [("reject_rate.frame_missing", "raised")]


def test_strips_of_challenges_and_halts_do_not_count(desk: Desk) -> None:
    for mode in ("challenge", "halted"):
        for _ in range(40):
            desk.strip(batch=1, mode=mode, verdict="reject")
    assert states(desk) == []


def test_late_verdicts(desk: Desk) -> None:
    for number in range(25):
        desk.strip(batch=1, latency_ms=451.0 if number == 10 else 449.0)
    assert states(desk) == [("latency", "raised")]
    for _ in range(40):
        desk.strip(batch=1)
    assert states(desk)[-1] == ("latency", "cleared")


def test_drift_of_one_region(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limits={"last": 10, "drift": {"strips": 30, "deviations": 4.0}})
    desk.begin()
    random, shift = np.random.default_rng(0), 0.0
    means: list[np.ndarray] = []
    for number in range(120):
        shift = 2.0 if number >= 60 else 0.0
        scores = random.normal(0.0, 0.5, (3, 5, 4)).astype(np.float32)
        scores[..., 2] += np.float32(shift)
        means.append(scores.astype(np.float64).mean(axis=(0, 1)))
        desk.strip(batch=1, scores=scores)
        first, last = np.array(means[:30]), np.array(means[30:][-30:])
        moved = np.zeros(4)
        if len(means) >= 60:
            moved = (last.mean(axis=0) - first.mean(axis=0)) / first.std(axis=0, ddof=1)
        expected = {f"drift.{name}" for name, m in zip("abcd", moved, strict=True) if abs(m) > 4.0}
        assert set(desk.alarms.active) == expected
    assert set(desk.alarms.active) == {"drift.c"}
    assert alarms(desk)[0].text.startswith("mean φ of region c over the last accepted strips")
    desk.close()


def test_a_restart_changes_nothing(desk: Desk) -> None:
    for number in range(60):
        desk.strip(batch=1, verdict="reject" if number % 5 == 0 else "accept")
    assert states(desk) == []
    desk.close()
    seq, strip_id = desk.seq, desk.strip_id
    desk.__init__(desk.folder, limits=LIMITS)
    desk.seq, desk.strip_id = seq, strip_id
    assert list(desk.alarms._window) == [
        ("defect" if number % 5 == 0 else "none", False) for number in range(20, 60)
    ]
    for _ in range(3):
        desk.strip(batch=1, verdict="reject")
    assert states(desk) == []
    desk.strip(batch=1, verdict="reject")
    assert states(desk) == [("reject_rate", "raised")]


def test_a_new_batch_begins_anew(desk: Desk) -> None:
    for _ in range(40):
        desk.strip(batch=1, verdict="reject")
    for _ in range(20):
        desk.strip(batch=2)
    assert states(desk) == [("reject_rate", "raised"), ("reject_rate", "cleared")]


def test_events_raise_and_clear(desk: Desk) -> None:
    for name in ("camera_lost", "camera_lost", "camera_found", "machine_lost"):
        desk.spool(support.EVENT, {"event": name, "text": f"text of {name}"})
    assert states(desk) == [("camera", "raised"), ("camera", "cleared"), ("machine", "raised")]


def test_what_is_over_stays_open_until_acknowledged(desk: Desk) -> None:
    engineer = desk.user("eva", "engineer")
    for _ in range(50):
        desk.spool(support.EVENT, {"event": "worker_restarted", "text": "hung"})
    (alarm,) = alarms(desk, open_only=True)
    assert alarm.key == "worker_restarted"
    assert desk.ask("acknowledge_alarm", engineer, id=alarm.id, why="seen")["ok"]
    (alarm,) = alarms(desk)
    assert (alarm.acknowledged_by, alarm.why, alarm.is_open) == ("eva", "seen", False)
    again = desk.ask("acknowledge_alarm", engineer, id=alarm.id, why="")
    assert again["error"] == f"the alarm {alarm.id} is acknowledged already"
    assert desk.ask("acknowledge_alarm", engineer, id=1, why="")["code"] == "invalid"
    desk.spool(support.EVENT, {"event": "worker_restarted", "text": "hung again"})
    assert len(alarms(desk, open_only=True)) == 1


def test_a_clock_that_was_set(desk: Desk) -> None:
    uptime = [5_000 * 10**9]
    watch = ClockWatch(desk.store, since_boot_ns=lambda: uptime[0], boot_id="boot-1")
    assert watch.check() is None
    for _ in range(100):
        uptime[0] += 10**9
        desk.now_ns += 10**9
        assert watch.check() is None
    desk.now_ns -= 3600 * 10**9
    changed = watch.check()
    assert changed is not None
    assert changed["by_ms"] == -3_600_000
    entry = desk.last("clock_changed")
    assert (entry["by_ms"], entry["actor"]) == (-3_600_000, "recorder")
    assert watch.check() is None
    desk.now_ns += 7200 * 10**9
    restarted = ClockWatch(desk.store, since_boot_ns=lambda: uptime[0], boot_id="boot-1")
    assert restarted.check() is not None
    desk.now_ns += 7200 * 10**9
    assert ClockWatch(desk.store, since_boot_ns=lambda: 0, boot_id="boot-2").check() is None
