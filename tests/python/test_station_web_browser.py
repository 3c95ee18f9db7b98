"""The page in a real browser: each view, two widths, three languages, keyboard alone."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from browser import find_browser

pytest.importorskip("starlette", reason="the extra 'station' is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright import sync_api as playwright
from station_support import FRAMES, REGIONS, VIALS, wait_until
from station_web_support import (
    PASSWORD,
    SHIPPED,
    Station,
    eager,
    free_port,
    is_open,
    station,
    web_process,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"
    ),
]

WIDTHS = {1280: 900, 390: 844}
LANGUAGES = ("en", "de", "it")
VIEWS = {
    "engineer": ("now", "rejects", "counts", "trend", "batch", "alarms", "log", "what-if"),
    "auditor": ("log", "users", "account"),
}
KEYS = {
    "1": "now", "2": "rejects", "3": "counts", "4": "trend", "5": "batch", "6": "alarms",
    "7": "log", "8": "what-if", "9": "users", "0": "account",
}  # fmt: skip
WORDS = {
    "en": ("ACCEPT", "REJECT", "NOT READY", "NO SIGNAL"),
    "de": ("GUT", "AUSSCHUSS", "NICHT BEREIT", "KEIN SIGNAL"),
    "it": ("BUONO", "SCARTO", "NON PRONTA", "NESSUN SEGNALE"),
}
SMALL_TEXTS = """[...document.querySelectorAll("body *")].filter(e => e.getClientRects().length
  && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
  && !(e instanceof SVGElement) && parseFloat(getComputedStyle(e).fontSize) < 11)
  .map(e => e.textContent.trim().slice(0, 40))"""
# Text that is seen against what lies behind it; pictures and charts aside. WCAG's formula.
CONTRASTS = """[...document.querySelectorAll("body *")].filter(e => e.getClientRects().length
  && !e.closest(".hidden, svg, .u-wrap, option") && e.closest("[hidden]") === null
  && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const light = (colour) => parts(colour).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    let behind = e, colour = "";
    for (; behind; behind = behind.parentElement) {
      colour = getComputedStyle(behind).backgroundColor;
      if (parts(colour)[3] !== 0) break;
    }
    const body = getComputedStyle(document.documentElement).getPropertyValue("--bg").trim();
    const hex = (text) => `rgb(${[1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16))})`;
    const [a, b] = [light(getComputedStyle(e).color), light(behind ? colour : hex(body))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < LEAST)"""


def product(seed: int) -> dict[int, np.ndarray]:
    """Frames of the shipped bundle's size: soft shapes, so that JPEG has something to do."""
    rows, columns = np.indices((1152, 1408))
    base = 150 + 50 * np.sin(columns / 90.0 + seed) * np.cos(rows / 130.0)
    return {frame: (base + 8 * frame).astype(np.uint8) for frame in range(FRAMES)}


def spot() -> np.ndarray:
    rows, columns = np.indices((256, 256))
    return np.clip(255 - 2.0 * np.hypot(rows - 100, columns - 140), 0, 255).astype(np.uint8)


def reject(made: Station, seed: int = 0) -> int:
    scores = np.full((FRAMES, VIALS, REGIONS), 0.5, np.float32)
    scores[1, 3, 2] = 7.5
    places = [(1, 12.0, -7.5, 0.01)] * FRAMES
    maps = [(1, 3, 2, 7.5, 0.0, 10.0, spot())]
    return made.strip(
        accept=False, scores=scores, locations=places, frames=product(seed), maps=maps
    )


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Station, str]]:
    with station(bundle=SHIPPED, web={"port": free_port(), "clients": 16}) as made:
        made.start_batch()
        for number in range(12):
            made.strip(scores=np.full((FRAMES, VIALS, REGIONS), number / 10, np.float32))
        for seed in range(3):
            reject(made, seed)
        made.strip(accept=False, reason="frame_missing")
        made.inspector.spool.write(6, {"event": "camera_lost", "text": "no answer"})
        made.wait_recorded()
        with web_process(made.folder) as url:
            yield made, url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Generous: other tests may want the same cores, and the page takes only what is left.
        playwright.expect.set_options(timeout=30_000)
        opened = driver.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@contextmanager
def keep_alive(made: Station) -> Iterator[None]:
    """The inspector's heart beats, in a process that ends with the block."""
    import threading

    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.2):
            made.tell()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Visit:
    """A tab, and all it said and asked for."""

    def __init__(self, browser: Any, url: str, *, width: int = 1280, **options: Any) -> None:
        self.url, self.problems, self.foreign = url, [], []
        theme, token = options.pop("theme", None), options.pop("token", None)
        options.setdefault("locale", "en")
        size = {"width": width, "height": WIDTHS[width]}
        self.context = browser.new_context(viewport=size, **options)
        self.context.set_default_timeout(30_000)
        cookies = {"vialsight_session": token, "vialsight_theme": theme}
        self.context.add_cookies(
            [{"name": name, "value": value, "url": url} for name, value in cookies.items() if value]
        )
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.url + "/"):
            self.foreign.append(request.url)

    def open(self, path: str) -> Any:
        self.page.goto(self.url + path)
        return self.page

    def word(self, expected: str) -> None:
        playwright.expect(self.page.locator('[data-bind="word"]')).to_have_text(expected)


@pytest.fixture
def visit(browser: Any, running: tuple[Station, str]) -> Iterator[Callable[..., Visit]]:
    made, url = running
    visits: list[Visit] = []

    def come(role: str | None = "engineer", **options: Any) -> Visit:
        token = None if role is None else made.people[role].token
        visits.append(Visit(browser, url, token=token, **options))
        return visits[-1]

    yield come
    for each in visits:
        each.context.close()


def settle(page: Any) -> None:
    page.wait_for_load_state("load")
    page.wait_for_selector('#bar:not([data-shown="waiting"])', state="attached")
    page.wait_for_timeout(100)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", VIEWS)
def test_every_view_is_clean(
    visit: Callable[..., Visit],
    running: tuple[Station, str],
    width: int,
    language: str,
    role: str,
) -> None:
    tab = visit(role, width=width, locale=language)
    with keep_alive(running[0]):
        for view in VIEWS[role]:
            page = tab.open(f"/{view}")
            settle(page)
            assert page.get_attribute("html", "lang") == language
            inner, scrolled = page.evaluate("[innerWidth, document.scrollingElement.scrollWidth]")
            assert scrolled <= inner, view
            assert page.evaluate(SMALL_TEXTS) == [], view
            broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
            assert page.evaluate(broken) == 0, view
    assert tab.problems == []
    assert tab.foreign == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_verdict_is_large_and_follows_the_line(
    visit: Callable[..., Visit], running: tuple[Station, str], language: str
) -> None:
    made, _ = running
    accept, rejected, not_ready, silent = WORDS[language]
    tab = visit("operator", locale=language)
    page = tab.open("/now")
    with keep_alive(made):
        made.strip()
        tab.word(accept)
        assert page.get_attribute("#verdict", "data-shown") == "accept"
        assert page.get_attribute("#verdict use", "href") == "#shape-accept"
        size = page.evaluate(
            "parseFloat(getComputedStyle(document.querySelector('.word')).fontSize)"
        )
        # Capitals of 15 mm are read at three metres; a screen has about 0.26 mm to a pixel.
        assert size * 0.7 * 0.26 > 15
        reject(made)
        tab.word(rejected)
        assert page.get_attribute("#verdict use", "href") == "#shape-reject"
        playwright.expect(page.locator("#spoken")).to_contain_text(rejected)
        made.tell(hindrance=1)
        tab.word(not_ready)
        assert page.get_attribute("#verdict use", "href") == "#shape-not_ready"
        made.tell(hindrance=0)
        tab.word(rejected)
    tab.word(silent)
    made.tell()
    assert tab.problems == []


def test_the_last_reject_is_shown_where_it_is(
    visit: Callable[..., Visit], running: tuple[Station, str]
) -> None:
    made, _ = running
    tab = visit("operator")
    page = tab.open("/now")
    with keep_alive(made):
        reject(made, seed=5)
        page.wait_for_selector("#stage-picture .box.bad")
        page.wait_for_selector("#stage-picture .heat image")
        assert page.locator("#stage-picture .box").count() == VIALS * REGIONS
        assert page.locator("#stage-picture .box.bad").count() == 1
        assert page.locator("#stage-frames button").count() == FRAMES
        playwright.expect(page.locator("#stage-frames [aria-pressed=true]")).to_contain_text("2")
        where = page.locator('[data-bind="reject-region"]')
        playwright.expect(where).to_have_text("vial 4, liquid_body")
        box = page.locator("#stage-picture .box.bad").bounding_box()
        heat = page.locator("#stage-picture .heat image").bounding_box()
        # Both around one centre; the outline of a box lies half outside of it.
        for side, length in (("x", "width"), ("y", "height")):
            centres = [rect[side] + rect[length] / 2 for rect in (box, heat)]
            assert abs(centres[0] - centres[1]) < 1.0


def test_a_page_that_lost_its_server_says_so(browser: Any) -> None:
    port = free_port()
    with station(bundle=SHIPPED, people=False, web={"port": port, "public_now": True}) as made:
        made.tell(mode="production", ready=True)
        made.strip()
        command = eager("vialsight.station.web", made.folder)
        process = subprocess.Popen(command)
        try:
            wait_until(lambda: is_open(port), 60)
            tab = Visit(browser, f"http://127.0.0.1:{port}")
            with keep_alive(made):
                page = tab.open("/now")
                tab.word("ACCEPT")
                process.send_signal(signal.SIGSTOP)
                tab.word("PAGE OFFLINE")
                process.send_signal(signal.SIGCONT)
                tab.word("ACCEPT")
                process.kill()
                process.wait()
                tab.word("PAGE OFFLINE")
                process = subprocess.Popen(command)
                tab.word("ACCEPT")
                assert page.get_attribute("#verdict", "data-shown") == "accept"
            tab.context.close()
        finally:
            process.kill()
            process.wait()


def test_logging_in_and_every_view_by_keyboard(
    visit: Callable[..., Visit], running: tuple[Station, str]
) -> None:
    tab = visit(None)
    page, keyboard = tab.open("/now"), tab.page.keyboard
    assert page.url.endswith("/login")
    assert page.evaluate("document.activeElement.id") == "user"
    keyboard.type("engineer")
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    page.wait_for_url("**/now")
    for key, view in KEYS.items():
        keyboard.press(key)
        page.wait_for_url(f"**/{view}")
        playwright.expect(page.locator("h1")).to_have_count(1)
    page.goto(tab.url + "/batch")
    page.focus("#text")
    keyboard.type("1234")
    assert page.url.endswith("/batch")
    assert page.input_value("#text") == "1234"
    assert tab.problems == []


def test_what_has_the_focus_is_seen(visit: Callable[..., Visit]) -> None:
    tab = visit("engineer")
    page, keyboard = tab.open("/alarms"), tab.page.keyboard
    keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(12):
        keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        style = "getComputedStyle(document.activeElement)"
        width = f"[{style}.outlineStyle, parseFloat({style}.outlineWidth)]"
        kind, thickness = page.evaluate(width)
        assert kind != "none"
        assert thickness >= 2
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"INPUT", "BUTTON"} <= reached


def test_the_heatmap_is_dimmed_by_keys(
    visit: Callable[..., Visit], running: tuple[Station, str]
) -> None:
    made, _ = running
    seq = reject(made, seed=7)
    made.wait_recorded()
    tab = visit("operator")
    page = tab.open(f"/rejects/{seq}")
    heat = page.locator("#stage-picture .heat")
    assert heat.get_attribute("opacity") == "0.7"
    page.focus("#opacity")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert heat.get_attribute("opacity") == "0.5"
    assert page.inner_text("#opacity-shown") == "50 %"
    bad = page.locator("td.bad")
    assert bad.count() == 1
    assert "7.500" in bad.inner_text()
    page.locator("#stage-frames button").nth(2).press("Enter")
    assert page.locator("#stage-picture .box.bad").count() == 0
    assert tab.problems == []


def test_a_small_screen_has_a_menu(visit: Callable[..., Visit]) -> None:
    page = visit("operator", width=390).open("/counts")
    assert not page.is_visible("#views")
    page.press("#menu", "Enter")
    assert page.is_visible("#views")
    assert page.get_attribute("#menu", "aria-expanded") == "true"
    page.click("text=Trend")
    page.wait_for_url("**/trend")


def test_curves_are_drawn(visit: Callable[..., Visit], running: tuple[Station, str]) -> None:
    tab = visit("operator")
    for path in ("/trend", "/trend?batch=1"):
        page = tab.open(path)
        page.wait_for_selector("#latency canvas")
        painted = """[...document.querySelectorAll("canvas")].map(c => c.getContext("2d")
          .getImageData(0, 0, c.width, c.height).data.some(v => v))"""
        assert page.evaluate(painted) == [True] * (REGIONS + 1)
        assert page.is_hidden("#no-chart")
    assert tab.problems == []


@pytest.mark.parametrize(("theme", "least"), [("light", 4.5), ("dark", 4.5), ("contrast", 7.0)])
def test_text_stands_out(
    visit: Callable[..., Visit], running: tuple[Station, str], theme: str, least: float
) -> None:
    made, _ = running
    tab = visit("engineer", theme=theme)
    script = CONTRASTS.replace("LEAST", str(least))
    with keep_alive(made):
        page = tab.open("/now")
        for status in ({"hindrance": 0}, {"hindrance": 1}):
            made.tell(**status)
            page.wait_for_timeout(700)
            assert page.evaluate(script) == []
        made.tell(hindrance=0)
        for view in ("rejects", "counts", "batch", "alarms", "log", "what-if", "users", "account"):
            page = tab.open(f"/{view}")
            settle(page)
            assert page.evaluate(script) == [], view
    page.wait_for_timeout(2500)
    assert page.evaluate(script) == []


def test_nothing_moves_for_those_who_do_not_want_it(visit: Callable[..., Visit]) -> None:
    tab = visit("operator", reduced_motion="reduce")
    page = tab.open("/now")
    assert page.evaluate("document.getAnimations().length") == 0


def test_looks_and_language_are_chosen_on_the_page(visit: Callable[..., Visit]) -> None:
    page = visit("auditor").open("/account")
    page.click('button[value="contrast"]')
    page.wait_for_selector('html[data-theme="contrast"]')
    page.click('button[value="de"]')
    page.wait_for_selector('html[lang="de"]')
    assert page.get_attribute('button[value="de"]', "aria-pressed") == "true"


def test_other_thresholds_are_asked_about_and_change_nothing(
    visit: Callable[..., Visit], running: tuple[Station, str]
) -> None:
    made, _ = running
    page = visit("engineer", locale="de").open("/what-if")
    assert "Hier wird nichts geändert." in page.inner_text("main")
    assert page.input_value("#t2") == "3,0000"
    page.fill("#t2", "0,85")
    page.press("#t2", "Enter")
    page.wait_for_url("**t2=0*")
    shown = page.locator("section", has_text="Gut, wäre Ausschuss")
    # Of the strips of φ 0, 0.1 … 1.1 three are above 0.85; others came later, of another φ.
    changed = int(re.findall(r"\d+", shown.locator("h2 small").inner_text())[0])
    assert changed >= 3
    page.fill("#t2", "unsinn")
    page.press("#t2", "Enter")
    page.wait_for_selector('#t2[aria-invalid="true"]')
    assert page.input_value("#t2") == "3,0000"
    yaml = json.loads((made.folder / "station.yaml").read_text())
    assert "thresholds" not in yaml


def test_a_batch_from_opening_to_signature_by_keyboard(browser: Any) -> None:
    with (
        station(bundle=SHIPPED, web={"port": free_port()}) as made,
        web_process(made.folder) as url,
    ):
        tab = Visit(browser, url, token=made.people["operator"].token)
        page, keyboard = tab.open("/batch"), tab.page.keyboard
        page.focus("#product")
        keyboard.type("Drops")
        keyboard.press("Tab")
        keyboard.type("B-7")
        keyboard.press("Enter")
        page.wait_for_selector("text=The batch is open.")
        assert page.locator('form[action="/do/start_batch"]').count() == 0
        page.press('form[action="/do/run_challenge"] button', "Enter")
        page.wait_for_selector('form[action="/do/start_batch"]')
        assert page.locator(".tick.yes").count() == 3
        page.press('form[action="/do/start_batch"] button', "Enter")
        page.wait_for_selector("text=The batch runs.")
        made.of_batch = {"triggers": 0, "accepted": 0, "rejected": {}}
        made.tell(mode="production", batch=1, ready=True)
        for _ in range(5):
            made.strip()
        made.wait_recorded()
        page.focus("#halt-why")
        keyboard.type("film tore")
        keyboard.press("Enter")
        page.wait_for_selector("text=The batch is halted.")
        page.focus("#resume-why")
        keyboard.type("film mended")
        keyboard.press("Enter")
        page.wait_for_selector("text=The batch goes on.")
        page.fill("#sign", "not my password")
        page.press("#sign", "Enter")
        page.wait_for_selector('[role="alert"]')
        page.fill("#sign", PASSWORD)
        page.press("#sign", "Enter")
        page.wait_for_selector("text=The batch is closed and signed.")
        assert page.locator("td", has_text="closed").count() == 1
        # A wrong password is answered by 403, which the browser notes as a failed load.
        assert [p for p in tab.problems if "403" not in p] == []
        tab.context.close()


def test_alarms_reviews_and_users(
    visit: Callable[..., Visit], running: tuple[Station, str]
) -> None:
    made, _ = running
    wait_until(lambda: alarms_of(made) > 0)
    page = visit("operator").open("/alarms")
    page.locator(".alarm input[name=why]").first.fill("cable was loose")
    page.locator(".alarm button").first.click()
    page.wait_for_selector("text=The alarm is acknowledged.")
    page = visit("auditor").open("/log?group=people")
    assert "cable was loose" in page.inner_text(".trail")
    head = page.inner_text(".hash")
    assert re.fullmatch("[0-9a-f]{64}", head)
    with page.expect_download() as export:
        page.click("text=Export the trail")
    lines = [json.loads(line) for line in export.value.path().read_text("utf-8").splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    page.fill("#sign", PASSWORD)
    page.press("#sign", "Enter")
    page.wait_for_selector("text=The review is recorded.")
    page = visit("engineer").open("/users")
    page.fill("#user", f"u{os.getpid()}")
    page.fill("#full_name", "Somebody New")
    page.press("#full_name", "Enter")
    page.wait_for_selector("code.secret")
    page.reload()
    assert page.locator("code.secret").count() == 0


def alarms_of(made: Station) -> int:
    from vialsight.station.record.reading import RecordReader

    reader = RecordReader(made.folder / "record.sqlite")
    try:
        return len(reader.alarms())
    finally:
        reader.close()


def test_a_session_that_ends_closes_the_page(browser: Any, running: tuple[Station, str]) -> None:
    made, url = running
    client = made.recorder.client(origin="web")
    token = client.login("auditor", PASSWORD)["token"]
    tab = Visit(browser, url, token=token)
    page = tab.open("/now")
    time.sleep(0.5)
    assert client.request("logout", token=token)["ok"]
    page.wait_for_url("**/login", timeout=60_000)
    tab.context.close()
