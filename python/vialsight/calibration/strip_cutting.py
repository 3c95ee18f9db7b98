"""The patches of calibration strips, cut where the line will cut them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.aliases import Patches
from vialsight.data import Strip, read_frame, strip_truth
from vialsight.data.cutting import FrameCutter, NotLocatedError, naming
from vialsight.data.posed_masks import pose_of
from vialsight.errors import DataError
from vialsight.locator import ProductLocator


@dataclass(frozen=True, kw_only=True)
class CutStrip:
    """Patches float32 (V·R,P,P) of each of F frames, and truth int8 (F,V,R) where they were cut."""

    patches: tuple[Patches, ...]
    truth: npt.NDArray[np.int8]


class StripCutter:
    """Cuts strips as the inspector of a bundle does."""

    def __init__(self, bundle: _core.Bundle) -> None:
        self._locator = ProductLocator.of_bundle(bundle)
        self._layout = bundle.layout
        self._cutter = FrameCutter(self._layout, self._locator)

    def cut(self, strip: Strip) -> CutStrip | None:
        """Return the patches of a strip; None for a defective one that the line does not locate.

        The line rejects such a strip whatever its scores would be. Raises DataError for a nominal
        one, and for images that cannot be used.
        """
        try:
            return self._cut(strip)
        except NotLocatedError as error:
            if strip.defective:
                return None
            raise DataError(
                f"{strip.name} is nominal, but the line would reject it: {error}; fit the locator "
                "and train again on data that holds such strips, or take this one out of the "
                "calibration split"
            ) from error

    def _cut(self, strip: Strip) -> CutStrip:
        cuts = []
        for record in strip.records:
            frame = read_frame(record.image, self._layout)
            with naming(record.image):
                cuts.append(self._cutter.cut(frame))
        found = [cut.pose for cut in cuts if cut.pose is not None]
        self._require_agreement(strip, found)
        poses = [pose_of(where) for where in found] or None
        return CutStrip(
            patches=tuple(cut.patches for cut in cuts),
            truth=strip_truth(strip, self._layout, poses),
        )

    def _require_agreement(self, strip: Strip, found: list[_core.Location]) -> None:
        """Raise NotLocatedError where the frames of a strip lie farther apart than the line allows.

        Cut each for itself, they may show different products.
        """
        limits = self._locator
        if limits is None or _core.poses_agree(
            found, apart_px=limits.apart_px, apart_turn=limits.apart_turn
        ):
            return
        places = "; ".join(
            f"{record.image}: {where.dx:.2f}, {where.dy:.2f} px, {1e3 * where.turn:.2f} mrad"
            for record, where in zip(strip.records, found, strict=True)
        )
        raise NotLocatedError(
            f"expected its frames within {limits.apart_px:g} px and {1e3 * limits.apart_turn:g} "
            f"mrad of each other, found them at {places}"
        )


def not_located_notes(products: Sequence[str]) -> list[str]:
    """Say which defective products thresholds were not fitted to, because they were not located."""
    if not products:
        return []
    return [
        f"{len(products)} defective strips were not located ({', '.join(products[:5])}"
        f"{', …' if len(products) > 5 else ''}): the line rejects them whatever their scores, so "
        "thresholds were fitted without them"
    ]
