"""Checks a record's entries one after another: the chain, and what the bodies say of each other."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vialsight.station.record import chain, store
from vialsight.station.record.findings import Findings
from vialsight.station.record.strip_scores import scores_of

# Kinds that come of the spool, whose running number must go on without a hole.
_SPOOL_KINDS: Final = ("start", "strip", "gap", "command_done", "event")
Row = tuple[Any, ...]


@dataclass
class Trail:
    """What the entries say, gathered while they are checked."""

    entries: int = 0
    strips: int = 0
    rejects: int = 0
    head: tuple[int, bytes] = (0, chain.FIRST_PREVIOUS)
    derived: dict[str, list[Row]] = field(default_factory=lambda: {"strip": [], "batch": []})
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Of strips with pictures: number, hash of the file.
    pictures: dict[int, str] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    hashes: dict[int, bytes] = field(default_factory=dict)


class TrailCheck:
    """Takes rows (id, unix_ns, kind, actor, body, hash) in order; `trail` is what they said.

    `first` and `previous` are number and previous hash of the first row: those of a whole record by
    default. `asked` are entries whose hashes are wanted.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        first: int = 1,
        previous: bytes = chain.FIRST_PREVIOUS,
        asked: Iterable[int] = (),
    ) -> None:
        self.trail = Trail(head=(first - 1, previous))
        self._findings = findings
        self._asked = set(asked)
        self._seq: set[int] | None = None
        self._counts: dict[int, Counter[str]] = {}
        self._is_excerpt = first != 1

    def take(self, row: Row) -> None:
        """Check the next row."""
        expected = self.trail.head[0] + 1
        where = f"entry {expected}"
        if not _is_entry(row):
            self._findings.add(where, "expected number, time, kind, who, body and hash")
            return
        entry = chain.Entry(*row)
        previous = self.trail.head[1]
        self.trail.head = entry.id, entry.hash
        self.trail.entries += 1
        if entry.id in self._asked:
            self.trail.hashes[entry.id] = entry.hash
        if entry.id != expected:
            self._findings.add(where, f"expected this number, got {entry.id}: entries are missing")
        body = self._body(entry, previous)
        if body is not None:
            self._understand(entry, body)

    def _body(self, entry: chain.Entry, previous: bytes) -> dict[str, Any] | None:
        """Return the body; None where hash or form are wrong, which is a finding."""
        where = f"entry {entry.id}"
        made = chain.made(
            previous, id=entry.id, unix_ns=entry.unix_ns, kind=entry.kind, actor=entry.actor,
            body=entry.body,
        )  # fmt: skip
        if made.hash != entry.hash:
            self._findings.add(
                where,
                "expected the hash of the entry before and of this one, got another: this entry, "
                "its hash or the one before was changed",
            )
            return None
        try:
            body = json.loads(entry.body)
            if not isinstance(body, dict) or chain.canonical(body) != entry.body:
                raise ValueError("it is written in another way")
        except (ValueError, RecursionError) as error:
            self._findings.add(where, f"expected a JSON object in its one form: {error}")
            return None
        return body

    def _understand(self, entry: chain.Entry, body: dict[str, Any]) -> None:
        try:
            self._check_seq(entry, body)
            derived = store.derived_row(entry, body)
            if derived is not None:
                self.trail.derived[derived[0]].append(derived[1])
            self._take_kind(entry, body)
        except (KeyError, TypeError, ValueError) as error:
            self._findings.add(f"entry {entry.id}", f"expected the fields of {entry.kind}: {error}")

    def _take_kind(self, entry: chain.Entry, body: dict[str, Any]) -> None:
        if entry.kind == "strip":
            self._take_strip(entry, body)
        elif entry.kind == "gap":
            self._counted(body["batch"])[body["reason"]] += body["count"]
        elif entry.kind == "account":
            self.trail.accounts[body["user"]] = body["new"]
        elif entry.kind == "pictures_deleted":
            self.trail.deleted.update(body["seqs"])
        elif entry.kind == "batch_closed":
            self._check_closing(entry, body)

    def _take_strip(self, entry: chain.Entry, body: dict[str, Any]) -> None:
        self.trail.strips += 1
        self.trail.rejects += body["verdict"] != "accept"
        if body.get("pictures_sha256") is not None:
            self.trail.pictures[body["seq"]] = body["pictures_sha256"]
        if body["mode"] != "challenge":
            accepted = body["verdict"] == "accept"
            self._counted(body["batch"])["accepted" if accepted else body["reason"]] += 1
        text = contradiction(body)
        if text is not None:
            self._findings.add(f"entry {entry.id}", f"strip {body['strip_id']}: {text}")

    def _counted(self, batch: int) -> Counter[str]:
        return self._counts.setdefault(batch, Counter())

    def _check_closing(self, entry: chain.Entry, body: dict[str, Any]) -> None:
        """Count the batch again: what was signed must be what is recorded."""
        counted = self._counted(body["batch"])
        rejected = {key: n for key, n in counted.items() if key != "accepted" and n}
        accepted = counted["accepted"]
        again = {
            "accepted": accepted, "rejected": rejected,
            "triggers": accepted + sum(rejected.values()),
        }  # fmt: skip
        if again != body["counts"]["recorded"]:
            self._findings.add(
                f"entry {entry.id}",
                f"batch {body['batch']} was closed with {body['counts']['recorded']}, its entries "
                f"are {again}",
            )

    def _check_seq(self, entry: chain.Entry, body: dict[str, Any]) -> None:
        """Check that no entry of the spool is missing that nobody told of."""
        if entry.kind not in _SPOOL_KINDS:
            return
        if body.get("event") == "spool_gap":
            self._seq = {body["to_seq"] + 1}
            return
        seq = body.get("seq")
        if seq is None:
            return
        if self._seq is not None and seq not in self._seq:
            self._findings.add(
                f"entry {entry.id}", f"expected number {min(self._seq)} of the spool, got {seq}"
            )
        # Pictures have the number after their strip's, and no entry.
        has_pictures = entry.kind == "strip" and body["pictures"] in ("kept", "lost")
        self._seq = {seq + 1, seq + 2} if has_pictures else {seq + 1}


def contradiction(body: dict[str, Any]) -> str | None:
    """Return in what a strip's verdict contradicts its scores and thresholds; None: in nothing.

    An accept needs every φ finite and at most its threshold; a defect one above.
    """
    scores = scores_of(body)
    accepted = body["verdict"] == "accept"
    if body["gate"] == "accept" and not (accepted and body["mode"] == "production"):
        return "the gate was told to accept it, which nothing allows"
    if scores is None:
        return "it was accepted without a score" if accepted else None
    thresholds = np.asarray(body["thresholds"], np.float64)
    good = np.isfinite(scores) & (scores.astype(np.float64) <= thresholds)
    if accepted and not good.all():
        return "it was accepted with a φ above its threshold, or none"
    above = np.isfinite(scores) & ~good
    if body["reason"] == "defect" and not above.any():
        return "it was rejected as defective without a φ above its threshold"
    return None


def _is_entry(row: Row) -> bool:
    kinds = (int, int, str, str, str, bytes)
    right = len(row) == len(kinds) and all(type(v) is k for v, k in zip(row, kinds, strict=True))
    return right and len(row[-1]) == len(chain.FIRST_PREVIOUS)
