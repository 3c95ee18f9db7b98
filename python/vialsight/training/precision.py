"""What TensorFlow says of this machine's number formats, before a training begins."""

from vialsight.pinned import tf
from vialsight.quiet import quietly


def settle_float16() -> None:
    """Let TensorFlow say what it says of float16 on this CPU, which users need not read.

    On CPUs without instructions for it that is called an error, once, at the first operation that
    could be of that format, and what follows works all the same. Devices must have been set up.
    """
    with quietly():
        tf.zeros((), tf.float16)
