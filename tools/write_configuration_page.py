"""Writes docs/configuration.md from the schema; a test fails when the page is older than it."""

from pathlib import Path

from vialsight.files import atomic
from vialsight.models.configuration import describe_config

PAGE = """# Configuration of a training

`vialsight train -c config.yaml --set section.key=value` reads the defaults below, then the file,
then each `--set`. Every key may be left out; an unknown one is refused with the nearest valid one
named. The resolved configuration is kept in the run folder as `config.yaml`, and its SHA-256 in the
bundle.

```yaml
{schema}```
"""

if __name__ == "__main__":
    page = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
    atomic.write_text(page, PAGE.format(schema=describe_config()))
