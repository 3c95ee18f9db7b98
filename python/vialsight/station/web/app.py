"""The page as an ASGI application: its views, and what people ask for on them."""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vialsight.station.web import actions
from vialsight.station.web.actions import BadForm
from vialsight.station.web.desk import Overloaded
from vialsight.station.web.doors import Doors
from vialsight.station.web.feeds import Feeds
from vialsight.station.web.front import Front, Message, form_of
from vialsight.station.web.guard import Guard, Notes, TooLarge
from vialsight.station.web.pages import DETAIL, VIEWS, NotThere, Services, View
from vialsight.station.web.visitors import Visitor, Visitors


class Views:
    """Handlers of views and of actions."""

    def __init__(self, front: Front) -> None:
        self._front, self._visitors = front, front.visitors

    def routes(self) -> list[Route]:
        """Return the addresses; the last takes whatever is left."""
        return [
            Route("/", self.root),
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

    async def do(self, request: Request) -> Response:
        """Pass an action on to the recorder, and lead back to the view it belongs to."""
        name = request.path_params["action"]
        action = actions.ACTIONS.get(name)
        visitor = await self._visitors.of(request)
        if action is None:
            return PlainTextResponse("not found", 404)
        form = await form_of(request)
        if visitor is None:
            return RedirectResponse("/login", 303)
        if not self._visitors.is_own_form(request, form.get("csrf", "")):
            return self._front.refuse(request, f"{name} of {visitor.user}: no form of ours")
        try:
            fields = actions.fields_of(action, form)
        except BadForm as error:
            message = Message("done.field", is_bad=True, lacking=error.field)
            return await self._show(request, VIEWS[action.back], status=400, message=message)
        answer = await self._front.services.recorder.request(name, token=visitor.token, **fields)
        if not answer.get("ok"):
            code = str(answer.get("code"))
            message = Message(f"code.{code}", is_bad=True, error=str(answer.get("error", "")))
            status = actions.STATUS.get(code, 400)
            return await self._show(request, VIEWS[action.back], status=status, message=message)
        self._visitors.doubt_all()
        shows = {key: answer[key] for key in action.shows if key in answer}
        message = Message(f"done.{name}", shows=shows, user=visitor.user)
        return RedirectResponse(f"/{action.back}?told={self._front.keep(message)}", 303)

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
        visitor = await self._visitors.of(request)
        away = self._turned_away(request, view, visitor)
        if away is not None:
            return away
        asked = self._front.asked_by(request, visitor)
        try:
            content = await view.content(asked)
        except NotThere:
            return self._front.render(request, visitor, "missing", {}, status=404)
        told = message or self._front.told(request, visitor)
        return self._front.render(
            request, visitor, view.name, {**content, "view": view, "message": told}, status=status
        )

    def _turned_away(
        self, request: Request, view: View, visitor: Visitor | None
    ) -> Response | None:
        """Return where somebody is sent who may not see a view; None: who may."""
        if visitor is None:
            is_public = view.name == "now" and self._front.public_now
            return None if is_public else RedirectResponse("/login", 303)
        if visitor.must_change and view.name != "account":
            return RedirectResponse("/account", 303)
        if visitor.role not in view.roles:
            return self._front.render(request, visitor, "forbidden", {}, status=403)
        return None


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
    front = Front(services, visitors, public_now=public_now, notes=notes)
    handlers = (Doors(front), Feeds(front), Views(front))

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
        routes=[route for each in handlers for route in each.routes()],
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
