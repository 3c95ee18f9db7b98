"""The documents say what is true."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vialsight.cli import app
from vialsight.config import describe_config

REPOSITORY = Path(__file__).resolve().parents[2]


def test_configuration_page_is_the_schema() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert block == describe_config(), "run: python tools/write_configuration_page.py"


def verbs_of_readme() -> set[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return set(re.findall(r"^ *vialsight ([a-z]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("verb", sorted(verbs_of_readme()))
def test_verb_of_the_readme_exists(verb: str) -> None:
    assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


def test_readme_shows_the_whole_path() -> None:
    expected = {"prepare", "train", "freeze", "calibrate", "verify", "evaluate", "bench", "inspect"}
    assert expected <= verbs_of_readme()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    missing = [target for target in targets if not (REPOSITORY / target).exists()]
    assert missing == []
