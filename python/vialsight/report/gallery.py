"""The pictures of a report: misses, false rejects and samples, inside the page."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.errors import DataError
from vialsight.evaluation.evidence import PICTURES_FOLDER, Evidence, Picture
from vialsight.report.text import count, words

# Title of each purpose, and what to say when there is none.
_PURPOSES: Final = {
    "miss": ("Misses: defective, but accepted", "No defective strip was accepted."),
    "false_reject": ("False rejects: nominal, but rejected", "No nominal strip was rejected."),
    "sample": ("Samples of right verdicts", "No samples were drawn."),
}
_OPEN_UP_TO: Final = 24


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture as a data URI, with its size in pixels and what is known of the defect."""

    picture: Picture
    uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """The pictures of one product, and what is known of its defects."""

    product: str
    defects: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All pictures of one purpose; `folded` where they are too many to show at once."""

    title: str
    nothing: str
    pictures: int
    groups: tuple[Group, ...]

    @property
    def folded(self) -> bool:
        """Whether each product's pictures open on request only: many, and several of a product."""
        return self.pictures > max(_OPEN_UP_TO, 2 * len(self.groups))


def galleries(evidence: Evidence) -> tuple[Gallery, ...]:
    """Return the galleries in the order of the page.

    Raises DataError when a picture is missing or cannot be read.
    """
    return tuple(_gallery(evidence, purpose) for purpose in _PURPOSES)


def _gallery(evidence: Evidence, purpose: str) -> Gallery:
    products: dict[str, list[Picture]] = defaultdict(list)
    for picture in evidence.pictures:
        if picture.purpose == purpose:
            products[picture.product].append(picture)
    return Gallery(
        title=_PURPOSES[purpose][0],
        nothing=_nothing(evidence, purpose),
        pictures=sum(len(pictures) for pictures in products.values()),
        groups=tuple(
            Group(
                product=product,
                defects=_defects(evidence, product),
                tiles=_tiles(evidence.folder / PICTURES_FOLDER, pictures),
            )
            for product, pictures in products.items()
        ),
    )


def _nothing(evidence: Evidence, purpose: str) -> str:
    """Return why there is no picture: nothing to show, or not kept."""
    wrong = {
        "miss": evidence.accepted & evidence.defective,
        "false_reject": ~evidence.accepted & ~evidence.defective,
    }
    inspections = int(wrong[purpose].sum()) if purpose in wrong else 0
    if inspections == 0:
        return _PURPOSES[purpose][1]
    return f"There were {count(inspections)} such inspections; pictures of them were not kept."


def _defects(evidence: Evidence, product: str) -> str:
    """Return class, severity and vial of every known defect of a product."""
    texts = []
    for defect in evidence.defects:
        if defect.product == product:
            severity = "" if defect.severity is None else f", severity {defect.severity:g}"
            vial = "" if defect.vial is None else f", vial {defect.vial}"
            texts.append(f"{words(defect.kind)}{severity}{vial}")
    return "; ".join(texts)


def _tiles(folder: Path, pictures: Sequence[Picture]) -> tuple[Tile, ...]:
    tiles = []
    for picture in pictures:
        content, mime, (width, height) = _read(folder / picture.file)
        uri = f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
        tiles.append(Tile(picture=picture, uri=uri, width=width, height=height))
    return tuple(tiles)


def _read(path: Path) -> tuple[bytes, str, tuple[int, int]]:
    """Return content, media type and size of an image file after decoding all of it."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            mime, size = Image.MIME[str(image.format)], image.size
        return path.read_bytes(), mime, size
    except (OSError, KeyError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: expected a picture of the evaluation, cannot read it ({error}); "
            "copy the whole report folder or evaluate again"
        ) from error
