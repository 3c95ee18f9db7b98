"""Serves the page: a bounded number of connections, each of which must ask and read in time."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

# Live streams, and room for what browsers open beside them.
MOST_CONNECTIONS: Final = 128
# From one address: a browser opens six; several people may sit behind one.
_MOST_OF_ONE: Final = 64
_REQUEST_S: Final = 10.0
_LARGEST_HEAD: Final = 16_384


class BoundedProtocol(H11Protocol):
    """A connection that is given up when a request takes too long to arrive."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else None
        clients = [getattr(other, "client", None) for other in self.connections]
        of_one = sum(1 for client in clients if client is not None and client[0] == address)
        if len(self.connections) >= MOST_CONNECTIONS or of_one >= _MOST_OF_ONE:
            transport.abort()
            return
        # An answer that is not taken is given up by whoever sends it (`guard`).
        self.app_state = {**self.app_state, "abort": transport.abort}
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock runs from a request's first byte to its last."""
        if self.transport is None:
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop()
        if self.transport is not None:
            super().connection_lost(exc)

    def eof_received(self) -> None:
        """Nothing more comes; what was asked is answered."""

    def _watch(self) -> None:
        cycle = self.cycle
        arriving = cycle is None or cycle.response_complete or cycle.more_body
        if not arriving:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(_REQUEST_S, self._late)

    def _late(self) -> None:
        self._timer = None
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete and not cycle.more_body
        if self.transport is not None and not answering:
            self.transport.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class PageServer(uvicorn.Server):
    """Ends in order and with exit code 0 when it is told to; `ending` ends the live streams."""

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the server, and nothing be raised again behind it."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would go on for ever, then everything else."""
        self._ending()
        await super().shutdown(sockets)


def configured(
    app: ASGIApp, *, host: str, port: int, certificate: Path | None, key: Path | None
) -> uvicorn.Config:
    """Return the server's settings. TLS 1.2 and later with a certificate."""
    settings: dict[str, Any] = {}
    if certificate is not None:
        settings = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=BoundedProtocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_level="error",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        backlog=128,
        **settings,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config
