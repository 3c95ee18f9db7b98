"""One run of one strip as picture files: the unit in which a set is rendered and written."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vialsight.files import atomic
from vialsight.simulation.plan import RANK_MAX_FRAME, RANK_MIN_FRAME, SetPlan, StripPlan
from vialsight.simulation.rendering import rank_images, render_run

# Entropy coding alone: sensor noise has no repetitions to find. Measured on a frame: 0.73 MB in
# 0.08 s, against 0.87 MB in 0.08 s at level 1 and 0.75 MB in 0.60 s at level 6 with matching.
_IMAGE_OPTIONS: Final = {"compress_level": 1, "compress_type": 2}
_MASK_OPTIONS: Final = {"compress_level": 6}
_BLOCK_BYTES: Final = 4096

Image8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RunTask:
    """The unit of work: one run of one strip, in which frames, with rank images or not."""

    strip: StripPlan
    run: int
    frames: tuple[int, ...]
    rank_images: bool

    @property
    def folder(self) -> Path:
        """Where its pictures lie, below `images` and below `masks`."""
        return Path(self.strip.product) / f"run_{self.run:02d}"

    @property
    def pictures(self) -> tuple[tuple[int, str], ...]:
        """Frame number, as in `dataset.csv`, and file name of each image."""
        named = tuple((number, f"frame_{number:02d}.png") for number in self.frames)
        ranks = ((RANK_MIN_FRAME, "rank_min.png"), (RANK_MAX_FRAME, "rank_max.png"))
        return named + ranks if self.rank_images else named

    def has_mask(self, number: int) -> bool:
        """Whether this frame has a mask: every inspected frame of a defective strip."""
        return bool(self.strip.defects) and number < RANK_MIN_FRAME


@dataclass(frozen=True)
class EncodedRun:
    """PNG files of one run, by name."""

    images: Mapping[str, bytes]
    masks: Mapping[str, bytes]

    @property
    def disk_bytes(self) -> int:
        """Bytes they take on a disk of ordinary blocks."""
        sizes = [len(content) for content in (*self.images.values(), *self.masks.values())]
        return sum(-(-size // _BLOCK_BYTES) * _BLOCK_BYTES for size in sizes)


def run_tasks(plan: SetPlan) -> tuple[RunTask, ...]:
    """Return the runs of a set: strip by strip, in order."""
    return tuple(
        RunTask(strip, run, plan.frames, plan.rank_images)
        for strip in plan.strips
        for run in range(1, plan.runs + 1)
    )


def render_pictures(task: RunTask) -> list[Image8]:
    """Render the images of `task.pictures`, uint8 (H,W) each, without masks."""
    rendered = render_run(task.strip, task.run, task.frames, with_masks=False)
    return _pictures(task, rendered.frames)


def encode_run(task: RunTask) -> EncodedRun:
    """Render a run and encode its images (8-bit) and masks (1-bit) as PNG."""
    rendered = render_run(task.strip, task.run, task.frames)
    images = _pictures(task, rendered.frames)
    masks = () if rendered.masks is None else rendered.masks
    names = [name for _, name in task.pictures]
    return EncodedRun(
        {name: _png(image, _IMAGE_OPTIONS) for name, image in zip(names, images, strict=True)},
        {name: _png(mask, _MASK_OPTIONS) for name, mask in zip(names, masks, strict=False)},
    )


def write_run(task: RunTask, encoded: EncodedRun, out: Path) -> None:
    """Write the folders of a run; the images' comes last, so that it says the run is complete."""
    if encoded.masks and not (masks := out / "masks" / task.folder).exists():
        _write_folder(masks, encoded.masks)
    _write_folder(out / "images" / task.folder, encoded.images)


def _pictures(task: RunTask, frames: Image8) -> list[Image8]:
    """Frames uint8 (n,H,W), and the rank images where the task has them."""
    return [*frames, *rank_images(frames)] if task.rank_images else list(frames)


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    with atomic.new_folder(path) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def _png(pixels: Image8 | Mask, options: Mapping[str, int]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()
