"""Reads patches from TFRecord shards: any of them, in any order, from any thread."""

import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt

from vialsight._core import Layout
from vialsight.aliases import Patches, Progress
from vialsight.data.locators import FOLDER_NAME, kept_locator
from vialsight.data.pixels import DTYPES, Normaliser, check_indices, dtype_name
from vialsight.data.shards.index import (
    FRAMING_BYTES,
    HEADER_BYTES,
    INDEX_NAME,
    Shard,
    ShardIndex,
    check_sizes,
    read_index,
    size_problem,
)
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.locator import ProductLocator

_MASK_DELTA: Final = 0xA282EAD8


@dataclass(frozen=True)
class ShardFolder:
    """An index whose shards are all there, at their right sizes."""

    path: Path
    index: ShardIndex

    @cached_property
    def layout(self) -> Layout:
        """The layout the patches were cut with."""
        return self.index.parsed_layout()

    @cached_property
    def locator(self) -> ProductLocator | None:
        """The one the patches were located with, None where they were not.

        Raises DataError when it is missing, damaged or another one.
        """
        if self.index.locator is None:
            return None
        found = kept_locator(self.path)
        if found is None or found.sha256 != self.index.locator:
            raise DataError(
                f"{self.path / FOLDER_NAME}: expected the locator {self.index.locator} of "
                f"{INDEX_NAME}, got {found and found.sha256}; restore it or pack again"
            )
        return found

    def products(self, split: str, label: str) -> list[str]:
        """Names of the products of a split with this label."""
        named: dict[Any, Any] = dict(self.index.products)
        return list(named.get(split, {}).get(label, ()))

    def patches(self, split: str) -> "ShardPatches":
        """Return the patches of a split. Raises DataError when it has none."""
        shards = [shard for shard in self.index.shards if shard.split == split]
        if not shards:
            raise DataError(
                f"{self.path}: split {split!r} has no shards; it has "
                f"{', '.join(self.index.products)}"
            )
        return ShardPatches(self.path, self.layout, shards)


def open_shards(folder: Path) -> ShardFolder:
    """Open a folder of shards; raises DataError unless index, sizes and locator are right."""
    index = read_index(folder)
    check_sizes(folder, index)
    shards = ShardFolder(folder, index)
    _ = shards.locator
    return shards


def check_shards(folder: Path, *, progress: Progress | None = None) -> list[str]:
    """Compare every shard with its SHA-256 in the index; return what is wrong, naming records.

    `progress(done, total)` counts shards. Raises DataError when the index itself is not usable.
    """
    index = read_index(folder)
    problems = _locator_problems(ShardFolder(folder, index))
    for number, shard in enumerate(index.shards, start=1):
        problems += _problems(folder, shard)
        if progress is not None:
            progress(number, len(index.shards))
    return problems


class ShardPatches:
    """The patches of some shards, in their order. A `PatchSource`.

    Nothing is kept open or in memory between two reads: a shard is opened for the records wanted of
    it, so that the number of open files is that of the threads that read, however many shards.
    """

    block_patches: int | None = None

    def __init__(self, folder: Path, layout: Layout, shards: Sequence[Shard]) -> None:
        self._folder, self._shards, self._layout = folder, shards, layout
        self._starts = np.cumsum([0, *(shard.records for shard in shards)])
        self._places = [_Places.of(shard) for shard in shards]
        self._parser = _Parser(layout)

    @property
    def patch_size(self) -> int:
        """P, edge of a patch in pixels."""
        return self._layout.patch_size

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, indices: npt.NDArray[np.int64]) -> Patches:
        """Return the patches at `indices`, int64 (n,), as float32 (n,P,P) in [0,1].

        Raises IndexError for an index outside [0, len), DataError naming shard and record when a
        record is damaged.
        """
        check_indices(indices, len(self))
        result = np.empty((len(indices), self.patch_size, self.patch_size), np.float32)
        rows_of: dict[int, list[int]] = defaultdict(list)
        for row, shard in enumerate(np.searchsorted(self._starts, indices, side="right") - 1):
            rows_of[int(shard)].append(row)
        for shard, rows in rows_of.items():
            numbers = indices[rows] - self._starts[shard]
            for row, patch in zip(rows, self._read(shard, numbers), strict=True):
                result[row] = patch
        return result

    def _read(self, shard: int, numbers: npt.NDArray[np.int64]) -> Iterator[Patches]:
        path, places = self._folder / self._shards[shard].name, self._places[shard]
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file; restore it, or pack the data again") from error
        try:
            for number in numbers:
                yield self._record(descriptor, int(number), places)
        except _Damaged as error:
            raise DataError(
                f"{path}: record {error.record} of {places.records} {error}; restore the shard, "
                "or pack the data again (`vialsight shards check` finds every damaged shard)"
            ) from error
        finally:
            os.close(descriptor)

    def _record(self, descriptor: int, number: int, places: "_Places") -> Patches:
        offset, length = places[number]
        try:
            data = _checked(os.pread(descriptor, length + FRAMING_BYTES, offset), length)
            return self._parser(data, place=number % self._layout.patches_per_frame)
        except ValueError as error:
            raise _Damaged(number, str(error)) from error


class _Damaged(Exception):
    """A record is not as it was written."""

    def __init__(self, record: int, problem: str) -> None:
        super().__init__(problem)
        self.record = record


@dataclass(frozen=True)
class _Places:
    """Where the records of a shard lie: per stretch of equally long ones its start."""

    firsts: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    records: int

    @classmethod
    def of(cls, shard: Shard) -> "_Places":
        counts, lengths = np.array(shard.lengths, np.int64).T
        return cls(
            firsts=np.cumsum([0, *counts[:-1]]),
            offsets=np.cumsum([0, *(counts * (lengths + FRAMING_BYTES))[:-1]]),
            lengths=lengths,
            records=shard.records,
        )

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Return offset and length of a record's data in bytes; the offset is of its framing."""
        stretch = int(np.searchsorted(self.firsts, number, side="right")) - 1
        length = int(self.lengths[stretch])
        before = number - int(self.firsts[stretch])
        return int(self.offsets[stretch]) + before * (length + FRAMING_BYTES), length


def _checked(record: bytes, length: int) -> bytes:
    """Return the data of a framed record; raises ValueError saying what is wrong with it."""
    if len(record) != length + FRAMING_BYTES:
        raise ValueError(f"is cut off: {len(record)} of {length + FRAMING_BYTES} bytes")
    found, length_crc = struct.unpack_from("<QI", record)
    (data_crc,) = struct.unpack_from("<I", record, HEADER_BYTES + length)
    if length_crc != _masked_crc(record[:8]) or found != length:
        raise ValueError("has a damaged header")
    data = record[HEADER_BYTES : HEADER_BYTES + length]
    if data_crc != _masked_crc(data):
        raise ValueError("is damaged (its CRC is wrong)")
    return data


def _masked_crc(data: bytes) -> int:
    """CRC-32C as TFRecord keeps it: rotated right by 15 bits, plus a constant."""
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class _Parser:
    """From the data of a record to its patch."""

    def __init__(self, layout: Layout) -> None:
        from vialsight.pinned import tf

        self._example = tf.train.Example
        self._size = layout.patch_size
        self._dtype = np.dtype(DTYPES[dtype_name(layout)])
        self._regions = len(layout.regions)
        self._normalise = Normaliser(layout)

    def __call__(self, data: bytes, *, place: int) -> Patches:
        """Return the patch float32 (P,P); raises ValueError when it is not the one of `place`.

        `place` is vial · R + region within the frame.
        """
        feature = self._features(data)
        found, expected = self._vial_and_region(feature), divmod(place, self._regions)
        if found != expected:
            raise ValueError(f"is of vial and region {found}, expected {expected}")
        pixels = list(feature["patch"].bytes_list.value) if "patch" in feature else []
        size = self._size**2 * self._dtype.itemsize
        if len(pixels) != 1 or len(pixels[0]) != size:
            raise ValueError(f"holds no patch of {size} bytes")
        patch = np.frombuffer(pixels[0], self._dtype).reshape(self._size, self._size)
        return self._normalise(patch)

    def _features(self, data: bytes) -> Any:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            return self._example.FromString(data).features.feature
        except DecodeError as error:
            raise ValueError(f"is no tf.train.Example ({error})") from error

    @staticmethod
    def _vial_and_region(feature: Any) -> tuple[int, ...]:
        names = [name for name in ("vial", "region") if name in feature]
        return tuple(value for name in names for value in feature[name].int64_list.value)


def _locator_problems(shards: ShardFolder) -> list[str]:
    try:
        _ = shards.locator
    except DataError as error:
        return [str(error)]
    return []


def _problems(folder: Path, shard: Shard) -> list[str]:
    path = folder / shard.name
    if problem := size_problem(path, shard):
        return [problem]
    if atomic.file_sha256(path) == shard.sha256:
        return []
    return [f"{shard.name}: its SHA-256 is not that of the index{_first_damage(path, shard)}"]


def _first_damage(path: Path, shard: Shard) -> str:
    places = _Places.of(shard)
    with path.open("rb") as file:
        for number in range(shard.records):
            offset, length = places[number]
            file.seek(offset)
            try:
                _checked(file.read(length + FRAMING_BYTES), length)
            except ValueError as error:
                return f"; record {number} {error}"
    return "; every record is whole: it is another shard"
