"""The ranges of tensors within a frozen graph, on patches that are run through it."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Patches
from vialsight.pinned import tf

Numbers = npt.NDArray[np.float32]


def measured_ranges(
    graph_def: bytes, input_name: str, names: Sequence[str], batches: Iterable[Patches]
) -> tuple[dict[str, tuple[float, float]], int]:
    """Return least and greatest value of the tensors `names`, and the number of patches.

    `batches` are patches (n,P,P) in [0,1]. Raises ValueError where there are none.
    """
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(graph_def), name="")
        tensors = [graph.get_tensor_by_name(f"{name}:0") for name in names]
        extremes = [tf.stack([tf.reduce_min(t), tf.reduce_max(t)]) for t in tensors]
        fetched = tf.stack(extremes)
    found: list[Numbers] = []
    count = 0
    with tf.compat.v1.Session(graph=graph) as session:
        for patches in batches:
            found.append(session.run(fetched, {f"{input_name}:0": patches[..., np.newaxis]}))
            count += len(patches)
    if not found:
        raise ValueError("expected patches to measure ranges on, got none")
    low = np.min([each[:, 0] for each in found], axis=0)
    high = np.max([each[:, 1] for each in found], axis=0)
    return {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}, count
