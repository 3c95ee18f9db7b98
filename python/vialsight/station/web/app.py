"""The page as an ASGI application: which address is answered by what."""

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl

import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp

from vialsight.station.web import actions, numbers, trail
from vialsight.station.web.actions import BadForm
from vialsight.station.web.desk import Overloaded
from vialsight.station.web.guard import Guard, Notes, TooLarge
from vialsight.station.web.pages import DETAIL, VIEWS, Asked, NotThere, Services, View, embedded
from vialsight.station.web.texts import LANGUAGES, Texts, preferred, texts
from vialsight.station.web.visitors import Visitor, Visitors, address_of, is_same_origin

PACKAGE: Final = "vialsight.station.web"
THEMES: Final = ("auto", "light", "dark", "contrast")
_A_YEAR_S: Final = 365 * 24 * 3600
# A live stream looks so often whether its session still holds.
_STILL_IN_S: Final = 10.0
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

    `field` lacked in the form; `error` is the recorder's sentence; `shows` only `user` may see.
    """

    key: str
    is_bad: bool = False
    user: str = ""
    field: str = ""
    error: str = ""
    shows: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Page:
    """Handlers, and what they share."""

    def __init__(
        self, services: Services, visitors: Visitors, *, public_now: bool, notes: Notes
    ) -> None:
        self.services, self.visitors = services, visitors
        self._public_now, self._notes = public_now, notes
        self._statics = _statics()
        self._templates = _environment(self._statics)
        # What the person who just did something is told, once, by a mark in the address.
        self._messages: dict[str, Message] = {}

    def routes(self) -> list[Route]:
        """Return the addresses of the page."""
        return [
            Route("/", self.root),
            Route("/login", self.login_form),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/preferences", self.preferences, methods=["POST"]),
            Route("/events", self.events),
            Route("/trend.json", self.trend),
            Route("/log.jsonl", self.log),
            Route("/static/{name}", self.static),
            Route("/frames/{seq:int}/{name}", self.recorded_picture),
            Route("/snap/{session}/{n:int}/{name}", self.live_picture),
            Route("/rejects/{seq:int}", self.detail),
            Route("/do/{action}", self.do, methods=["POST"]),
            Route("/{view}", self.view),
        ]

    async def root(self, request: Request) -> Response:
        """Lead to the first view."""
        return RedirectResponse("/now", 303)

    async def view(self, request: Request) -> Response:
        """Show a view."""
        view = VIEWS.get(request.path_params["view"])
        return await self._show(request, view)

    async def detail(self, request: Request) -> Response:
        """Show one recorded strip."""
        return await self._show(request, DETAIL)

    async def login_form(self, request: Request) -> Response:
        """Show the log-in page; the only one for strangers."""
        if await self.visitors.of(request) is not None:
            return RedirectResponse("/now", 303)
        return self._login_page(request, 200, "")

    async def login(self, request: Request) -> Response:
        """Let somebody in. Whatever is wrong, the answer is the same."""
        form = await _form(request)
        if not self.visitors.is_own_form(request, form.get("csrf", "")):
            return self._refuse(request, "login: no form of ours")
        clock, address = asyncio.get_running_loop().time(), address_of(request)
        if not (
            self.visitors.logins.allows(address, clock)
            and self.visitors.all_logins.allows("", clock)
        ):
            return self._login_page(request, 429, "login.slow")
        answer = await self.services.recorder.request(
            "login",
            token=None,
            user=form.get("user", "")[:128],
            password=form.get("password", "")[:512],
            address=address,
        )
        if not answer.get("ok"):
            key = {"busy": "login.slow", "unavailable": "login.unavailable"}.get(
                str(answer.get("code")), "login.wrong"
            )
            status = {"login.wrong": 401, "login.slow": 429}.get(key, 503)
            return self._login_page(request, status, key)
        response = RedirectResponse("/account" if answer.get("must_change") else "/now", 303)
        self.visitors.let_in(
            response, str(answer["token"]), str(answer["user"]), str(answer["role"])
        )
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        form = await _form(request)
        if not self.visitors.is_own_form(request, form.get("csrf", "")):
            return self._refuse(request, "logout: no form of ours")
        visitor = await self.visitors.of(request)
        if visitor is not None:
            await self.services.recorder.request("logout", token=visitor.token)
            self.visitors.doubt(visitor.token)
        response = RedirectResponse("/login", 303)
        self.visitors.let_out(response)
        return response

    async def preferences(self, request: Request) -> Response:
        """Set language and looks, which are the browser's and change nothing at the station."""
        form = await _form(request)
        if not is_same_origin(request):
            return self._refuse(request, "preferences: from elsewhere")
        # Made anew of a view's name: "//now" would lead to a host of that name.
        view = form.get("back", "").removeprefix("/")
        response = RedirectResponse(f"/{view}" if view in VIEWS else "/login", 303)
        for name, known in (("language", tuple(LANGUAGES)), ("theme", THEMES)):
            if form.get(name) in known:
                self.visitors.set_cookie(response, f"vialsight_{name}", form[name], _A_YEAR_S)
        return response

    async def do(self, request: Request) -> Response:
        """Pass an action on to the recorder, and lead back to the view it belongs to."""
        name = request.path_params["action"]
        action = actions.ACTIONS.get(name)
        visitor = await self.visitors.of(request)
        if action is None:
            return PlainTextResponse("not found", 404)
        form = await _form(request)
        if visitor is None:
            return RedirectResponse("/login", 303)
        if not self.visitors.is_own_form(request, form.get("csrf", "")):
            return self._refuse(request, f"{name} of {visitor.user}: no form of ours")
        try:
            fields = actions.fields_of(action, form)
        except BadForm as error:
            message = Message("done.field", is_bad=True, field=error.field)
            return await self._show(request, VIEWS[action.back], status=400, message=message)
        answer = await self.services.recorder.request(name, token=visitor.token, **fields)
        if not answer.get("ok"):
            code = str(answer.get("code"))
            message = Message(f"code.{code}", is_bad=True, error=str(answer.get("error", "")))
            status = actions.STATUS.get(code, 400)
            return await self._show(request, VIEWS[action.back], status=status, message=message)
        self.visitors.doubt_all()
        shows = {key: answer[key] for key in action.shows if key in answer}
        message = Message(f"done.{name}", shows=shows, user=visitor.user)
        return RedirectResponse(f"/{action.back}?told={self._keep(message)}", 303)

    async def events(self, request: Request) -> Response:
        """Stream the state of the line to one page."""
        visitor = await self.visitors.of(request, passive=True)
        if visitor is None and not self._public_now:
            return PlainTextResponse("log in", 401)
        if self.services.hub.is_full:
            return PlainTextResponse("too many pages are open", 503)
        return StreamingResponse(
            self._events(request, is_public=visitor is None), media_type="text/event-stream"
        )

    async def trend(self, request: Request) -> Response:
        """Return the curves of the last strips, or of a batch."""
        asked = await self._asked(request)
        if asked is None:
            return PlainTextResponse("log in", 401)
        batch, layout = asked.number("batch"), self.services.layout
        if batch:
            found = await asked.read(lambda reader: numbers.batch_trend(reader, batch, layout))
        else:
            found = numbers.live_trend(self.services.hub.line.recent(), layout)
        if found is None:
            return PlainTextResponse("not found", 404)
        config = self.services.config
        return JSONResponse({**found, "budget_ms": config.budget_ms, "slot_ms": config.slot_ms})

    async def log(self, request: Request) -> Response:
        """Return the whole trail, a line of JSON each, with its hashes."""
        asked = await self._asked(request)
        if asked is None or asked.visitor is None:
            return RedirectResponse("/login", 303)
        if asked.visitor.role not in VIEWS["log"].roles:
            return PlainTextResponse("forbidden", 403)
        name = f"{self.services.config.name}-trail.jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(
            self._log_lines(asked), media_type="application/x-ndjson", headers=headers
        )

    async def recorded_picture(self, request: Request) -> Response:
        """Return a picture of a recorded reject."""
        if await self._asked(request) is None:
            return PlainTextResponse("log in", 401)
        seq, name = request.path_params["seq"], request.path_params["name"]
        if seq >= 2**62:
            return PlainTextResponse("not found", 404)
        return _picture(await self.services.shows.recorded_file(seq, name), name)

    async def live_picture(self, request: Request) -> Response:
        """Return a picture of a reject of the running station."""
        if not self._public_now and await self._asked(request) is None:
            return PlainTextResponse("log in", 401)
        place = request.path_params
        if place["name"] == "scene.json":
            drawn = self.services.hub.scene(place["session"], place["n"])
            return PlainTextResponse("not found", 404) if drawn is None else JSONResponse(drawn)
        content = await self.services.shows.live_file(place["session"], place["n"], place["name"])
        return _picture(content, place["name"])

    async def static(self, request: Request) -> Response:
        """Return one of the page's own files."""
        found = self._statics.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("not found", 404)
        content, media, _ = found
        return Response(content, media_type=media, headers={"Cache-Control": "max-age=86400"})

    async def _show(
        self,
        request: Request,
        view: View | None,
        *,
        status: int = 200,
        message: Message | None = None,
    ) -> Response:
        if view is None:
            return PlainTextResponse("not found", 404)
        visitor = await self.visitors.of(request)
        away = self._turned_away(request, view, visitor)
        if away is not None:
            return away
        asked = Asked(self.services, request, visitor, self._texts(request), request.path_params)
        try:
            content = await view.content(asked)
        except NotThere:
            return self._render(request, visitor, "missing", {}, status=404)
        told = message or self._told(request, visitor)
        return self._render(
            request, visitor, view.name, {**content, "view": view, "message": told}, status=status
        )

    def _turned_away(
        self, request: Request, view: View, visitor: Visitor | None
    ) -> Response | None:
        """Return where somebody is sent who may not see a view; None: who may."""
        if visitor is None:
            is_public = view.name == "now" and self._public_now
            return None if is_public else RedirectResponse("/login", 303)
        if visitor.must_change and view.name != "account":
            return RedirectResponse("/account", 303)
        if visitor.role not in view.roles:
            return self._render(request, visitor, "forbidden", {}, status=403)
        return None

    async def _asked(self, request: Request) -> Asked | None:
        visitor = await self.visitors.of(request, passive=True)
        if visitor is None or visitor.must_change:
            return None
        return Asked(self.services, request, visitor, self._texts(request), request.path_params)

    async def _events(self, request: Request, *, is_public: bool) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        async with contextlib.aclosing(self.services.hub.stream()) as stream:
            async for text in stream:
                yield text
                if not is_public and loop.time() - looked > _STILL_IN_S:
                    looked = loop.time()
                    if await self.visitors.of(request, passive=True) is None:
                        yield "event: bye\ndata: {}\n\n"
                        return

    async def _log_lines(self, asked: Asked) -> AsyncIterator[str]:
        after = 0
        while True:
            found = await asked.read(functools.partial(trail.lines, after=after))
            if found is None or not found[0]:
                return
            text, after = found
            yield text

    def _login_page(self, request: Request, status: int, error: str) -> Response:
        visit = self.visitors.start_visit(request)
        csrf = self.visitors.form_token(request) if visit is None else visit[0]
        response = self._render(request, None, "login", {"error": error}, status=status, csrf=csrf)
        if visit is not None:
            self.visitors.set_visit(response, visit[1])
        return response

    def _render(
        self,
        request: Request,
        visitor: Visitor | None,
        template: str,
        content: Mapping[str, Any],
        *,
        status: int = 200,
        csrf: str | None = None,
    ) -> Response:
        text = self._texts(request)
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

    def _refuse(self, request: Request, why: str) -> Response:
        self._notes.write(f"refused 403 {address_of(request)}: {why}")
        return PlainTextResponse("forbidden", 403)

    def _texts(self, request: Request) -> Texts:
        chosen = request.cookies.get("vialsight_language", "")
        if chosen in LANGUAGES:
            return texts(chosen)
        return texts(preferred(request.headers.get("accept-language", "")))

    def _keep(self, message: Message) -> str:
        mark = secrets.token_hex(12)
        while len(self._messages) >= _MESSAGES_KEPT:
            del self._messages[next(iter(self._messages))]
        self._messages[mark] = message
        return mark

    def _told(self, request: Request, visitor: Visitor | None) -> Message | None:
        mark = request.query_params.get("told", "")
        message = self._messages.get(mark)
        if message is None or visitor is None or message.user != visitor.user:
            return None
        return self._messages.pop(mark)


def build(
    services: Services,
    visitors: Visitors,
    *,
    public_now: bool = False,
    hosts: tuple[str, ...] = (),
    secure: bool = False,
) -> ASGIApp:
    """Return the application; it follows line and record while it runs."""
    notes = Notes()
    page = Page(services, visitors, public_now=public_now, notes=notes)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services.hub.start()
        try:
            yield
        finally:
            await services.hub.stop()
            for desk in (services.recorder, services.record, services.shows):
                desk.close()

    app = Starlette(
        routes=page.routes(),
        lifespan=lifespan,
        exception_handlers={TooLarge: _too_large, Overloaded: _overloaded},
    )
    # "/now/" is no address of ours; a redirect would repeat the Host of whoever asked.
    app.router.redirect_slashes = False
    return Guard(app, hosts=hosts, secure=secure, notes=notes)


async def _too_large(_: Request, __: Exception) -> Response:
    return PlainTextResponse("body too large", 413, headers={"Connection": "close"})


async def _overloaded(_: Request, __: Exception) -> Response:
    return PlainTextResponse("busy", 503, headers={"Retry-After": "2"})


async def _form(request: Request) -> dict[str, str]:
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


def _picture(content: bytes | None, name: str) -> Response:
    if content is None:
        return PlainTextResponse("not found", 404)
    media = "image/jpeg" if name.endswith(".jpg") else "image/png"
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    return Response(content, media_type=media, headers=headers)


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
