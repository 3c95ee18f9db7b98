"""`locate.html`: what a locator does with a dataset, and whether it is worth it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight._core import Layout
from vialsight.data.located_images import LocatedImage
from vialsight.data.records import path_text
from vialsight.files import atomic
from vialsight.line.overview import NOT_FOUND
from vialsight.line.pictures import encoded
from vialsight.locator import ProductLocator
from vialsight.report import locating_figures
from vialsight.report.locating_pictures import framed, template_picture, weights_picture
from vialsight.report.page import environment
from vialsight.report.text import NONE

PAGE_NAME: Final = "locate.html"
_TEMPLATE: Final = "locate/page.html.j2"
# Below, what the spread gains is hardly more than what moving back smooths away of the noise.
LEAST_GAIN: Final = 0.2
LEAST_FOUND: Final = 0.95
_WORST: Final = 4
_MOST_LISTED: Final = 200


@dataclass(frozen=True, kw_only=True)
class Study:
    """What `vialsight locate` found; `layout` locates as the locator does, `folder` is the data's.

    `spreads` are before and after (`Fit`), None where fewer than two images were found.
    """

    name: str
    folder: Path
    layout: Layout
    layout_says: str
    fitted: str
    locator: ProductLocator
    images: tuple[LocatedImage, ...]
    spreads: tuple[float, float] | None

    @property
    def found(self) -> list[LocatedImage]:
        """The images whose product was found."""
        return [image for image in self.images if image.where.found]

    @property
    def lost(self) -> list[LocatedImage]:
        """Those whose product was not."""
        return [image for image in self.images if not image.where.found]

    @property
    def gain(self) -> float | None:
        """Share of the spread that locating takes away."""
        if self.spreads is None:
            return None
        before, after = self.spreads
        return 1.0 - after / before if before > 0.0 else 0.0

    @property
    def verdict(self) -> str:
        """One of "worth", "still" and "lost", by the rule that the page states."""
        nominal = [i for i in self.images if not i.record.defective] or list(self.images)
        found = sum(image.where.found for image in nominal)
        if self.gain is None or found < LEAST_FOUND * len(nominal):
            return "lost"
        return "worth" if self.gain >= LEAST_GAIN else "still"

    def range_of(self, name: str) -> tuple[float, float, float] | None:
        """Return the 5th, 50th and 95th percentile of dx, dy, turn or residual where found."""
        values = [getattr(image.where, name) for image in self.found]
        if not values:
            return None
        low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
        return low, middle, high


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A picture inside the page and what it shows."""

    uri: str
    name: str
    words: str


def write_locate_page(study: Study, folder: Path) -> None:
    """Write `locate.html`: same study, same bytes. Raises DataError for a broken image."""
    text = environment().get_template(_TEMPLATE).render(_context(study))
    atomic.write_text(folder / PAGE_NAME, text)


def sentence(study: Study) -> str:
    """Say in one sentence for a newcomer whether locating is worth it."""
    gain = 100 * (study.gain or 0.0)
    none = f'{"leave" if study.layout_says == "none" else "set"} "locate": "none" in layout.json.'
    if study.verdict == "worth":
        return (
            f"Yes: the product moves from image to image, and moved back its images differ "
            f"{gain:.0f} % less; {_put(study)}"
        )
    if study.verdict == "still":
        return (
            "No: the product lies still, or what differs between images is not its place "
            f"(moved back they differ {gain:.0f} % less); {none}"
        )
    return (
        f"Not with this locator: it found the product in {len(study.found)} of "
        f"{len(study.images)} images; products lie or look too differently. Fix them better, or "
        f"{none}"
    )


def _put(study: Study) -> str:
    model = f'"locate": "{study.locator.model}"'
    if study.layout_says == study.locator.model:
        return f"layout.json says {model}, and should."
    return f"put {model} into layout.json."


def _context(study: Study) -> dict[str, Any]:
    moved = _worst(sorted(study.found, key=lambda image: -_way(study, image)))
    unlike = _worst(sorted(study.found, key=lambda image: -image.where.residual))
    return {
        "study": study,
        "sentence": sentence(study),
        "least_gain": f"{100 * LEAST_GAIN:.0f}",
        "least_found": f"{100 * LEAST_FOUND:.0f}",
        "spreads": _spread_words(study),
        "rows": [_row(study, *row) for row in _ROWS],
        "template": _uri(template_picture(study.locator, study.layout)),
        "weights": _uri(weights_picture(study.locator, study.layout)),
        "masked": f"{100 * float((study.locator.weights == 0).mean()):.1f}",
        "figures": locating_figures.figures(study.images, study.locator),
        "moved": [_tile(study, image) for image in moved],
        "unlike": [_tile(study, image) for image in unlike],
        "lost": [_tile(study, image) for image in _worst(study.lost)],
        "listed": [(_name(study, i), _why(i), i.record.label) for i in study.lost[:_MOST_LISTED]],
        "reach_turn": f"{np.rad2deg(study.locator.reach_turn):.1f}",
    }


_ROWS: Final = (
    ("dx", "to the right, pixels", 1.0, 2),
    ("dy", "down, pixels", 1.0, 2),
    ("turn", "turn, degrees", float(np.rad2deg(1.0)), 3),
    ("residual", "residual, % of black to white", 100.0, 2),
)


def _row(study: Study, name: str, words: str, factor: float, decimals: int) -> dict[str, Any]:
    numbers = study.range_of(name)
    if numbers is None:
        return {"name": words, "cells": (NONE,) * 5}
    values = [getattr(image.where, name) for image in study.found]
    low, middle, high = numbers
    cells = [
        f"{factor * value:.{decimals}f}".replace("-", "−")
        for value in (min(values), low, middle, high, max(values))
    ]
    return {"name": words, "cells": cells}


def _spread_words(study: Study) -> tuple[str, str, str]:
    if study.spreads is None or study.gain is None:
        return NONE, NONE, NONE
    before, after = (f"{100 * value:.2f} %" for value in study.spreads)
    return before, after, f"{100 * study.gain:.0f} %"


def _worst(images: Sequence[LocatedImage]) -> list[LocatedImage]:
    """Return the first images, one of each product: those of one product look alike."""
    first: dict[str, LocatedImage] = {}
    for image in images:
        first.setdefault(image.record.product, image)
    return list(first.values())[:_WORST]


def _way(study: Study, image: LocatedImage) -> float:
    """Return how far the farther edge of the frame moved, about: pixels."""
    where = image.where
    arm = 0.5 * max(study.layout.frame_width, study.layout.frame_height)
    return float(np.hypot(where.dx, where.dy) + abs(where.turn) * arm)


def _tile(study: Study, image: LocatedImage) -> Tile:
    return Tile(
        uri=_uri(framed(image, study.layout)), name=_name(study, image), words=_words(image)
    )


def _words(image: LocatedImage) -> str:
    where = image.where
    if not where.found:
        return f"not found: {_why(image)}"
    place = (
        f"{where.dx:+.1f} px to the right, {where.dy:+.1f} px down, {np.rad2deg(where.turn):+.2f}°"
    )
    return f"{place}; residual {100 * where.residual:.2f}\N{NO-BREAK SPACE}%".replace("-", "−")


def _why(image: LocatedImage) -> str:
    return NOT_FOUND.get(image.where.reason, image.where.reason)


def _name(study: Study, image: LocatedImage) -> str:
    return path_text(study.folder, image.record.image)


def _uri(picture: Any) -> str:
    content = base64.b64encode(encoded(picture, "WEBP")).decode("ascii")
    return f"data:image/webp;base64,{content}"


def pose_table(study: Study) -> Sequence[Sequence[Any]]:
    """Return the rows of `poses.csv`, header first; pixels to 1e-6, turns and residuals to 1e-9."""
    rows: list[Sequence[Any]] = [("image", "dx", "dy", "turn", "residual", "found")]
    for image in study.images:
        where = image.where
        numbers = ((where.dx, 6), (where.dy, 6), (where.turn, 9), (where.residual, 9))
        cells = [f"{value:.{digits}f}" if np.isfinite(value) else "" for value, digits in numbers]
        rows.append((_name(study, image), *cells, "yes" if where.found else "no"))
    return rows
