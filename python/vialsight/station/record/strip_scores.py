"""φ in the entry of a strip."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt


def scores_of(body: dict[str, Any]) -> npt.NDArray[np.float32] | None:
    """Return φ (F,V,R) of a strip's entry; None where nothing was scored."""
    text, per_frame = body.get("scores"), len(body["vials"]) * len(body["thresholds"])
    if not text or not per_frame:
        return None
    flat = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    return flat.reshape(-1, len(body["vials"]), len(body["thresholds"])).astype(np.float32)


def of_region(scores: npt.NDArray[np.float32], region: int) -> npt.NDArray[np.float32]:
    """Return the finite φ of a region, of all frames and vials."""
    values = scores[..., region].ravel()
    finite: npt.NDArray[np.float32] = values[np.isfinite(values)]
    return finite
