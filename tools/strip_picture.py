"""Draws what the C++ core saw and said of a few held-out strips, mistakes among them.

usage: strip_picture.py BUNDLE DATASET PICTURE
Reads verdicts.json beside the picture. `choose` says which strips are shown.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Polygon, Rectangle

import vialsight
from vialsight.data import load_mask, load_strip, read_dataset
from vialsight.data.dataset import Strip
from vialsight.data.defects import KnownDefect, read_defects
from vialsight.data.posed_masks import AT_REST, pose_of
from vialsight.line.inspection import RejectedPatch
from vialsight.line.overview import heat_in_frame
from vialsight.line.pictures import fixed_heatmap, painted_hot

ACCEPT, REJECT, WRONG, MASK = "#1a7f4b", "#c0392b", "#b35900", "#1f6fd6"
INK, FAINT = "#20262e", "#5b6470"
MOST_CARDS = 6
HEAD_INCHES, CARD_INCHES = 0.9, (7.3, 5.15)
LEGEND = (
    "Red: where the score's map is high, in patches above thresholds and in the enlarged one. "
    "Blue: what is defective in truth, which the inspection does not know."
)

Verdict = dict[str, Any]
Known = dict[str, list[KnownDefect]]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Choice:
    """A verdict to show, and why it was chosen."""

    verdict: Verdict
    why: str


def excess(verdict: Verdict) -> npt.NDArray[np.float64]:
    """Return by how much each patch (F,V,R) is above its threshold; -inf where it has no score.

    A difference, since logits and their thresholds may be negative.
    """
    scores = np.array(verdict["scores"], np.float64)  # null becomes nan
    return np.nan_to_num(scores - np.array(verdict["thresholds"]), nan=-np.inf)


def found_at(verdict: Verdict, defects: Iterable[KnownDefect]) -> bool:
    """Return whether a vial with a defect is among those rejected."""
    return any(d.vial and verdict["vials"][d.vial - 1] == "reject" for d in defects)


def choose(verdicts: list[Verdict], known: Known) -> list[Choice]:
    """Return up to six verdicts, right ones and mistakes, each strip once."""

    def severity(verdict: Verdict) -> float:
        return max(defect.severity or 0.0 for defect in known[verdict["product"]])

    def above(verdict: Verdict) -> float:
        return float(excess(verdict).max())

    scored = [v for v in verdicts if v["thresholds"] and np.isfinite(above(v))]
    bad = [v for v in scored if v["product"] in known]
    good = [v for v in scored if v["product"] not in known]
    found = [v for v in bad if v["verdict"] == "reject" and found_at(v, known[v["product"]])]
    missed = [v for v in bad if v["verdict"] == "accept"]
    wrong = [v for v in good if v["verdict"] == "reject"]
    right = [v for v in good if v["verdict"] == "accept"]
    rows: list[tuple[list[Verdict], Callable[[Verdict], float], float, str]] = [
        (found, above, 0.5, "typical of the defects found"),
        (found, severity, 0.0, "the mildest defect found"),
        (missed, severity, 1.0, "the most severe defect missed"),
        (wrong, above, 1.0, "the good strip rejected most clearly"),
        (right, above, 1.0, "the accepted good strip nearest to rejection"),
        (found, above, 1.0, "the defect found most clearly"),
        (right, above, 0.5, "a typical good strip"),
    ]
    chosen: dict[tuple[str, int], Choice] = {}
    for group, key, rank, why in rows:
        ordered = sorted(group, key=key)
        if ordered:
            verdict = ordered[round(rank * (len(ordered) - 1))]
            chosen.setdefault((verdict["product"], verdict["run"]), Choice(verdict, why))
    return list(chosen.values())[:MOST_CARDS]


class Card:
    """One strip, inspected again, and the frame and patch of it that are shown."""

    def __init__(self, inspector: vialsight.Inspector, strip: Strip, choice: Choice) -> None:
        self.layout = inspector.bundle.layout
        self.strip, self.why = strip, choice.why
        frames = load_strip(strip, self.layout)
        self.verdict = inspector.inspect(frames)
        masks = [record.mask for record in strip.records]
        self.masks = [np.zeros(frames[0].shape, bool) if m is None else load_mask(m) for m in masks]
        self.place = self._place(excess(choice.verdict))
        frame = self.place[0]
        self.pixels = frames[frame].astype(np.float32) / (2**self.layout.bit_depth - 1)
        where = self.verdict.locations
        self.pose = pose_of(where[frame]) if where and where[frame].found else AT_REST
        over = np.argwhere(self.verdict.scores[frame] > np.array(self.verdict.thresholds))
        self.rejected = [self._patch(inspector, (frame, *place)) for place in over.tolist()]
        self.shown = self._patch(inspector, self.place)

    def _place(self, above: npt.NDArray[np.float64]) -> Place:
        """Return the patch with the highest score of those that show the defect, or of all."""
        visible = np.array(
            [[self._pixels(mask, vial) for vial in range(self.layout.vials)] for mask in self.masks]
        )
        candidates = visible >= 0.25 * visible.max()
        highest = np.where(candidates, above, -np.inf).argmax()
        frame, vial, region = np.unravel_index(highest, above.shape)
        return int(frame), int(vial), int(region)

    def _pixels(self, mask: npt.NDArray[np.bool_], vial: int) -> list[int]:
        """Return how many pixels of a mask lie in each box of a vial."""
        boxes = [self.layout.box(vial, region) for region in range(len(self.layout.regions))]
        return [int(mask[y : y + height, x : x + width].sum()) for x, y, width, height in boxes]

    def _patch(self, inspector: vialsight.Inspector, place: Place) -> RejectedPatch:
        """Return a patch of the strip that `inspector` inspected last; it has a finite score."""
        images, score_map = inspector.images(*place), inspector.map(*place)
        if images is None or score_map is None:
            raise SystemExit(f"{self.strip.name}: not scored again ({self.verdict.reason})")
        frame, vial, region = place
        return RejectedPatch(
            frame=frame,
            vial=vial,
            region=region,
            score=float(self.verdict.scores[place]),
            threshold=self.verdict.thresholds[region],
            image=images[0],
            reconstruction=images[1],
            heatmap=fixed_heatmap(inspector.bundle, region, score_map),
        )

    def painted(self, patches: Iterable[RejectedPatch]) -> npt.NDArray[np.uint8]:
        """Return the frame (H,W,3) with the heatmaps of some of its patches in red over it."""
        return painted_hot(self.pixels, heat_in_frame(self.layout, patches, pose=self.pose))

    def corners(self, patch: RejectedPatch) -> npt.NDArray[np.float64]:
        """Return the corners (4,2) of a patch's box where the camera saw it."""
        return np.array(vialsight.box_corners(self.layout, patch.vial, patch.region, self.pose))


def draw_card(figure: SubFigure, card: Card, truth: str) -> None:
    """Draw a strip with a verdict under each vial, beside it one patch as seen and as judged."""
    grid = figure.add_gridspec(
        2, 2, width_ratios=(2.56, 1), left=0.012, right=0.988, top=0.865, bottom=0.07,
        wspace=0.02, hspace=0.12,
    )  # fmt: skip
    strip, seen, judged = (
        figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1])
    )
    draw_head(figure, card, truth)
    draw_frame(strip, card)
    patch = card.shown
    sign = ">" if patch.score > patch.threshold else "≤"
    compared = f"score {patch.score:.3g} {sign} threshold {patch.threshold:.3g}".replace("-", "−")
    draw_patch(seen, card, card.painted([]), "as the camera sees it")
    draw_patch(judged, card, card.painted([patch]), compared)
    draw_mask(judged, card, 1.1)


def draw_head(figure: SubFigure, card: Card, truth: str) -> None:
    """Write the verdict, whether it is right, and what is true."""
    accepted = card.verdict.accepted
    word, colour = ("ACCEPT", ACCEPT) if accepted else ("REJECT", REJECT)
    chip = {"boxstyle": "round,pad=0.35", "linewidth": 0}
    bold = {"fontsize": 11, "fontweight": "bold", "va": "center"}
    figure.text(0.02, 0.955, word, color="white", bbox={"facecolor": colour, **chip}, **bold)
    right = accepted != card.strip.defective
    mark = "right: " if right else "WRONG: "
    figure.text(0.132, 0.955, f"{mark}{card.why}", color=INK if right else WRONG, **bold)
    shown = card.shown
    place = f"{card.layout.regions[shown.region].replace('_', ' ')} of vial {shown.vial + 1}"
    words = f"{card.strip.product}, frame {shown.frame + 1}; enlarged: {place}"
    figure.text(0.012, 0.892, f"In truth: {truth}", color=INK, fontsize=9.5, va="center")
    figure.text(0.988, 0.892, words, color=FAINT, fontsize=8.5, va="center", ha="right")


def draw_frame(axis: Axes, card: Card) -> None:
    """Draw the whole frame with what was rejected in it, and the verdict under each vial."""
    layout = card.layout
    axis.imshow(card.painted(card.rejected))
    for patch in card.rejected:
        outline(axis, card.corners(patch), REJECT, 1.6)
    if card.shown.score <= card.shown.threshold:
        outline(axis, card.corners(card.shown), INK, 1.0)
    draw_mask(axis, card, 0.8)
    for vial, accepted in enumerate(card.verdict.vials):
        x, _, width, _ = layout.box(vial, 0)
        colour, word = (ACCEPT, "accept") if accepted else (REJECT, "reject")
        top = layout.frame_height + 10
        axis.add_patch(Rectangle((x, top), width, 52, color=colour, linewidth=0, clip_on=False))
        words, middle = f"{vial + 1}  {word}", (x + width / 2, top + 27)
        axis.text(*middle, words, color="white", fontsize=8.5, ha="center", va="center")
    show(axis, (0, 0), (layout.frame_width, layout.frame_height))


def draw_patch(axis: Axes, card: Card, image: npt.NDArray[np.uint8], words: str) -> None:
    """Draw the box of the card's patch out of a painted frame, with words under it."""
    axis.imshow(image)
    corners = card.corners(card.shown)
    show(axis, corners.min(axis=0), corners.max(axis=0))
    axis.set_title(words, fontsize=8.5, color=INK, y=-0.085, pad=0, va="center")


def draw_mask(axis: Axes, card: Card, width: float) -> None:
    """Outline what is defective in truth."""
    mask = card.masks[card.place[0]]
    if mask.any():
        axis.contour(mask, levels=[0.5], colors=MASK, linewidths=width)


def outline(axis: Axes, corners: npt.NDArray[np.float64], colour: str, width: float) -> None:
    """Draw a box by its corners; pixel k is drawn from k - 1/2 to k + 1/2."""
    axis.add_patch(Polygon(corners - 0.5, fill=False, edgecolor=colour, linewidth=width))


def show(axis: Axes, start: Iterable[float], stop: Iterable[float]) -> None:
    """Limit the view to a part of the frame, without an axis."""
    (left, top), (right, bottom) = start, stop
    axis.set_xlim(left - 0.5, right - 0.5)
    axis.set_ylim(bottom - 0.5, top - 0.5)
    axis.set_axis_off()


def described(defects: list[KnownDefect]) -> str:
    """Return what is wrong with a strip, in words."""
    return "; ".join(
        f"{d.kind.replace('_', ' ')}"
        + ("" if d.severity is None else f", severity {d.severity:.2f}")
        + ("" if d.vial is None else f", vial {d.vial}")
        for d in defects
    )


def summary(verdicts: list[Verdict], known: Known) -> str:
    """Return how many strips were rejected, of the defective and of the good ones."""
    bad = [v["verdict"] == "reject" for v in verdicts if v["product"] in known]
    good = [v["verdict"] == "reject" for v in verdicts if v["product"] not in known]
    return (
        f"{sum(bad)} of {len(bad)} defective strips rejected, "
        f"{sum(good)} of {len(good)} good ones rejected"
    )


def known_defects(folder: Path) -> Known:
    """Return the defects of each product of a dataset folder that has any."""
    known: Known = {}
    for defect in read_defects(folder / "defects.csv"):
        known.setdefault(defect.product, []).append(defect)
    return known


def draw(cards: list[tuple[Card, str]], title: str, picture: Path) -> None:
    """Draw cards in two columns under a title; the picture is there whole or not at all."""
    rows = (len(cards) + 1) // 2
    heights = (HEAD_INCHES, CARD_INCHES[1] * rows)
    figure = plt.figure(figsize=(2 * CARD_INCHES[0], sum(heights)), facecolor="white")
    head, body = figure.subfigures(2, 1, height_ratios=heights)
    head.text(0.006, 0.66, title, fontsize=15, fontweight="bold", color=INK, va="center")
    head.text(0.006, 0.2, LEGEND, fontsize=10.5, color=INK, va="center")
    places = body.subfigures(rows, 2, wspace=0.01, hspace=0.01, squeeze=False).flat
    for place, (card, truth) in zip(places, cards, strict=False):
        draw_card(place, card, truth)
    figure.savefig(picture.with_suffix(".tmp.png"), dpi=100)
    picture.with_suffix(".tmp.png").replace(picture)


def main(bundle_path: str, dataset_path: str, picture: str) -> None:
    """Read the verdicts already written, choose, inspect again for the images, draw."""
    folder, target = Path(dataset_path), Path(picture)
    inspector = vialsight.Inspector(vialsight.Bundle.load(bundle_path))
    strips = {(s.product, s.run): s for s in read_dataset(folder).select(split="test").strips()}
    verdicts = json.loads((target.parent / "verdicts.json").read_text(encoding="utf-8"))["products"]
    known = known_defects(folder)
    cards = []
    for choice in choose(verdicts, known):
        product, run = choice.verdict["product"], choice.verdict["run"]
        truth = described(known[product]) if product in known else "a good strip"
        cards.append((Card(inspector, strips[product, run], choice), truth))
    counted = summary(verdicts, known)
    draw(cards, f"{inspector.bundle.name}, held-out strips: {counted}", target)
    print(f"{counted}\npicture: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
