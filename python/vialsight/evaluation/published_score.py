"""The paper's φ of strips on which another score decides, to stand beside it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core

# Of a column of scores.csv, and in components.csv.
PUBLISHED_NAME: Final = "published"


def published_scores(inspector: _core.Inspector, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return φ = 1 − SSIM (paper eq. 10) of the strip inspected last, float32 of `shape` (F,V,R).

    NaN where a patch was not scored or the network gives no reconstruction.
    """
    scores = np.full(shape, np.nan, np.float32)
    for place in np.ndindex(shape):
        image, reconstruction = inspector.images(*place) or (None, None)
        if image is not None and reconstruction is not None:
            similar = _core.ssim(image[np.newaxis], reconstruction[np.newaxis])
            scores[place] = 1.0 - np.float64(similar[0])
    return scores
