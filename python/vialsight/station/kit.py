"""The challenge kit: strips of known verdict that a station must judge right before a batch.

Good strips, defective ones of as many kinds as the data has, and good ones with a fault each. What
is expected comes of the data's labels and of the fault; the bundle is asked whether it agrees, by a
distance from its thresholds that no other machine's rounding bridges.

A kit is a folder: `kit.json`, and frames as raw pixels, row by row, little-endian: one byte each,
or two above bit depth 8.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vialsight import _core
from vialsight.data import DEFECTS_NAME, Dataset, Strip, load_strip, read_defects
from vialsight.data.defects import gravest
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.station.faults import Frames, Pixels, faults_of

KIT_NAME: Final = "kit.json"
FORMAT: Final = 1
DEFAULT_GOOD: Final = 4
DEFAULT_DEFECTIVE: Final = 4
# φ of a chosen strip is so many golden tolerances from its threshold, at least: what machines
# differ by must not decide whether a batch starts.
_CLEARANCE: Final = 100.0
_LONGEST_NAME: Final = 60


class KitStrip(BaseModel):
    """A strip of a kit: raw files below the kit's folder, None for a frame that is not handed over.

    `expected_reason` is None where `expected` is "accept".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    frames: tuple[str | None, ...]
    expected: Literal["accept", "reject"]
    expected_reason: str | None

    @field_validator("frames")
    @classmethod
    def _below_the_kit(cls, frames: tuple[str | None, ...]) -> tuple[str | None, ...]:
        for name in frames:
            if name is not None and (not name or name[0] == "/" or ".." in name.split("/")):
                raise ValueError(f"expected the name of a file below the kit, got {name!r}")
        return frames


class Kit(BaseModel):
    """What `kit.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    bundle_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    strips: Annotated[tuple[KitStrip, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A strip made up for a kit: its F frames (H,W), None for one left out; reason of a reject."""

    name: str
    frames: Frames
    reason: str | None

    @property
    def expected(self) -> Literal["accept", "reject"]:
        """The verdict that the station must give."""
        return "accept" if self.reason is None else "reject"


def read_kit(folder: Path) -> Kit:
    """Read `kit.json` of a folder; raises DataError, with field and reason, for what is none."""
    path = folder / KIT_NAME
    try:
        return Kit.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; expected a challenge kit, as `vialsight station kit` writes"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}") from error


def make_kit(
    bundle: _core.Bundle,
    dataset: Dataset,
    out: Path,
    *,
    good: int = DEFAULT_GOOD,
    defective: int = DEFAULT_DEFECTIVE,
    threads: int = 0,
) -> Kit:
    """Choose strips of `dataset`, add the faults, and write the kit to the new folder `out`.

    Raises DataError when the data has another layout, or too few strips of which the bundle is
    sure; BundleError as `_core.Inspector`.
    """
    atomic.refuse_existing(out)
    dataset.require_layout(bundle.layout)
    faults = faults_of(bundle)
    inspector = _core.Inspector(bundle, threads=threads)
    accepted = _clear(inspector, _nominal(dataset), good + len(faults), accept=True)
    rejected = _clear(inspector, _flawed(dataset), defective, accept=False)
    del inspector
    named = [*accepted[:good], *rejected]
    for fault, strip in zip(faults, accepted[good:], strict=True):
        frames = fault.spoil(_all(strip.frames), _all(named[-1].frames))
        named.append(Challenge(name=fault.name, frames=frames, reason=fault.reason))
    strips = [replace(s, name=f"{n:02}-{s.name}") for n, s in enumerate(named, start=1)]
    check_verdicts(bundle, strips, threads=threads)
    return _write(bundle, strips, out)


def check_verdicts(bundle: _core.Bundle, strips: Sequence[Challenge], *, threads: int = 0) -> None:
    """Inspect strips one after another, as a challenge does: frames seen before are stale.

    Raises DataError listing those that the bundle does not judge as expected.
    """
    inspector = _core.Inspector(bundle, threads=threads, require_fresh_frames=True)
    wrong = []
    for number, strip in enumerate(strips, start=1):
        verdict = inspect_frames(inspector, number, strip.frames)
        reason = None if verdict.accepted else verdict.reason
        if (verdict.verdict, reason) != (strip.expected, strip.reason):
            expected = f"{strip.expected} ({strip.reason or 'no reason'})"
            wrong.append(f"{strip.name}: expected {expected}, got {verdict.verdict} ({reason})")
    if wrong:
        raise DataError("the bundle does not judge strips of the kit as expected:", wrong)


def inspect_frames(
    inspector: _core.Inspector, strip_id: int, frames: Sequence[Pixels | None]
) -> _core.StripVerdict:
    """Inspect a strip frame by frame, as the line hands them over, without a deadline."""
    inspector.open(strip_id)
    for index, frame in enumerate(frames):
        if frame is not None:
            # A frame that is refused makes the strip a reject, and the verdict says why.
            with suppress(ValueError):
                inspector.submit(index, frame)
    return inspector.close()


def _nominal(dataset: Dataset) -> Iterator[tuple[str, Strip, Dataset]]:
    strips = dataset.select(label="nominal").strips()
    return (("good", strip, dataset) for strip in _in_turns((s.product, s) for s in strips))


def _flawed(dataset: Dataset) -> Iterator[tuple[str, Strip, Dataset]]:
    """Yield defective strips, kind after kind where the data says which."""
    kinds: dict[str, str] = {}
    if (dataset.folder / DEFECTS_NAME).is_file():
        known = gravest(read_defects(dataset.folder / DEFECTS_NAME))
        kinds = {product: defect.kind for product, defect in known.items()}
    strips = dataset.select(label="defective").strips()
    for strip in _in_turns((kinds.get(s.product, s.product), s) for s in strips):
        yield kinds.get(strip.product, "defective"), strip, dataset


def _in_turns(strips: Iterable[tuple[str, Strip]]) -> Iterator[Strip]:
    """Yield one strip of each key, then the second of each, and so on."""
    groups: dict[str, list[Strip]] = defaultdict(list)
    for key, strip in strips:
        groups[key].append(strip)
    rounds = zip_longest(*groups.values())
    return (strip for strip in chain.from_iterable(rounds) if strip is not None)


def _clear(
    inspector: _core.Inspector,
    candidates: Iterator[tuple[str, Strip, Dataset]],
    count: int,
    *,
    accept: bool,
) -> list[Challenge]:
    """Return the first `count` strips that are accepted, or rejected as defective, clearly.

    Raises DataError when there are fewer.
    """
    chosen: list[Challenge] = []
    tried = 0
    for kind, strip, dataset in candidates:
        if len(chosen) == count:
            break
        tried += 1
        frames = load_strip(strip, dataset.layout)
        verdict = inspect_frames(inspector, tried, list(frames))
        reason = "none" if accept else "defect"
        if verdict.reason == reason and _clearance(inspector.bundle, verdict) >= _CLEARANCE:
            name = _file_name(f"{kind}-{strip.product}-run{strip.run}")
            chosen.append(
                Challenge(name=name, frames=tuple(frames), reason=None if accept else "defect")
            )
    if len(chosen) < count:
        label, done = ("nominal", "accepts") if accept else ("defective", "rejects")
        raise DataError(
            f"expected {count} {label} strips that the bundle clearly {done}, found {len(chosen)} "
            f"among {tried}; give data with more strips, or ask for a smaller kit"
        )
    return chosen


def _clearance(bundle: _core.Bundle, verdict: _core.StripVerdict) -> float:
    """Return how far the deciding φ is from its threshold, in golden tolerances."""
    thresholds = np.asarray(verdict.thresholds, np.float64)
    scale = bundle.golden_tolerance * np.maximum(1.0, np.abs(thresholds))
    return float(abs(((verdict.scores - thresholds) / scale).max()))


def _all(frames: Frames) -> list[Pixels]:
    return [frame for frame in frames if frame is not None]


def _file_name(text: str) -> str:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in text)
    return safe[:_LONGEST_NAME]


def _write(bundle: _core.Bundle, strips: Sequence[Challenge], out: Path) -> Kit:
    with atomic.new_folder(out) as folder:
        (folder / "frames").mkdir()
        kit = Kit(
            format=FORMAT,
            bundle_sha256=bundle.sha256,
            strips=tuple(_write_strip(strip, folder) for strip in strips),
        )
        atomic.write_json(folder / KIT_NAME, kit.model_dump())
    return kit


def _write_strip(strip: Challenge, folder: Path) -> KitStrip:
    files: list[str | None] = []
    for index, frame in enumerate(strip.frames):
        files.append(None if frame is None else f"frames/{strip.name}-{index}.raw")
        if frame is not None:
            little = np.ascontiguousarray(frame).astype(frame.dtype.newbyteorder("<"), copy=False)
            (folder / f"frames/{strip.name}-{index}.raw").write_bytes(little.tobytes())
    return KitStrip(
        name=strip.name,
        frames=tuple(files),
        expected=strip.expected,
        expected_reason=strip.reason,
    )
