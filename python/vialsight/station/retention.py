"""Deletes pictures that are older, or more, than is kept; an entry says so first."""

import os
from pathlib import Path
from typing import Final

from vialsight.station.config import PicturesSection
from vialsight.station.record.store import RecordStore

_DAY_NS: Final = 24 * 3600 * 10**9
_GIB: Final = 2**30
# In one entry; what is left goes the next time.
_AT_ONCE: Final = 500


def delete_old(store: RecordStore, frames: Path, kept: PicturesSection) -> list[int]:
    """Delete pictures beyond what is kept, the oldest first; return the strips' numbers."""
    files = _files(frames)
    oldest_ns = store.now_ns() - int(kept.keep_days * _DAY_NS)
    left = sum(size for _, size, _ in files)
    aged, crowded, freed = [], [], 0
    for seq, size, modified_ns in files[:_AT_ONCE]:
        if modified_ns < oldest_ns:
            aged.append(seq)
        elif left > kept.max_gib * _GIB:
            crowded.append(seq)
        else:
            break
        left, freed = left - size, freed + size
    deleted = [*aged, *crowded]
    if not deleted:
        return []
    store.append(
        "pictures_deleted",
        "recorder",
        {
            "seqs": deleted, "bytes": freed, "why": {"age": len(aged), "space": len(crowded)},
            "keep_days": kept.keep_days, "max_gib": kept.max_gib,
        },
    )  # fmt: skip
    for seq in deleted:
        (frames / f"{seq:020}.npz").unlink(missing_ok=True)
    return deleted


def remove_unfinished(frames: Path) -> None:
    """Remove files that were being written when the recorder was killed."""
    for path in frames.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _files(frames: Path) -> list[tuple[int, int, int]]:
    """Return number, bytes and time (Unix, ns) of the pictures, by number."""
    found = []
    with os.scandir(frames) as entries:
        for entry in entries:
            stem, _, suffix = entry.name.partition(".")
            if suffix == "npz" and stem.isdecimal():
                status = entry.stat()
                found.append((int(stem), status.st_size, status.st_mtime_ns))
    return sorted(found)
