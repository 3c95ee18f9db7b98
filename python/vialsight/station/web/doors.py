"""Logging in and out; language and looks."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vialsight.station.web.front import THEMES, Front, form_of
from vialsight.station.web.pages import VIEWS
from vialsight.station.web.texts import LANGUAGES
from vialsight.station.web.visitors import address_of, is_same_origin

_A_YEAR_S: Final = 365 * 24 * 3600


class Doors:
    """Handlers of what strangers may do, and of leaving."""

    def __init__(self, front: Front) -> None:
        self._front, self._visitors = front, front.visitors

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/login", self.login_form),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/preferences", self.preferences, methods=["POST"]),
        ]

    async def login_form(self, request: Request) -> Response:
        """Show the log-in page; the only one for strangers."""
        if await self._visitors.of(request) is not None:
            return RedirectResponse("/now", 303)
        return self._login_page(request, 200, "")

    async def login(self, request: Request) -> Response:
        """Let somebody in. Whatever is wrong, the answer is the same."""
        form = await form_of(request)
        if not self._visitors.is_own_form(request, form.get("csrf", "")):
            return self._front.refuse(request, "login: no form of ours")
        clock, address = asyncio.get_running_loop().time(), address_of(request)
        if not (
            self._visitors.logins.allows(address, clock)
            and self._visitors.all_logins.allows("", clock)
        ):
            return self._login_page(request, 429, "login.slow")
        answer = await self._front.services.recorder.request(
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
        self._visitors.let_in(
            response, str(answer["token"]), str(answer["user"]), str(answer["role"])
        )
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        form = await form_of(request)
        if not self._visitors.is_own_form(request, form.get("csrf", "")):
            return self._front.refuse(request, "logout: no form of ours")
        visitor = await self._visitors.of(request)
        if visitor is not None:
            await self._front.services.recorder.request("logout", token=visitor.token)
            self._visitors.doubt(visitor.token)
        response = RedirectResponse("/login", 303)
        self._visitors.let_out(response)
        return response

    async def preferences(self, request: Request) -> Response:
        """Set language and looks, which are the browser's and change nothing at the station."""
        form = await form_of(request)
        if not is_same_origin(request):
            return self._front.refuse(request, "preferences: from elsewhere")
        # Made anew of a view's name: "//now" would lead to a host of that name.
        view = form.get("back", "").removeprefix("/")
        response = RedirectResponse(f"/{view}" if view in VIEWS else "/login", 303)
        for name, known in (("language", tuple(LANGUAGES)), ("theme", THEMES)):
            if form.get(name) in known:
                self._visitors.set_cookie(response, f"vialsight_{name}", form[name], _A_YEAR_S)
        return response

    def _login_page(self, request: Request, status: int, error: str) -> Response:
        visit = self._visitors.start_visit(request)
        csrf = self._visitors.form_token(request) if visit is None else visit[0]
        response = self._front.render(
            request, None, "login", {"error": error}, status=status, csrf=csrf
        )
        if visit is not None:
            self._visitors.set_visit(response, visit[1])
        return response
