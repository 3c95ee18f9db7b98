"""Counting values of any range in bounded memory: bins that are equally wide relative to a value.

Between 2^-16 and 2^16 each octave of either sign has 2^`octave_bits` bins; what is smaller shares
one bin about 0, what is larger the outermost ones. A bin's number grows with the value.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_EXPONENT: Final = 16
_OCTAVES: Final = 2 * _EXPONENT
_MANTISSA_BITS: Final = 23  # of float32
_SMALLEST: Final = np.float32(2.0**-_EXPONENT)
_LARGEST: Final = np.nextafter(np.float32(2.0**_EXPONENT), np.float32(0))


@dataclass(frozen=True)
class ValueBins:
    """Bins of a width of 2^-`octave_bits` of the value, 0 to 23."""

    octave_bits: int

    @property
    def count(self) -> int:
        """How many bins there are."""
        return 2 * self._half + 1

    def of(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the bin of each finite value, in the shape of `values`."""
        magnitude = np.abs(values, dtype=np.float32)
        bits = np.clip(magnitude, _SMALLEST, _LARGEST).view(np.int32)
        steps = (bits - _SMALLEST.view(np.int32)) >> (_MANTISSA_BITS - self.octave_bits)
        signed = np.where(values < 0, -steps - 1, steps + 1)
        return np.where(magnitude < _SMALLEST, 0, signed).astype(np.int64) + self._half

    def lower(self, number: int) -> float:
        """Return where bin `number` begins, as a finite value."""
        return -self.upper(self.count - 1 - number)

    def upper(self, number: int) -> float:
        """Return where bin `number` ends, as a finite value."""
        place = number - self._half
        if place < 0:
            return -self._edge(-place - 1)
        return self._edge(place)

    @property
    def _half(self) -> int:
        return int(_OCTAVES << self.octave_bits)

    def _edge(self, step: int) -> float:
        """Return the upper end of the `step`-th positive bin; step 0 is the bin about 0."""
        octave, rest = divmod(step, 1 << self.octave_bits)
        return float(2.0 ** (octave - _EXPONENT) * (1.0 + rest / (1 << self.octave_bits)))
