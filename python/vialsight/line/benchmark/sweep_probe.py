"""Batches scored in a process of its own: `python -m … BUNDLE THREADS`.

Reads a batch size from each line of stdin; prints the milliseconds that it took, on a line.
"""

import sys
from functools import partial
from pathlib import Path

from vialsight import _core
from vialsight.line.benchmark.sweep import real_patches
from vialsight.line.benchmark.turns import milliseconds


def main() -> None:
    """Score as asked, until stdin ends."""
    path, threads = sys.argv[1:]
    bundle = _core.Bundle.load(Path(path))
    inspector = _core.Inspector(bundle, threads=int(threads), require_thresholds=False)
    for line in sys.stdin:
        patches = real_patches(bundle, int(line))
        score = partial(inspector.score_patches, patches, batch_size=len(patches))
        print(milliseconds(score), flush=True)


if __name__ == "__main__":
    main()
