"""Drawings of `locate.html`: how poses and residuals are distributed."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vialsight.data.located_images import LocatedImage
from vialsight.locator import ProductLocator
from vialsight.report import svg
from vialsight.report.text import count

_BINS: Final = 40
_DEGREES: Final = float(np.rad2deg(1.0))
# Coordinate, factor, what the axis says, caption.
_POSES: Final = (
    ("dx", 1.0, "dx in pixels, to the right", "How far to the right the product lay."),
    ("dy", 1.0, "dy in pixels, down", "How far down it lay."),
    ("turn", _DEGREES, "turn in degrees, counter-clockwise", "How far it was turned."),
)


def figures(images: Sequence[LocatedImage], locator: ProductLocator) -> list[tuple[str, str]]:
    """Return drawing and caption of each distribution; none where nothing was found."""
    if not any(image.where.found for image in images):
        return []
    shown = _POSES if locator.model == "rigid" else _POSES[:2]
    drawn = [(_histogram(images, name, factor, axis), says) for name, factor, axis, says in shown]
    return [*drawn, (_residuals(images, locator), _RESIDUAL_CAPTION)]


_RESIDUAL_CAPTION: Final = (
    "How unlike the template the product looked. Right of the limit it counts as not found."
)


def _histogram(images: Sequence[LocatedImage], name: str, factor: float, axis: str) -> str:
    def paint(axes: Any) -> None:
        _paint(axes, images, name, factor)
        axes.axvline(0.0, color=svg.MUTED, linewidth=0.8)
        axes.set(xlabel=axis, ylabel="images")
        axes.figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)

    return svg.draw(f"Distribution of {name}", paint)


def _residuals(images: Sequence[LocatedImage], locator: ProductLocator) -> str:
    def paint(axes: Any) -> None:
        _paint(axes, images, "residual", 100.0)
        limit = 100.0 * locator.residual_limit
        axes.axvline(limit, color=svg.INK, linestyle="--", linewidth=1.2, label="limit")
        axes.set_xlim(left=0.0, right=1.15 * limit)
        axes.set(xlabel="residual in % of black to white", ylabel="images")
        axes.figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2)

    return svg.draw("Distribution of residuals, and their limit", paint)


def _paint(axes: Any, images: Sequence[LocatedImage], name: str, factor: float) -> None:
    """Draw one outline per label over common bins."""
    found = [image for image in images if image.where.found]
    values = np.array([factor * getattr(image.where, name) for image in found])
    defective = np.array([image.record.defective for image in found])
    bins = max(8, min(_BINS, len(values) // 4))
    edges = np.histogram_bin_edges(values, bins)
    for label, chosen, colour in (
        ("nominal", ~defective, svg.NOMINAL),
        ("defective", defective, svg.DEFECTIVE),
    ):
        if chosen.any():
            heights, _ = np.histogram(values[chosen], edges)
            named = f"{label} ({count(int(chosen.sum()))})"
            axes.stairs(heights, edges, color=colour, fill=True, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linewidth=1.2, label=named)
