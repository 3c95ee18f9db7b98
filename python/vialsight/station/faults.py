"""Faults of camera, driver and handling that a challenge puts among the strips of its kit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core

Pixels = npt.NDArray[Any]
Frames = tuple[Pixels | None, ...]

# How far beyond the locator's reach the product is moved, in reaches.
_BEYOND: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, the reason it is rejected for, and how frames (F of (H,W)) come to have it.

    `spoil` takes the frames of a good strip, and those of another that was inspected before it.
    """

    name: str
    reason: str
    spoil: Callable[[Sequence[Pixels], Sequence[Pixels]], Frames]


def faults_of(bundle: _core.Bundle) -> tuple[Fault, ...]:
    """Return the faults that a bundle must notice; a moved product only where it locates."""
    locator = bundle.locator
    # Where the product is searched, a frame that shows nothing is one in which it is not found.
    blank = "frame_invalid" if locator is None else "not_located"
    faults = (
        Fault(name="blank-frame", reason=blank, spoil=blank_frame),
        Fault(name="missing-frame", reason="frame_missing", spoil=missing_frame),
        Fault(name="repeated-frame", reason="frame_stale", spoil=repeated_frame),
    )
    if locator is None:
        return faults
    moved = partial(moved_product, by=math.ceil(_BEYOND * locator["reach_px"]) + 1)
    return (*faults, Fault(name="moved-product", reason="not_located", spoil=moved))


def blank_frame(frames: Sequence[Pixels], other: Sequence[Pixels]) -> Frames:
    """Return the frames with one gray value all over the last: the light was off."""
    return (*frames[:-1], np.full_like(frames[-1], np.median(frames[-1])))


def missing_frame(frames: Sequence[Pixels], other: Sequence[Pixels]) -> Frames:
    """Return the frames without the last: a trigger of the camera was lost."""
    return (*frames[:-1], None)


def repeated_frame(frames: Sequence[Pixels], other: Sequence[Pixels]) -> Frames:
    """Return the frames with the last replaced by one that was seen: the driver repeats a buffer.

    It is the frame before it, or where a strip has one frame only, that of the other strip.
    """
    seen = frames[-2] if len(frames) > 1 else other[-1]
    return (*frames[:-1], seen)


def moved_product(frames: Sequence[Pixels], other: Sequence[Pixels], *, by: int) -> Frames:
    """Return the frames moved to the right by pixels; what comes in repeats the left edge."""
    by = min(by, frames[0].shape[1] - 1)
    return tuple(np.pad(frame[:, :-by], ((0, 0), (by, 0)), mode="edge") for frame in frames)
