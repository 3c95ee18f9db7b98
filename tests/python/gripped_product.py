"""A small product that lies a little elsewhere in every frame, its locator, dataset and bundle."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conftest import COUNTS, FRAME_SHAPE, make_tiny_layout, write_network
from vialsight import _core
from vialsight.data import Dataset, Record, write_dataset
from vialsight.locator import ProductLocator

Pose = tuple[float, float, float]

LAYOUT = make_tiny_layout(locate="rigid")
REACH_PX, REACH_TURN = 8.0, 0.04
APART_PX, APART_TURN = 1.0, 0.01
# Bright bars and discs on grey, in pixels from the frame's centre: centre, half size, brightness.
_SHAPES = (
    ((-24.0, -14.0), (15.0, 12.0), 0.30),
    ((24.0, -14.0), (14.0, 12.0), -0.25),
    ((-27.0, 20.0), (10.0, 9.0), -0.30),
    ((22.0, 18.0), (11.0, 8.0), 0.28),
    ((0.0, 4.0), (5.0, 26.0), 0.20),
)


def product_at(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Brightness in [0, 1] of the product at points (u, v), with edges two pixels wide."""
    seen = np.full(np.shape(u), 0.5)
    for (x, y), (width, height), brightness in _SHAPES:
        across, down = (np.abs(u - x) - width, np.abs(v - y) - height)
        seen += brightness / ((1 + np.exp(across * 2.0)) * (1 + np.exp(down * 2.0)))
    return seen


def frame_at(pose: Pose, random: np.random.Generator, *, defect: bool = False) -> np.ndarray:
    """The product seen at a pose (SPEC §1), uint8 (80,96), with a little noise.

    The defect is a checkered square of 12 pixels on the bottom region of the first vial.
    """
    u, v = points_of(pose)
    seen = product_at(u, v) + _waves(random) + random.normal(0.0, 0.01, FRAME_SHAPE)
    if defect:
        hit = defect_mask(pose)
        seen[hit] = np.indices(FRAME_SHAPE).sum(axis=0)[hit] % 2
    return _quantised(seen)


def _quantised(seen: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)


def _waves(random: np.random.Generator) -> np.ndarray:
    """Faint waves of random phase and length, without which all strips would look alike."""
    rows, columns = np.indices(FRAME_SHAPE)
    phase, length = random.uniform(0, 2 * np.pi, 2), random.uniform(3.0, 6.0, 2)
    waves = np.sin(rows / length[0] + phase[0]) + np.cos(columns / length[1] + phase[1])
    return np.asarray(0.01 * waves)


def points_of(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Which point (u, v) of the product the middle of each pixel shows."""
    dx, dy, turn = pose
    rows, columns = np.indices(FRAME_SHAPE)
    x, y = columns + 0.5 - 48 - dx, rows + 0.5 - 40 - dy
    return (x - turn * y) / (1 + turn**2), (y + turn * x) / (1 + turn**2)


def defect_mask(pose: Pose) -> np.ndarray:
    """Where the defect is seen: u from -38 to -26, v from 14 to 26."""
    u, v = points_of(pose)
    return (np.abs(u + 32) < 6) & (np.abs(v - 20) < 6)


def product_locator(**changes: Any) -> ProductLocator:
    """The locator whose template is the product at rest; `changes` replace its fields."""
    random = np.random.default_rng(17)
    poses = [(2.0, -1.0, 0.01), (-3.0, 2.0, -0.02)]
    fields: dict[str, Any] = {
        "frame_width": FRAME_SHAPE[1],
        "frame_height": FRAME_SHAPE[0],
        "bit_depth": 8,
        "scale": 1,
        "template": _core.reduced_frame(_quantised(product_at(*points_of((0.0, 0.0, 0.0)))), 1),
        "weights": np.ones(FRAME_SHAPE, np.float32),
        "reach_px": REACH_PX,
        "reach_turn": REACH_TURN,
        "residual_limit": 0.05,
        "apart_px": APART_PX,
        "apart_turn": APART_TURN,
        **changes,
    }
    golden = np.stack([_core.reduced_frame(frame_at(pose, random), 1) for pose in poses])
    finder = _core.Locator(**fields, kind="rigid")
    found = [finder.locate_reduced(frame) for frame in golden]
    where = np.array([(w.dx, w.dy, w.turn) for w in found], np.float32)
    return ProductLocator(**fields, model="rigid", golden_frames=golden, golden_poses=where)


def grip(random: np.random.Generator) -> Pose:
    """How a gripper holds a strip, well within the reach."""
    dx, dy, turn = random.uniform((-4.0, -4.0, -0.02), (4.0, 4.0, 0.02))
    return float(dx), float(dy), float(turn)


def write_located_dataset(folder: Path, *, with_truth: bool = False) -> Dataset:
    """Write the tiny product's splits, every strip held differently; poses.csv with the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    random, records, poses = np.random.default_rng(23), [], []
    for (split, label), count in COUNTS.items():
        for number in range(count):
            product, pose = f"{split}-{label}-{number}", grip(random)
            made = [write_frame(folder, product, k, pose, label, random) for k in (1, 2, 3)]
            records += [dataclasses.replace(record, split=split) for record in made]
            poses += [f"{record.image.name},{','.join(map(str, pose))}" for record in made]
    write_dataset(folder, LAYOUT, records)
    if with_truth:
        (folder / "poses.csv").write_text("\n".join(["image,dx,dy,turn", *poses, ""]), "utf-8")
    return Dataset(folder, LAYOUT, tuple(records))


def write_frame(
    folder: Path, product: str, number: int, pose: Pose, label: str, random: np.random.Generator
) -> Record:
    """Write one frame of a product at a pose, with its mask where it is defective."""
    image, defective = folder / f"{product}-{number}.png", label == "defective"
    Image.fromarray(frame_at(pose, random, defect=defective)).save(image)
    mask = folder / f"{product}-{number}-mask.png" if defective else None
    if mask is not None:
        Image.fromarray(defect_mask(pose)).save(mask)
    return Record(image=image, product=product, frame=number, label=label, mask=mask)


def spoil(records: Sequence[Record], product: str, frame: int) -> None:
    """Replace a frame of a product by noise, which no locator finds."""
    record = next(r for r in records if (r.product, r.frame) == (product, frame))
    noise = np.random.default_rng(29).integers(0, 256, FRAME_SHAPE, np.uint8)
    Image.fromarray(noise).save(record.image)


def write_located_bundle(out: Path, dataset: Dataset) -> Path:
    """Write a bundle of a network that says how bright a patch is, which locates the product."""
    from vialsight import scores

    return write_network(
        out,
        dataset,
        _deviation,
        roles={"deviation": "map"},
        components=[scores.map_of("deviation")],
        method="deviation",
        locator=product_locator(),
    )


def _deviation(patches: Any, *, training: bool) -> dict[str, Any]:
    assert not training
    deviation = patches - np.float32(0.5)
    return {"deviation": np.float32(4.0) * deviation * deviation}
