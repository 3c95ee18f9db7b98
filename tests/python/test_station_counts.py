"""The comparison of books that trials rely on notices what it is there for."""

import dataclasses
import struct
import sys
import zlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from station_counts import Recorded, differences, latencies, reasons, spooled  # noqa: E402


def recorded(strip_id: int, verdict: str = "accept", **changes: object) -> Recorded:
    made = Recorded(
        strip_id=strip_id, seq=strip_id, unix_ns=0, verdict=verdict, gate=verdict,
        reason="none" if verdict == "accept" else "defect", mode="production",
        latency_ms=10.0 * strip_id, triggered_ns=strip_id, is_whole=True,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def told(strip_id: int, verdict: str = "accept", **changes: str) -> dict[str, str]:
    reason = {"accept": "", "reject": "defect", "": ""}[verdict]
    gate = "accept" if verdict == "accept" else "reject"
    row = {"strip_id": str(strip_id), "verdict": verdict, "reason": reason, "gate": gate}
    return row | changes


MACHINE = [told(1), told(2, "reject"), told(3, "")]
RECORD = [recorded(1), recorded(2, "reject"), recorded(3, "reject")]


def test_books_that_agree() -> None:
    # Of strip 3 no result came before the next trigger: the gate rested at reject.
    assert differences(MACHINE, RECORD) == []


@pytest.mark.parametrize(
    ("machine", "record", "expected"),
    [
        (MACHINE, RECORD[:2], "strip 3 has no record"),
        (MACHINE, [*RECORD, recorded(3, "reject")], "strip 3 has 2 records"),
        (MACHINE, [*RECORD, recorded(4)], "strip 4 was never triggered"),
        ([*MACHINE, told(1)], RECORD, "triggered strips twice: [1]"),
        (MACHINE[:2], RECORD, "2 triggers of the machine, 3 records"),
        (MACHINE, [recorded(1, "reject"), *RECORD[1:]], "strip 1: the gate let it pass"),
        (MACHINE, [RECORD[0], recorded(2), RECORD[2]], "strip 2: the machine was told reject"),
        (
            MACHINE,
            [RECORD[0], recorded(2, "reject", reason="frame_missing"), RECORD[2]],
            "strip 2: the machine was told reject (defect), recorded is reject (frame_missing)",
        ),
        (
            MACHINE,
            [recorded(1, is_whole=False), *RECORD[1:]],
            "strip 1 was accepted without a full inspection",
        ),
        (
            MACHINE,
            [*RECORD[:2], recorded(3, "reject", gate="accept", is_whole=False)],
            "strip 3 was accepted without a full inspection",
        ),
    ],
)
def test_books_that_do_not(
    machine: list[dict[str, str]], record: list[Recorded], expected: str
) -> None:
    assert any(expected in text for text in differences(machine, record))


def test_strips_told_of_together_are_counted() -> None:
    assert differences(MACHINE, RECORD[:2], 1) == []
    assert differences(MACHINE, RECORD[:2], 2) != []


def test_reasons() -> None:
    assert reasons(RECORD) == {"accepted": 1, "defect": 2}


def test_latencies_are_of_inspected_strips() -> None:
    refused = recorded(9, "reject", reason="not_ready", latency_ms=0.0)
    found = latencies([*RECORD, refused])
    assert (found["strips"], found["p50_ms"], found["max_ms"]) == (3, 20.0, 30.0)
    assert latencies([refused]) == {"strips": 0}


def packed(kind: int, seq: int, payload: bytes) -> bytes:
    head = struct.pack("<IIQqQI", 0x31455356, kind, seq, 0, len(payload), zlib.crc32(payload))
    return head + struct.pack("<I", zlib.crc32(head)) + payload


@pytest.mark.parametrize("cut", [1, 39, 40, 44])
def test_spool_is_read_to_the_entry_that_was_cut(tmp_path: Path, cut: int) -> None:
    whole = packed(2, 1, b"{}") + packed(6, 2, b"[1]")
    torn = packed(2, 3, b"12345")[:cut]
    (tmp_path / "00000000000000000001.vss").write_bytes(bytes(32) + whole + torn)
    (tmp_path / "00000000000000000003.vss").write_bytes(bytes(32) + packed(1, 3, b"{}"))
    assert list(spooled(tmp_path)) == [(2, 1, b"{}"), (6, 2, b"[1]"), (1, 3, b"{}")]
