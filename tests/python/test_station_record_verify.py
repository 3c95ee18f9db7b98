"""Verification: what was changed is found, byte by byte; what was not, is not."""

import hashlib
import json
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import station_support as support
from cli_support import run
from record_support import Desk
from station_support import PASSWORD

from vialsight.errors import DataError
from vialsight.station.record.chain import canonical, entry_hash
from vialsight.station.record.sealed import write_sealed
from vialsight.station.record.verify import Verified, head_of_text, open_record, verify

FLIPS = 600


def write_record(folder: Path) -> Path:
    """A small record with everything in it, closed; its pictures lie in `frames` beside it."""
    desk = Desk(folder)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    desk.user("otto", "operator", engineer)
    desk.started(engineer)
    for number in range(12):
        rejected = number % 4 == 0
        desk.strip(verdict="reject" if rejected else "accept",
                   **({"pictures": "kept"} if rejected else {}))  # fmt: skip
        if rejected:
            seq = desk.seq.to_bytes(8, "little")
            desk.spool(support.PICTURES, seq + support.pictures_payload(number))
    desk.spool(support.EVENT, {"event": "worker_restarted", "text": "hung"})
    desk.ask("open_batch", "forged", product="P", number="2")
    desk.ask("close_batch", engineer, password=PASSWORD, meaning="released", why="")
    desk.close()
    for name in ("record.sqlite-wal", "record.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    return folder / "record.sqlite"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_record(tmp_path_factory.mktemp("made"))


@pytest.fixture
def record(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    shutil.copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / "record.sqlite"


def check(path: Path, **options: Any) -> Verified:
    file = open_record(path)
    try:
        return verify(file, **options)
    finally:
        file.close()


def findings(path: Path, **options: Any) -> list[str]:
    """What is found; a file that cannot even be opened is found, too."""
    try:
        return [str(finding) for finding in check(path, **options).findings.found]
    except DataError as error:
        return [str(error)]


def dump(path: Path) -> Any:
    """All that can be read of a database, by SQLite alone; None where it cannot be."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?immutable=1&mode=ro", uri=True)
        try:
            names = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
            names = sorted(names, key=str)
            tables = [name for kind, name, _, _ in names if kind == "table"]
            rows = [
                [[(type(v), v) for v in row] for row in connection.execute(f"SELECT * FROM {t}")]
                for t in tables
            ]
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        return None
    return names, rows


def test_a_record_is_whole(made: Path) -> None:
    found = check(made)
    assert findings(made) == []
    rows = sqlite3.connect(made).execute("SELECT kind FROM entry ORDER BY id").fetchall()
    assert (found.entries, found.strips, found.rejects) == (len(rows), 15, 5)
    assert (found.pictures, found.pictures_deleted) == (3, 0)


def test_a_flipped_byte_is_found_or_changes_nothing_that_is_read(record: Path) -> None:
    content, expected = record.read_bytes(), dump(record)
    chosen = random.Random(1)
    unfound = 0
    for _ in range(3 * FLIPS):
        place, bit = chosen.randrange(len(content)), 1 << chosen.randrange(8)
        changed = bytearray(content)
        changed[place] ^= bit
        record.write_bytes(changed)
        if findings(record) == []:
            unfound += 1
            assert dump(record) == expected, f"byte {place}, bit {bit:#x} is read and not found"
    record.write_bytes(content)
    assert findings(record) == []
    # Pages are not full: what lies between their cells is nothing that is read.
    assert 3 * FLIPS - unfound >= 500
    assert unfound > 0


def test_a_flipped_byte_of_a_picture_or_the_head_is_found(record: Path) -> None:
    paths = [*(record.parent / "frames").iterdir(), record.with_name("record.head")]
    chosen = random.Random(2)
    for _ in range(100):
        path = chosen.choice(paths)
        content = path.read_bytes()
        changed = bytearray(content)
        changed[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        assert len(findings(record)) == 1
        path.write_bytes(content)


def test_every_flipped_byte_of_a_sealed_export_is_found(record: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vsr"
    write_sealed(record, path)
    assert findings(path) == []
    content, chosen = path.read_bytes(), random.Random(3)
    places = {chosen.randrange(len(content)) for _ in range(FLIPS)}
    for place in places | set(range(len(content) - 120, len(content))) | set(range(64)):
        changed = bytearray(content)
        changed[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        assert findings(path) != [], f"byte {place}"


@pytest.mark.parametrize("change", [-1, -100, -5000, +1, +4096])
def test_a_sealed_export_of_another_length_is_found(
    record: Path, tmp_path: Path, change: int
) -> None:
    path = tmp_path / "x.vsr"
    write_sealed(record, path)
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    assert findings(path) != []


def test_a_sealed_batch_is_checked_by_itself(record: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vsr"
    manifest = write_sealed(record, path, batch=1)
    found = check(path)
    assert findings(path) == []
    assert (found.strips, found.pictures) == (15, 3)
    connection = sqlite3.connect(record)
    closed = connection.execute("SELECT id, hash FROM entry WHERE kind = 'batch_closed'").fetchone()
    assert found.head == (closed[0], closed[1].hex()) == tuple(manifest["head"])
    with pytest.raises(DataError, match="exists"):
        write_sealed(record, path)
    with pytest.raises(DataError, match="expected a batch of the record, got 7"):
        write_sealed(record, tmp_path / "y.vsr", batch=7)
    with pytest.raises(DataError, match="add the suffix"):
        write_sealed(record, tmp_path / "y.zip")


def open_to_change(record: Path) -> sqlite3.Connection:
    """Open a record as someone does who can write the file: without its triggers."""
    connection = sqlite3.connect(record, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def put_triggers_back(connection: sqlite3.Connection) -> None:
    from vialsight.station.record import schema

    for statement in schema.statements():
        if statement.startswith("CREATE TRIGGER"):
            connection.execute(statement)
    connection.close()


def rechain(connection: sqlite3.Connection) -> None:
    """Compute all hashes anew."""
    previous = bytes(32)
    for row in connection.execute("SELECT * FROM entry ORDER BY id").fetchall():
        id, unix_ns, kind, actor, body, _ = row
        previous = entry_hash(previous, id=id, unix_ns=unix_ns, kind=kind, actor=actor, body=body)
        connection.execute("UPDATE entry SET hash = ? WHERE id = ?", (previous, id))


CHANGES = {
    "time": "UPDATE entry SET unix_ns = unix_ns + 1 WHERE id = 20",
    "who": "UPDATE entry SET actor = 'otto' WHERE kind = 'batch_started'",
    "kind": "UPDATE entry SET kind = 'note' WHERE kind = 'refused'",
    "verdict": "UPDATE entry SET body = replace(body, '\"accept\"', '\"reject\"') WHERE id = 25",
    "hash": "UPDATE entry SET hash = zeroblob(32) WHERE id = 20",
    "gone": "DELETE FROM entry WHERE id = 20",
    "end": "DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)",
    "derived": "UPDATE strip SET verdict = 'accept' WHERE verdict = 'reject'",
    "derived_gone": "DELETE FROM strip WHERE seq = 9",
    "derived_type": "UPDATE strip SET latency_ms = 120 WHERE seq = 9",
    "batch": "UPDATE batch SET number = '2'",
    "role": "UPDATE account SET role = 'engineer' WHERE user = 'otto'",
    "session": "UPDATE session SET expires_ns = expires_ns + 1",
    "state": "UPDATE state SET value = '5' WHERE key = 'spool_seq'",
    "table": "CREATE TABLE more(x)",
    "view": "CREATE VIEW more AS SELECT * FROM entry",
    "version": "PRAGMA user_version = 2",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_past_the_triggers_is_found(record: Path, name: str) -> None:
    connection = open_to_change(record)
    connection.execute(CHANGES[name])
    put_triggers_back(connection)
    assert findings(record) != []


def test_without_its_triggers_a_record_is_not_whole(record: Path) -> None:
    open_to_change(record).close()
    assert len(findings(record)) == 6


def test_a_role_with_its_digest_is_found_by_the_trail(record: Path) -> None:
    from vialsight.station.record import schema

    connection = open_to_change(record)
    row = connection.execute("SELECT * FROM account WHERE user = 'otto'").fetchone()
    values = (*row[:2], "engineer", *row[3:-1])
    connection.execute("UPDATE account SET role = 'engineer', digest = ? WHERE user = 'otto'",
                       (schema.row_digest(*values),))  # fmt: skip
    put_triggers_back(connection)
    assert findings(record) == [
        "record.sqlite: account otto: expected it as its last entry says",
    ]


def test_a_new_chain_is_found_by_a_head_that_was_kept(record: Path) -> None:
    before = check(record).head
    connection = open_to_change(record)
    connection.execute("UPDATE entry SET actor = 'otto' WHERE kind = 'batch_started'")
    rechain(connection)
    put_triggers_back(connection)
    record.with_name("record.head").unlink()
    assert findings(record) == []
    assert "record.head is missing" in check(record).findings.notes[0]
    assert findings(record, head=(before[0], bytes.fromhex(before[1]))) == [
        f"--head: expected entry {before[0]} with the hash {before[1][:16]}…, got another",
    ]


def test_a_removed_end_is_found_by_a_head_that_was_kept(record: Path) -> None:
    before = check(record).head
    head = (before[0], bytes.fromhex(before[1]))
    connection = open_to_change(record)
    connection.execute("DELETE FROM entry WHERE id = ?", (before[0],))
    put_triggers_back(connection)
    noted = findings(record)
    assert any("the end is missing" in text for text in noted)
    record.with_name("record.head").unlink()
    assert any(
        text.startswith("--head") and "the end is missing" in text
        for text in findings(record, head=head)
    )


def test_an_earlier_head_holds_while_the_record_grows(record: Path) -> None:
    row = sqlite3.connect(record).execute("SELECT id, hash FROM entry WHERE id = 10").fetchone()
    assert findings(record, head=tuple(row)) == []


@pytest.mark.parametrize(
    "text", ["", "5", "x:" + "0" * 64, "5:00", "-1:" + "0" * 64, "5:" + "z" * 64]
)
def test_what_is_no_head(text: str) -> None:
    with pytest.raises(DataError, match="expected ID:HASH"):
        head_of_text(text)


LIES = {
    "accept above the threshold": (
        {"verdict": "accept", "reason": "none", "gate": "accept"}, "with a φ above its threshold",
    ),
    "gate": ({"gate": "accept"}, "the gate was told to accept it"),
    "defect without one": ({"reason": "defect", "scores": "AACAPwAAgD8AAIA/AACAPw==",
                            "vials": "0", "thresholds": [3.0] * 4}, "without a φ above"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_verdict_that_contradicts_its_scores_is_found(record: Path, name: str) -> None:
    changes, expected = LIES[name]
    connection = open_to_change(record)
    id, text = connection.execute(
        "SELECT id, body FROM entry WHERE kind = 'strip' AND id > 20 AND body LIKE '%reject%'"
    ).fetchone()
    body = canonical(json.loads(text) | changes)
    connection.execute("UPDATE entry SET body = ? WHERE id = ?", (body, id))
    rechain(connection)
    put_triggers_back(connection)
    assert any(f"entry {id}" in line and expected in line for line in findings(record))


def test_counts_that_were_not_signed_are_found(record: Path) -> None:
    connection = open_to_change(record)
    (text,) = connection.execute("SELECT body FROM entry WHERE kind = 'batch_closed'").fetchone()
    body = json.loads(text)
    body["counts"]["recorded"]["accepted"] += 1
    connection.execute("UPDATE entry SET body = ? WHERE kind = 'batch_closed'", (canonical(body),))
    rechain(connection)
    put_triggers_back(connection)
    assert any("batch 1 was closed with" in line for line in findings(record))


def test_a_missing_picture_is_found_unless_its_deletion_is_recorded(
    made: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.parent, folder)
    picture = sorted((folder / "frames").iterdir())[0]
    picture.unlink()
    assert findings(folder / "record.sqlite") == [
        f"{picture.name}: expected pictures, whose hash is recorded, got no file"
    ]
    from vialsight.station.record.store import RecordStore

    store = RecordStore(folder / "record.sqlite")
    store.append("pictures_deleted", "recorder", {"seqs": [int(picture.stem)], "why": {}})
    store.close()
    found = check(folder / "record.sqlite")
    assert found.is_whole
    assert (found.pictures, found.pictures_deleted) == (2, 1)
    (folder / "frames" / "note.txt").write_text("x")
    assert "note.txt" in check(folder / "record.sqlite").findings.notes[0]


def test_a_record_is_checked_while_it_is_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    for _ in range(20):
        desk.strip(batch=1)
        assert findings(tmp_path / "record.sqlite") == []
    desk.close()


def test_a_flipped_byte_of_the_journal_is_found(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    for _ in range(30):
        desk.strip(batch=1)
    copies, chosen = tmp_path / "copies", random.Random(4)
    copies.mkdir()
    for name in ("record.sqlite", "record.sqlite-wal", "record.head"):
        shutil.copy(tmp_path / name, copies / name)
    desk.close()
    journal = (copies / "record.sqlite-wal").read_bytes()
    main = (copies / "record.sqlite").read_bytes()
    assert len(journal) > 100_000
    for _ in range(100):
        changed = bytearray(journal)
        changed[chosen.randrange(32, len(journal))] ^= 1 << chosen.randrange(8)
        (copies / "record.sqlite-wal").write_bytes(changed)
        (copies / "record.sqlite").write_bytes(main)
        (copies / "record.sqlite-shm").unlink(missing_ok=True)
        assert findings(copies / "record.sqlite") != []


def test_command_line(record: Path, tmp_path: Path) -> None:
    done = run("record", "verify", record)
    assert "whole     every entry and picture is as it was written" in done.stdout
    head = check(record).head
    assert f"head      {head[0]}:{head[1]}" in done.stdout
    assert json.loads(run("record", "verify", record, "--json").stdout)["whole"] is True
    run("record", "verify", record, "--head", f"{head[0]}:{head[1]}")
    wrong = run("record", "verify", record, "--head", f"{head[0]}:{'0' * 64}", code=1)
    assert "is not as it was written, 1 findings" in wrong.stderr
    run("record", "verify", record, "--head", "nonsense", code=2)
    run("record", "verify", tmp_path / "missing.sqlite", code=2)
    sealed = tmp_path / "x.vsr"
    run("record", "export", record, "--sealed", sealed)
    run("record", "verify", sealed)
    content = bytearray(sealed.read_bytes())
    content[5000] ^= 1
    sealed.write_bytes(content)
    run("record", "verify", sealed, code=1)
    run("record", "export", record, code=2)


def test_tables(record: Path, tmp_path: Path) -> None:
    out = tmp_path / "csv"
    run("record", "export", record, "--csv", out)
    import csv

    tables = {p.stem: list(csv.DictReader(p.open(encoding="utf-8"))) for p in out.iterdir()}
    connection = sqlite3.connect(record)
    rows = connection.execute(
        "SELECT id, kind, actor, body, hash FROM entry ORDER BY id"
    ).fetchall()
    assert [(r["id"], r["kind"], r["who"], r["body"], r["sha256"]) for r in tables["entries"]] == [
        (str(id), kind, actor, body, digest.hex()) for id, kind, actor, body, digest in rows
    ]
    assert len(tables["strips"]) == 15
    assert {r["verdict"] for r in tables["strips"]} == {"accept", "reject"}
    assert len(tables["scores"]) == 5 * 60
    worst = [r for r in tables["scores"] if r["defective"] == "1"]
    assert {(r["frame"], r["vial"], r["region"], r["score"]) for r in worst} == {
        ("1", "2", "3", "7.5")
    }
    (batch,) = tables["batches"]
    assert (batch["number"], batch["strips"], batch["accepted"], batch["rejected"]) == (
        "1", "12", "9", '{"defect": 3}',
    )  # fmt: skip
    assert [r["alarm"] for r in tables["alarms"]] == ["worker_restarted"]
    run("record", "export", record, "--csv", out, code=2)
    run("record", "export", record, "--csv", tmp_path / "one", "--batch", 1)
    run("record", "export", record, "--csv", tmp_path / "none", "--batch", 9, code=2)


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    desk.ask("open_batch", engineer, product="=HYPERLINK(1)", number="-2+3")
    desk.close()
    run("record", "export", tmp_path / "record.sqlite", "--csv", tmp_path / "csv")
    batches = (tmp_path / "csv" / "batches.csv").read_text(encoding="utf-8")
    assert ",'=HYPERLINK(1),'-2+3," in batches


def test_the_report_of_a_batch(record: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    run("record", "report", record, "--batch", 1, "--out", out)
    page = out.read_text(encoding="utf-8")
    head = check(record).head
    assert f"{head[0]}:{head[1]}" in page
    for text in ("Closed. All counts agree.", "rejected: defect", "25.00% were rejected",
                 "passed", "released", "hung", "All 3."):  # fmt: skip
        assert text in page
    assert page.count('<img class="frame"') == 3
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    run("record", "report", record, "--batch", 9, "--out", out, code=2)


def test_the_report_shows_texts_as_texts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    desk.ask("open_batch", engineer, product="<script>alert(1)</script>", number='"><b>')
    desk.ask("note", engineer, text="<img src=x onerror=alert(1)>")
    desk.close()
    out = tmp_path / "report.html"
    run("record", "report", tmp_path / "record.sqlite", "--batch", 1, "--out", out)
    page = out.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<img src=x" not in page
    assert "Not closed: prepared. This is a draft." in page


def test_pictures_of_the_record_are_those_of_the_spool(made: Path) -> None:
    connection = sqlite3.connect(made)
    rows = connection.execute(
        "SELECT json_extract(body, '$.seq'), json_extract(body, '$.pictures_sha256') FROM entry "
        "WHERE kind = 'strip' AND json_extract(body, '$.pictures') = 'kept'"
    ).fetchall()
    assert len(rows) == 3
    for seq, digest in rows:
        content = (made.parent / "frames" / f"{seq:020d}.npz").read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
