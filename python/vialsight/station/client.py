"""Asks the recorder: one request, one answer, over its socket."""

import json
import socket
from pathlib import Path
from typing import Any, Final

from vialsight.errors import VialSightError
from vialsight.station import unix_sockets

LARGEST_PACKET: Final = 65_536


class RecorderUnavailable(VialSightError):
    """The recorder does not run, or did not answer in time."""


class RecorderClient:
    """Requests to the recorder at `path`; a connection is made when needed and kept.

    Not for several threads at once. `token` of `login` is sent with every request after it.
    """

    def __init__(self, path: Path, *, timeout_s: float = 15.0, origin: str = "cli") -> None:
        self._path, self._timeout_s, self._origin = path, timeout_s, origin
        self._socket: socket.socket | None = None
        self.token: str | None = None

    def request(self, action: str, **fields: Any) -> dict[str, Any]:
        """Return the answer to an action; `ok` says whether it was done, `error` why not.

        Raises RecorderUnavailable when there is none within the time.
        """
        message = {"token": self.token, "origin": self._origin, **fields, "action": action}
        packet = json.dumps(message).encode()
        if len(packet) > LARGEST_PACKET:
            error = f"expected a request of at most {LARGEST_PACKET} bytes, got {len(packet)}"
            return {"ok": False, "code": "invalid", "error": error}
        try:
            answer: dict[str, Any] = json.loads(self._exchange(packet))
        except (OSError, ValueError) as error:
            self.close()
            raise RecorderUnavailable(
                f"{self._path}: the recorder did not answer ({error or 'connection closed'}); "
                "check that it runs: vialsight station status"
            ) from None
        return answer

    def login(self, user: str, password: str, *, address: str = "") -> dict[str, Any]:
        """Log in; the token of the answer is kept for further requests."""
        answer = self.request("login", user=user, password=password, address=address)
        if answer["ok"]:
            self.token = answer["token"]
        return answer

    def close(self) -> None:
        """End the connection; the session at the recorder goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> "RecorderClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, packet: bytes) -> bytes:
        connection = self._sent(packet)
        answer = connection.recv(LARGEST_PACKET)
        if not answer:
            raise ConnectionError
        return answer

    def _sent(self, packet: bytes) -> socket.socket:
        """Send a packet; over a new connection where the kept one's other end is gone."""
        if self._socket is not None:
            try:
                self._socket.sendall(packet)
                return self._socket
            except ConnectionError:
                self.close()
        self._socket = unix_sockets.connected(self._path, timeout_s=self._timeout_s)
        self._socket.sendall(packet)
        return self._socket
