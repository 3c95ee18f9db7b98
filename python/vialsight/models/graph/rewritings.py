"""All rewritings, in their order, and the way through them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from vialsight.models.graph.editable import EditableGraph
from vialsight.models.graph.normalisations import add_biases_plainly, fold_batch_norms
from vialsight.models.graph.simplifying import (
    cancel_transposes,
    drop_identities,
    fold_constants,
    join_reshapes,
    make_shapes_constant,
    share_equals,
    slice_what_was_joined,
)
from vialsight.models.graph.upsamplings import (
    convolve_before_doubling,
    straighten_transposed,
)

# By name: what it does, and what it is said to have changed, in the order they are done in.
_STEPS: Final[dict[str, tuple[Callable[[EditableGraph], int], str]]] = {
    "identities": (drop_identities, "identities dropped"),
    "constants": (fold_constants, "constants folded"),
    "equals": (share_equals, "operations shared"),
    "shapes": (make_shapes_constant, "shapes made constant"),
    "reshapes": (join_reshapes, "reshapes joined"),
    "transposes": (cancel_transposes, "transposes cancelled"),
    "slices": (slice_what_was_joined, "slices of joined tensors taken before joining"),
    "transposed": (straighten_transposed, "transposed convolutions made convolutions"),
    "doubling": (convolve_before_doubling, "convolutions taken before doubling"),
    "biases": (add_biases_plainly, "biases named"),
    "batch_norms": (fold_batch_norms, "batch norms folded"),
}
REWRITINGS: Final = tuple(_STEPS)
# A rewriting may open the way for itself; far more rounds than any of ours take.
_ROUNDS: Final = 20


def optimised_graph(
    graph_def: bytes,
    input_name: str,
    output_names: Sequence[str],
    *,
    rewritings: Collection[str] = REWRITINGS,
) -> tuple[bytes, dict[str, int]]:
    """Return a frozen graph rewritten to compute the same faster, and how often each was done.

    `graph_def` is a serialised GraphDef of a network (n,P,P,1) to outputs; input and outputs keep
    names, shapes and types, and any batch n is taken as before. `rewritings` are some of
    `REWRITINGS`. Equal in real arithmetic: rounding differs where kernels are scaled or summed.
    Raises UnsupportedGraphError, a ValueError, for a graph that no method of ours makes.
    """
    graph = EditableGraph(graph_def, input_name, output_names)
    counts = {}
    for name, (rewrite, _) in _STEPS.items():
        counts[name] = _repeated(graph, rewrite) if name in rewritings else 0
    return graph.serialised(), {name: count for name, count in counts.items() if count}


def _repeated(graph: EditableGraph, rewrite: Callable[[EditableGraph], int]) -> int:
    total = 0
    for _ in range(_ROUNDS):
        changed = rewrite(graph)
        if not changed:
            break
        graph.tidy()
        total += changed
    return total


def described(counts: Mapping[str, int]) -> str:
    """Return counts of `optimised_graph` as a text."""
    return ", ".join(
        f"{counts[name]} {text}" for name, (_, text) in _STEPS.items() if counts.get(name)
    )
