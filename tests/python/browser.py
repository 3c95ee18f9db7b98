"""A headless Chromium, driven through the DevTools protocol over pipes: no port, no dependency.

The browser reads commands from its file descriptor 3 and writes answers and events to 4, each a
JSON object that ends with a NUL. Everything waits with a time limit; the browser and all of its
processes are killed at the end, whatever happened.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 60.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class BrowserError(Exception):
    """The browser ended, did not answer in time, or refused a command."""


def find_browser() -> str | None:
    """Return the path of an installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def open_browser(profile: Path) -> Iterator["Browser"]:
    """Start a browser with the empty folder `profile`; kill it at the end of the block."""
    path = find_browser()
    assert path is not None, "no browser is installed"
    # High numbers first, so that 3 and 4 of the child never overwrite what is still to be copied.
    to_child, ours_out = _high_pipe()
    ours_in, from_child = _high_pipe()
    child = os.posix_spawn(
        path,
        [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        {**os.environ, "HOME": str(profile)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, to_child, 3),
            (os.POSIX_SPAWN_DUP2, from_child, 4),
        ],
        setpgroup=0,
    )
    os.close(to_child)
    os.close(from_child)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours_in)
        os.close(ours_out)


def _high_pipe() -> tuple[int, int]:
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


@dataclass
class Browser:
    """The connection: commands are answered in order, events are kept."""

    reader: int
    writer: int
    events: list[dict[str, Any]] = field(default_factory=list)
    _buffer: bytes = b""
    _number: int = 0

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._send(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while (answer := self._receive(deadline)).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, matches: Callable[[dict[str, Any]], bool]) -> None:
        """Return when an event that matches has come."""
        deadline = time.monotonic() + TIMEOUT_S
        while not any(matches(event) for event in self.events):
            self.events.append(self._receive(deadline))

    def new_page(self, width: int, height: int = 900) -> "Page":
        """Open an empty page of a size in CSS pixels that reports all it does."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)
        return Page(self, session)

    def _send(self, content: bytes) -> None:
        while content:
            content = content[os.write(self.writer, content) :]

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.reader], [], [], left)[0]:
                raise BrowserError(f"expected an answer of the browser within {TIMEOUT_S:g} s")
            chunk = os.read(self.reader, 1 << 20)
            if not chunk:
                raise BrowserError("the browser ended")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Page:
    """One tab."""

    browser: Browser
    session: str

    def open(self, url: str) -> None:
        """Load `url` with all it embeds."""
        result = self.browser.call("Page.navigate", self.session, url=url)
        if "errorText" in result:
            raise BrowserError(f"{url}: {result['errorText']}")
        self.browser.wait_for(lambda event: self._is(event, "Page.loadEventFired"))
        # One more turn of the page's event loop, after which pending reports have been sent.
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def evaluate(self, expression: str) -> Any:
        """Return the JSON value of a JavaScript expression, awaited."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.browser.call(
            "Runtime.evaluate", self.session, expression=expression, **options
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def problems(self) -> list[str]:
        """Return console errors and warnings, exceptions and logged errors so far."""
        found = []
        for event in self._own_events():
            method, values = event["method"], event["params"]
            said = values["type"] if method == "Runtime.consoleAPICalled" else ""
            if said in ("error", "warning", "assert"):
                found.append(f"console: {[arg.get('value') for arg in values['args']]}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"exception: {values['exceptionDetails']['text']}")
            elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
                found.append(f"log: {values['entry']['text']}")
        return found

    def requests(self) -> list[str]:
        """Return every address that was asked for, data URIs aside."""
        return [
            event["params"]["request"]["url"]
            for event in self._own_events()
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith("data:")
        ]

    def screenshot(self, path: Path, scale: float = 1.0) -> None:
        """Save the whole page as PNG."""
        box = self.browser.call("Page.getLayoutMetrics", self.session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": box["width"], "height": box["height"], "scale": scale}
        answer = self.browser.call(
            "Page.captureScreenshot", self.session, captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        answer = self.browser.call(
            "Page.printToPDF", self.session, preferCSSPageSize=True, printBackground=False
        )
        return base64.b64decode(answer["data"])

    def _own_events(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]

    def _is(self, event: dict[str, Any], method: str) -> bool:
        return event.get("sessionId") == self.session and event.get("method") == method
