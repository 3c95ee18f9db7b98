"""What a training leaves behind besides checkpoints: losses, scores, samples."""

import csv
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from vialsight.errors import TrainingError
from vialsight.files import atomic
from vialsight.pinned import tf

log: Final = logging.getLogger("vialsight.training")


class CsvLog:
    """A table with one line per recorded step, cut back to a checkpoint when a run resumes."""

    def __init__(self, path: Path, columns: Sequence[str], *, resume_step: int) -> None:
        """Open for appending; lines of steps after `resume_step` are dropped."""
        header = ["step", *columns]
        kept = [row for row in _rows(path, header) if int(row[0]) <= resume_step]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *kept])
        atomic.write_text(path, text.getvalue())
        self._file: TextIO = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def append(self, step: int, values: Sequence[float]) -> None:
        """Write one line; nine digits give float32 values back exactly."""
        self._writer.writerow([step, *(f"{value:.9g}" for value in values)])
        self._file.flush()

    def sync(self) -> None:
        """Put all lines on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Scalars and sample pictures for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, step: int, names: Sequence[str], values: Sequence[float]) -> None:
        """Record named values of a step."""
        with self._writer.as_default(step=step):
            for name, value in zip(names, values, strict=True):
                tf.summary.scalar(name, value)

    def picture(self, step: int, picture: npt.NDArray[np.uint8]) -> None:
        """Record a picture uint8 (h,w)."""
        with self._writer.as_default(step=step):
            tf.summary.image("samples", picture[np.newaxis, ..., np.newaxis])

    def flush(self) -> None:
        """Write out what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


def sample_picture(
    images: npt.NDArray[np.float32], reconstructions: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Picture uint8 (3P,nP) of images (n,P,P) above reconstructions above |difference|."""
    rows = [images, reconstructions, np.abs(images - reconstructions)]
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return np.asarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0), np.uint8)


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a picture uint8 (h,w) as PNG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded: Any = tf.io.encode_png(picture[..., np.newaxis])
    atomic.write_bytes(path, encoded.numpy())


def _rows(path: Path, header: list[str]) -> list[list[str]]:
    """Complete lines of a table, without its header."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    # A killed process may leave part of a last line.
    lines = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if not lines or lines[0] != header:
        raise TrainingError(
            f"{path} must begin with the columns {', '.join(header)}; it was changed or belongs "
            f"to another version: start in a new run folder"
        )
    return [line for line in lines[1:] if len(line) == len(header)]
