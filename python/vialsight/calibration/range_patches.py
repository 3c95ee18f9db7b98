"""Nominal patches of a calibration split, to measure on what a network computes with."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vialsight import _core
from vialsight.aliases import Patches
from vialsight.calibration.strip_cutting import StripCutter
from vialsight.data import Dataset
from vialsight.errors import DataError

# Of half as many, ranges of the shipped bundle's network were 3 % narrower on average.
STRIPS: Final = 32


def range_patches(bundle: _core.Bundle, part: Dataset, strips: int = STRIPS) -> Iterator[Patches]:
    """Yield patches (V·R,P,P) of every frame of some nominal strips of `part`, evenly spread.

    Raises DataError where there are none, and for images that cannot be used.
    """
    nominal = [strip for strip in part.strips() if not strip.defective]
    if not nominal:
        raise DataError(
            "expected nominal strips in the calibration split, on which the ranges of integers are "
            "measured, found none; calibrate on a set that holds some"
        )
    cutter = StripCutter(bundle)
    count = min(strips, len(nominal))
    for place in np.linspace(0, len(nominal) - 1, count).round().astype(int):
        cut = cutter.cut(nominal[place])
        # None are only defective strips.
        yield from () if cut is None else cut.patches
