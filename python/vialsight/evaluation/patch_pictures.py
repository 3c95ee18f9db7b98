"""Pictures an evaluation takes on its way: of every wrong verdict, and samples of right ones."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Pose
from vialsight.data import DEFECTIVE, Record, Strip, load_mask
from vialsight.data.posed_masks import mask_in_patch
from vialsight.evaluation.evidence import NOT_LOCATED, TRUTH_NAMES, Picture
from vialsight.files import atomic
from vialsight.line.inspection import poses_of
from vialsight.line.pictures import encoded, fixed_heatmap, picture_of

MISS: Final = "miss"
FALSE_REJECT: Final = "false_reject"
SAMPLE: Final = "sample"


class PictureTaker:
    """Chooses and writes pictures of the strip an inspector inspected last.

    Of a miss: the defective patch that came nearest to its threshold, where it is known which
    are. Of a false reject: the patch furthest above. Samples: a nominal patch of each region, and
    of each kind of defect the first one found.

    Args:
        inspector: whose last strip is pictured.
        folder: where; it exists.
        kinds: class of defect of products, where known.
    """

    def __init__(self, inspector: _core.Inspector, folder: Path, kinds: dict[str, str]) -> None:
        self.pictures: list[Picture] = []
        self._inspector, self._folder, self._kinds = inspector, folder, kinds
        self._layout = inspector.bundle.layout

    def take(self, strip: Strip, verdict: _core.StripVerdict, truth: npt.NDArray[np.int8]) -> None:
        """Take the pictures this strip deserves; truth int8 (F,V,R).

        None of a product that was not located: its patches show no place of it.
        """
        if verdict.reason == NOT_LOCATED:
            return
        seen = _Seen(strip, verdict, truth)
        if verdict.accepted == strip.defective:
            self._write(MISS if strip.defective else FALSE_REJECT, seen, seen.telling_place())
        elif strip.defective:
            self._sample_defective(seen)
        else:
            self._sample_nominal(seen)

    def _sample_defective(self, seen: "_Seen") -> None:
        kind = self._kinds.get(seen.strip.product, "")
        shown = {
            self._kinds.get(picture.product, "")
            for picture in self.pictures
            if picture.purpose == SAMPLE and picture.defective is not False
        }
        if kind not in shown:
            self._write(SAMPLE, seen, seen.telling_place())

    def _sample_nominal(self, seen: "_Seen") -> None:
        shown = {p.region for p in self.pictures if p.purpose == SAMPLE and p.defective is False}
        for region, name in enumerate(self._layout.regions):
            if name not in shown:
                self._write(SAMPLE, seen, (0, 0, region))

    def _write(self, purpose: str, seen: "_Seen", place: tuple[int, int, int]) -> None:
        frame, vial, region = place
        images = self._inspector.images(frame, vial, region)
        score_map = self._inspector.map(frame, vial, region)
        if images is None or score_map is None:
            return
        pose = poses_of(seen.verdict)[frame]
        mask = patch_mask(seen.strip.records[frame], self._layout, vial, region, pose=pose)
        heat = fixed_heatmap(self._inspector.bundle, region, score_map)
        file = f"{len(self.pictures) + 1:05}.webp"
        content = encoded(picture_of(*images, heat, mask), "WEBP")
        atomic.write_bytes(self._folder / file, content)
        known = {"defective": True, "nominal": False}
        self.pictures.append(
            Picture(
                file=file,
                purpose=purpose,
                product=seen.strip.product,
                run=seen.strip.run,
                frame=frame + 1,
                vial=vial + 1,
                region=self._layout.regions[region],
                score=float(seen.verdict.scores[place]),
                threshold=float(seen.verdict.thresholds[region]),
                defective=known.get(TRUTH_NAMES[int(seen.truth[place])]),
            )
        )


@dataclass(frozen=True)
class _Seen:
    """A strip as the core saw it; truth int8 (F,V,R)."""

    strip: Strip
    verdict: _core.StripVerdict
    truth: npt.NDArray[np.int8]

    def telling_place(self) -> tuple[int, int, int]:
        """Return frame, vial and region of the patch furthest above its threshold.

        Of a defective strip only patches known to be defective count, where any is known.
        """
        margins = self.verdict.scores.astype(np.float64) - np.asarray(self.verdict.thresholds)
        known = self.truth == DEFECTIVE
        if known.any():
            margins = np.where(known, margins, -np.inf)
        frame, vial, region = np.unravel_index(int(margins.argmax()), margins.shape)
        return int(frame), int(vial), int(region)


def patch_mask(
    record: Record, layout: Layout, vial: int, region: int, *, pose: Pose | None = None
) -> npt.NDArray[np.bool_] | None:
    """Return the defect's mask in a patch, bool (P,P); None where it has none.

    The patch was cut at `pose`, or without one where the layout has its box.
    """
    if record.mask is None:
        return None
    if pose is not None:
        seen = mask_in_patch(_frame_mask(record.mask), layout, vial, region, pose=pose)
        return seen if seen.any() else None
    x, y, width, height = layout.box(vial, region)
    box = _frame_mask(record.mask)[y : y + height, x : x + width]
    # A cell of the patch is defective when any of its pixels is: thin scratches stay whole.
    rows, columns = (np.arange(layout.patch_size) * side // layout.patch_size for side in box.shape)
    mask = np.logical_or.reduceat(np.logical_or.reduceat(box, rows, 0), columns, 1)
    return mask if mask.any() else None


@lru_cache(maxsize=8)
def _frame_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask once for all patches of its frame."""
    return load_mask(path)
