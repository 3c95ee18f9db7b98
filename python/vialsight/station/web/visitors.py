"""Who asks: sessions of the recorder behind a cookie, and proof that a form is one of ours."""

import hashlib
import hmac
import math
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from vialsight.station.refusal import RateLimit
from vialsight.station.web.desk import RecorderDesk

SESSION_COOKIE: Final = "vialsight_session"
# Before there is a session: ties the log-in form to the browser that got it.
_VISIT_COOKIE: Final = "vialsight_visit"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,100}")
# So long a session that has just been looked up is believed, and a wrong token not asked for again.
_BELIEVED_S: Final = 3.0
_REMEMBERED: Final = 512


@dataclass(frozen=True)
class Visitor:
    """A person who is logged in."""

    user: str
    role: str
    token: str
    must_change: bool


class Visitors:
    """Finds the visitor of a request."""

    def __init__(
        self,
        desk: RecorderDesk,
        secret: bytes,
        *,
        secure: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk, self._secret, self._secure, self._clock = desk, secret, secure, clock
        self._known: OrderedDict[str, tuple[float, Visitor | None]] = OrderedDict()
        self._unknown_tokens = RateLimit(burst=20, per_second=1)
        self.logins = RateLimit(burst=8, per_second=0.2)
        self.all_logins = RateLimit(burst=40, per_second=2.0)

    async def of(self, request: Request, *, passive: bool = False) -> Visitor | None:
        """Return who asks; None: nobody who is logged in. `passive` does not count as use."""
        token = request.cookies.get(SESSION_COOKIE, "")
        if not _TOKEN.fullmatch(token):
            return None
        key = _key(token)
        known = self._known.get(key)
        if known is not None and self._clock() - known[0] < _BELIEVED_S:
            return known[1]
        is_new = known is None or known[1] is None
        if is_new and not self._unknown_tokens.allows(address_of(request), self._clock()):
            return None
        answer = await self._desk.request("whoami", token=token, passive=passive)
        visitor = _visitor(answer, token)
        if visitor is not None or answer.get("code") == "denied":
            self._remember(key, visitor)
        return visitor

    def doubt(self, token: str) -> None:
        """Ask again about a session: it may have ended."""
        self._doubt(_key(token))

    def doubt_all(self) -> None:
        """Ask again about everybody: accounts have changed."""
        for key in self._known:
            self._doubt(key)

    def form_token(self, request: Request) -> str:
        """Return what a form must carry to be believed: of the session, or of the visit."""
        session = request.cookies.get(SESSION_COOKIE, "")
        return self._mark(session if _TOKEN.fullmatch(session) else self._visit(request))

    def start_visit(self, request: Request) -> tuple[str, str] | None:
        """Return form token and cookie of a new visit; None where the browser has one."""
        if self._visit(request):
            return None
        visit = secrets.token_urlsafe(24)
        return self._mark(visit), visit

    def is_own_form(self, request: Request, token: str) -> bool:
        """Whether a POST comes of a page of ours, opened by the same browser."""
        return is_same_origin(request) and hmac.compare_digest(
            self.form_token(request).encode(), token.encode()
        )

    def set_cookie(self, response: Response, name: str, value: str, seconds: int | None) -> None:
        """Set a cookie of ours that no script reads and no other site sends."""
        response.set_cookie(
            name, value, max_age=seconds, path="/", httponly=True, samesite="strict",
            secure=self._secure,
        )  # fmt: skip

    def let_in(self, response: Response, token: str, user: str, role: str) -> None:
        """Give the browser its session; it forgets it when it is closed."""
        # Known from now on: what others guess from the same address must not keep anybody out.
        self._remember(_key(token), Visitor(user, role, token, must_change=False))
        self.doubt(token)
        self.set_cookie(response, SESSION_COOKIE, token, None)

    def let_out(self, response: Response) -> None:
        """Take the session from the browser."""
        response.delete_cookie(
            SESSION_COOKIE, path="/", httponly=True, samesite="strict", secure=self._secure
        )

    def set_visit(self, response: Response, visit: str) -> None:
        """Give the browser a new visit."""
        self.set_cookie(response, _VISIT_COOKIE, visit, None)

    def _visit(self, request: Request) -> str:
        visit = request.cookies.get(_VISIT_COOKIE, "")
        return visit if _TOKEN.fullmatch(visit) else ""

    def _mark(self, value: str) -> str:
        # Without a cookie there is nothing to tie the form to: a mark that nobody can know.
        if not value:
            return secrets.token_hex(32)
        return hmac.new(self._secret, f"form:{value}".encode(), hashlib.sha256).hexdigest()

    def _doubt(self, key: str) -> None:
        known = self._known.get(key)
        if known is not None:
            self._known[key] = (-math.inf, known[1])

    def _remember(self, key: str, visitor: Visitor | None) -> None:
        self._known[key] = (self._clock(), visitor)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client is not None else "?"


def is_same_origin(request: Request) -> bool:
    """Whether the browser says that a request was made by a page of ours."""
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    origin = request.headers.get("origin")
    if origin is not None:
        return origin == own
    if request.headers.get("sec-fetch-site") is not None:
        return request.headers["sec-fetch-site"] == "same-origin"
    referer = urlsplit(request.headers.get("referer", ""))
    return f"{referer.scheme}://{referer.netloc}" == own


def page_secret(folder: Path) -> bytes:
    """Return the secret in a folder, made when there is none; readable for its owner alone."""
    path = folder / "secret"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        found = path.read_bytes()
        if len(found) == 32:
            return found
        path.unlink()  # cut short by a crash
        return page_secret(folder)
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_bytes(32)
        file.write(secret)
    return secret


def _visitor(answer: dict[str, Any], token: str) -> Visitor | None:
    if not answer.get("ok"):
        return None
    return Visitor(
        user=str(answer["user"]),
        role=str(answer["role"]),
        token=token,
        must_change=bool(answer.get("must_change")),
    )
