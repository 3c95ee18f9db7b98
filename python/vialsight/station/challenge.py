"""The challenge kit: named strips with expected verdicts, faults among them, for one bundle."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vialsight.station.refusal import STATE, Refusal

KIT_NAME: Final = "kit.json"
FORMAT: Final = 1


class KitStrip(BaseModel):
    """A strip of a kit; a frame of null is not handed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    frames: list[str | None]
    expected: Literal["accept", "reject"]
    expected_reason: str | None = None


class Kit(BaseModel):
    """What `kit.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    bundle_sha256: str
    strips: list[KitStrip]


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
        content = (folder / KIT_NAME).read_bytes()
        kit = Kit.model_validate(json.loads(content))
        digest = _sha256(folder, content, kit)
    except (OSError, ValueError, ValidationError) as error:
        text = " ".join(str(error).split())
        raise Refusal(STATE, f"{folder}: expected a challenge kit, cannot use it: {text}") from None
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


def _sha256(folder: Path, content: bytes, kit: Kit) -> str:
    digest = hashlib.sha256(content)
    for name in sorted({frame for strip in kit.strips for frame in strip.frames if frame}):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name} is not in the kit's folder")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
