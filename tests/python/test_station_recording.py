"""From the spool into the record: what is wrong there is told, and never stops the record."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import station_support as support
from record_support import Desk

from vialsight.station import retention
from vialsight.station.config import PicturesSection
from vialsight.station.record.reading import RecordReader
from vialsight.station.record.verify import open_record, verify
from vialsight.station.spool import Damage, SpoolEntry

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    made.begin()
    yield made
    made.close()


def require_whole(desk: Desk) -> None:
    file = open_record(desk.folder / "record.sqlite")
    try:
        assert [str(finding) for finding in verify(file).findings.found] == []
    finally:
        file.close()


def strip_with(**changes: Any) -> dict[str, Any]:
    verdict = "reject" if changes.get("verdict") == "reject" else "accept"
    return support.strip_body(5, verdict=verdict) | changes


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (support.STRIP, b"{"),
        (support.STRIP, b"[]"),
        (support.STRIP, b"\xff"),
        (support.STRIP, b"{}"),
        (support.STRIP, b'{"strip_id": NaN}'),
        (support.STRIP, strip_with(verdict="maybe")),
        (support.STRIP, strip_with(strip_id=-1)),
        (support.STRIP, strip_with(strip_id=2**64)),
        (support.STRIP, strip_with(strip_id=True)),
        (support.STRIP, strip_with(batch="1")),
        (support.STRIP, strip_with(scores="AAAA")),
        (support.STRIP, strip_with(scores="no base64!")),
        (support.STRIP, strip_with(scores=5)),
        (support.STRIP, strip_with(latency_ms="fast")),
        (support.STRIP, strip_with(reason="\ud800")),
        (support.START, {"session": "x"}),
        (support.GAP, {"count": "3"}),
        (support.COMMAND, {"command_id": 1, "command": "halt", "ok": 1}),
        (support.COMMAND, {"command_id": 1, "command": "halt", "ok": True, "balance": [1]}),
        (support.COMMAND, {"command_id": 1, "command": "halt", "ok": True,
                           "balance": {"triggers": -1, "accepted": 0, "rejected": {}}}),
        (support.PICTURES, b"behind no strip"),
        (99, b"{}"),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_told(desk: Desk, kind: int, payload: Any) -> None:
    desk.spool(kind, payload)
    told = desk.last("event")
    assert (told["event"], told["kind"], told["actor"]) == ("spool_invalid", kind, "recorder")
    assert told["seq"] == desk.seq
    desk.strip()
    assert desk.kinds()[-1] == "strip"
    require_whole(desk)


def test_bodies_are_kept_as_they_were(desk: Desk) -> None:
    body = strip_with(scores=support.strip_body(5)["scores"], last_fault="Füße €", more={"a": [1]})
    desk.spool(support.STRIP, body)
    kept = desk.last("strip")
    assert {key: kept[key] for key in body} == body
    assert (kept["seq"], kept["pictures_sha256"]) == (desk.seq, None)


@pytest.mark.parametrize(
    "pictures",
    [b"", bytes(40), struct.pack("<Q", 999) + support.pictures_payload()],
)
def test_pictures_that_are_none_are_lost_and_told(desk: Desk, pictures: bytes) -> None:
    desk.spool(support.STRIP, strip_with(pictures="kept", verdict="reject", reason="defect"))
    assert desk.kinds()[-1] == "start", "it waits for its pictures"
    desk.spool(support.PICTURES, pictures)
    assert desk.kinds()[-3:] == ["strip", "event", "alarm"] or "strip" in desk.kinds()
    assert desk.last("strip")["pictures"] == "lost"
    assert desk.last("event")["event"] == "pictures_lost"
    assert list((desk.folder / "frames").iterdir()) == []


def test_missing_numbers_are_told(desk: Desk) -> None:
    desk.strip()
    desk.seq += 3
    desk.strip()
    told = desk.last("event")
    assert (told["event"], told["from_seq"], told["to_seq"]) == (
        "spool_gap", desk.seq - 3, desk.seq - 1,
    )  # fmt: skip
    require_whole(desk)
    assert "spool_gap" in [row["alarm"] for row in [desk.last("alarm")]]


def test_damage_is_told(desk: Desk) -> None:
    desk.recording.add([Damage("00000000000000000001.vss", 32, 100)])
    desk.recording.step()
    told = desk.last("event")
    assert (told["event"], told["segment"], told["offset"], told["size"]) == (
        "spool_damaged", "00000000000000000001.vss", 32, 100,
    )  # fmt: skip


def test_what_a_failed_commit_did_record_is_not_recorded_twice(desk: Desk) -> None:
    desk.strip()
    again = SpoolEntry(support.STRIP, desk.seq, desk.now_ns, json.dumps(strip_with()).encode())
    desk.recording.add([again])
    assert desk.recording.step().entries == 0
    assert desk.recording.waiting == 0


def test_what_could_not_be_recorded_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("vialsight.files.atomic.write_bytes", refuse)
        desk.spool(support.STRIP, strip_with(pictures="kept", verdict="reject", reason="defect"))
        payload = struct.pack("<Q", desk.seq) + support.pictures_payload()
        with pytest.raises(OSError, match="No space"):
            desk.spool(support.PICTURES, payload)
        before = desk.store.head
        with pytest.raises(OSError, match="No space"):
            desk.recording.step()
        assert desk.store.head == before
        assert desk.recording.waiting == 2
    assert desk.recording.step().entries == 1
    assert desk.last("strip")["pictures_sha256"] is not None
    require_whole(desk)


def add_rejects(desk: Desk, count: int) -> list[Path]:
    for number in range(count):
        desk.spool(support.STRIP, strip_with(pictures="kept", verdict="reject", reason="defect",
                                             scores=None))  # fmt: skip
        seq = struct.pack("<Q", desk.seq)
        desk.spool(support.PICTURES, seq + support.pictures_payload(number))
    return sorted((desk.folder / "frames").iterdir())


def test_old_pictures_are_deleted_and_an_entry_says_so(desk: Desk) -> None:
    files = add_rejects(desk, 6)
    written_ns = [path.stat().st_mtime_ns for path in files]
    desk.now_ns = written_ns[2] + 90 * DAY_NS + 1
    kept = PicturesSection(keep_days=90.0, max_gib=20.0)
    deleted = retention.delete_old(desk.store, desk.folder / "frames", kept)
    expected = [int(p.stem) for p, ns in zip(files, written_ns, strict=True) if ns <= written_ns[2]]
    assert deleted == expected
    assert [int(path.stem) for path in sorted((desk.folder / "frames").iterdir())] == [
        int(path.stem) for path in files if int(path.stem) not in deleted
    ]
    entry = desk.last("pictures_deleted")
    assert (entry["seqs"], entry["why"]["space"], entry["actor"]) == (deleted, 0, "recorder")
    require_whole(desk)
    reader = RecordReader(desk.folder / "record.sqlite")
    assert reader.pictures(deleted[0]) is None
    reader.close()


def test_pictures_beyond_the_space_are_deleted_oldest_first(desk: Desk) -> None:
    files = add_rejects(desk, 6)
    desk.now_ns = max(path.stat().st_mtime_ns for path in files)
    size = sum(path.stat().st_size for path in files)
    kept = PicturesSection(keep_days=90.0, max_gib=(size * 0.55) / 2**30)
    deleted = retention.delete_old(desk.store, desk.folder / "frames", kept)
    assert deleted == [int(path.stem) for path in files[:3]]
    assert retention.delete_old(desk.store, desk.folder / "frames", kept) == []
    assert desk.last("pictures_deleted")["why"] == {"age": 0, "space": 3}
    require_whole(desk)


def test_unfinished_files_are_removed(desk: Desk) -> None:
    (desk.folder / "frames" / ".00000000000000000007.npz.abc.tmp").write_bytes(b"x")
    retention.remove_unfinished(desk.folder / "frames")
    assert list((desk.folder / "frames").iterdir()) == []
