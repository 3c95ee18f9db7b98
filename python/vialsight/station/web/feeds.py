"""What pages load after themselves: states of the line, curves, pictures, files; and the trail."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from vialsight.station.web import numbers, trail
from vialsight.station.web.front import Front
from vialsight.station.web.pages import VIEWS, Asked

# A live stream looks so often whether its session still holds.
_STILL_IN_S: Final = 10.0


class Feeds:
    """Handlers of data."""

    def __init__(self, front: Front) -> None:
        self._front, self._services = front, front.services

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/events", self.events),
            Route("/trend.json", self.trend),
            Route("/log.jsonl", self.log),
            Route("/static/{name}", self.static),
            Route("/frames/{seq:int}/{name}", self.recorded_picture),
            Route("/snap/{session}/{n:int}/{name}", self.live_picture),
        ]

    async def events(self, request: Request) -> Response:
        """Stream the state of the line to one page."""
        visitor = await self._front.visitors.of(request, passive=True)
        if visitor is None and not self._front.public_now:
            return PlainTextResponse("log in", 401)
        if self._services.hub.is_full:
            return PlainTextResponse("too many pages are open", 503)
        return StreamingResponse(
            self._events(request, is_public=visitor is None), media_type="text/event-stream"
        )

    async def trend(self, request: Request) -> Response:
        """Return the curves of the last strips, or of a batch."""
        asked = await self._front.asked(request)
        if asked is None:
            return PlainTextResponse("log in", 401)
        batch, layout = asked.number("batch"), self._services.layout
        if batch:
            found = await asked.read(lambda reader: numbers.batch_trend(reader, batch, layout))
        else:
            found = numbers.live_trend(self._services.hub.line.recent(), layout)
        if found is None:
            return PlainTextResponse("not found", 404)
        config = self._services.config
        return JSONResponse({**found, "budget_ms": config.budget_ms, "slot_ms": config.slot_ms})

    async def log(self, request: Request) -> Response:
        """Return the whole trail, a line of JSON each, with its hashes."""
        asked = await self._front.asked(request)
        if asked is None or asked.visitor is None:
            return RedirectResponse("/login", 303)
        if asked.visitor.role not in VIEWS["log"].roles:
            return PlainTextResponse("forbidden", 403)
        name = f"{self._services.config.name}-trail.jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(
            self._log_lines(asked), media_type="application/x-ndjson", headers=headers
        )

    async def recorded_picture(self, request: Request) -> Response:
        """Return a picture of a recorded reject."""
        if await self._front.asked(request) is None:
            return PlainTextResponse("log in", 401)
        seq, name = request.path_params["seq"], request.path_params["name"]
        if seq >= 2**62:
            return PlainTextResponse("not found", 404)
        return _picture(await self._services.shows.recorded_file(seq, name), name)

    async def live_picture(self, request: Request) -> Response:
        """Return a picture of a reject of the running station."""
        if not self._front.public_now and await self._front.asked(request) is None:
            return PlainTextResponse("log in", 401)
        place = request.path_params
        if place["name"] == "scene.json":
            drawn = self._services.hub.scene(place["session"], place["n"])
            return PlainTextResponse("not found", 404) if drawn is None else JSONResponse(drawn)
        content = await self._services.shows.live_file(place["session"], place["n"], place["name"])
        return _picture(content, place["name"])

    async def static(self, request: Request) -> Response:
        """Return one of the page's own files."""
        found = self._front.statics.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("not found", 404)
        content, media, _ = found
        return Response(content, media_type=media, headers={"Cache-Control": "max-age=86400"})

    async def _events(self, request: Request, *, is_public: bool) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        async with contextlib.aclosing(self._services.hub.stream()) as stream:
            async for text in stream:
                yield text
                if not is_public and loop.time() - looked > _STILL_IN_S:
                    looked = loop.time()
                    if await self._front.visitors.of(request, passive=True) is None:
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


def _picture(content: bytes | None, name: str) -> Response:
    if content is None:
        return PlainTextResponse("not found", 404)
    media = "image/jpeg" if name.endswith(".jpg") else "image/png"
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    return Response(content, media_type=media, headers=headers)
