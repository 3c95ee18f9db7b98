"""The report of a batch: one page for screen and paper that needs no network and runs no script."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.station.record import database
from vialsight.station.record.chain import Entry
from vialsight.station.record.export import utc
from vialsight.station.record.pictures import Pictures
from vialsight.station.record.reading import Batch, RecordReader, Strip

_TEMPLATE: Final = "station/batch_report.html.j2"
# Pixels: of a third of a page of A4 at 150 dots an inch.
_THUMBNAIL_WIDTH: Final = 360
_MAP_WIDTH: Final = 128
# Rejects that are shown; a page with more is no longer read.
_SHOWN: Final = 120
_PLAIN: Final = {
    "batch_opened": "opened", "batch_started": "production started", "batch_halted": "halted",
    "batch_held": "held", "batch_resumed": "resumed", "batch_closed": "closed",
    "challenge_started": "challenge started", "challenge_passed": "challenge passed",
    "challenge_failed": "challenge failed", "note": "note", "review": "trail reviewed",
    "refused": "refused", "clock_changed": "clock changed", "gap": "strips without entries",
}  # fmt: skip


def write_report(record: Path, out: Path, *, batch: int) -> tuple[int, str]:
    """Write the report of a batch of a record.sqlite; return the head that it names.

    Raises DataError when there is no such batch.
    """
    if not database.reads(record):
        raise DataError(f"{record}: expected a record.sqlite; a sealed export has no reports")
    reader = RecordReader(record)
    try:
        found = reader.batch(batch)
        if found is None:
            raise DataError(f"{record}: expected a batch of the record, got {batch}")
        head = reader.head()
        page = _environment().get_template(_TEMPLATE).render(_context(reader, found, head))
    finally:
        reader.close()
    atomic.write_text(out, page)
    return head


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("vialsight", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _context(reader: RecordReader, batch: Batch, head: tuple[int, str]) -> dict[str, Any]:
    opened = batch.history[0].value()
    closed = [entry for entry in batch.history if entry.kind == "batch_closed"]
    last = closed[-1].id if closed else head[0]
    counts = closed[-1].value()["counts"] if closed else reader.counts(batch).to_json()
    start = {"vialsight": "?", "runtime": "?", "precision": "?", **opened["start"]}
    rejects = reader.strips(batch.id, "reject", limit=_SHOWN, newest=False, mode="production")
    return {
        "batch": batch,
        "opened": {**opened, "start": start},
        "opened_utc": _time(batch.opened_ns),
        "started_utc": _time(batch.started_ns),
        "closed_utc": _time(batch.closed_ns),
        "counts": counts,
        "balance": _balance(counts),
        "rate": _rate(counts["recorded"]),
        "challenges": [_challenge(e) for e in batch.history if e.kind.startswith("challenge_p")
                       or e.kind.startswith("challenge_f")],
        "history": list(_history(reader, batch.entry, last)),
        "alarms": _alarms(reader, batch.entry, last),
        "signatures": _signatures(reader, batch.entry, closed),
        "rejects": [_reject(reader, strip, opened["start"]) for strip in rejects],
        "rejects_text": _rejects_text(len(rejects), sum(batch.balance.rejected.values())),
        "head": head,
        "words": _words,
    }  # fmt: skip


def _balance(counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the balance; a dash where nobody counted."""
    recorded, inspector = counts["recorded"], counts["inspector"]
    machine = counts["machine_triggers"]
    reasons = sorted({*recorded["rejected"], *(inspector or {"rejected": {}})["rejected"]})

    def row(name: str, count: Any, *, total: bool = False, of_machine: Any = None) -> Any:
        told = "–" if inspector is None else count(inspector)
        shown = "" if not total else "–" if of_machine is None else of_machine
        return {"name": name, "recorded": count(recorded), "inspector": told, "machine": shown,
                "total": total}  # fmt: skip

    return [
        row("accepted", lambda value: value["accepted"]),
        *(
            row(f"rejected: {_words(reason)}", lambda value, r=reason: value["rejected"].get(r, 0))
            for reason in reasons
        ),
        row("strips", lambda value: value["triggers"], total=True, of_machine=machine),
    ]


def _rate(recorded: dict[str, Any]) -> str:
    if not recorded["triggers"]:
        return "None came in."
    rejected = recorded["triggers"] - recorded["accepted"]
    return f"{rejected / recorded['triggers']:.2%} were rejected."


def _challenge(entry: Entry) -> dict[str, Any]:
    body = entry.value()
    return {
        "utc": _time(entry.unix_ns), "actor": entry.actor, "strips": body["strips"],
        "passed": entry.kind == "challenge_passed", "why": body.get("why"),
    }  # fmt: skip


def _history(reader: RecordReader, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Yield what people did and what was noticed, strips and counts apart."""
    kinds = tuple(_PLAIN)
    after = first - 1
    while entries := reader.entries(after, kinds, before=last + 1):
        for entry in entries:
            text = _line(entry)
            yield {"utc": _time(entry.unix_ns), "actor": entry.actor, "text": text}
        after = entries[-1].id


def _line(entry: Entry) -> str:
    body, text = entry.value(), _PLAIN[entry.kind]
    if entry.kind == "refused":
        return f"{text}: {_words(str(body['action']))}: {body['why']}"
    if entry.kind == "gap":
        return f"{text}: {body['count']}, rejected: {_words(str(body['reason']))}"
    said = body.get("why") or body.get("text") or ""
    return f"{text}: {said}" if said else text


def _alarms(reader: RecordReader, first: int, last: int) -> list[dict[str, Any]]:
    found = reader.alarms(open_only=False, limit=10**6)
    return [
        {
            "raised": _time(alarm.raised_ns), "text": alarm.text,
            "cleared": _time(alarm.cleared_ns), "acknowledged": _time(alarm.acknowledged_ns),
            "by": alarm.acknowledged_by, "why": alarm.why,
        }
        for alarm in reversed(found)
        if first <= alarm.id <= last
    ]  # fmt: skip


def _signatures(reader: RecordReader, opened: int, closed: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return who closed the batch, and who reviewed the trail beyond its closing since."""
    reviews = []
    if closed:
        entries = reader.entries(after=closed[-1].id, kinds=("review",), limit=10)
        reviews = [entry for entry in entries if entry.value()["up_to"] >= closed[-1].id]
    return [
        {
            **entry.value()["signature"], "utc": _time(entry.unix_ns), "entry": entry.id,
            "hash": entry.hash.hex(), "why": entry.value().get("why"),
        }
        for entry in [*closed, *reviews]
    ]  # fmt: skip


def _rejects_text(shown: int, rejected: int) -> str:
    if not rejected:
        return "None was rejected."
    if shown < rejected:
        return f"The first {shown} of {rejected}; the record has them all."
    return f"All {rejected}."


def _reject(reader: RecordReader, strip: Strip, start: dict[str, Any]) -> dict[str, Any]:
    try:
        pictures = reader.pictures(strip.seq)
        without = "it was deleted" if strip.has_pictures else "none was kept"
    except DataError:
        pictures, without = None, "its file is broken"
    place = _worst(strip, start)
    return {
        "strip_id": strip.strip_id, "utc": _time(strip.unix_ns), "reason": strip.reason,
        "place": place, "without": without, "frame": _frame(pictures, place),
        "map": _map(pictures),
    }  # fmt: skip


def _worst(strip: Strip, start: dict[str, Any]) -> dict[str, Any] | None:
    """Return the patch that is the most above its threshold; None where none is."""
    scores = strip.scores
    if scores is None or strip.reason != "defect":
        return None
    above = scores.astype(np.float64) - np.asarray(strip.body["thresholds"])
    above[~np.isfinite(above)] = -np.inf
    frame, vial, region = np.unravel_index(int(above.argmax()), above.shape)
    names = start.get("regions") or []
    return {
        "frame": int(frame) + 1, "vial": int(vial) + 1,
        "region": names[region] if region < len(names) else f"region {region + 1}",
        "score": f"{scores[frame, vial, region]:.4g}",
        "threshold": f"{strip.body['thresholds'][region]:.4g}",
    }  # fmt: skip


def _frame(pictures: Pictures | None, place: dict[str, Any] | None) -> str | None:
    """Return the frame with the worst patch, or the first, as a small picture."""
    if pictures is None or not len(pictures.frames):
        return None
    wanted = 0 if place is None else place["frame"] - 1
    number = np.flatnonzero(pictures.indices == wanted)
    frame = pictures.frames[number[0] if len(number) else 0]
    if frame.dtype != np.uint8:
        frame = (frame.astype(np.float64) * (255.0 / max(1, int(frame.max())))).astype(np.uint8)
    return _encoded(np.asarray(frame, np.uint8), _THUMBNAIL_WIDTH)


def _map(pictures: Pictures | None) -> str | None:
    """Return the map of the worst patch: from black over red to white."""
    if pictures is None or not len(pictures.maps):
        return None
    value = pictures.maps[0].astype(np.int32) * 3
    heat = np.stack([value, value - 255, value - 510], axis=-1)
    return _encoded(np.clip(heat, 0, 255).astype(np.uint8), _MAP_WIDTH)


def _encoded(pixels: npt.NDArray[np.uint8], width: int) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    if image.width > width:
        image = image.resize((width, max(1, image.height * width // image.width)))
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _time(unix_ns: int | None) -> str | None:
    text = utc(unix_ns)
    return None if text is None else f"{text[:10]} {text[11:19]}"


def _words(name: str) -> str:
    return name.replace("_", " ")
