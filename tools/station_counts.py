"""Whether a line's books agree: the machine's, the inspector's and the record."""

import base64
import json
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vialsight.station.record import verify as verifying


@dataclass(frozen=True)
class Recorded:
    """A strip of the record, challenges apart."""

    strip_id: int
    seq: int
    unix_ns: int
    verdict: str
    gate: str
    reason: str
    mode: str
    latency_ms: float
    triggered_ns: int
    is_whole: bool
    """All its patches have a score, and all its frames came."""


def recorded_strips(record: Path) -> list[Recorded]:
    """Read the strips of a record, the first first."""
    connection = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT e.body FROM strip s JOIN entry e ON e.id = s.entry ORDER BY s.seq"
        ).fetchall()
    finally:
        connection.close()
    found = []
    for (text,) in rows:
        body = json.loads(text)
        if body["mode"] == "challenge":
            continue
        scores = body["scores"]
        values = None if scores is None else np.frombuffer(base64.b64decode(scores), "<f4")
        frames = {frame["id"] for frame in body["frames"]}
        whole = values is not None and bool(np.isfinite(values).all())
        expected = len(body["thresholds"]) * len(body["vials"])
        whole = whole and values is not None and len(values) == expected * len(frames)
        found.append(
            Recorded(
                body["strip_id"], body["seq"], body["triggered_ns"], body["verdict"], body["gate"],
                body["reason"], body["mode"], body["latency_ms"], body["triggered_ns"], whole,
            )
        )  # fmt: skip
    return found


def gaps(record: Path) -> int:
    """Strips that were counted and told of together, since nothing could take their records."""
    connection = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT body FROM entry WHERE kind = 'gap'").fetchall()
    finally:
        connection.close()
    return sum(json.loads(row[0])["count"] for row in rows)


def verified(record: Path, head: tuple[int, bytes] | None = None) -> verifying.Verified:
    """Check a record as `vialsight record verify` does; `head` must be in it."""
    file = verifying.open_record(record)
    try:
        return verifying.verify(file, head=head)
    finally:
        file.close()


def differences(machine: list[dict[str, str]], strips: list[Recorded], gap: int = 0) -> list[str]:
    """Return, in sentences, in what the machine's book and the record do not agree.

    `machine` are the rows of the camera's truth file. Empty: every strip has one verdict and one
    record, the same as the machine was told, and none was accepted without a full inspection.
    """
    found = []
    by_id: dict[int, list[Recorded]] = {}
    for strip in strips:
        by_id.setdefault(strip.strip_id, []).append(strip)
    ids = [int(row["strip_id"]) for row in machine]
    twice = [id for id, count in Counter(ids).items() if count > 1]
    if twice:
        found.append(f"the machine triggered strips twice: {twice[:5]}")
    if len(ids) != len(strips) + gap:
        found.append(f"{len(ids)} triggers of the machine, {len(strips)} records, {gap} in gaps")
    found += [f"strip {id} has {len(s)} records" for id, s in by_id.items() if len(s) > 1]
    found += [f"strip {id} was never triggered" for id in by_id.keys() - set(ids)]
    for row in machine:
        found += _difference(row, by_id.get(int(row["strip_id"]), []), gap)
    found += [
        f"strip {s.strip_id} was accepted without a full inspection"
        for s in strips
        if "accept" in (s.verdict, s.gate) and not s.is_whole
    ]
    return found


def _difference(row: dict[str, str], records: list[Recorded], gap: int) -> list[str]:
    name = f"strip {row['strip_id']}"
    if not records:
        return [] if gap else [f"{name} has no record"]
    record = records[0]
    if row["gate"] == "accept" and record.gate != "accept":
        return [f"{name}: the gate let it pass, recorded is {record.gate}"]
    if row["verdict"] and (row["verdict"], row["reason"] or "none") != (record.gate, record.reason):
        return [
            f"{name}: the machine was told {row['verdict']} ({row['reason']}), recorded is "
            f"{record.gate} ({record.reason})"
        ]
    return []


def reasons(strips: list[Recorded]) -> dict[str, int]:
    """Count the strips by what became of them."""
    return dict(Counter(s.reason if s.verdict == "reject" else "accepted" for s in strips))


def latencies(strips: list[Recorded]) -> dict[str, Any]:
    """Open to verdict, in ms, of strips that were inspected."""
    values = np.array([s.latency_ms for s in strips if s.reason != "not_ready"])
    if not len(values):
        return {"strips": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "strips": len(values), "p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2),
        "max_ms": round(float(values.max()), 2),
    }  # fmt: skip


def spooled(folder: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, number and payload of every whole entry of a spool, by the layout alone."""
    head = struct.Struct("<IIQqQI")
    for path in sorted(folder.glob("*.vss")):
        content, at = path.read_bytes(), 32
        while at + head.size + 4 <= len(content):
            raw = content[at : at + head.size]
            magic, kind, seq, _, size, payload_crc = head.unpack(raw)
            (own_crc,) = struct.unpack_from("<I", content, at + head.size)
            begin = at + head.size + 4
            payload = content[begin : begin + size]
            if magic != 0x31455356 or zlib.crc32(raw) != own_crc or len(payload) < size:
                break
            if zlib.crc32(payload) != payload_crc:
                break
            yield kind, seq, payload
            at = begin + size
