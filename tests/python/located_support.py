"""A small product of three vials that lies a little differently in every frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

import vialsight
from vialsight import _core
from vialsight.data import Dataset, Group, Record, read_dataset, write_dataset
from vialsight.locator import ProductLocator

WIDTH, HEIGHT, P = 300, 200, 48
SCALE = 2
FRAMES = (1, 2)
AT_REST = (0.0, 0.0, 0.0)
REACH_TURN = 0.0262

_MARGIN = 40
_picture = gaussian_filter(
    np.random.default_rng(5).standard_normal((HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN)), 5.0
)


def layout(*, locate: str = "rigid", patch_size: int = P, width: int = WIDTH) -> vialsight.Layout:
    """Three vials of two regions; boxes of 48x48 pixels."""
    boxes = [[(30 + 90 * vial, top, 48, 48) for top in (36, 108)] for vial in range(3)]
    return vialsight.Layout(
        name="moved", frame_width=width, frame_height=HEIGHT, frames=len(FRAMES),
        regions=["top", "bottom"], boxes=boxes, patch_size=patch_size, locate=locate,
    )  # fmt: skip


def frame_at(pose: tuple[float, float, float], *, seed: int = 0) -> np.ndarray:
    """The product at (dx, dy, turn), uint8 (H,W), with noise; by SciPy's splines in float64."""
    y, x = np.indices((HEIGHT, WIDTH), np.float64)
    right, down = x + 0.5 - WIDTH / 2 - pose[0], y + 0.5 - HEIGHT / 2 - pose[1]
    turn, square = pose[2], 1.0 + pose[2] ** 2
    u, v = (right - turn * down) / square, (down + turn * right) / square
    places = [v + HEIGHT / 2 + _MARGIN - 0.5, u + WIDTH / 2 + _MARGIN - 0.5]
    noise = np.random.default_rng(seed).normal(0.0, 0.004, (HEIGHT, WIDTH))
    values = 0.5 + 2.5 * map_coordinates(_picture, places, order=3, mode="nearest") + noise
    return np.round(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def locator(*, residual_limit: float = 0.02) -> ProductLocator:
    """A locator of the product, made from a frame of it at rest."""
    template = _core.reduced_frame(frame_at(AT_REST, seed=90), SCALE)
    weights = np.ones_like(template)
    return of_template(template, weights, width=WIDTH, residual_limit=residual_limit)


def of_template(
    template: np.ndarray, weights: np.ndarray, *, width: int, scale: int = SCALE, **limits: float
) -> ProductLocator:
    """A locator whose golden frames are its template, which is found where it is."""
    return ProductLocator(
        model="rigid", frame_width=width, frame_height=scale * len(template), bit_depth=8,
        scale=scale, template=template, weights=weights, reach_px=16.0, reach_turn=REACH_TURN,
        apart_px=1.5, apart_turn=0.001, golden_frames=np.stack([template] * 2),
        golden_poses=np.zeros((2, 3), np.float32), **limits,
    )  # fmt: skip


def pose_of_run(seed: int) -> tuple[float, float, float]:
    """Where the product lies in the frames of a run."""
    dx, dy, turn = np.random.default_rng(seed).uniform(-1.0, 1.0, 3)
    return 6.0 * dx, 5.0 * dy, 0.01 * turn


@dataclass(frozen=True)
class Moved:
    """The frames of a run, the same at every call."""

    seed: int

    def __call__(self) -> list[np.ndarray]:
        return [frame_at(pose_of_run(self.seed), seed=10 * self.seed + n) for n in FRAMES]


def groups(*, label: str = "nominal") -> list[Group]:
    """Three train products and one of validation, 12 patches each."""
    names = ["train-0", "train-1", "train-2", "validation-0"]
    return [
        Group(
            product=name, run=1, label=label, split=name.partition("-")[0], frames=FRAMES,
            load=Moved(seed),
        )
        for seed, name in enumerate(names)
    ]  # fmt: skip


def write_folder(folder: Path, *, locate: str = "rigid") -> Dataset:
    """The frames of `groups` as a dataset folder."""
    folder.mkdir()
    records = []
    for group in groups():
        for number, frame in zip(group.frames, group.load(), strict=True):
            image = folder / f"{group.product}-{number}.png"
            Image.fromarray(frame).save(image)
            records.append(
                Record(
                    image=image, product=group.product, run=1, frame=number, label="nominal",
                    split=group.split, mask=None,
                )
            )  # fmt: skip
    write_dataset(folder, layout(locate=locate), records)
    return read_dataset(folder)


def located_patches(frame: np.ndarray, chosen: vialsight.Layout | None = None) -> np.ndarray:
    """What the core's own locator and extraction give, (6,P,P)."""
    where = locator().core().locate(frame)
    assert where.found, where.reason
    pose = (where.dx, where.dy, where.turn)
    patches = _core.extract_patches(frame, chosen or layout(), pose)
    return patches.reshape(-1, *patches.shape[2:])
