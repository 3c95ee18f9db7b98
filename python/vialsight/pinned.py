"""TensorFlow and Keras, with settings that are ours: every other module imports them from here.

Keras takes its settings when it is imported, which TensorFlow does by itself, from
`~/.keras/keras.json` and KERAS_* variables. Another project's would change losses (`floatx`,
`epsilon`, `image_data_format`) or end in a traceback (a backend that is not installed, a file that
cannot be read). So neither is looked at, nothing is written to the home folder, and what a program
has set by itself is set again.

Importing this module loads TensorFlow. Raises ConfigError where Keras was imported before with
another backend, which no setting can change any more.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vialsight.errors import ConfigError

__all__ = ["convert_variables_to_constants_v2", "keras", "layers", "pin", "tf"]

BACKEND: Final = "tensorflow"
# Keras' own defaults, with which our losses, thresholds and resumed runs were made.
FLOATX: Final = "float32"
EPSILON: Final = 1e-7
DATA_FORMAT: Final = "channels_last"

# Below a file that is no folder: Keras finds no keras.json there, and cannot write one.
_NOWHERE: Final = "/dev/null/keras"
_OTHER_VARIABLES: Final = ("TF_USE_LEGACY_KERAS",)


@contextmanager
def _no_settings() -> Iterator[None]:
    """Hide what Keras reads of others' settings; afterwards the environment is as it was."""
    names = [n for n in os.environ if n.startswith("KERAS_") or n in _OTHER_VARIABLES]
    hidden = {name: os.environ.pop(name) for name in names}
    ours = {"KERAS_BACKEND": BACKEND, "KERAS_HOME": _NOWHERE}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        os.environ.update(hidden)


def _forget_failed_import() -> None:
    """Let Keras begin anew where an import has failed, as TensorFlow's own may without a word.

    What it had read of settings stays in its modules, and would fail us, too. Without `keras`
    itself nobody can have used them.
    """
    if "keras" in sys.modules:
        return
    for name in [name for name in sys.modules if name.startswith("keras.")]:
        del sys.modules[name]


_forget_failed_import()
# Keras first: TensorFlow imports it, too, but hides some of its errors.
with _no_settings():
    import keras
    import tensorflow as tf
    from keras import layers
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def _check_backend() -> None:
    came = keras.config.backend()
    if came != BACKEND:
        raise ConfigError(
            f"Keras: expected the backend {BACKEND!r}, got {came!r}: this program imported Keras "
            "before VialSight, with settings of its own (KERAS_BACKEND or keras.json). Import "
            "vialsight.pinned before it, or set KERAS_BACKEND=tensorflow, or train in another "
            "process, such as: vialsight train"
        )


def pin() -> None:
    """Set all of Keras' settings that our numbers depend on; they hold for the whole process."""
    keras.config.set_floatx(FLOATX)
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format(DATA_FORMAT)
    # A policy that was set takes precedence over floatx.
    keras.config.set_dtype_policy(FLOATX)


_check_backend()
pin()
