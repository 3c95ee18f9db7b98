"""The recorder's end of the inspector's control socket: commands out, words on them in."""

import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from vialsight.station import unix_sockets

_PACKET: Final = 8192
_RETRY_S: Final = 0.25


class ControlLink:
    """Connects to the inspector whenever it is there. Never waits. One thread.

    What the inspector answers is read and dropped: it stands in the spool as well, behind all
    strips before it, and counts from there.
    """

    def __init__(
        self,
        path: Path,
        selector: selectors.BaseSelector,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._selector, self._now_s = path, selector, now_s
        self._socket: socket.socket | None = None
        self._tried_s = -_RETRY_S
        # When the connection was made, or lost, last.
        self.changed_s = now_s()

    @property
    def is_connected(self) -> bool:
        """Whether the inspector would get a command."""
        return self._socket is not None

    def keep(self) -> bool:
        """Connect where there is no connection; return whether one was made just now."""
        now_s = self._now_s()
        if self._socket is not None or now_s - self._tried_s < _RETRY_S:
            return False
        self._tried_s = now_s
        try:
            made = unix_sockets.connected(self._path, timeout_s=0.0)
        except OSError:
            return False
        if not unix_sockets.is_ours(made):
            made.close()
            return False
        self._socket, self.changed_s = made, now_s
        self._selector.register(made, selectors.EVENT_READ, self)
        return True

    def send(self, packet: dict[str, Any]) -> bool:
        """Send a command; return whether it could be sent."""
        if self._socket is None:
            return False
        try:
            self._socket.send(json.dumps(packet).encode())
        except OSError:
            self.close()
            return False
        return True

    def receive(self) -> None:
        """Read what came; notice that the inspector is gone."""
        if self._socket is None:
            return
        try:
            packet = self._socket.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self.close()

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            with suppress(KeyError):
                self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
            self.changed_s = self._now_s()
