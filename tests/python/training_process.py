"""A training in a process of its own, to be killed or to be one of several workers.

usage: python training_process.py RUN_DIR [key=value…]; stderr gets every step's losses.
"""

import logging
import sys
from pathlib import Path

import numpy as np

SIZE = 16
COMMON = (
    "model.preset=drae-16",
    "model.batch_norm_momentum=0.9",
    "training.batch_size=4",
    "training.checkpoint_every=3",
    "training.sample_every=100",
)
IDENTITY = {
    "data_sha256": "0" * 64,
    "training_products": ["a"],
    "folder": "x",
    "layout": {"regions": ["odd", "even"]},
}
# GRD-Net on patches it halves five times; what it replays is full after a few steps, and its
# weights are averaged every second one.
GRDNET = (
    "model.method=grdnet",
    "model.preset=line-S",
    "model.components=3",
    "model.replay.patches=6",
    "model.replay.probability=0.9",
    "model.average_cycles=true",
    "schedule.restart_unit=steps",
    "schedule.restart_period=2",
    "schedule.restart_factor=1",
)


def waves(count: int, size: int = SIZE) -> np.ndarray:
    """Smooth patches float32 (count,size,size) of random phase."""
    random = np.random.default_rng(4)
    rows, columns = np.indices((size, size))
    phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    return (0.5 + 0.2 * np.sin(rows / 3 + phase[0]) + 0.2 * np.cos(columns / 4 + phase[1])).astype(
        np.float32
    )


def main() -> int:
    from array_patches import ArrayPatches

    from vialsight.errors import VialSightError
    from vialsight.models.configuration import load_config
    from vialsight.training.loop import train

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vialsight").setLevel(logging.DEBUG)
    config = load_config(None, [*COMMON, *sys.argv[2:]])
    size = 32 if config.model.method == "grdnet" else SIZE
    training, validation = (ArrayPatches(waves(count, size)) for count in (24, 6))
    try:
        train(config, training, validation, Path(sys.argv[1]), data_identity=IDENTITY)
    except VialSightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
