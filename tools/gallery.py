#!/usr/bin/env python3
"""Draws best, typical and worst cases of a report in one picture.

usage: gallery.py REPORT PICTURE
REPORT is a folder that `vialsight evaluate` wrote for strips whose defects are known; PICTURE ends
in .jpg or .png. Each case is one patch of another strip: what was seen, what was expected of it,
where the score's map is high, and what is defective in truth.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vialsight.data.defects import KnownDefect, gravest
from vialsight.evaluation.evidence import PICTURES_FOLDER, Evidence, Picture, read_evidence
from vialsight.evaluation.patch_pictures import FALSE_REJECT, MISS, SAMPLE

COLUMNS, CASES = 3, 6
PANEL, MOST_PANELS, CAPTION, HEAD, GAP = 110, 4, 24, 40, 12
LEGEND = "Of each patch: what was seen, was expected, where the map is high, what is defective."
INK, FAINT, PAPER = "#20262e", "#5b6470", "white"


def margin(picture: Picture) -> float:
    """By how much a patch exceeds its threshold."""
    return picture.score - picture.threshold


def sections(evidence: Evidence) -> list[tuple[str, list[Picture]]]:
    """Return headings and what is shown below each."""
    known = gravest(evidence.defects)

    def severity(picture: Picture) -> float:
        return known[picture.product].severity or 0.0 if picture.product in known else 0.0

    def of(purpose: str) -> list[Picture]:
        return [p for p in evidence.pictures if p.purpose == purpose]

    found = sorted((p for p in of(SAMPLE) if p.defective is not False), key=margin)
    middle = max((len(found) - CASES) // 2, 0)
    missed, alarms = of(MISS), of(FALSE_REJECT)
    return [
        ("Found, the clearest: the first of its kind", found[::-1][:CASES]),
        ("Found, as usual", found[middle : middle + CASES]),
        ("Missed, the gravest", one_a_product(sorted(missed, key=severity, reverse=True))),
        ("Missed by the least", one_a_product(sorted(missed, key=margin, reverse=True))),
        ("Good strips rejected", one_a_product(sorted(alarms, key=margin, reverse=True))),
    ]


def one_a_product(pictures: list[Picture]) -> list[Picture]:
    """Return the first picture of each product, as many as are shown."""
    first: dict[str, Picture] = {}
    for picture in pictures:
        first.setdefault(picture.product, picture)
    return list(first.values())[:CASES]


def caption(picture: Picture, defects: dict[str, KnownDefect]) -> str:
    defect = defects.get(picture.product)
    what = "good" if defect is None else defect.kind.replace("_", " ")
    if defect is not None and defect.severity is not None:
        what += f", severity {defect.severity:.2f}"
    region = picture.region.replace("_", " ")
    return f"{what}; {region}: {picture.score:.1f} against {picture.threshold:.1f}"


def drawn(report: Path) -> Image.Image:
    """Return the whole picture."""
    evidence = read_evidence(report)
    shown = [(title, pictures) for title, pictures in sections(evidence) if pictures]
    defects = gravest(evidence.defects)
    rows = [-(-len(pictures) // COLUMNS) for _, pictures in shown]
    tile_width, row_height = MOST_PANELS * PANEL, PANEL + CAPTION + GAP
    width = COLUMNS * (tile_width + GAP) + GAP
    height = CAPTION + len(shown) * HEAD + sum(rows) * row_height + GAP
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 8), LEGEND, fill=FAINT, font=ImageFont.load_default(14))
    y = CAPTION
    for (title, pictures), count in zip(shown, rows, strict=True):
        pen.text((GAP, y + 12), title, fill=INK, font=ImageFont.load_default(20))
        y += HEAD
        for number, picture in enumerate(pictures):
            row, column = divmod(number, COLUMNS)
            x, top = GAP + column * (tile_width + GAP), y + row * row_height
            with Image.open(report / PICTURES_FOLDER / picture.file) as tile:
                size = PANEL * tile.width // tile.height, PANEL
                page.paste(tile.convert("RGB").resize(size, Image.Resampling.LANCZOS), (x, top))
            words = caption(picture, defects)
            pen.text((x, top + PANEL + 4), words, fill=FAINT, font=ImageFont.load_default(14))
        y += count * row_height
    return page


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    drawn(Path(sys.argv[1])).save(sys.argv[2], quality=80, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
