"""Ids of nodes: asyncua wants its own kinds of integers and texts in their types, and takes any."""

from typing import Any

from asyncua import ua


def node_id(identifier: int | str | bytes, index: int = 0) -> ua.NodeId:
    """Return the id of a node; 0 is the namespace of OPC UA itself."""
    given: Any = identifier
    return ua.NodeId(given, ua.Int16(index))
