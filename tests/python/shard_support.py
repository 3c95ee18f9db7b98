"""Small shards for tests; as a program, writes them until a marker is set, to be killed there.

usage: python shard_support.py FOLDER MARKER
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import vialsight
from vialsight.data import Group, ShardIndex, write_shards

P = 32
COPIED = [[(2, 4, P, P), (4, 44, P, P)], [(50, 4, P, P), (54, 44, P, P)]]
RESAMPLED = [[(2, 4, 40, 36), (4, 44, P, P)], [(50, 4, 40, 36), (54, 44, P, P)]]
FRAMES = (1, 8, 17)
RECORDS_PER_SHARD = 24


def layout(*, bit_depth: int = 8, boxes: list = COPIED) -> vialsight.Layout:
    """Two vials, two regions."""
    return vialsight.Layout(
        name="small", frame_width=96, frame_height=80, frames=3, regions=["top", "bottom"],
        boxes=boxes, patch_size=P, bit_depth=bit_depth,
    )  # fmt: skip


@dataclass(frozen=True)
class Noise:
    """Random frames, the same at every call."""

    seed: int
    bit_depth: int = 8

    def __call__(self) -> list[np.ndarray]:
        random = np.random.default_rng(self.seed)
        dtype = np.uint8 if self.bit_depth == 8 else np.uint16
        return list(random.integers(0, 2**self.bit_depth, (len(FRAMES), 80, 96), dtype))


@dataclass(frozen=True)
class Stuck:
    """Sets a marker and never returns."""

    marker: Path

    def __call__(self) -> list[np.ndarray]:
        self.marker.touch()
        while True:
            time.sleep(1)


def groups(*, bit_depth: int = 8) -> list[Group]:
    """Four train products of two runs and two validation products of one; 12 patches each."""
    runs = [(f"train-{n}", run, "train") for n in range(4) for run in (1, 2)]
    runs += [(f"validation-{n}", 1, "validation") for n in range(2)]
    return [
        Group(
            product=product, run=run, label="nominal", split=split, frames=FRAMES,
            load=Noise(seed, bit_depth),
        )
        for seed, (product, run, split) in enumerate(runs)
    ]  # fmt: skip


def write(folder: Path, chosen: list[Group] | None = None, **changes: object) -> ShardIndex:
    """Write the small shards: two runs each, three of train, one of validation."""
    options = {"source": "small", "records_per_shard": RECORDS_PER_SHARD}
    return write_shards(folder, layout(), chosen or groups(), **(options | changes))


def main() -> None:
    folder, marker = map(Path, sys.argv[1:])
    chosen = groups()
    # The second group of the second shard, so that one shard is complete and one is begun.
    stuck = chosen[3]
    chosen[3] = Group(**{**vars(stuck), "load": Stuck(marker)})
    write(folder, chosen)


if __name__ == "__main__":
    main()
