#!/usr/bin/env python3
"""What others do to a station: pages that read slowly, an OPC UA client, hostile requests.

usage: station_strangers.py WEB_PORT OPCUA_PORT SLOW_CLIENTS HOSTILE_PER_SECOND OPCUA_CLIENT(0|1)

Runs until SIGTERM and prints, as JSON, what came of it. It takes only CPU time that nobody wants:
in a plant these are other machines.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from collections import Counter
from typing import Any, Final

# Views and actions that need a log-in, tricks with paths, forged sessions, requests of other sites.
_FORGED: Final = "Cookie: vialsight_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
_REQUESTS: Final = (
    ("GET", "/log.jsonl", (), ""),
    ("GET", "/rejects/1", (_FORGED,), ""),
    ("GET", "/frames/1/../../record.sqlite", (), ""),
    ("GET", "/static/..%2f..%2fstation.yaml", (), ""),
    ("GET", "/static/%2e%2e/%2e%2e/etc/passwd", (), ""),
    ("GET", "/frames/99999999999999999999/0.png", (_FORGED,), ""),
    ("POST", "/do/start_batch", (_FORGED, "Origin: http://evil.example"), "csrf=x"),
    ("POST", "/do/close_batch", (_FORGED,), "csrf=&password=x&meaning=x"),
    ("POST", "/login", ("Origin: http://evil.example",), "user=engineer&password=wrong&csrf=x"),
    ("POST", "/login", (), "user=engineer&password=wrong&csrf="),
    ("DELETE", "/now", (), ""),
    ("GET", "/now", (f"Host: evil.example\r\n{_FORGED}",), ""),
    ("GET", "/" + "a" * 9000, (), ""),
)
_ANSWER_S: Final = 20.0
# That ask at the same time.
ATTACKERS: Final = 8


class Strangers:
    """All of them, on one loop."""

    def __init__(self, web: int, opcua: int) -> None:
        self.web, self.opcua = web, opcua
        self.counts: Counter[str] = Counter()
        self.leaks: list[str] = []

    async def slow_page(self) -> None:
        """Hold a live view open, and read a few bytes a second."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.web, limit=256)
                host = f"Host: 127.0.0.1:{self.web}"
                writer.write(f"GET /events HTTP/1.1\r\n{host}\r\n\r\n".encode())
                self.counts["slow pages opened"] += 1
                while await reader.read(64):
                    self.counts["slow reads"] += 1
                    await asyncio.sleep(1.0)
                writer.close()
            except OSError:
                self.counts["slow pages refused"] += 1
            await asyncio.sleep(1.0)

    async def hostile(self, per_second: float, seed: int) -> None:
        """Ask for what may not be had, at a pace."""
        chance = random.Random(seed)
        while True:
            await asyncio.sleep(1.0 / per_second)
            request = chance.choice((self._http, self._garbage_to_page, self._garbage_to_opcua))
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.wait_for(request(chance), _ANSWER_S)
            self.counts["hostile requests"] += 1

    async def _http(self, chance: random.Random) -> None:
        method, path, headers, body = chance.choice(_REQUESTS)
        lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close"]
        if not any(header.startswith("Host") for header in headers):
            lines.append(f"Host: 127.0.0.1:{self.web}")
        if body:
            lines += [
                f"Content-Length: {len(body)}",
                "Content-Type: application/x-www-form-urlencoded",
            ]
        reader, writer = await self._connection(self.web, chance)
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        answer = (await reader.read(64)).decode(errors="replace")
        writer.close()
        status = answer.split(" ")[1] if answer.startswith("HTTP/") else "none"
        self.counts[f"HTTP {status}"] += 1
        # A log-in page is an answer; anything else that is fine is not.
        if status == "200":
            self.leaks.append(f"{method} {path[:60]}")

    async def _garbage_to_page(self, chance: random.Random) -> None:
        await self._send(self.web, b"GET " + chance.randbytes(chance.randrange(4000)), chance)

    async def _garbage_to_opcua(self, chance: random.Random) -> None:
        size = chance.randrange(4000)
        head = chance.choice((b"HELF", b"OPNF", b"MSGF", b"\0\0\0\0"))
        await self._send(self.opcua, head + chance.randbytes(4) + chance.randbytes(size), chance)

    async def _connection(self, port: int, chance: random.Random) -> Any:
        """Connect from an address of their own: what is limited by address must not hit others."""
        own = f"127.66.0.{chance.randrange(1, 32)}"
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))

    async def _send(self, port: int, content: bytes, chance: random.Random) -> None:
        _, writer = await self._connection(port, chance)
        writer.write(content)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def plant(self) -> None:
        """An OPC UA client of the plant: log in, read, subscribe; again when it fails."""
        from asyncua import Client

        while True:
            with contextlib.suppress(Exception):
                client = Client(f"opc.tcp://127.0.0.1:{self.opcua}/", timeout=20)
                client.set_user("engineer")
                client.set_password("correct horse 7")
                async with client:
                    self.counts["OPC UA sessions"] += 1
                    subscription = await client.create_subscription(200, self)
                    await subscription.subscribe_events(client.nodes.server)
                    while True:
                        await asyncio.sleep(1.0)
                        await client.nodes.server.read_browse_name()
                        self.counts["OPC UA reads"] += 1
            self.counts["OPC UA sessions ended"] += 1
            await asyncio.sleep(1.0)

    def event_notification(self, event: Any) -> None:
        """Count an event; asyncua calls it."""
        self.counts["OPC UA events"] += 1


async def main() -> None:
    """Run until SIGTERM."""
    web, opcua, slow, hostile, plant = (float(word) for word in sys.argv[1:])
    strangers = Strangers(int(web), int(opcua))
    tasks = [asyncio.create_task(strangers.slow_page()) for _ in range(int(slow))]
    if hostile:
        pace = hostile / ATTACKERS
        tasks += [asyncio.create_task(strangers.hostile(pace, seed)) for seed in range(ATTACKERS)]
    if plant:
        tasks.append(asyncio.create_task(strangers.plant()))
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    for task in tasks:
        task.cancel()
    print(json.dumps({"counts": strangers.counts, "leaks": strangers.leaks[:10]}), flush=True)
    # Sessions are left as they are, as when a machine is switched off.
    os._exit(0)


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # That connections end is what is tried.
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
