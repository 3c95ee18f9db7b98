"""Inspects stored pictures of rejects again, and compares φ with what was recorded, bit for bit.

Where the processor has the same instruction sets, and library and program are the same, the bits
must be the same. Elsewhere sums may be added in another order: then the largest difference is told,
and no decision may differ.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core, quiet
from vialsight.bundle import runtime_version
from vialsight.errors import BundleError, DataError
from vialsight.locator import ProductLocator
from vialsight.station.record import pictures
from vialsight.station.record.findings import Findings
from vialsight.station.record.pictures import Pictures
from vialsight.station.record.strip_scores import scores_of

# Those that the inspector names when it begins (start_record.cc).
INSTRUCTIONS: Final = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_bf16", "amx_int8",
)  # fmt: skip
# By which libraries are told to use other instructions.
_SETTINGS: Final = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS")
_CPU_INFO: Final = Path("/proc/cpuinfo")
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredStrip:
    """A strip with pictures: its entry's number and body, and that of the start before it."""

    entry: int
    body: dict[str, Any]
    start: dict[str, Any]


@dataclass
class Rescored:
    """What re-scoring found: strips by outcome; largest |Δφ| where bits differ, and why they may.

    `skipped` counts strips that could not be compared, by reason.
    """

    same_bits: int = 0
    other_bits: int = 0
    other_decision: int = 0
    largest: float = 0.0
    explanations: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "same_bits": self.same_bits,
            "other_bits": self.other_bits,
            "other_decision": self.other_decision,
            "largest_difference": self.largest,
            "explanations": sorted(self.explanations),
            "skipped": dict(self.skipped),
        }


class Rescoring:
    """Re-scores strips with a bundle, which must be the one they were inspected with.

    Raises BundleError when it cannot be loaded, or its golden patches score differently here.
    """

    def __init__(self, bundle: Path, *, instructions: frozenset[str] | None = None) -> None:
        self._bundle = _core.Bundle.load(bundle)
        quiet.load_backend(self._bundle)
        self._locator = ProductLocator.of_bundle(self._bundle)
        self._inspector: _core.Inspector | None = None
        self._made_for: tuple[Any, ...] = ()
        self._instructions = _instructions_here() if instructions is None else instructions
        self.result = Rescored()

    def check(self, strip: StoredStrip, content: bytes, findings: Findings) -> None:
        """Inspect a strip's pictures again and compare."""
        where = f"entry {strip.entry}"
        recorded = scores_of(strip.body)
        if strip.start.get("bundle_sha256") != self._bundle.sha256:
            self.result.skipped["inspected with another bundle"] += 1
            return
        if recorded is None or not np.isfinite(recorded).any():
            self.result.skipped["nothing was scored"] += 1
            return
        try:
            stored = pictures.pictures_of_file(content, where)
            found = self._scores(stored, strip.start, recorded)
        except (BundleError, DataError, ValueError, TypeError) as error:
            findings.add(where, f"its pictures cannot be inspected again: {error}")
            return
        self._compare(strip, recorded, found, findings)

    def _compare(
        self, strip: StoredStrip, recorded: Scores, found: Scores, findings: Findings
    ) -> None:
        where, scored = f"entry {strip.entry}", np.isfinite(recorded)
        thresholds = np.asarray(strip.body["thresholds"], np.float64)
        if (_defective(recorded, thresholds) != _defective(found, thresholds))[scored].any():
            self.result.other_decision += 1
            findings.add(where, "inspected again, a patch of it is decided otherwise")
        if same_bits(recorded, found):
            self.result.same_bits += 1
            return
        self.result.other_bits += 1
        difference = np.abs(found.astype(np.float64) - recorded)[scored]
        largest = float(difference.max()) if np.isfinite(difference).all() else float("inf")
        self.result.largest = max(self.result.largest, largest)
        reasons = self._explanations(strip.start)
        self.result.explanations |= reasons
        if not reasons:
            findings.add(
                where,
                f"inspected again, φ has other bits (by {largest:.3g} at most), although "
                "instruction sets, program and library are the same here",
            )

    def _scores(self, stored: Pictures, start: dict[str, Any], recorded: Scores) -> Scores:
        """Return φ (F,V,R) as the line makes it; in its portions where that changes the bits."""
        inspector = self._inspector_for(start)
        inspector.open(1)
        for index, frame in zip(stored.indices.tolist(), stored.frames, strict=True):
            inspector.submit(index, frame)
        found: Scores = inspector.close().scores.reshape(recorded.shape)
        portion = start.get("batch_size")
        if same_bits(recorded, found) or portion in (None, inspector.batch_size):
            return found
        return self._in_portions(stored, int(portion), found)

    def _in_portions(self, stored: Pictures, portion: int, found: Scores) -> Scores:
        """Return φ with so many patches given to the network at a time."""
        layout, result = self._bundle.layout, np.array(found)
        for index, frame in zip(stored.indices.tolist(), stored.frames, strict=True):
            if not np.isfinite(found[index]).all():
                continue
            pose = None
            if self._locator is not None:
                place = self._locator.core().locate(frame)
                pose = (place.dx, place.dy, place.turn)
            patches = _core.extract_patches(frame, layout, pose)
            flat = patches.reshape(-1, *patches.shape[-2:])
            inspector = self._inspector
            assert inspector is not None
            scores = inspector.score_patches(flat, batch_size=portion)
            result[index] = scores.reshape(result[index].shape)
        return result

    def _inspector_for(self, start: dict[str, Any]) -> _core.Inspector:
        wanted = (int(start.get("threads") or 0), start.get("level", "strip"))
        if self._inspector is None or self._made_for != wanted:
            threads, level = wanted
            self._inspector = _core.Inspector(self._bundle, threads=threads, level=level)
            self._made_for = wanted
        return self._inspector

    def _explanations(self, start: dict[str, Any]) -> set[str]:
        """Return why bits may differ from those recorded."""
        reasons = set()
        if frozenset(start.get("flags") or ()) != self._instructions:
            reasons.add("other instruction sets")
        if start.get("vialsight") != _core.__version__:
            reasons.add("another version of vialsight")
        reasons |= {f"{name} is set here" for name in _SETTINGS if name in os.environ}
        library = runtime_version(self._bundle.runtime)
        if start.get("runtime_version", library) != library:
            reasons.add(f"another version of {self._bundle.runtime}")
        return reasons


def rescore(
    rows: Iterator[tuple[Any, ...]],
    picture: Callable[[int], bytes | None],
    rescoring: Rescoring,
    findings: Findings,
    progress: Callable[[int], None] = lambda _: None,
) -> Rescored:
    """Re-score every strip of a record's rows whose pictures are there."""
    done = 0
    for strip in stored_strips(rows):
        content = picture(strip.body["seq"])
        if content is None:
            rescoring.result.skipped["its pictures are not there"] += 1
            continue
        rescoring.check(strip, content, findings)
        done += 1
        progress(done)
    return rescoring.result


def stored_strips(rows: Iterator[tuple[Any, ...]]) -> Iterator[StoredStrip]:
    """Yield the strips with pictures, with what the inspector said when it began before.

    An excerpt begins with a batch's opening, which repeats that.
    """
    from vialsight.station.record.chain import Entry

    start: dict[str, Any] = {}
    for row in rows:
        if row[2] not in ("start", "batch_opened", "strip"):
            continue
        body = Entry(*row).value()
        if row[2] == "start":
            start = body
        elif row[2] == "batch_opened":
            start = body["start"]
        elif body.get("pictures_sha256") is not None:
            yield StoredStrip(row[0], body, start)


def same_bits(recorded: Scores, found: Scores) -> bool:
    """Return whether φ is the same wherever it was recorded as a number; float32, bit for bit."""
    scored = np.isfinite(recorded)
    one, other = recorded[scored].view(np.uint32), found[scored].view(np.uint32)
    return bool((one == other).all())


def _defective(scores: Scores, thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    good: npt.NDArray[np.bool_] = scores.astype(np.float64) <= thresholds
    return ~good


def _instructions_here() -> frozenset[str]:
    for line in _CPU_INFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split()) & frozenset(INSTRUCTIONS)
    return frozenset()
