"""Where in a region anomalies count: GRD-Net's regions of interest.

The target of the network is the anomaly inside the region of interest; what lies outside is taught
as nominal, and the prediction is not masked (METHODS section 1: the only reading that explains
inference without a region of interest).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vialsight.data.images import load_mask
from vialsight.errors import DataError, TrainingError
from vialsight.models.anomalies.drawing import LABEL_SCALE


def read_roi(
    paths: Sequence[Path | None] | None, regions: int, patch_size: int
) -> npt.NDArray[np.bool_]:
    """Return where anomalies count, bool (R,P/2,P/2): where no pixel of 2x2 is black.

    Raises TrainingError unless there is an image P×P, or None, for each region.
    """
    side = patch_size // LABEL_SCALE
    counts = np.ones((regions, side, side), bool)
    if paths is None:
        return counts
    if len(paths) != regions:
        raise TrainingError(
            f"model.roi: expected {regions} entries, one for each region, got {len(paths)}; write "
            "null for a region that counts as a whole"
        )
    for number, path in enumerate(paths):
        if path is not None:
            squares = _read(path, patch_size).reshape(side, LABEL_SCALE, side, LABEL_SCALE)
            counts[number] = squares.all(axis=(1, 3))
    return counts


def _read(path: Path, size: int) -> npt.NDArray[np.bool_]:
    try:
        image = load_mask(path)
    except DataError as error:
        raise TrainingError(f"model.roi: {error}") from None
    if image.shape != (size, size):
        raise TrainingError(
            f"model.roi: {path}: expected {size}x{size} pixels, those of a patch, got "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    return np.asarray(image, bool)
