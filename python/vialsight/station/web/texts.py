"""Every word of the page, in every language: one table, `texts.json`, with a row for each text."""

import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from typing import Any, Final

LANGUAGES: Final = {"en": "English", "de": "Deutsch", "it": "Italiano"}
# What scripts write by themselves; the rest is written by templates.
_FOR_SCRIPTS: Final = (
    *("live.", "reason.", "todo.", "hindrance.", "mode.", "state.", "chart.", "scene."),
)


# Between thousands, as ISO 80000-1 writes numbers.
NARROW_SPACE: Final = "\u202f"
MINUS: Final = "\u2212"


class Texts:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._table = {key: row[language] for key, row in table().items()}

    def __call__(self, key: str, **values: Any) -> str:
        """Return a text; `values` fill its places. Raises KeyError for a key that is not there."""
        text = self._table[key]
        return text.format(**values) if values else text

    def maybe(self, key: str, otherwise: str) -> str:
        """Return the text of a key that a later recorder may have made up, or `otherwise`."""
        return self._table.get(key, otherwise)

    def for_scripts(self) -> dict[str, str]:
        """Return the texts that scripts need."""
        return {key: text for key, text in self._table.items() if key.startswith(_FOR_SCRIPTS)}

    def number(self, value: float | None, digits: int = 0) -> str:
        """Return a number as this language writes it; a dash for none."""
        if value is None or not math.isfinite(value):
            return "–"
        text = f"{value:,.{digits}f}".replace(",", NARROW_SPACE).replace("-", MINUS)
        return text if self.language == "en" else text.replace(".", ",")

    @staticmethod
    def time(unix_ns: int) -> str:
        """Return a moment as auditors read it; a script shows it in the time of the place."""
        moment = datetime.fromtimestamp(unix_ns // 10**9, timezone.utc)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

    def percent(self, part: float, whole: float) -> str:
        """Return a share as percent; a dash of nothing."""
        return "–" if not whole else f"{self.number(100.0 * part / whole, 1)} %"


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Return all texts: by key, then by language."""
    content = files("vialsight.station.web").joinpath("texts.json").read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = json.loads(content)
    return read


@cache
def texts(language: str) -> Texts:
    """Return the texts of one of `LANGUAGES`."""
    return Texts(language)


def preferred(accepted: str) -> str:
    """Return the language that an Accept-Language header asks for first, of those there are."""
    asked: list[tuple[float, int, str]] = []
    for part in accepted[:200].split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        asked.append((-weight, len(asked), name[:2].lower()))
    return next((name for _, _, name in sorted(asked) if name in LANGUAGES), "en")
