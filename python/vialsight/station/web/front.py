"""What all addresses share: how a page is made, who asks, and what a form brought."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vialsight.station.web import trail
from vialsight.station.web.guard import Notes
from vialsight.station.web.pages import VIEWS, Asked, Services, embedded
from vialsight.station.web.texts import LANGUAGES, Texts, preferred, texts
from vialsight.station.web.visitors import Visitor, Visitors, address_of

PACKAGE: Final = "vialsight.station.web"
THEMES: Final = ("auto", "light", "dark", "contrast")
_MOST_FIELDS: Final = 24
_MESSAGES_KEPT: Final = 256
_MEDIA: Final = {
    "js": "text/javascript",
    "css": "text/css",
    "txt": "text/plain",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Message:
    """What came of an action, told on the page that follows it.

    `lacking` is a field that the form lacked; `error` is the recorder's sentence; `shows` is for
    the eyes of `user` alone.
    """

    key: str
    is_bad: bool = False
    user: str = ""
    lacking: str = ""
    error: str = ""
    shows: Mapping[str, str] = field(default_factory=dict)


class Front:
    """Services, visitors and templates of the page."""

    def __init__(
        self, services: Services, visitors: Visitors, *, public_now: bool, notes: Notes
    ) -> None:
        self.services, self.visitors = services, visitors
        self.public_now, self._notes = public_now, notes
        self.statics = _statics()
        self._templates = _environment(self.statics)
        # What the person who just did something is told, once, by a mark in the address.
        self._messages: dict[str, Message] = {}

    async def asked(self, request: Request) -> Asked | None:
        """Return who asks for data, which is no use of a session; None: a stranger."""
        visitor = await self.visitors.of(request, passive=True)
        if visitor is None or visitor.must_change:
            return None
        return self.asked_by(request, visitor)

    def asked_by(self, request: Request, visitor: Visitor | None) -> Asked:
        """Return what a view is made of."""
        return Asked(self.services, request, visitor, self.texts(request), request.path_params)

    def render(
        self,
        request: Request,
        visitor: Visitor | None,
        template: str,
        content: Mapping[str, Any],
        *,
        status: int = 200,
        csrf: str | None = None,
    ) -> Response:
        """Return a page made of a template."""
        text = self.texts(request)
        theme = request.cookies.get("vialsight_theme", "auto")
        values: dict[str, Any] = {
            "t": text,
            "language": text.language,
            "languages": LANGUAGES,
            "themes": THEMES,
            "theme": theme if theme in THEMES else "auto",
            "visitor": visitor,
            "csrf": self.visitors.form_token(request) if csrf is None else csrf,
            "views": [v for v in VIEWS.values() if visitor and visitor.role in v.roles],
            "view": None,
            "message": None,
            "data": None,
            "station": self.services.config.name,
            "script_texts": text.for_scripts(),
            **content,
        }
        page = self._templates.get_template(f"{template}.html.j2").render(values)
        return Response(page, status, media_type="text/html; charset=utf-8")

    def refuse(self, request: Request, why: str) -> Response:
        """Refuse a request that none of our pages makes, and note it."""
        self._notes.write(f"refused 403 {address_of(request)}: {why}")
        return PlainTextResponse("forbidden", 403)

    def texts(self, request: Request) -> Texts:
        """Return the texts of the visitor's language: chosen, or the browser's."""
        chosen = request.cookies.get("vialsight_language", "")
        if chosen in LANGUAGES:
            return texts(chosen)
        return texts(preferred(request.headers.get("accept-language", "")))

    def keep(self, message: Message) -> str:
        """Keep a message for the page that follows; return its mark."""
        mark = secrets.token_hex(12)
        while len(self._messages) >= _MESSAGES_KEPT:
            del self._messages[next(iter(self._messages))]
        self._messages[mark] = message
        return mark

    def told(self, request: Request, visitor: Visitor | None) -> Message | None:
        """Return the message that this page is to tell, if it is for who asks."""
        mark = request.query_params.get("told", "")
        message = self._messages.get(mark)
        if message is None or visitor is None or message.user != visitor.user:
            return None
        return self._messages.pop(mark)


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; nothing of any other kind of body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        return {}
    return dict(pairs)


def _statics() -> dict[str, tuple[bytes, str, str]]:
    """Return the page's own files by name: content, media type, a mark of the content."""
    found = {}
    for file in files(PACKAGE).joinpath("static").iterdir():
        media = _MEDIA.get(file.name.rpartition(".")[2])
        if media is not None:
            content = file.read_bytes()
            found[file.name] = (content, media, hashlib.sha256(content).hexdigest()[:12])
    return found


def _breakable(name: str) -> Markup:
    """Return a name that may be broken behind its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def _environment(statics: Mapping[str, tuple[bytes, str, str]]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = lambda name: f"/static/{name}?v={statics[name][2]}"
    environment.filters["embedded"] = embedded
    environment.filters["facts"] = trail.facts
    environment.filters["breakable"] = _breakable
    return environment
