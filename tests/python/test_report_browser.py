"""The page in a real browser: quiet, self-contained, readable on a desk, a phone and on paper."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, find_browser, open_browser
from report_support import evidence_of, located, small_kit

from vialsight.evaluation.findings import find
from vialsight.report import write_page

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"
)

SMALLEST_TEXT_PX = 11.0
# Text as it is seen: SVG text is scaled with its figure, which computed styles do not show.
SMALL_TEXTS = """
[...document.querySelectorAll("body *")].filter(e =>
  [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
  && e.getClientRects().length).map(e => {
    const m = e instanceof SVGGraphicsElement ? e.getScreenCTM() : {a: 1, b: 0};
    const scale = Math.hypot(m.a, m.b);
    return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.trim().slice(0, 40)];
  }).filter(([size]) => size < LIMIT)
""".replace("LIMIT", str(SMALLEST_TEXT_PX))
BROKEN_IMAGES = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
WIDTHS = "[document.scrollingElement.scrollWidth, innerWidth]"
# A figure's text must not stick out of the figure, where it would be cut off.
CUT_TEXTS = """
[...document.querySelectorAll("svg text")].filter(t => {
  const text = t.getBoundingClientRect(), svg = t.ownerSVGElement.getBoundingClientRect();
  return text.left < svg.left - 1 || text.right > svg.right + 1
      || text.top < svg.top - 1 || text.bottom > svg.bottom + 1;
}).map(t => t.textContent)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    evidence = small_kit(folder)
    write_page(evidence, find(evidence), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def one_patch_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cells")
    one_patch = {"vials": 1, "regions": ("cell",), "frames": 1, "runs": 1}
    evidence = evidence_of(folder, strips=60, defective=20, with_defects=False, **one_patch)
    write_page(evidence, find(evidence), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def located_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("located")
    evidence = located(small_kit(folder), lost=[3, 20], truth=True)
    write_page(evidence, find(evidence), folder)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("url", ["page_url", "one_patch_url", "located_url"])
def test_page_is_quiet_and_readable(
    browser: Browser, url: str, width: int, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(url)
    page = browser.new_page(width)
    page.open(address)
    assert page.problems() == []
    assert page.requests() == [address]
    scroll_width, inner_width = page.evaluate(WIDTHS)
    assert inner_width == width
    assert scroll_width <= inner_width
    assert page.evaluate("document.images.length") > 0
    assert page.evaluate(BROKEN_IMAGES) == 0
    assert page.evaluate(SMALL_TEXTS) == []
    assert page.evaluate(CUT_TEXTS) == []


def test_poses_are_a_section_of_their_own(
    browser: Browser, located_url: str, page_url: str
) -> None:
    page = browser.new_page(1280)
    page.open(located_url)
    assert page.evaluate("document.querySelectorAll('#poses svg').length") == 5
    assert page.evaluate("document.querySelectorAll('#poses tbody tr').length") == 4
    assert page.evaluate("document.querySelector('nav a[href=\"#poses\"]').textContent") == "Poses"
    page.open(page_url)
    assert page.evaluate("document.querySelector('#poses, [href=\"#poses\"]')") is None


def test_page_prints_on_several_sheets(browser: Browser, page_url: str) -> None:
    page = browser.new_page(1280)
    page.open(page_url)
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 1


def test_folded_pictures_are_printed(browser: Browser, tmp_path: Path) -> None:
    evidence = small_kit(tmp_path)
    misses = [
        dataclasses.replace(picture, purpose="miss", product="one")
        for picture in (*evidence.pictures, *evidence.pictures, *evidence.pictures)
    ]
    evidence = dataclasses.replace(evidence, pictures=tuple(misses))
    write_page(evidence, find(evidence), tmp_path)
    page = browser.new_page(1280)
    page.open((tmp_path / "report.html").as_uri())
    closed = page.evaluate("document.querySelectorAll('details:not([open]) img').length")
    assert closed == page.evaluate("document.images.length") == len(misses)
    folded = page.pdf().count(b"/Subtype /Image")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert folded == page.pdf().count(b"/Subtype /Image") > 0


def loud_page(folder: Path, body: str) -> str:
    path = folder / "loud.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><title>loud</title>{body}", "utf-8")
    return path.as_uri()


def test_external_image_is_noticed(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(390)
    page.open(loud_page(tmp_path, '<img src="http://127.0.0.1:9/picture.png">'))
    assert "http://127.0.0.1:9/picture.png" in page.requests()
    assert page.evaluate(BROKEN_IMAGES) == 1


def test_external_image_is_refused_by_the_policy(browser: Browser, tmp_path: Path) -> None:
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    page = browser.new_page(390)
    page.open(loud_page(tmp_path, f'{policy}<img src="http://127.0.0.1:9/picture.png">'))
    assert any("Content Security Policy" in problem for problem in page.problems())


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('broken')", "console: ['broken']"),
        ("console.warn('nearly')", "console: ['nearly']"),
        ("throw new Error('thrown')", "exception: Uncaught"),
    ],
)
def test_what_a_script_says_is_noticed(
    browser: Browser, tmp_path: Path, script: str, problem: str
) -> None:
    page = browser.new_page(390)
    page.open(loud_page(tmp_path, f"<script>{script}</script>"))
    assert problem in page.problems()


def test_small_and_wide_things_are_noticed(browser: Browser, tmp_path: Path) -> None:
    svg = '<svg viewBox="0 0 900 90" width="90"><text y="50" font-size="20">tiny</text></svg>'
    page = browser.new_page(1280)
    page.open(loud_page(tmp_path, f'<p style="font-size:10px;width:2000px">small</p>{svg}'))
    assert [text for _, text in page.evaluate(SMALL_TEXTS)] == ["small", "tiny"]
    scroll_width, inner_width = page.evaluate(WIDTHS)
    assert scroll_width > inner_width
