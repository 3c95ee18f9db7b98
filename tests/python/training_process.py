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
IDENTITY = {"data_sha256": "0" * 64, "training_products": ["a"], "folder": "x"}


def waves(count: int) -> np.ndarray:
    """Smooth patches float32 (count,16,16) of random phase."""
    random = np.random.default_rng(4)
    rows, columns = np.indices((SIZE, SIZE))
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
    source = ArrayPatches(waves(24))
    try:
        train(config, source, ArrayPatches(waves(5)), Path(sys.argv[1]), data_identity=IDENTITY)
    except VialSightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
