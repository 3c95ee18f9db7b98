"""Rewrites frozen graphs to compute the same faster: exact in real arithmetic, proven by running.

`optimised_graph` is the way in; a rewriting is a function from an `EditableGraph` to the number of
places it changed (`rewritings.py` lists them in their order). `quantised_graph` is no such
rewriting: what it makes computes in integers of 8 bits, and something else.
"""

from vialsight.models.graph.editable import UnsupportedGraphError
from vialsight.models.graph.quantising import quantised_graph
from vialsight.models.graph.rewritings import REWRITINGS, described, optimised_graph

__all__ = [
    "REWRITINGS",
    "UnsupportedGraphError",
    "described",
    "optimised_graph",
    "quantised_graph",
]
