#!/usr/bin/env python3
"""Measures the data path: patches per second from shards against training, and memory.

usage: tools/benchmark_data.py [--folder DIR] [--steps N] [--batches N] [--memory-batches N]
                               [--repeats N] [--json]

Writes two shards of random 256x256 patches (3,600 and 2,800 records, 420 MB) into DIR (default: a
temporary folder) and measures, in one process, on this machine:
- reading: batches of 32 in the order of a training, through tf.data, cold (the shards' pages are
  dropped from the page cache first; the storage below may have caches of its own) and warm;
  200 batches are one pass, so that no record is read twice while cold;
- training: steps of drae-64 on patches of 256x256, batch 32, float32, fed from the same shards.
And memory: resident memory after reading --memory-batches batches through an index of 10,000 and
one of 2,815,200 records (hard links to the same shards), each in a fresh process, in turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

SIZE: Final = 256
BATCH: Final = 32
REGIONS: Final = 4
VIALS: Final = 5
PER_IMAGE: Final = REGIONS * VIALS
SHARD_RECORDS: Final = (3600, 2800)
SMALL: Final = (2, 1)  # shards of each kind: 10,000 records
LARGE: Final = (782, 0)  # 2,815,200 records, as many as the paper's
MIB: Final = 2**20


@dataclass(frozen=True)
class RandomImages:
    """Frames of random pixels for one group."""

    seed: int
    count: int
    width: int

    def __call__(self) -> list[np.ndarray]:
        random = np.random.default_rng(self.seed)
        shape = (VIALS * SIZE, self.width)
        return [random.integers(0, 256, shape, np.uint8) for _ in range(self.count)]


def write_shards(folder: Path) -> None:
    """Write one shard of each size."""
    import vialsight
    from vialsight import data

    layout = vialsight.Layout(
        name="benchmark",
        frame_width=REGIONS * SIZE,
        frame_height=VIALS * SIZE,
        regions=[f"region {n}" for n in range(REGIONS)],
        boxes=[[(r * SIZE, v * SIZE, SIZE, SIZE) for r in range(REGIONS)] for v in range(VIALS)],
        patch_size=SIZE,
    )
    groups = []
    for number, records in enumerate(SHARD_RECORDS):
        images = records // PER_IMAGE
        groups.append(
            data.Group(
                product=f"random-{number}",
                run=1,
                label="nominal",
                split="train",
                frames=tuple(range(1, images + 1)),
                load=RandomImages(number, images, REGIONS * SIZE),
            )
        )
    data.write_shards(
        folder, layout, groups, source="benchmark", records_per_shard=min(SHARD_RECORDS)
    )


def link_shards(shards: Path, folder: Path, copies: tuple[int, ...]) -> None:
    """Make a folder of hard links and the index of so many copies of each shard."""
    from vialsight.data import read_index
    from vialsight.data.shards.index import new_index, write_index

    index = read_index(shards)
    folder.mkdir()
    entries = []
    for shard, count in zip(index.shards, copies, strict=True):
        for _ in range(count):
            name = f"shard-{len(entries):05d}.tfrecord"
            os.link(shards / shard.name, folder / name)
            entries.append({**shard.model_dump(mode="json"), "name": name})
    products = {"train": {"nominal": ["random"]}}
    layout = index.parsed_layout()
    write_index(folder, new_index(layout, plan=index.plan, products=products, shards=entries))


def batches(folder: Path, *, steps: int, first: int = 0) -> Iterator[Any]:
    """Batches as a training gets them."""
    from vialsight.data import open_shards
    from vialsight.pinned import tf
    from vialsight.training.batches import Batches, Order

    source = open_shards(folder).patches("train")
    order = Order(patches=len(source), batch_size=BATCH, seed=0)
    pipeline = Batches(source, order).dataset_function(first, first + steps, 1)
    return iter(pipeline(tf.distribute.InputContext()))


def drop_pages(folder: Path) -> None:
    """Forget the shards in the page cache."""
    for path in folder.glob("*.tfrecord"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def reading_rate(folder: Path, steps: int) -> float:
    """Patches per second, opening the index not counted."""
    source = batches(folder, steps=steps)
    begin = time.perf_counter()
    count = sum(int(batch.images.shape[0]) for batch in source)
    return count / (time.perf_counter() - begin)


def training_rates(folder: Path, steps: int) -> list[float]:
    """Patches per second of each step after the first, which builds the graph."""
    from vialsight.models.configuration import load_config
    from vialsight.models.drae.adversaries import Pace
    from vialsight.models.drae.step import Step
    from vialsight.pinned import tf

    config = load_config(None, ["model.preset=drae-64", f"training.batch_size={BATCH}"])
    step = Step(config, SIZE, replicas=1)
    pace = Pace(*(tf.constant(value, tf.float32) for value in (1e-4, 1e-4, 1.0)))
    compiled = tf.function(lambda batch: step(batch, pace), autograph=False)
    rates = []
    for batch in batches(folder, steps=steps + 1):
        begin = time.perf_counter()
        compiled(batch).numpy()
        rates.append(BATCH / (time.perf_counter() - begin))
    return rates[1:]


def resident_mib(folder: Path, steps: int) -> dict[str, float]:
    """Read in this process; return its resident memory at the end and at most, in MiB."""
    for _ in batches(folder, steps=steps):
        pass
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {
        key: int(values[name].split()[0]) / 1024
        for key, name in (("end", "VmRSS"), ("peak", "VmHWM"))
    }


def resident_mib_elsewhere(folder: Path, steps: int) -> dict[str, float]:
    """Do the same in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", str(folder), "--batches", str(steps)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as JSON."""
    from vialsight.line.machine import machine

    shards = folder / "shards"
    say("writing shards")
    write_shards(shards)
    drop_pages(shards)
    say("reading")
    cold = reading_rate(shards, options.batches)
    warm = [reading_rate(shards, options.batches) for _ in range(options.repeats)]
    memory: dict[str, list[dict[str, float]]] = {"small": [], "large": []}
    for name, copies in (("small", SMALL), ("large", LARGE)):
        link_shards(shards, folder / name, copies)
    for _ in range(options.repeats):
        for name, found in memory.items():
            say(f"memory, {name} index")
            found.append(resident_mib_elsewhere(folder / name, options.memory_batches))
    say(f"training {options.steps} steps")
    training = training_rates(shards, options.steps)
    small, large = (max(run["peak"] for run in memory[name]) for name in ("small", "large"))
    consumed = sum(training) / len(training)
    return {
        "machine": machine(0),
        "patches_per_second": {"read_cold": cold, "read_warm": warm, "trained": training},
        "read_over_trained": {"cold": cold / consumed, "warm": min(warm) / consumed},
        "resident_mib": {
            "batches": options.memory_batches,
            "records_10000": memory["small"],
            "records_2815200": memory["large"],
            "peak_ratio": large / small,
        },
    }


def print_result(result: dict[str, Any]) -> None:
    """For people."""
    rates, ratio, memory = (
        result[key] for key in ("patches_per_second", "read_over_trained", "resident_mib")
    )
    print(f"machine            {result['machine']['cpu']}, {result['machine']['cores']} cores")
    print(f"read, cold         {rates['read_cold']:8.0f} patches/s  ({ratio['cold']:.0f}x trained)")
    warm = " ".join(f"{rate:.0f}" for rate in rates["read_warm"])
    print(f"read, warm         {warm:>8} patches/s  (slowest: {ratio['warm']:.0f}x trained)")
    print(f"drae-64 trained    {' '.join(f'{rate:.2f}' for rate in rates['trained'])} patches/s")
    for name in ("records_10000", "records_2815200"):
        runs = ", ".join(f"{run['end']:.1f} (peak {run['peak']:.1f})" for run in memory[name])
        print(f"{name:<18} {runs} MiB resident after {memory['batches']} batches")
    print(f"peak, large/small  {memory['peak_ratio']:.4f}")


def say(text: str) -> None:
    """Tell what goes on."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run as the module's text says; exit 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, help="where the shards go; default: temporary")
    parser.add_argument("--steps", type=int, default=3, help="training steps that count")
    parser.add_argument("--batches", type=int, default=200, help="of each reading")
    parser.add_argument("--memory-batches", type=int, default=600, help="read for memory")
    parser.add_argument("--repeats", type=int, default=2, help="of warm reading and of memory")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if options.memory_of is not None:
        print(json.dumps(resident_mib(options.memory_of, options.batches)))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(Path(folder), options)
    print(json.dumps(result, indent=2)) if options.json else print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
