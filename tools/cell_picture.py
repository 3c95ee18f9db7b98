"""Draws what the C++ core saw and said of a few held-out products.

usage: cell_picture.py BUNDLE DATASET PICTURE
The products are spread evenly over the range of scores of each class, so that mistakes show too.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import vialsight
from vialsight.data import Dataset, load_frame, read_dataset

PER_CLASS = 5
ACCEPT, REJECT, INK = "#1a7f4b", "#c0392b", "#20262e"


class Example:
    """One inspected product with the images of its only patch."""

    def __init__(
        self, inspector: vialsight.Inspector, path: Path, label: str, product: str
    ) -> None:
        layout = inspector.bundle.layout
        frame = load_frame(path, layout.bit_depth)
        self.verdict = inspector.inspect(frame[np.newaxis])
        images, found = inspector.images(0, 0, 0), inspector.map(0, 0, 0)
        if images is None or found is None:
            raise SystemExit(f"{path}: not scored ({self.verdict.reason})")
        self.image, self.reconstruction = images
        scale = inspector.bundle.heatmap_scale(0)
        if scale is None:
            raise SystemExit("the bundle has no heatmap scale; calibrate it first")
        self.heatmap = vialsight.heatmap(found[np.newaxis], vmin=scale[0], vmax=scale[1])[0]
        self.label = label
        self.product = product
        self.score = float(self.verdict.scores[0, 0, 0])
        self.threshold = self.verdict.thresholds[0]


def choose(dataset: Dataset, scores: dict[str, float], label: str) -> list[int]:
    """Indices of records at evenly spaced ranks of the score within a class."""
    indices = [i for i, record in enumerate(dataset.records) if record.label == label]
    indices.sort(key=lambda i: scores[dataset.records[i].product])
    ranks = np.linspace(0, len(indices) - 1, PER_CLASS + 2).round().astype(int)[1:-1]
    return [indices[rank] for rank in ranks]


def draw_images(axes: list[Axes], example: Example) -> None:
    """Input, reconstruction and heatmap over the input, side by side."""
    for axis, image in zip(
        axes, (example.image, example.reconstruction, example.image), strict=True
    ):
        axis.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    axes[2].imshow(
        example.heatmap, cmap="inferno", vmin=0.0, vmax=1.0, alpha=0.25 + 0.75 * example.heatmap
    )


def draw_verdict(axis: Axes, example: Example) -> None:
    """A coloured frame and two lines of text."""
    accepted = example.verdict.accepted
    right = accepted == (example.label == "nominal")
    colour = ACCEPT if accepted else REJECT
    for side in ("left", "right", "top", "bottom"):
        axis.spines[side].set(visible=True, color=colour, linewidth=3)
    word = "ACCEPT" if accepted else "REJECT"
    axis.set_xlabel(
        f"{word}{'' if right else '  (wrong)'}\nφ {example.score:.4f}   t {example.threshold:.4f}",
        color=colour,
        fontsize=9.5,
        fontweight="bold",
    )


def draw(examples: dict[str, list[Example]], picture: Path, subtitle: str) -> None:
    """Nominal products on the left, defective ones on the right."""
    figure, grid = plt.subplots(
        PER_CLASS,
        7,
        figsize=(13.6, 2.62 * PER_CLASS + 0.9),
        facecolor="white",
        gridspec_kw={"width_ratios": [1, 1, 1, 0.18, 1, 1, 1]},
    )
    for axis in grid[:, 3]:
        axis.axis("off")
    for first, label in ((0, "nominal"), (4, "defective")):
        for row, example in enumerate(examples[label]):
            axes = list(grid[row, first : first + 3])
            draw_images(axes, example)
            draw_verdict(axes[2], example)
            axes[0].set_xlabel(f"labelled {label}\n{example.product}", color=INK, fontsize=9)
        for offset, title in enumerate(("input", "reconstruction", "heatmap")):
            grid[0, first + offset].set_title(title, fontsize=11, color=INK)
    figure.suptitle(subtitle, fontsize=12, color=INK, y=0.995)
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(picture.with_suffix(".tmp.png"), dpi=90)
    picture.with_suffix(".tmp.png").replace(picture)


def main(bundle_path: str, dataset_path: str, picture: str) -> None:
    """Read the verdicts already written, choose, inspect again for the images, draw."""
    bundle = vialsight.Bundle.load(bundle_path)
    dataset = read_dataset(Path(dataset_path)).select(split="test")
    verdicts = json.loads((Path(picture).parent / "verdicts.json").read_text(encoding="utf-8"))
    scores = {row["product"]: float(np.max(row["scores"])) for row in verdicts["products"]}
    inspector = vialsight.Inspector(bundle)
    examples = {
        label: [
            Example(inspector, dataset.records[i].image, label, dataset.records[i].product)
            for i in choose(dataset, scores, label)
        ]
        for label in ("nominal", "defective")
    }
    subtitle = (
        "Held-out solar cells inspected by the C++ core; evenly spread over each class's scores"
    )
    draw(examples, Path(picture), subtitle)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
