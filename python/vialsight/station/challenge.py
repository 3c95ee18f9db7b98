"""The challenge kit: named strips with expected verdicts, faults among them, for one bundle."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vialsight.errors import DataError
from vialsight.station.kit import KIT_NAME, Kit, read_kit
from vialsight.station.refusal import STATE, Refusal


@dataclass(frozen=True)
class LoadedKit:
    """A kit, where it lies, and the SHA-256 (hex) of its list and all its images."""

    folder: Path
    kit: Kit
    sha256: str


def load_kit(folder: Path | None, bundle_sha256: str) -> LoadedKit:
    """Read a kit for a bundle. Raises Refusal when there is none that can challenge it."""
    if folder is None:
        raise Refusal(STATE, "expected challenge.kit in station.yaml, a folder with kit.json")
    try:
        kit = read_kit(folder)
        digest = _sha256(folder, kit)
    except (OSError, DataError) as error:
        raise Refusal(STATE, f"the challenge kit cannot be used: {error}") from None
    _check(folder, kit, bundle_sha256)
    return LoadedKit(folder, kit, digest)


def results(
    expected: Sequence[dict[str, Any]], strips: Sequence[dict[str, Any]]
) -> tuple[bool, list[dict[str, Any]]]:
    """Compare the strips' entries of a challenge with what was expected of each, by name.

    Returns whether it was passed and a row for each expected strip; a strip that did not come, or
    came twice, is not right.
    """
    rows = []
    for strip in expected:
        came = [body for body in strips if body["name"] == strip["name"]]
        body = came[0] if len(came) == 1 else None
        rows.append(
            {
                **strip,
                "came": len(came),
                "verdict": None if body is None else body["verdict"],
                "reason": None if body is None else body["reason"],
                "seq": None if body is None else body["seq"],
                "right": body is not None and _is_right(strip, body),
            }
        )
    return all(row["right"] for row in rows) and len(strips) == len(expected), rows


def _is_right(strip: dict[str, Any], body: dict[str, Any]) -> bool:
    reason = strip["expected_reason"]
    return bool(body["verdict"] == strip["expected"] and reason in (None, body["reason"]))


def _check(folder: Path, kit: Kit, bundle_sha256: str) -> None:
    names = [strip.name for strip in kit.strips]
    if len(set(names)) < len(names):
        raise Refusal(STATE, f"{folder}: expected each strip's name once")
    verdicts = {strip.expected for strip in kit.strips}
    if verdicts != {"accept", "reject"}:
        raise Refusal(
            STATE, f"{folder}: expected strips to accept and strips to reject, got {len(names)} "
            f"strips, all to {' '.join(sorted(verdicts)) or 'nothing'}",
        )  # fmt: skip
    if kit.bundle_sha256 != bundle_sha256:
        raise Refusal(
            STATE,
            f"{folder}: expected a kit for the bundle {bundle_sha256[:12]}… that runs, got one for "
            f"{kit.bundle_sha256[:12]}…; make a kit for this bundle",
        )


def _sha256(folder: Path, kit: Kit) -> str:
    digest = hashlib.sha256((folder / KIT_NAME).read_bytes())
    for name in sorted({frame for strip in kit.strips for frame in strip.frames if frame}):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()
