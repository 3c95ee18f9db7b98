"""The chain: every entry carries a hash of itself and of all entries before it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

FIRST_PREVIOUS: Final = bytes(32)


@dataclass(frozen=True)
class Entry:
    """An entry: running number from 1, when it happened (Unix, ns), kind, who, JSON, hash."""

    id: int
    unix_ns: int
    kind: str
    actor: str
    body: str
    hash: bytes

    def value(self) -> dict[str, Any]:
        """Return the body as an object."""
        value: dict[str, Any] = json.loads(self.body)
        return value


def canonical(value: dict[str, Any]) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces. NaN is refused."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def entry_hash(
    previous: bytes, *, id: int, unix_ns: int, kind: str, actor: str, body: str
) -> bytes:
    """Return SHA-256 of the previous hash (32 bytes) and the entry's fields, a line each."""
    text = f"{id}\n{unix_ns}\n{kind}\n{actor}\n{body}"
    return hashlib.sha256(previous + text.encode()).digest()


def made(previous: bytes, *, id: int, unix_ns: int, kind: str, actor: str, body: str) -> Entry:
    """Return the entry that follows one of hash `previous`."""
    digest = entry_hash(previous, id=id, unix_ns=unix_ns, kind=kind, actor=actor, body=body)
    return Entry(id, unix_ns, kind, actor, body, digest)
