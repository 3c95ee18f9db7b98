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

## Settings of Keras

They are part of the program, not of the machine: `floatx` float32, `epsilon` 10⁻⁷,
`channels_last`, the TensorFlow backend, and no policy of types besides `training.precision`.
`~/.keras/keras.json`, `KERAS_HOME`, `KERAS_BACKEND` and the like are not looked at, and no
`keras.json` is written.

In a program of your own they hold for the whole process: `vialsight.pinned`, which all that trains
imports, sets them when it is imported, and again when a training or a freeze begins. Import it
before Keras, or import Keras with the TensorFlow backend: where Keras runs on another one already,
the import is refused with a sentence (`ConfigError`). `import vialsight` alone, which inspects,
leaves Keras as it is.
"""

if __name__ == "__main__":
    page = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
    atomic.write_text(page, PAGE.format(schema=describe_config()))
