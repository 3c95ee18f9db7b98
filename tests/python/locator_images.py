"""A small product drawn in NumPy, for tests of the locator that need no simulator."""

from collections.abc import Sequence

import numpy as np

from vialsight.data.shards.plan import Group

HEIGHT, WIDTH = 96, 128
# Where blobs lie about the frame's centre, their radius and how dark they are.
BLOBS = (
    (-30.0, -14.0, 9.0, 0.5),
    (24.0, -8.0, 7.0, 0.4),
    (-6.0, 18.0, 11.0, 0.6),
    (34.0, 20.0, 6.0, 0.5),
)


def drawn(pose: Sequence[float], *, noise: int | None = None) -> np.ndarray:
    """Frame uint8 (HEIGHT,WIDTH) of the product at (dx, dy, turn) as SPEC §1 has it."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    x, y = columns + 0.5 - WIDTH / 2, rows + 0.5 - HEIGHT / 2
    dx, dy, turn = pose
    frame = np.full((HEIGHT, WIDTH), 0.85)
    for u, v, radius, depth in BLOBS:
        distance = np.hypot(x - (u + dx + turn * v), y - (v + dy - turn * u))
        frame -= depth / (1.0 + np.exp((distance - radius) / 1.5))
    if noise is not None:
        frame += np.random.default_rng(noise).normal(0.0, 0.01, frame.shape)
    return np.asarray(np.clip(np.round(frame * 255), 0, 255), np.uint8)


def group(number: int, frames: Sequence[np.ndarray]) -> Group:
    """Return a nominal training group of these frames."""
    return Group(
        product=f"product-{number:03d}",
        run=1,
        label="nominal",
        split="train",
        frames=tuple(range(1, len(frames) + 1)),
        load=lambda: list(frames),
    )
