"""The spool is read as it was written: while it grows, cut, damaged, over segments and restarts."""

import json
import os
from pathlib import Path

import pytest
import station_support as support

from vialsight.station.spool import Damage, SpoolEntry, SpoolReader, SpoolReset


def reader(folder: Path, after: int | None = None, known: bool = True) -> SpoolReader:
    return SpoolReader(folder, after, lambda _seq, _ns: known)


def read_all(source: SpoolReader) -> list[SpoolEntry | Damage]:
    return source.read(entries=10_000, payload_bytes=2**30)


def seqs(items: list[SpoolEntry | Damage]) -> list[int]:
    return [item.seq for item in items if isinstance(item, SpoolEntry)]


@pytest.fixture
def writer(tmp_path: Path):
    made = support.SpoolWriter(tmp_path / "spool")
    yield made
    made.close()


def test_what_was_written_is_read(writer: support.SpoolWriter) -> None:
    body = support.start_body()
    writer.write(support.START, body, unix_ns=5)
    writer.write(support.EVENT, {"event": "stopped", "text": "Füße"}, unix_ns=-7)
    first, second = read_all(reader(writer.folder))
    assert isinstance(first, SpoolEntry)
    assert (first.kind, first.seq, first.unix_ns) == (1, 1, 5)
    assert json.loads(first.payload) == body
    assert isinstance(second, SpoolEntry)
    assert (second.seq, second.unix_ns, json.loads(second.payload)["text"]) == (2, -7, "Füße")


def test_entries_come_while_the_spool_grows(writer: support.SpoolWriter) -> None:
    source = reader(writer.folder)
    assert read_all(source) == []
    for number in range(1, 6):
        writer.write(support.EVENT, {"event": "x"})
        assert seqs(read_all(source)) == [number]
    assert source.waiting_bytes() == 0


def test_every_cut_of_the_last_entry_is_waited_for(writer: support.SpoolWriter) -> None:
    writer.write(support.EVENT, {"event": "a"})
    (path,) = writer.folder.glob("*.vss")
    whole = path.read_bytes()
    writer.write(support.EVENT, {"event": "b"})
    both = path.read_bytes()
    for size in range(len(whole), len(both)):
        path.write_bytes(both[:size])
        source = reader(writer.folder)
        assert seqs(read_all(source)) == [1]
        path.write_bytes(both)
        assert seqs(read_all(source)) == [2]


def test_a_cut_header_of_a_segment_is_waited_for(tmp_path: Path) -> None:
    writer = support.SpoolWriter(tmp_path / "spool")
    writer.write(support.EVENT, {"event": "a"})
    writer.close()
    (path,) = writer.folder.glob("*.vss")
    whole = path.read_bytes()
    for size in range(32):
        path.write_bytes(whole[:size])
        source = reader(writer.folder)
        assert read_all(source) == []
        path.write_bytes(whole)
        assert seqs(read_all(source)) == [1]


def test_a_cut_entry_is_passed_where_a_newer_segment_goes_on(writer: support.SpoolWriter) -> None:
    writer.write(support.EVENT, {"event": "a"})
    writer.write(support.EVENT, {"event": "b"})
    first = writer.folder / f"{1:020}.vss"
    os.truncate(first, first.stat().st_size - 3)
    writer.seq = 2
    writer.new_segment()
    writer.write(support.EVENT, {"event": "c"})
    items = read_all(reader(writer.folder))
    assert seqs(items) == [1, 2]
    assert not any(isinstance(item, Damage) for item in items)


def test_zeros_behind_a_power_cut_are_no_entry(writer: support.SpoolWriter) -> None:
    writer.write(support.EVENT, {"event": "a"})
    (path,) = writer.folder.glob("*.vss")
    with path.open("ab") as file:
        file.write(bytes(4096))
    source = reader(writer.folder)
    assert seqs(read_all(source)) == [1]
    assert read_all(source) == []


@pytest.mark.parametrize("place", [0, 9, 17, 25, 33, 39, 45])
def test_a_flipped_byte_is_damage_and_the_rest_is_read(
    writer: support.SpoolWriter, place: int
) -> None:
    for name in "abc":
        writer.write(support.EVENT, {"event": name})
    (path,) = writer.folder.glob("*.vss")
    content = bytearray(path.read_bytes())
    size = (len(content) - 32) // 3
    content[32 + size + place] ^= 0x40
    path.write_bytes(content)
    items = read_all(reader(writer.folder))
    assert seqs(items) == [1, 3]
    assert items[1] == Damage(path.name, 32 + size, size)


def test_segments_are_read_in_order_and_deleted_when_recorded(tmp_path: Path) -> None:
    writer = support.SpoolWriter(tmp_path / "spool", segment_bytes=500)
    for _ in range(40):
        writer.write(support.EVENT, {"event": "x", "text": "y" * 50})
    assert len(list(writer.folder.iterdir())) > 5
    source = reader(writer.folder)
    assert seqs(read_all(source)) == list(range(1, 41))
    before = sorted(path.name for path in writer.folder.iterdir())
    assert source.delete_recorded(20)
    left = sorted(path.name for path in writer.folder.iterdir())
    assert left == [name for name in before if name in left]
    following = int(Path(left[1]).stem)
    assert following > 21 > int(Path(left[0]).stem) - 1
    source.delete_recorded(40)
    assert [path.name for path in writer.folder.iterdir()] == [before[-1]]
    writer.write(support.EVENT, {"event": "x"})
    assert seqs(read_all(source)) == [41]
    writer.close()


@pytest.mark.parametrize("after", [1, 7, 20, 39, 40])
def test_reading_goes_on_behind_what_is_recorded(tmp_path: Path, after: int) -> None:
    writer = support.SpoolWriter(tmp_path / "spool", segment_bytes=300)
    for _ in range(40):
        writer.write(support.EVENT, {"event": "x", "text": "y" * 50})
    writer.close()
    assert seqs(read_all(reader(writer.folder, after))) == list(range(after + 1, 41))


def test_limits_are_kept(writer: support.SpoolWriter) -> None:
    for _ in range(10):
        writer.write(support.EVENT, {"event": "x" * 100})
    source = reader(writer.folder)
    assert seqs(source.read(entries=3, payload_bytes=2**20)) == [1, 2, 3]
    assert seqs(source.read(entries=100, payload_bytes=250)) == [4, 5, 6]


def test_an_emptied_spool_is_noticed(writer: support.SpoolWriter) -> None:
    writer.write(support.START, support.start_body())
    source = reader(writer.folder, after=500, known=False)
    with pytest.raises(SpoolReset, match="expected entries after number 500"):
        read_all(source)


def test_a_recorded_start_is_no_reset(writer: support.SpoolWriter) -> None:
    writer.write(support.START, support.start_body())
    writer.write(support.EVENT, {"event": "x"})
    assert seqs(read_all(reader(writer.folder, after=1, known=True))) == [2]
