"""Pictures of rejects as files of a browser, made when they are asked for and kept for a while."""

import functools
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from vialsight import _core
from vialsight.errors import DataError
from vialsight.station.record.pictures import Pictures
from vialsight.station.web.desk import RecordDesk, Threads
from vialsight.station.web.line import Line
from vialsight.station.web.scene import Heat, Shown, heat_png, jpeg, thumbnail

THUMBNAIL: Final = "thumb.jpg"
_THUMBNAIL_PX: Final = 320
_KEPT_BYTES: Final = 48 * 1024 * 1024
# Unpacked strips, several MB each.
_KEPT_STRIPS: Final = 4


class Shows:
    """Pictures of the snapshot, by number of the reject, and of the record, by `seq`."""

    def __init__(self, line: Line, record: RecordDesk, layout: _core.Layout) -> None:
        self._line, self._record, self._layout = line, record, layout
        self._threads = Threads("pictures", 1)
        self._files = _Kept()
        self._strips: OrderedDict[int, Shown] = OrderedDict()

    async def recorded(self, seq: int) -> Shown | None:
        """Return what the record keeps of a strip; None: nothing, or not any more."""
        known = self._strips.get(seq)
        if known is not None:
            return known
        try:
            pictures = await self._record.read(lambda reader: reader.pictures(seq))
        except (DataError, sqlite3.Error):
            return None
        if pictures is None:
            return None
        shown = self._strips[seq] = _shown(pictures)
        while len(self._strips) > _KEPT_STRIPS:
            self._strips.popitem(last=False)
        return shown

    async def recorded_file(self, seq: int, name: str) -> bytes | None:
        """Return a picture of a recorded strip: "0.jpg" a frame, "thumb.jpg", "map0.png"."""
        known = self._files.get(f"r{seq}/{name}")
        if known is not None:
            return known
        if name == THUMBNAIL:
            return await self._thumbnail(seq)
        shown = await self.recorded(seq)
        return None if shown is None else await self._made(f"r{seq}/{name}", shown, name)

    async def live_file(self, session: str, n: int, name: str) -> bytes | None:
        """Return a picture of reject `n` of the running station, named likewise."""
        key = f"s{session}/{n}/{name}"
        known = self._files.get(key)
        if known is not None:
            return known
        picture = await self._threads.run(lambda: self._line.picture(session, n))
        if picture is None:
            return None
        heats = [Heat(m.frame, m.vial, m.region, m.phi, m.heat) for m in picture.maps]
        return await self._made(key, Shown(picture.frames, heats), name)

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    async def _made(self, key: str, shown: Shown, name: str) -> bytes | None:
        make = self._maker(shown, name)
        if make is None:
            return None
        content = await self._threads.run(make)
        self._files.put(key, content)
        return content

    def _maker(self, shown: Shown, name: str) -> Callable[[], bytes] | None:
        stem, _, kind = name.partition(".")
        if kind == "jpg":
            frame = shown.frames.get(_number(stem))
            depth = self._layout.bit_depth
            return None if frame is None else functools.partial(jpeg, frame, bit_depth=depth)
        number = _number(stem.removeprefix("map"))
        if kind != "png" or not stem.startswith("map") or not 0 <= number < len(shown.heats):
            return None
        return lambda: heat_png(shown.heats[number].heat)

    async def _thumbnail(self, seq: int) -> bytes | None:
        shown = await self.recorded(seq)
        if shown is None:
            return None
        try:
            strip = await self._record.read(lambda reader: reader.strip(seq))
        except (DataError, sqlite3.Error):
            return None
        is_located = self._layout.locate != "none" and fits_layout(shown, self._layout)
        locations = strip.body.get("locations", ()) if strip is not None and is_located else ()
        content = await self._threads.run(
            lambda: thumbnail(shown, self._layout, locations, width=_THUMBNAIL_PX)
        )
        if content is not None:
            self._files.put(f"r{seq}/{THUMBNAIL}", content)
        return content


def fits_layout(shown: Shown, layout: _core.Layout) -> bool:
    """Whether pictures are of this layout; those of an earlier bundle may be of another."""
    size = (layout.frame_height, layout.frame_width)
    return all(f.shape == size and index < layout.frames for index, f in shown.frames.items())


class _Kept:
    """The files asked for last, of a bounded size in all."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> bytes | None:
        if key in self._files:
            self._files.move_to_end(key)
        return self._files.get(key)

    def put(self, key: str, content: bytes) -> None:
        self._size += len(content) - len(self._files.pop(key, b""))
        self._files[key] = content
        while self._size > _KEPT_BYTES:
            self._size -= len(self._files.popitem(last=False)[1])


def _number(text: str) -> int:
    return int(text) if text.isdigit() and text.isascii() and len(text) < 4 else -1


def _shown(pictures: Pictures) -> Shown:
    frames = dict(zip(pictures.indices.tolist(), pictures.frames, strict=True))
    heats = [
        Heat(int(place[0]), int(place[1]), int(place[2]), float(scale[0]), heat)
        for place, scale, heat in zip(
            pictures.map_places, pictures.map_scales, pictures.maps, strict=True
        )
    ]
    return Shown(frames, heats)
