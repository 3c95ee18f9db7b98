"""What every request must pass before any page sees it, and what every answer carries.

A request is refused, in this order, for its host (a name of somebody else's that points here), its
path, its method, and a body that is too large. An answer that is not taken in time ends its
connection.
"""

import asyncio
import ipaddress
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY: Final = 16_384
# A reader that takes nothing for so long is stuck; what it would have got is old by then.
_SEND_TIMEOUT_S: Final = 20.0
_METHODS: Final = ("GET", "HEAD", "POST")
_PATH: Final = re.compile(r"/[A-Za-z0-9._/-]{0,200}")
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253})(:\d{1,5})?")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers send `Origin: null`, which could not be told from a forged one.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Notes:
    """Lines on stderr: so many a minute and then a count, so that nobody fills the disk."""

    def __init__(self, a_minute: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute, self._clock = a_minute, clock
        self._minute, self._written, self._left_out = -1, 0, 0

    def write(self, line: str) -> None:
        """Write a line, printable characters only."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            if self._left_out:
                print(f"web: {self._left_out} more lines like these", file=sys.stderr)
            self._minute, self._written, self._left_out = minute, 0, 0
        if self._written >= self._a_minute:
            self._left_out += 1
            return
        self._written += 1
        shown = "".join(c if c.isprintable() else "?" for c in line[:300])
        print(f"web: {shown}", file=sys.stderr, flush=True)


class Guard:
    """The outermost layer of the page."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], secure: bool, notes: Notes) -> None:
        self._app, self._secure, self._notes = app, secure, notes
        self._hosts = {host.lower() for host in hosts} | {"localhost", *_own_names()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answer = _Answer(send, secure=self._secure)
        refusal = self._refusal(scope)
        if refusal is not None:
            status, why = refusal
            client = (scope.get("client") or ("?",))[0]
            self._notes.write(f"refused {status} {client} {scope['method']} {scope['path']}: {why}")
            await PlainTextResponse(why, status)(scope, receive, answer.send)
            return
        body = _Body(receive)
        try:
            await self._app(scope, body.receive, answer.send)
        except TimeoutError:
            abort = scope.get("state", {}).get("abort")
            if abort is not None:
                abort()

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            return 421, "unknown host"
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        # No path of ours needs an escape, a dot folder or an empty part.
        if not _PATH.fullmatch(path) or "//" in path or "/." in path:
            return 400, "bad path"
        if scope["method"] not in _METHODS:
            return 405, "method not allowed"
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 12:
            return 400, "bad content-length"
        if int(length) > LARGEST_BODY:
            return 413, "body too large"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine: an address cannot be rebound, names can."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return True


class TooLarge(Exception):
    """A body goes on beyond what is accepted; the application answers it as it does 413."""


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes = receive, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > LARGEST_BODY:
            raise TooLarge
        return message


class _Answer:
    def __init__(self, send: Send, *, secure: bool) -> None:
        self._send, self._secure = send, secure

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if self._secure:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        await asyncio.wait_for(self._send(message), _SEND_TIMEOUT_S)


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, name.split(".")[0], f"{name.split('.')[0]}.local"}
