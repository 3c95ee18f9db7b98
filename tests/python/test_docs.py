"""The documents say what is true."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from vialsight.cli import app
from vialsight.models.configuration import describe_config
from vialsight.station.config import StationConfig

REPOSITORY = Path(__file__).resolve().parents[2]


def test_configuration_page_is_the_schema() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert block == describe_config(), "run: python tools/write_configuration_page.py"


def keys_of(section: type[BaseModel], before: str = "") -> set[str]:
    """Dotted names of all keys of a schema, those of its sections instead of the sections."""
    found: set[str] = set()
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= keys_of(kind, f"{before}{name}.")
        else:
            found.add(f"{before}{name}")
    return found


def test_station_page_has_every_key_of_the_schema() -> None:
    page = (REPOSITORY / "docs" / "station.md").read_text(encoding="utf-8")
    section = page.split("\n## station.yaml\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)} == keys_of(
        StationConfig
    )


def verbs_of_readme() -> set[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return set(re.findall(r"^ *vialsight ([a-z]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("verb", sorted(verbs_of_readme()))
def test_verb_of_the_readme_exists(verb: str) -> None:
    assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


def test_readme_shows_the_whole_path() -> None:
    expected = {"prepare", "train", "freeze", "calibrate", "verify", "evaluate", "bench", "inspect"}
    assert expected <= verbs_of_readme()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/station.md"])
def test_links_lead_somewhere(document: str) -> None:
    path = REPOSITORY / document
    targets = [
        target.partition("#")[0]
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
        if not target.startswith(("http", "#"))
    ]
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert missing == []


def names_of_enum(header: str, enum: str) -> list[str]:
    """Enumerators in the order of their numbers, from a public header."""
    text = (REPOSITORY / "cpp" / "include" / "vialsight" / header).read_text(encoding="utf-8")
    body = re.search(rf"enum class {enum} : std::uint8_t \{{(.*?)\}};", text, flags=re.DOTALL)
    assert body is not None
    return re.findall(r"^ *(k\w+)", body[1], flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("header", "enum", "heading"),
    [("decision.h", "Reason", "Reasons"), ("status.h", "Code", "Status codes")],
)
def test_integration_page_explains_every_answer(header: str, enum: str, heading: str) -> None:
    page = (REPOSITORY / "docs" / "integration.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \(`(k\w+)`, (\d+)\) \|", section, flags=re.MULTILINE)
    names = names_of_enum(header, enum)
    assert len(names) > 8, "the check itself must see names"
    expected = [
        (re.sub(r"(?<!^)([A-Z])", r"_\1", name[1:]).lower(), name, str(number))
        for number, name in enumerate(names)
    ]
    assert rows == expected
