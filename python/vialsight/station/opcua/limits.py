"""What a client may ask for, so that a hostile one costs the station little.

A PLC, an MES and a few screens connect to a line. Everything beyond that is refused with a status
code that says which limit was met.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Bounds of one server; the defaults are meant for a line."""

    connections: int = 24
    """Of TCP, those without a session included."""
    connections_of_one: int = 16
    """Of TCP, from one address: one host alone takes no places from the others."""
    sessions: int = 48
    """With connections that are gone and may come back within `session_s`."""
    session_s: float = 120.0
    """Without a request, at most; then a session ends."""
    activation_s: float = 10.0
    """From connecting to a session, else the connection is closed."""
    chunk_bytes: int = 65_536
    """Of one chunk that comes; a header that claims more closes the connection."""
    message_bytes: int = 524_288
    """Of one request, its chunks together."""
    waiting_requests: int = 64
    """Not answered, of one connection; then it is not read from until they are."""
    unsent_bytes: int = 8_388_608
    """Written and not yet taken by a client; beyond it the connection is closed."""
    subscriptions: int = 10
    """Of one session."""
    monitored_items: int = 200
    """Of one session."""
    event_items: int = 10
    """Of these, of events."""
    events_waiting: int = 1_000
    """Of one monitored item: two strips a second, for eight minutes."""
    values_waiting: int = 100
    """Of one monitored item."""
    unacknowledged: int = 100
    """Publications that are kept to be sent again, of one subscription."""
    publishing_ms: tuple[float, float] = (100.0, 60_000.0)
    """Shortest and longest interval between publications."""
    operations: int = 1_000
    """Nodes, paths or items in one request."""
    browses: int = 100
    """Nodes in one request to browse: their answers are long."""
    calls: int = 10
    """Methods in one request."""
    results: int = 100
    """In one answer of GetResultListFiltered."""


DEFAULT: Final = Limits()
