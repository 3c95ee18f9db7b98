"""Fits a locator to nominal frames: template and weights (alignment.py), limits, golden frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Progress
from vialsight.data.alignment import NO_LOCATING, Setup, align, evenly, spread_of
from vialsight.data.records import raise_listed
from vialsight.data.shards.plan import Group
from vialsight.errors import DataError
from vialsight.locator import Float32Array, ProductLocator

# Reduced frames hold at most 2^17 pixels: 157 MB.
_MOST_FRAMES: Final = 300
_FRAMES_OF_GROUP: Final = 5
_TEMPLATE_FRAMES: Final = 40
_GOLDEN_FRAMES: Final = 4
_RESIDUAL_MARGIN: Final = 2.0
# Of the typical residual, and at least, of what is from black to white: few products vary little.
_OUTLYING: Final = 4.0
_LEAST_OUTLYING: Final = 0.02
# Of what was seen between frames of a run, and at least: a shake nobody has seen yet.
_APART_MARGIN: Final = 2.0
_LEAST_APART: Final = (1.0, 1e-3)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Where the product lies in one frame: pixels, radians; residual as `_core.Location`."""

    product: str
    run: int
    frame: int
    dx: float
    dy: float
    turn: float
    residual: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A locator, the poses of the frames it was fitted to, and what locating brings.

    The spreads are means over the boxes of how far pixels deviate between frames (1.4826 · MAD, 1
    is from black to white): as the products lie, and moved back. Hardly less: it is not worth it.
    """

    locator: ProductLocator
    rows: tuple[Row, ...]
    spread_before: float
    spread_after: float
    rounds: int


def fit_locator(layout: Layout, groups: Sequence[Group], progress: Progress | None = None) -> Fit:
    """Fit the locator that `layout.locate` asks for to groups of nominal frames.

    At most 300 frames are kept, of groups spread evenly. Equal arguments give equal bits. Zero
    is the median pose of the 40 frames of which the template is made. Raises DataError when
    products cannot be located, naming frames that are unlike the others.
    """
    setup = Setup(layout)
    frames = _load(setup, groups, progress)
    sample = frames.sample(_TEMPLATE_FRAMES)
    aligned = align(setup, sample)
    rows = _located(aligned.core(setup), frames)
    golden = evenly(len(rows), _GOLDEN_FRAMES)
    apart_px, apart_turn = _apart(setup, rows)
    locator = ProductLocator(
        **aligned.fields(setup),
        model=setup.model,
        residual_limit=_residual_limit(rows),
        apart_px=apart_px,
        apart_turn=apart_turn,
        golden_frames=frames.reduced[golden],
        golden_poses=np.array([(rows[i].dx, rows[i].dy, rows[i].turn) for i in golden], np.float32),
    )
    return Fit(
        locator=locator,
        rows=rows,
        spread_before=float(spread_of(sample)[setup.boxes].mean()),
        spread_after=float(aligned.spread[setup.boxes].mean()),
        rounds=aligned.rounds,
    )


@dataclass(frozen=True)
class _Frames:
    """Reduced frames (n,h,w) and whose they are: product, run, frame."""

    reduced: Float32Array
    names: tuple[tuple[str, int, int], ...]

    def sample(self, count: int) -> Float32Array:
        """Return `count` of them, or all, spread evenly."""
        return np.asarray(self.reduced[evenly(len(self.names), count)])


def _load(setup: Setup, groups: Sequence[Group], progress: Progress | None) -> _Frames:
    if setup.layout.locate == "none":
        raise DataError('there is nothing to fit: the layout\'s "locate" is "none"')
    chosen = _spread_evenly(groups, _MOST_FRAMES // _frames_per_group(groups))
    reduced: list[Float32Array] = []
    names: list[tuple[str, int, int]] = []
    for done, group in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        pictures = group.load()
        for place in _spread_evenly(range(len(pictures)), _MOST_FRAMES // len(chosen)):
            picture = np.ascontiguousarray(pictures[place])
            reduced.append(_reduced(setup, picture, group))
            names.append((group.product, group.run, group.frames[place]))
    if progress is not None:
        progress(len(chosen), len(chosen))
    if len(reduced) < 2:
        raise DataError(f"a locator needs at least 2 frames, got {len(reduced)}; {NO_LOCATING}")
    return _Frames(np.stack(reduced), tuple(names))


def _frames_per_group(groups: Sequence[Group]) -> int:
    return min(_FRAMES_OF_GROUP, max((len(group.frames) for group in groups), default=1))


def _reduced(setup: Setup, picture: npt.NDArray[Any], group: Group) -> Float32Array:
    layout = setup.layout
    expected = (layout.frame_height, layout.frame_width)
    if picture.shape != expected:
        raise DataError(f"{group.name}: expected frames {expected}, got {picture.shape}")
    try:
        return _core.reduced_frame(picture, setup.scale, bit_depth=layout.bit_depth)
    except (TypeError, ValueError) as error:
        raise DataError(f"{group.name}: {error}") from error


def _spread_evenly(items: Sequence[Any], most: int) -> list[Any]:
    return [items[place] for place in evenly(len(items), max(1, most))] if len(items) else []


def _located(core: _core.Locator, frames: _Frames) -> tuple[Row, ...]:
    where = [core.locate_reduced(frame) for frame in frames.reduced]
    typical = float(np.median([location.residual for location in where]))
    problems = [
        f"product {product!r} run {run} frame {frame}: " + _unlike(location, typical)
        for (product, run, frame), location in zip(frames.names, where, strict=True)
        if not location.found or location.residual > max(_OUTLYING * typical, _LEAST_OUTLYING)
    ]
    raise_listed(
        f"frames that are unlike the others; take them out of the dataset, {NO_LOCATING}", problems
    )
    return tuple(
        Row(product=p, run=r, frame=f, dx=w.dx, dy=w.dy, turn=w.turn, residual=w.residual)
        for (p, r, f), w in zip(frames.names, where, strict=True)
    )


def _unlike(location: _core.Location, typical: float) -> str:
    seen = "" if location.found else f"the product was not found ({location.reason}), "
    return f"{seen}residual {location.residual:.4f}, expected about {typical:.4f}"


def _residual_limit(rows: Sequence[Row]) -> float:
    largest = max(row.residual for row in rows)
    # Of frames that are all alike there is no residual, yet a limit above 0.
    return min(1.0, _RESIDUAL_MARGIN * max(largest, 1e-4))


def _apart(setup: Setup, rows: Sequence[Row]) -> tuple[float, float]:
    """Return limits in pixels and radians: from the largest differences seen within a run.

    Where no run has two frames, nothing was seen: the whole reach.
    """
    runs: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for row in rows:
        runs.setdefault((row.product, row.run), []).append((row.dx, row.dy, row.turn))
    pairs = [np.abs(np.subtract(*pair)) for run in runs.values() for pair in combinations(run, 2)]
    most_px, most_turn = 2.0 * setup.reach_px, 2.0 * setup.reach_turn
    if not pairs:
        return most_px, most_turn
    dx, dy, turn = (float(value) for value in _APART_MARGIN * np.max(pairs, axis=0))
    least_px, least_turn = _LEAST_APART
    return min(most_px, max(least_px, dx, dy)), min(most_turn, max(least_turn, turn))
