"""The record: its chain by hand, its tables, what is derived, and reading it."""

import hashlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import station_support as support
from record_support import Desk

from vialsight.errors import DataError
from vialsight.station.record.chain import canonical
from vialsight.station.record.pictures import file_bytes, pictures_of_file, pictures_of_payload
from vialsight.station.record.reading import RecordReader
from vialsight.station.record.store import RecordStore


@pytest.fixture
def store(tmp_path: Path):
    made = RecordStore(tmp_path / "record.sqlite", now_ns=lambda: 42)
    yield made
    made.close()


def test_hash_is_of_previous_hash_and_lines(store: RecordStore) -> None:
    first = store.append("note", "eva", {"text": "ä", "batch": 0})
    second = store.append("note", "otto", {}, unix_ns=-5)
    one = hashlib.sha256(bytes(32) + '1\n42\nnote\neva\n{"batch":0,"text":"ä"}'.encode()).digest()
    two = hashlib.sha256(one + b"2\n-5\nnote\notto\n{}").digest()
    assert (first.hash, second.hash) == (one, two)
    assert store.head == (2, two)
    rows = store.connection.execute("SELECT * FROM entry").fetchall()
    assert rows[0] == (1, 42, "note", "eva", '{"batch":0,"text":"ä"}', one)
    assert (store.path.with_name("record.head")).read_text() == f"2:{two.hex()}\n"


def test_canonical_json_is_one_for_equal_values() -> None:
    assert canonical({"b": 1, "a": [True, None, 0.5]}) == '{"a":[true,null,0.5],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": float("nan")})


@pytest.mark.parametrize("table", ["entry", "strip", "batch"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET rowid = 9", "DELETE FROM {}"])
def test_the_trail_is_never_changed(tmp_path: Path, table: str, statement: str) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    desk.started(engineer)
    desk.strip()
    with pytest.raises(sqlite3.IntegrityError, match="the record is never changed"):
        desk.store.connection.execute(statement.format(table))
    desk.close()


def test_a_failed_transaction_leaves_nothing(store: RecordStore) -> None:
    store.append("note", "eva", {})
    head = store.head

    def fail() -> None:
        with store.transaction():
            store.append("note", "eva", {})
            store.put("key", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (store.head, store.get("key")) == (head, None)
    assert store.append("note", "eva", {}).id == 2


def test_journal_and_synchronisation(store: RecordStore) -> None:
    assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_a_record_of_another_format_is_refused(store: RecordStore) -> None:
    store.connection.execute("PRAGMA user_version = 9")
    with pytest.raises(DataError, match="expected a record of format 1, got 9"):
        RecordStore(store.path)


def test_no_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with pytest.raises(DataError, match="cannot read it"):
        RecordReader(path)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(DataError, match="cannot read it"):
        RecordReader(path)


def test_pictures_come_back_bit_for_bit() -> None:
    payload = b"\x07" + bytes(7) + support.pictures_payload(3)
    seq, made = pictures_of_payload(payload)
    assert seq == 7
    random = np.random.default_rng(3)
    frames = [random.integers(0, 256, support.FRAME_SHAPE, np.uint8) for _ in range(3)]
    maps = [random.integers(0, 256, (16, 16), np.uint8) for _ in range(2)]
    again = pictures_of_file(file_bytes(made), "x")
    np.testing.assert_array_equal(again.frames, frames)
    np.testing.assert_array_equal(again.maps, maps)
    np.testing.assert_array_equal(again.indices, [0, 1, 2])
    np.testing.assert_array_equal(again.map_places, [[0, 1, 0], [0, 1, 1]])
    np.testing.assert_array_equal(again.map_scales, np.float32([[7.5, -1.0, 8.0]] * 2))
    assert file_bytes(made) == file_bytes(again)


def test_pictures_of_sixteen_bits() -> None:
    pixels = np.arange(6, dtype="<u2").reshape(2, 3) + 60_000
    head = np.array([3, 2, 2, 1, 0, 0], "<u4").tobytes() + np.array([1, 0], "<u4").tobytes()
    _, made = pictures_of_payload(bytes(8) + head + pixels.tobytes())
    np.testing.assert_array_equal(made.frames[0], pixels)
    assert made.indices.tolist() == [1]
    assert made.maps.shape == (0, 0, 0)


@pytest.mark.parametrize("cut", [1, 100, 2000])
def test_cut_pictures_are_refused(cut: int) -> None:
    with pytest.raises(DataError, match="expected the sizes it names"):
        pictures_of_payload((bytes(8) + support.pictures_payload())[:-cut])


def test_reading_beside_the_writer(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    batch = desk.started(engineer)
    reader = RecordReader(tmp_path / "record.sqlite")
    for number in range(10):
        desk.strip(verdict="reject" if number % 5 == 0 else "accept")
    desk.ask("halt_batch", engineer, why="lunch")

    found = reader.batch(batch)
    assert found is not None
    assert (found.status, found.opened_by, found.closed_ns) == ("halted", "eva", None)
    assert found.balance.to_json() == {"triggers": 10, "accepted": 8, "rejected": {"defect": 2}}
    assert [b.id for b in reader.batches()] == [batch]
    newest = reader.strips(batch, limit=3, mode="production")
    assert [s.strip_id for s in newest] == [13, 12, 11]
    older = reader.strips(batch, before=newest[-1].entry, limit=2)
    assert [s.strip_id for s in older] == [10, 9]
    rejects = reader.strips(batch, "reject", reason="defect", mode="production", newest=False)
    assert [s.strip_id for s in rejects] == [4, 9]
    expected = support.strip_body(4, verdict="reject")["scores"]
    scores = rejects[0].scores
    assert scores is not None
    assert scores.shape == (3, 5, 4)
    assert np.float32(7.5) == scores[0, 1, 2]
    assert rejects[0].body["scores"] == expected
    entries = reader.entries(kinds=["batch_started", "batch_halted"])
    assert [json.loads(e.body)["why"] for e in entries] == ["", "lunch"]
    assert reader.head() == (desk.store.head[0], desk.store.head[1].hex())
    trend = reader.trend(batch, 1, points=5)
    assert [point.strips for point in trend] == [2] * 5
    own = reader.strips(batch, newest=False, mode="production")[:2]
    means = [s.scores[..., 1].mean(dtype=np.float64) for s in own if s.scores is not None]
    assert trend[0].mean == pytest.approx(np.mean(means), rel=1e-6)
    assert reader.pictures(rejects[0].seq) is None
    reader.close()
    desk.close()


def test_a_large_strip_id_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    desk.spool(support.STRIP, support.strip_body(2**64 - 3))
    reader = RecordReader(tmp_path / "record.sqlite")
    assert reader.strips()[0].strip_id == 2**64 - 3
    reader.close()
    desk.close()
