"""VialSight: inline visual inspection, trained in Python and proven equal in C++.

Importing this package loads the C++ core and NumPy, never TensorFlow.
"""

from pathlib import Path

from vialsight import _core
from vialsight._core import (
    Bundle,
    Health,
    Inspector,
    Layout,
    Score,
    Statistics,
    StripVerdict,
    box_corners,
    decide,
    extract_patches,
    heatmap,
    score,
    ssim,
)

__version__: str = _core.__version__

__all__ = [
    "Bundle",
    "Health",
    "Inspector",
    "Layout",
    "Score",
    "Statistics",
    "StripVerdict",
    "__version__",
    "box_corners",
    "cmake_dir",
    "decide",
    "extract_patches",
    "heatmap",
    "score",
    "ssim",
]


def cmake_dir() -> Path:
    """Folder to put into CMAKE_PREFIX_PATH so that `find_package(vialsight CONFIG)` finds us."""
    return Path(_core.__file__).resolve().parent
