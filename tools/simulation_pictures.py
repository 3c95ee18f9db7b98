#!/usr/bin/env python3
"""Renders the contact sheets of docs/simulation.md into docs/images/simulation/.

usage: tools/simulation_pictures.py [FOLDER]
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from unknown_flaws import KINDS as UNKNOWN_KINDS
from vialsight import _core
from vialsight.simulation.plan import (
    ALL_FRAMES,
    DEFECT_KINDS,
    INSPECTED_FRAMES,
    Defect,
    StripPlan,
    plan_set,
)
from vialsight.simulation.product import (
    CAVITY_BOTTOM,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    MARGIN,
    NECK_BOTTOM,
    PITCH,
    REGIONS,
    bfs_layout,
)
from vialsight.simulation.rendering import RenderedRun, rank_images, render_run

SEVERITIES = (0.15, 0.5, 0.9)
UNKNOWN_SEVERITIES = (0.3, 0.6, 1.0)
SEED = 7
CROP = 176
OUTLINE = (226, 74, 51)
PAPER, INK = (255, 255, 255), (40, 44, 52)
TITLE, SMALL = ImageFont.load_default(22), ImageFont.load_default(16)


def sheet(
    rows: Sequence[Sequence[Image.Image]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    left: int,
) -> Image.Image:
    """Lay pictures of one size out as a table with names."""
    gap, top = 6, 34
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    size = left + columns * (width + gap), top + len(rows) * (height + gap)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(column_names):
        x = left + column * (width + gap) + width / 2
        draw.text((x, top / 2), name, INK, SMALL, anchor="mm")
    for row, pictures in enumerate(rows):
        y = top + row * (height + gap)
        draw.multiline_text((10, y + height / 2), row_names[row], INK, SMALL, anchor="lm")
        for column, picture in enumerate(pictures):
            page.paste(picture, (left + column * (width + gap), y))
    return page


def strip_picture(plan: StripPlan) -> Image.Image:
    """One frame with the 20 region boxes."""
    frame = render_run(plan, 1, [INSPECTED_FRAMES[1]]).frames[0]
    page = Image.fromarray(frame).convert("RGB")
    draw = ImageDraw.Draw(page)
    layout = bfs_layout(locate="none")
    colours = ((214, 69, 65), (52, 119, 219), (39, 156, 94), (222, 165, 32))
    for vial in range(layout.vials):
        for region, name in enumerate(layout.regions):
            x, y, width, height = layout.box(vial, region)
            draw.rectangle((x, y, x + width - 1, y + height - 1), outline=colours[region], width=2)
            if vial == 0:
                draw.text((x + 6, y + 4), name, colours[region], TITLE)
    return page


def region_sheet(plans: Sequence[StripPlan]) -> Image.Image:
    """Patches of nominal vials: a row per region, each column another vial, strip and frame."""
    columns = []
    for index, plan in enumerate(plans):
        frame = render_run(plan, index + 1, [ALL_FRAMES[(5 * index) % 16]]).frames[0]
        patches = _core.extract_patches(frame, bfs_layout(locate="none"))
        columns.append(patches[index % patches.shape[0]])
    rows = [
        [Image.fromarray(np.uint8(np.rint(column[region] * 255))) for column in columns]
        for region in range(len(REGIONS))
    ]
    return sheet(rows, REGIONS, ["" for _ in plans], left=130)


def defect_row(kind: str, base: StripPlan, severities: Sequence[float]) -> list[Image.Image]:
    """One kind of defect at each severity: as seen, and with its mask outlined."""
    pictures = []
    for severity in severities:
        defect = Defect(kind=kind, severity=severity, vial=2, make=UNKNOWN_KINDS.get(kind))
        run = render_run(replace(base, defects=(defect,)), 1, [INSPECTED_FRAMES[1]])
        pictures += _crops(run)
    return pictures


def defect_sheets(
    name: str, kinds: Sequence[str], severities: Sequence[float]
) -> dict[str, Image.Image]:
    """All kinds on two sheets, a row each."""
    bases = dict(zip(kinds, plan_set("kit", strips=40, seed=SEED).strips, strict=False))
    half = (len(kinds) + 1) // 2
    columns = [text for s in severities for text in (f"severity {s:g}", "mask")]
    sheets = {}
    for part, group in enumerate((kinds[:half], kinds[half:]), start=1):
        rows = [defect_row(kind, bases[kind], severities) for kind in group]
        names = [kind.replace("_", "\n") for kind in group]
        sheets[f"{name}-{part}"] = sheet(rows, names, columns, left=130)
    return sheets


def _crops(run: RenderedRun) -> list[Image.Image]:
    mask = run.masks[0]
    place = _around(mask)
    seen = Image.fromarray(run.frames[0][place])
    marked = np.stack([run.frames[0][place]] * 3, axis=-1)
    inside = mask[place]
    marked[binary_dilation(inside, iterations=2) & ~inside] = OUTLINE
    size = (CROP, CROP)
    return [
        picture.resize(size, Image.Resampling.LANCZOS)
        for picture in (seen, Image.fromarray(marked))
    ]


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """A square around the mask, at least CROP wide."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        rows, columns = np.array([FRAME_HEIGHT // 2]), np.array([FRAME_WIDTH // 2])
    size = max(CROP, int(1.25 * max(np.ptp(rows), np.ptp(columns))))
    size = min(size, FRAME_HEIGHT)
    top = int(np.clip((rows.min() + rows.max()) // 2 - size // 2, 0, FRAME_HEIGHT - size))
    left = int(np.clip((columns.min() + columns.max()) // 2 - size // 2, 0, FRAME_WIDTH - size))
    return slice(top, top + size), slice(left, left + size)


def run_sheet(plan: StripPlan) -> Image.Image:
    """The 16 frames of one vial's run, and its rank images."""
    frames = render_run(plan, 1, ALL_FRAMES).frames
    place = slice(NECK_BOTTOM - 40, CAVITY_BOTTOM - 160), slice(MARGIN + PITCH, MARGIN + 2 * PITCH)
    pictures = [Image.fromarray(image[place]) for image in (*frames, *rank_images(frames))]
    size = (pictures[0].width * 5 // 8, pictures[0].height * 5 // 8)
    pictures = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    rows = [pictures[:6], pictures[6:12], pictures[12:]]
    names = ["1 … 6", "7 … 12", "13 … 16,\nminimum,\nmaximum"]
    return sheet(rows, names, ["" for _ in range(6)], left=100)


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs" / "images" / "simulation"
    folder.mkdir(parents=True, exist_ok=True)
    plans = plan_set("train", strips=6, seed=SEED).strips
    pictures = {"strip": strip_picture(plans[0]), "regions": region_sheet(plans)}
    pictures["run"] = run_sheet(plans[1])
    pictures |= defect_sheets("defects", DEFECT_KINDS, SEVERITIES)
    pictures |= defect_sheets("unknown", tuple(UNKNOWN_KINDS), UNKNOWN_SEVERITIES)
    for name, picture in pictures.items():
        path = folder / f"{name}.jpg"
        picture.save(path, quality=86, optimize=True)
        print(path, picture.size, f"{path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
