"""Draws what the C++ core saw and said of a few held-out strips.

usage: strip_picture.py BUNDLE DATASET PICTURE
Reads verdicts.json beside the picture. Chosen are, where there are any: the defective strip
farthest above its thresholds, one near the middle, a defective one that was accepted, a good one
that was rejected, so that mistakes show too.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import vialsight
from vialsight.data import load_mask, load_strip, read_dataset
from vialsight.data.dataset import Strip

ACCEPT, REJECT, INK, MASK = "#1a7f4b", "#c0392b", "#20262e", "#1f6fd6"


def margin(verdict: dict[str, Any]) -> float:
    """Largest ratio of a patch's score to its threshold."""
    scores = np.array(verdict["scores"], np.float64)
    return float((scores / np.array(verdict["thresholds"])).max())


def choose(verdicts: list[dict[str, Any]], defective: set[str]) -> list[dict[str, Any]]:
    """Up to four verdicts, right ones and mistakes."""
    ordered = sorted(verdicts, key=margin)
    rejected = [v for v in ordered if v["verdict"] == "reject"]
    found = [v for v in rejected if v["product"] in defective]
    missed = [v for v in ordered if v["verdict"] == "accept" and v["product"] in defective]
    wrong = [v for v in rejected if v["product"] not in defective]
    good = [v for v in ordered if v["verdict"] == "accept" and v["product"] not in defective]
    chosen = [*found[-1:], *found[len(found) // 2 :][:1], *missed[-1:], *wrong[:1], *good[-1:]]
    unique = {(v["product"], v["run"]): v for v in chosen}
    return list(unique.values())[:4]


def draw_strip(
    axis: Axes, inspector: vialsight.Inspector, strip: Strip, frame: int, truth: str
) -> None:
    """One frame with the heatmaps of its rejected patches, and a verdict under each vial."""
    layout = inspector.bundle.layout
    frames = load_strip(strip, layout)
    verdict = inspector.inspect(frames)
    axis.imshow(frames[frame], cmap="gray", vmin=0, vmax=255)
    over = verdict.scores[frame] > np.array(verdict.thresholds)
    for vial, region in np.argwhere(over).tolist():
        draw_heatmap(axis, inspector, frame, vial, region)
    mask = strip.records[frame].mask
    if mask is not None:
        axis.contour(load_mask(mask), levels=[0.5], colors=MASK, linewidths=0.9)
    for vial in range(layout.vials):
        x, _, width, _ = layout.box(vial, 0)
        colour = ACCEPT if verdict.vials[vial] else REJECT
        place = (x, layout.frame_height - 34)
        axis.add_patch(Rectangle(place, width, 24, color=colour, linewidth=0))
    # Heatmaps would otherwise shrink the view to themselves.
    axis.set_xlim(-0.5, layout.frame_width - 0.5)
    axis.set_ylim(layout.frame_height - 0.5, -0.5)
    axis.set_axis_off()
    word, colour = ("ACCEPT", ACCEPT) if verdict.accepted else ("REJECT", REJECT)
    right = verdict.accepted != strip.defective
    title = f"{word}{'' if right else ' (wrong)'}   {strip.name}, frame {frame + 1}: {truth}"
    axis.set_title(title, color=colour, fontsize=10.5, fontweight="bold", loc="left")


def draw_heatmap(
    axis: Axes, inspector: vialsight.Inspector, frame: int, vial: int, region: int
) -> None:
    """Lay the heatmap of one patch over its box, on the scale fitted at calibration."""
    found, scale = inspector.map(frame, vial, region), inspector.bundle.heatmap_scale(region)
    if found is None or scale is None:
        return
    x, y, width, height = inspector.bundle.layout.box(vial, region)
    heat = vialsight.heatmap(found[np.newaxis], vmin=scale[0], vmax=scale[1])[0]
    place = (x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5)
    axis.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.75 * heat, extent=place)
    axis.add_patch(Rectangle((x, y), width, height, fill=False, color=REJECT, linewidth=1.4))


def truths(folder: Path) -> dict[str, str]:
    """Kind and severity of each defective product's defects."""
    with (folder / "defects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["product"]: f"{row['kind'].replace('_', ' ')}, severity {float(row['severity']):.2f}"
        for row in rows
    }


def main(bundle_path: str, dataset_path: str, picture: str) -> None:
    """Read the verdicts already written, choose, inspect again for the images, draw."""
    folder, target = Path(dataset_path), Path(picture)
    inspector = vialsight.Inspector(vialsight.Bundle.load(bundle_path))
    layout = inspector.bundle.layout
    strips = {(s.product, s.run): s for s in read_dataset(folder).select(split="test").strips()}
    verdicts = json.loads((target.parent / "verdicts.json").read_text(encoding="utf-8"))["products"]
    known = truths(folder)
    chosen = choose(verdicts, set(known))
    figure, grid = plt.subplots(2, 2, figsize=(15, 12.9), facecolor="white", squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for axis, verdict in zip(grid.flat, chosen, strict=False):
        scores = np.array(verdict["scores"]) / np.array(verdict["thresholds"])
        frame = int(np.unravel_index(scores.argmax(), scores.shape)[0])
        truth = known.get(verdict["product"], "good")
        strip = strips[verdict["product"], verdict["run"]]
        draw_strip(axis, inspector, strip, frame, truth)
    figure.suptitle(
        f"Held-out strips inspected by the C++ core ({layout.patches_per_strip} patches each): "
        "rejected patches framed, with heatmap; ground truth in blue; a verdict under every vial",
        fontsize=11,
        color=INK,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(target.with_suffix(".tmp.png"), dpi=85)
    target.with_suffix(".tmp.png").replace(target)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
