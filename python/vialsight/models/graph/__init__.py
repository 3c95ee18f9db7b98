"""Rewrites frozen graphs to compute the same faster: exact in real arithmetic, proven by running.

`optimised_graph` is the way in; a rewriting is a function from an `EditableGraph` to the number of
places it changed (`rewritings.py` lists them in their order).
"""

from vialsight.models.graph.editable import UnsupportedGraphError
from vialsight.models.graph.rewritings import REWRITINGS, described, optimised_graph

__all__ = ["REWRITINGS", "UnsupportedGraphError", "described", "optimised_graph"]
