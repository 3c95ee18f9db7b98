"""Fires hostile requests at a running page, and counts how they were answered.

    python station_hostile.py URL [COUNT] [--connections N] [--public]

Made of a seed, so that a finding can be repeated. Prints a JSON object: answers by status, what was
answered although it must not be ("accepted"), and how many connections the page ended. Exit code 1
when anything was accepted, or the page no longer answers at the end.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_VIEWS = (
    *("now", "rejects", "counts", "trend", "batch", "alarms", "log", "what-if", "users"),
    *("account", "events", "log.jsonl", "trend.json"),
)
_ACTIONS = (
    *("open_batch", "start_batch", "halt_batch", "close_batch", "add_user", "set_role"),
    *("review", "note"),
)
_TRICKS = (
    *("/static/..%2f..%2fconfig.py", "/static/%2e%2e/app.py", "/../../etc/passwd", "/.env"),
    *("/frames/1/../../x.sqlite", "/web/secret", "/%00", "/now;a=b", "//evil.example/"),
    *("/static/page.css%00.js", "/frames/-1/0.jpg", "/frames/99999999999999999999/0.jpg"),
    *("/rejects/1e9", "/snap/../0/0.jpg"),
)
# What a display on the wall may show without a log-in, where the station's owner wants it.
_PUBLIC = (b"GET /now ", b"GET /events ")
_METHODS = ("GET", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "X" * 30, "")
# What a stranger may be answered: turned away, refused, told to wait; and the log-in page itself.
_FINE = frozenset((303, 400, 401, 403, 404, 405, 413, 421, 429, 431, 503))


@dataclass
class Tally:
    """What came back."""

    answers: Counter[int] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    ended: int = 0


def request_of(random_: random.Random, host: str) -> tuple[bytes, bool]:
    """One request, and whether 200 is a right answer to it."""
    kind = random_.randrange(9)
    makers = (_stranger, _forged, _crossing, _guess, _trick, _method, _large, _garbage, _headers)
    return makers[kind](random_, host)


def _head(method: str, path: str, host: str, *lines: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    text = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *length, *lines, "", ""])
    return text.encode("latin-1", "replace") + body


def _form(path: str, host: str, text: str, *lines: str) -> bytes:
    kind = "Content-Type: application/x-www-form-urlencoded"
    return _head("POST", path, host, kind, *lines, body=text.encode("latin-1", "replace"))


def _stranger(random_: random.Random, host: str) -> tuple[bytes, bool]:
    return _head("GET", f"/{random_.choice(_VIEWS)}", host), False


def _forged(random_: random.Random, host: str) -> tuple[bytes, bool]:
    token = "".join(random_.choices("abcdefXYZ0123456789-_'\";=/ ", k=random_.choice((5, 43, 99))))
    return _head(
        "GET", f"/{random_.choice(_VIEWS)}", host, f"Cookie: vialsight_session={token}"
    ), False


def _crossing(random_: random.Random, host: str) -> tuple[bytes, bool]:
    origin = random_.choice(("http://evil.example", "null", f"http://{host}.evil.example", ""))
    text = f"csrf={random_.getrandbits(256):064x}&why=x&password=x&meaning=x&text=x&user=x"
    path = f"/do/{random_.choice(_ACTIONS)}"
    cookie = "Cookie: vialsight_session=" + "a" * 43
    return _form(path, host, text, f"Origin: {origin}", cookie), False


def _guess(random_: random.Random, host: str) -> tuple[bytes, bool]:
    user = random_.choice(("operator", "engineer", "admin", "' OR 1=1 --", "a" * 5000))
    text = f"user={user}&password={random_.getrandbits(64):x}&csrf={random_.getrandbits(256):064x}"
    return _form("/login", host, text, f"Origin: http://{host}"), False


def _trick(random_: random.Random, host: str) -> tuple[bytes, bool]:
    return _head("GET", random_.choice(_TRICKS), host), False


def _method(random_: random.Random, host: str) -> tuple[bytes, bool]:
    method = random_.choice(_METHODS)
    return _head(method, f"/{random_.choice(_VIEWS)}", host), False


def _large(random_: random.Random, host: str) -> tuple[bytes, bool]:
    if random_.random() < 0.5:
        lie = random_.choice(("99999999999", "-1", "0x10", "1e3", "18446744073709551617"))
        return _head("POST", "/login", host, f"Content-Length: {lie}"), False
    return _form("/login", host, "user=" + "x" * random_.choice((17_000, 60_000))), False


def _garbage(random_: random.Random, host: str) -> tuple[bytes, bool]:
    return random_.randbytes(random_.choice((3, 80, 4000))) + b"\r\n\r\n", False


def _headers(random_: random.Random, host: str) -> tuple[bytes, bool]:
    strange = random_.choice(("evil.example", "", "a b", "[::1", "\x01", "localhost.evil.example"))
    if random_.random() < 0.5:
        return _head("GET", "/login", strange), False
    return _head("GET", "/login", host, f"X-Long: {'y' * random_.choice((100, 40_000))}"), True


async def fire(
    url: str, count: int, *, connections: int = 24, seed: int = 1, public: bool = False
) -> Tally:
    """Send `count` requests, so many at a time; return what came back.

    `public`: the page shows the line as it is now to everybody.
    """
    place = urlsplit(url)
    host, port, tally = str(place.hostname), int(place.port or 80), Tally()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            raw, may_be_shown = request_of(random.Random(seed * 1_000_003 + number), place.netloc)
            may_be_shown |= public and raw.startswith(_PUBLIC)
            await _one(host, port, raw, may_be_shown, tally)

    await asyncio.gather(*(work() for _ in range(connections)))
    return tally


async def _one(host: str, port: int, raw: bytes, may_be_shown: bool, tally: Tally) -> None:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
    except (OSError, TimeoutError):
        tally.ended += 1
        return
    try:
        writer.write(raw)
        line = await asyncio.wait_for(reader.readline(), 15)
        status = int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
    except (OSError, TimeoutError, ValueError, IndexError):
        status = 0
    finally:
        writer.close()
    if status == 0:
        tally.ended += 1
        return
    tally.answers[status] += 1
    if status not in _FINE and not (status == 200 and may_be_shown):
        tally.accepted.append(f"{status}: {raw[:120]!r}")


async def still_answers(url: str) -> bool:
    """Whether the log-in page is given out."""
    place, tally = urlsplit(url), Tally()
    raw = _head("GET", "/login", place.netloc, "Connection: close")
    await _one(str(place.hostname), int(place.port or 80), raw, True, tally)
    return tally.answers[200] == 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--public", action="store_true", help="web.public_now is on")
    given = parser.parse_args()
    attack = fire(given.url, given.count, connections=given.connections, public=given.public)
    tally = asyncio.run(attack)
    answers = asyncio.run(still_answers(given.url))
    told = {
        "requests": given.count,
        "answers": dict(sorted(tally.answers.items())),
        "ended": tally.ended,
        "accepted": tally.accepted[:20],
        "still_answers": answers,
    }
    print(json.dumps(told, indent=2))
    return 0 if answers and not tally.accepted else 1


if __name__ == "__main__":
    sys.exit(main())
