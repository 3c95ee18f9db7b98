"""Types that many modules name alike."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

# Called with how much is done and the total.
Progress: TypeAlias = Callable[[int, int], None]
# float32 (n,P,P), or (n,P,P,1) where a network reads them; in [0,1].
Patches: TypeAlias = npt.NDArray[np.float32]
# (dx, dy, turn) of a product in a frame, pixels and radians; see `_core.Location`.
Pose: TypeAlias = tuple[float, float, float]
# tf.Tensor has no usable stubs.
Tensor: TypeAlias = Any
