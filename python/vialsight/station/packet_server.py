"""Serves requests in packets over a Unix socket; nobody who is slow or wrong holds up others."""

import errno
import json
import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vialsight.station import unix_sockets
from vialsight.station.client import LARGEST_PACKET

_MOST_CLIENTS: Final = 64
_AT_ONCE: Final = 16


@dataclass(eq=False)
class Client:
    """A connection; closed ones answer nothing any more."""

    connection: socket.socket
    is_open: bool = True
    # Of its last packet among those of all clients.
    turn: int = 0


class PacketServer:
    """Listens at `path` for requests, JSON objects of at most 64 KiB, each a packet.

    One thread. Only processes of this user, or root's, are let in. A client that does not take its
    answer is dropped, and so is one whose packet is too large; what is no object is answered so.
    Where there are too many, the one that has been silent longest is dropped.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector) -> None:
        self._path, self._selector = path, selector
        self._listener = unix_sockets.listening(path)
        self._listener.setblocking(False)
        self._clients: set[Client] = set()
        self._turns = 0
        selector.register(self._listener, selectors.EVENT_READ, self)

    def close(self) -> None:
        """End all connections and take the socket away."""
        for client in list(self._clients):
            self.drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def accept(self) -> None:
        """Let in who waits."""
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._drop_idle()
                return
            self._let_in(connection)

    def receive(self, client: Client) -> dict[str, Any] | None:
        """Return the request that a client sent; None: none that can be handled."""
        self._turns += 1
        client.turn = self._turns
        try:
            packet = client.connection.recv(LARGEST_PACKET + 1)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:
            self.drop(client)
            return None
        if len(packet) > LARGEST_PACKET:
            self._refuse(client, f"expected at most {LARGEST_PACKET} bytes")
            self.drop(client)
            return None
        return self._parsed(client, packet)

    def answer(self, client: Client, answer: dict[str, Any]) -> None:
        """Send an answer, unless the client is gone; drop one that does not take it."""
        if not client.is_open:
            return
        packet = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
        if len(packet) > LARGEST_PACKET:
            error = "the answer is larger than a packet; ask for less"
            packet = json.dumps({"ok": False, "code": "invalid", "error": error}).encode()
        try:
            client.connection.send(packet)
        except OSError:
            self.drop(client)

    def drop(self, client: Client) -> None:
        """End a connection."""
        if not client.is_open:
            return
        client.is_open = False
        self._selector.unregister(client.connection)
        client.connection.close()
        self._clients.discard(client)

    def _drop_idle(self) -> None:
        """Make room: whoever has been silent longest connects again when there is something.

        One whose packet is waiting to be read is not silent.
        """
        for client in sorted(self._clients, key=lambda client: client.turn):
            if not _has_packet(client):
                self.drop(client)
                return

    def _let_in(self, connection: socket.socket) -> None:
        if not unix_sockets.is_ours(connection):
            connection.close()
            return
        if len(self._clients) >= _MOST_CLIENTS:
            self._drop_idle()
        if len(self._clients) >= _MOST_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._turns += 1
        client = Client(connection, turn=self._turns)
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _parsed(self, client: Client, packet: bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(packet)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            return request
        self._refuse(client, "expected a JSON object")
        return None

    def _refuse(self, client: Client, error: str) -> None:
        self.answer(client, {"ok": False, "code": "invalid", "error": error})


def _has_packet(client: Client) -> bool:
    try:
        return client.connection.recv(1, socket.MSG_PEEK) != b""
    except OSError:
        return False
