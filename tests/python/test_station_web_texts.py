"""Every word of the page comes from one table, and is there in every language."""

import re
import string
from pathlib import Path

import pytest

import vialsight.station.web as web
from vialsight.station.snapshot_layout import HINDRANCES, REASONS
from vialsight.station.web import actions, trail
from vialsight.station.web.pages import EVERYBODY, VIEWS
from vialsight.station.web.texts import LANGUAGES, preferred, table, texts

FOLDER = Path(web.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").glob("*.j2"))
SCRIPTS = [p for p in sorted((FOLDER / "static").glob("*.js")) if p.name != "uplot.min.js"]
# Attributes that people read or hear.
SAID = ("alt", "title", "placeholder", "aria-label", "aria-description")
# Names that no language translates.
NAMES = {"VialSight", "φ", "ms", "%"}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_is_there_in_every_language() -> None:
    for key, row in table().items():
        assert set(row) == set(LANGUAGES), key
        assert all(row[language].strip() for language in LANGUAGES), key


def test_every_language_fills_the_same_places() -> None:
    for key, row in table().items():
        assert len({frozenset(fields(text)) for text in row.values()}) == 1, key


def test_languages_are_told_apart() -> None:
    """Most texts differ between languages: nobody copied a column."""
    rows = list(table().values())
    for one, other in (("en", "de"), ("en", "it"), ("de", "it")):
        same = sum(row[one] == row[other] for row in rows)
        assert same < len(rows) / 12, (one, other)


def keys_used() -> set[str]:
    found: set[str] = set()
    for path in TEMPLATES:
        found |= set(re.findall(r'\bt\("([a-z0-9_.-]+)"[,)]', path.read_text()))
        found |= set(re.findall(r'\bt\("([a-z_.-]+\.[a-z_-]+)" if ', path.read_text()))
        found |= set(re.findall(r' if [^}]* else "([a-z]+\.[a-z_]+)"\)', path.read_text()))
    for path in SCRIPTS:
        found |= set(re.findall(r'\btext\("([a-z_.]+)"', path.read_text()))
        found |= set(re.findall(r'"((?:live|scene|chart)\.[a-z_]+)"', path.read_text()))
    return found


def composed_keys() -> set[str]:
    """Keys that are put together of a beginning and what a station may say."""
    found = {f"view.{name}" for name in VIEWS} | {f"role.{role}" for role in EVERYBODY}
    found |= {f"reason.{reason}" for reason in REASONS} | {f"todo.{reason}" for reason in REASONS}
    found |= {f"hindrance.{name}" for name in HINDRANCES}
    found |= {f"done.{name}" for name in actions.ACTIONS}
    found |= {f"code.{code}" for code in actions.STATUS}
    found |= {f"kind.{kind}" for kinds in trail.GROUPS.values() for kind in kinds}
    found |= {f"log.group_{name}" for name in trail.GROUPS} | {"done.field"}
    for action in actions.ACTIONS.values():
        found |= {f"field.{spec.rstrip('!#')}" for spec in action.fields}
    return found


def test_every_text_that_is_used_is_in_the_table() -> None:
    used = keys_used()
    assert len(used) > 150
    assert used - set(table()) == set()


def test_every_text_that_a_station_may_call_for_is_in_the_table() -> None:
    assert composed_keys() - set(table()) == set()


def test_no_text_lies_in_the_table_unused() -> None:
    beginnings = ("alarm.", "kind.", "state.", "mode.", "theme.", "meaning.", "step.", "login.")
    beginnings += ("live.", "hindrance.", "code.", "page.", "counts.", "batch.")
    unused = set(table()) - keys_used() - composed_keys()
    assert {key for key in unused if not key.startswith(beginnings)} == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_anything_by_itself(path: Path) -> None:
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "\x01", path.read_text(), flags=re.DOTALL)
    between_tags = re.sub(r"<[^>]*>", " ", source).replace("\x01", " ")
    words = set(re.findall(r"[^\W\d_]{2,}", between_tags)) - NAMES
    assert words - {"amp", "doctype", "html"} == set()
    for name in SAID:
        for value in re.findall(rf'\b{name}="([^"]*)"', source):
            assert not re.search(r"[^\W\d_]{2,}", value.replace("\x01", "")), (name, value)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_says_anything_by_itself(path: Path) -> None:
    source = re.sub(r"^\s*//.*$|/\*.*?\*/", "", path.read_text(), flags=re.MULTILINE)
    for said in re.findall(r'(?:textContent|innerText|title)\s*=\s*(["`][^"`]*["`])', source):
        bare = re.sub(r"\$\{.*\}", "", said)
        assert not re.search(r"[^\W\d_]{2,}", bare), said
    assert "innerHTML" not in source
    assert "insertAdjacentHTML" not in source
    assert "document.write" not in source


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("fr, it;q=0.4, de;q=0.3", "it"),
        ("en;q=0.1, de;q=0.2", "de"),
        ("xx;q=nonsense, it", "it"),
        ("*", "en"),
        ("," * 500, "en"),
    ],
)
def test_language_of_the_browser(header: str, language: str) -> None:
    assert preferred(header) == language


def test_numbers_are_written_as_each_language_does() -> None:
    assert texts("en").number(12345.678, 2) == "12\u202f345.68"
    assert texts("de").number(12345.678, 2) == "12\u202f345,68"
    assert texts("it").number(float("nan")) == texts("en").number(None) == "–"
    assert texts("de").percent(1, 8) == "12,5 %"
    assert texts("de").percent(0, 0) == "–"


def test_moments_are_written_in_utc() -> None:
    assert texts("it").time(1_700_000_000 * 10**9) == "2023-11-14 22:13:20 UTC"
