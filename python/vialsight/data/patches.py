"""Patches of a dataset, extracted through the C++ core, for training and calibration."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.data.cutting import FrameCutter, naming
from vialsight.data.dataset import Dataset, patch_truth
from vialsight.data.images import read_frame
from vialsight.data.pixels import Pixels, check_indices
from vialsight.data.posed_masks import pose_of
from vialsight.data.records import Record
from vialsight.data.sources import PatchSource
from vialsight.errors import DataError
from vialsight.locator import ProductLocator

DEFAULT_CACHE_BYTES: Final = 512 * 2**20


class DatasetPatches:
    """All V·R patches of every record, in the order of records, vials, regions.

    A `PatchSource`. Threads may read at the same time. The patches of recently used frames stay in
    memory, up to `cache_bytes`.
    """

    block_patches: int | None = None

    def __init__(
        self,
        dataset: Dataset,
        *,
        locator: ProductLocator | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        """Raise DataError unless `locator` is what the layout's `locate` asks for."""
        self._dataset = dataset
        self._cutter = FrameCutter(dataset.layout, locator)
        self._cache = _PatchCache(cache_bytes)

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""
        return self._dataset.layout.patch_size

    @property
    def regions(self) -> npt.NDArray[np.int64]:
        """Index of each patch's region, (n,)."""
        layout = self._dataset.layout
        one_frame = np.tile(np.arange(len(layout.regions), dtype=np.int64), layout.vials)
        return np.tile(one_frame, len(self._dataset.records))

    @property
    def truth(self) -> npt.NDArray[np.int8]:
        """NOMINAL, DEFECTIVE or UNKNOWN for each patch, (n,); see `patch_truth`.

        Raises DataError for an image whose mask counts and whose product is not found.
        """
        return np.concatenate([self._truth(record).ravel() for record in self._dataset.records])

    def __len__(self) -> int:
        return len(self._dataset.records) * self._dataset.layout.patches_per_frame

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices`, int64 (n,), as float32 (n,P,P) in [0,1].

        Raises IndexError for an index outside [0, len), DataError for an unusable image.
        """
        check_indices(indices, len(self))
        size, per_frame = self.patch_size, self._dataset.layout.patches_per_frame
        result = np.empty((len(indices), size, size), np.float32)
        frames, places = np.divmod(indices, per_frame)
        for frame in np.unique(frames):
            rows = np.flatnonzero(frames == frame)
            result[rows] = self._frame_patches(int(frame))[places[rows]]
        return result

    def _frame_patches(self, index: int) -> Patches:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        patches = self._extract(index)
        self._cache.put(index, patches)
        return patches

    def _extract(self, index: int) -> Patches:
        image = self._dataset.records[index].image
        frame = self._load(image)
        with naming(image):
            return self._cutter.cut(frame).patches

    def _truth(self, record: Record) -> npt.NDArray[np.int8]:
        layout = self._dataset.layout
        if layout.locate == "none" or not record.defective or record.mask is None:
            return patch_truth(record, layout)
        frame = self._load(record.image)
        with naming(record.image):
            location = self._cutter.locate(frame)
        return patch_truth(record, layout, None if location is None else pose_of(location))

    def _load(self, image: Path) -> Pixels:
        return read_frame(image, self._dataset.layout)


def first_of_each_region(
    sources: Sequence[PatchSource], layout: Layout, *, count: int, name: str
) -> Patches:
    """Return the first `count` patches of each region, float32 (R,count,P,P), source by source.

    Raises DataError, naming the data, when all sources together hold too few.
    """
    regions = len(layout.regions)
    here = sum(len(source) for source in sources) // regions
    if here < count:
        raise DataError(
            f"{name}: expected at least {count} patches of every region in validation "
            f"and train, to prove the bundle with; got {here}"
        )
    parts, missing = [], count
    for source in sources:
        taken = min(len(source) // regions, missing)
        # Regions are the fastest index of every source.
        patches = source.read(np.arange(taken * regions))
        parts.append(patches.reshape(taken, regions, *patches.shape[1:]))
        missing -= taken
    return np.ascontiguousarray(np.concatenate(parts).swapaxes(0, 1))


class _PatchCache:
    """Least recently used arrays, bounded in bytes."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._used = 0
        self._arrays: OrderedDict[int, Patches] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: int) -> Patches | None:
        with self._lock:
            if key not in self._arrays:
                return None
            self._arrays.move_to_end(key)
            return self._arrays[key]

    def put(self, key: int, array: Patches) -> None:
        with self._lock:
            if key in self._arrays or array.nbytes > self._capacity:
                return
            self._arrays[key] = array
            self._used += array.nbytes
            while self._used > self._capacity:
                self._used -= self._arrays.popitem(last=False)[1].nbytes
