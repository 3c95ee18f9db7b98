"""The views: who may see each, by which key it opens, and what it shows."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request

from vialsight import _core
from vialsight.errors import DataError
from vialsight.station.config import StationConfig
from vialsight.station.record.reading import RecordReader, Strip
from vialsight.station.web import numbers, trail, whatif
from vialsight.station.web.desk import Overloaded, RecordDesk, RecorderDesk
from vialsight.station.web.hub import Hub
from vialsight.station.web.scene import scene
from vialsight.station.web.shows import Shows, fits_layout
from vialsight.station.web.texts import Texts
from vialsight.station.web.visitors import Visitor

EVERYBODY: Final = ("operator", "engineer", "auditor")
_GALLERY: Final = 24


@dataclass(frozen=True)
class Services:
    """What pages get their contents from."""

    config: StationConfig
    layout: _core.Layout
    hub: Hub
    recorder: RecorderDesk
    record: RecordDesk
    shows: Shows
    what_if: whatif.WhatIf


@dataclass(frozen=True)
class Asked:
    """A page that somebody asks for."""

    services: Services
    request: Request
    visitor: Visitor | None
    texts: Texts
    place: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int = 0, most: int = 2**62) -> int:
        """Return a whole number of the query; the default for anything else."""
        text = self.request.query_params.get(name, "")
        return min(int(text), most) if text.isdigit() and len(text) < 20 else default

    async def recorder(self, action: str, **fields: Any) -> dict[str, Any]:
        """Return the recorder's answer in the visitor's name."""
        token = None if self.visitor is None else self.visitor.token
        return await self.services.recorder.request(action, token=token, **fields)

    async def read(self, reading: Callable[[RecordReader], Any], otherwise: Any = None) -> Any:
        """Return what is read from the record; `otherwise` while there is none to read."""
        try:
            return await self.services.record.read(reading)
        except (DataError, sqlite3.Error, Overloaded):
            return otherwise


Content = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A view; `key` is the digit that opens it."""

    name: str
    key: str
    roles: tuple[str, ...]
    content: Callable[[Asked], Awaitable[Content]]
    scripts: tuple[str, ...] = ()


class NotThere(Exception):
    """What was asked for does not exist."""


async def _now(asked: Asked) -> Content:
    state = await asked.services.hub.now()
    return {"state": state, "data": state}


async def _rejects(asked: Asked) -> Content:
    before = asked.number("before") or None
    reason = asked.request.query_params.get("reason", "")[:40]

    def read(reader: RecordReader) -> list[Strip]:
        return numbers.rejects(reader, before=before, reason=reason, limit=_GALLERY)

    strips = await asked.read(read, [])
    return {
        "strips": strips,
        "reason": reason,
        "reasons": numbers.REASONS,
        "before": before,
        "older": strips[-1].entry if len(strips) == _GALLERY else None,
    }


async def _detail(asked: Asked) -> Content:
    seq = int(asked.place["seq"])
    layout = asked.services.layout
    # SQLite's integers have 63 bits.
    strip: Strip | None = None
    if seq < 2**62:
        strip = await asked.read(lambda reader: reader.strip(seq))
    if strip is None:
        raise NotThere
    shown = await asked.services.shows.recorded(seq)
    scores = strip.scores
    fits = scores is not None and scores.shape == (layout.frames, layout.vials, len(layout.regions))
    body = strip.body
    drawn = None
    if shown is not None and fits_layout(shown, layout):
        drawn = scene(
            layout,
            shown,
            address=f"/frames/{seq}",
            scores=scores if fits else None,
            thresholds=body["thresholds"],
            locations=body.get("locations", ()) if layout.locate != "none" else (),
        )
    return {
        "strip": strip,
        "scores": numbers.score_table(scores, body["thresholds"], layout) if fits else None,
        "regions": layout.regions,
        "data": {"scene": drawn},
        "fault": body.get("last_fault"),
    }


async def _counts(asked: Asked) -> Content:
    state = await asked.services.hub.now()
    return {"state": state, "reasons": numbers.REASONS, "data": state}


async def _trend(asked: Asked) -> Content:
    batches = await asked.read(lambda reader: reader.batches(limit=20), [])
    return {
        "batches": batches,
        "batch": asked.number("batch"),
        "regions": asked.services.layout.regions,
    }


async def _batch(asked: Asked) -> Content:
    status, batches = await asyncio.gather(
        asked.recorder("batch_status"), asked.read(lambda reader: reader.batches(limit=12), [])
    )
    current = next((b for b in batches if b.id == status.get("id")), None)
    return {
        "status": status if status.get("ok") else None,
        "current": current,
        "batches": batches,
        "on_resume": asked.services.config.challenge.on_resume,
    }


async def _alarms(asked: Asked) -> Content:
    alarms = await asked.read(lambda reader: reader.alarms(open_only=False, limit=100), [])
    return {"open": [a for a in alarms if a.is_open], "past": [a for a in alarms if not a.is_open]}


async def _log(asked: Asked) -> Content:
    wanted = trail.wanted(asked.request.query_params)
    head, entries = await asked.read(
        lambda reader: (reader.head(), trail.entries(reader, wanted)), ((0, ""), [])
    )
    return {
        "head": head,
        "entries": entries,
        "wanted": wanted,
        "groups": trail.GROUPS,
        "older": entries[-1].id if len(entries) == trail.PAGE else None,
    }


async def _what_if(asked: Asked) -> Content:
    batches = await asked.read(lambda reader: reader.batches(limit=20), [])
    batch = asked.number("batch", batches[0].id if batches else 0)
    result = None
    if any(b.id == batch for b in batches):
        given = [
            asked.request.query_params.get(f"t{r}", "")
            for r in range(len(asked.services.layout.regions))
        ]
        result = await asked.read(lambda reader: asked.services.what_if.ask(reader, batch, given))
    return {
        "batches": batches,
        "batch": batch,
        "result": result,
        "regions": asked.services.layout.regions,
    }


async def _users(asked: Asked) -> Content:
    answer = await asked.recorder("users")
    return {"users": answer.get("users", []), "roles": EVERYBODY}


async def _account(asked: Asked) -> Content:
    return {}


VIEWS: Final = {
    view.name: view
    for view in (
        View("now", "1", EVERYBODY, _now, ("scene.js", "live.js")),
        View("rejects", "2", EVERYBODY, _rejects),
        View("counts", "3", EVERYBODY, _counts, ("live.js",)),
        View("trend", "4", EVERYBODY, _trend, ("uplot.min.js", "trend.js")),
        View("batch", "5", EVERYBODY, _batch),
        View("alarms", "6", EVERYBODY, _alarms),
        View("log", "7", ("engineer", "auditor"), _log),
        View("what-if", "8", ("engineer",), _what_if),
        View("users", "9", ("engineer", "auditor"), _users),
        View("account", "0", EVERYBODY, _account),
    )
}
# Opened from another view; no key of its own.
DETAIL: Final = View("detail", "", EVERYBODY, _detail, ("scene.js",))


def embedded(value: Any) -> str:
    """Return JSON that no markup can break out of."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
