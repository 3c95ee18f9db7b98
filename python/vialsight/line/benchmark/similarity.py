"""1 - SSIM of a strip's patches: ours, TensorFlow's and scikit-image's, numbers first."""

import importlib
from collections.abc import Callable, Mapping
from importlib import util
from typing import Any, Final

import numpy as np

from vialsight import _core
from vialsight.aliases import Patches
from vialsight.line.bench import spread
from vialsight.line.benchmark.runtimes import INSTALL
from vialsight.line.benchmark.turns import Contender, ratios, timed

OURS: Final = "VialSight, C++"
TENSORFLOW: Final = "tf.image.ssim"
SCIKIT_IMAGE: Final = "scikit-image"
# All three leave out the 5 pixels at each edge that the window of 11 cannot reach.
WINDOW: Final = 11
_CONTENDER: Final = "ssim: "
_TIME: Final = "ssim"

Scorer = Callable[[Patches, Patches], Patches]


def scorers() -> dict[str, Scorer]:
    """Return functions of patches and reconstructions (n,P,P) to φ (n,), of what is installed."""
    found: dict[str, Scorer] = {OURS: _ours}
    if util.find_spec("tensorflow"):
        found[TENSORFLOW] = _tensorflow()
    if util.find_spec("skimage"):
        found[SCIKIT_IMAGE] = _scikit_image
    return found


def contenders(x: Patches, y: Patches) -> dict[str, Contender]:
    """Return what times φ of all patches (n,P,P) and their reconstructions, by each scorer."""

    def timing(scorer: Scorer) -> Contender:
        return timed(_TIME, lambda: scorer(x, y))

    return {f"{_CONTENDER}{name}": timing(scorer) for name, scorer in scorers().items()}


def times_in_python(times: Mapping[str, Mapping[str, list[float]]]) -> list[list[float]]:
    """Return the milliseconds, turn by turn, of those scorers that are not ours."""
    names = (f"{_CONTENDER}{name}" for name in (TENSORFLOW, SCIKIT_IMAGE))
    return [times[name][_TIME] for name in names if name in times]


def rows(times: Mapping[str, Mapping[str, list[float]]], x: Patches, y: Patches) -> dict[str, Any]:
    """Return what `contenders` took, with ratios to ours and the largest difference from ours."""
    found = scorers()
    expected = found[OURS](x, y)
    ours = times[f"{_CONTENDER}{OURS}"][_TIME]
    told = []
    for name, scorer in found.items():
        own = times[f"{_CONTENDER}{name}"][_TIME]
        told.append(
            {
                "name": name,
                "ms_per_patch": spread([ms / len(x) for ms in own]),
                "ours_over": ratios(ours, own),
                "largest_difference": float(np.abs(scorer(x, y) - expected).max()),
            }
        )
    missing = [name for name in (TENSORFLOW, SCIKIT_IMAGE) if name not in found]
    return {
        "patches": len(x),
        "patch_size": x.shape[1],
        "edge_left_out": WINDOW // 2,
        "rows": told,
        "left_out": dict.fromkeys(missing, f"not installed; run: {INSTALL}"),
    }


def _ours(x: Patches, y: Patches) -> Patches:
    scores: Patches = 1.0 - _core.ssim(x, y)
    return scores


def _tensorflow() -> Scorer:
    from vialsight.pinned import tf

    @tf.function  # type: ignore[untyped-decorator]
    def score(x: Any, y: Any) -> Any:
        return 1.0 - tf.image.ssim(x, y, max_val=1.0)

    def run(x: Patches, y: Patches) -> Patches:
        scores: Patches = score(x[..., np.newaxis], y[..., np.newaxis]).numpy()
        return scores

    return run


def _scikit_image(x: Patches, y: Patches) -> Patches:
    similarity = importlib.import_module("skimage.metrics").structural_similarity
    return np.array(
        [
            1.0
            - similarity(
                a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            for a, b in zip(x, y, strict=True)
        ],
        np.float32,
    )
