"""Runs a verb and turns how it ended into an exit code and at most a line for the user.

0: done. 1: a check ran to its end and its answer is no. 2: a mistake in what was given. 3: a fault
of ours, with its traceback. 130: interrupted.
"""

import errno
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import typer

from vialsight.cli import console, streams
from vialsight.errors import CheckFailed, VialSightError

EXIT_DONE: Final = 0
EXIT_CHECK_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_FAULT: Final = 3
EXIT_INTERRUPTED: Final = 130

_REPORT: Final = (
    "this is a fault of vialsight, not of your input; please report it to whom you have it from, "
    "with the lines above and the output of `vialsight --version`"
)
# Characters of a text around what is no UTF-8.
_SHOWN: Final = 80
_RUNTIME_PACKAGES: Final = ("tensorflow", "keras")
# What click's errors have in common; typer brings its own copy of click, or uses the package.
_ClickException: Final = typer.BadParameter.__mro__[2]
_WHAT_TO_DO: Final = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EACCES: "check its permissions, or choose another place",
    errno.EPERM: "check its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EEXIST: "a file is in the way; choose another name or remove it",
    errno.ENOENT: "check the path",
}


def run(app: Callable[..., object], arguments: Sequence[str]) -> int:
    """Run the verb that the arguments name and return the exit code of the process."""
    try:
        _refuse_empty(arguments)
        code = app(prog_name="vialsight", standalone_mode=False)
        streams.flush()
    except Exception as error:
        code = _code_of(error, arguments)
        try:
            streams.flush()
        except VialSightError as unwritten:
            code = _code_of(unwritten, arguments)
    return code if isinstance(code, int) else EXIT_DONE


def _code_of(error: Exception, arguments: Sequence[str]) -> int:
    if isinstance(error, typer.Abort):
        return EXIT_INTERRUPTED
    if type(error).__name__ == "NoArgsIsHelpError":
        streams.note(str(error))
        return EXIT_USAGE
    found = _foreseen(error, arguments)
    if found is None:
        streams.note("".join(traceback.format_exception(error)).rstrip("\n"))
        console.error(_REPORT)
        return EXIT_FAULT
    console.error(*found)
    return EXIT_CHECK_FAILED if isinstance(error, CheckFailed) else EXIT_USAGE


def _foreseen(error: Exception, arguments: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """Return the message and details of a mistake of the user's; None where it is ours."""
    if isinstance(error, _ClickException):
        return _usage(error, arguments), ()
    if isinstance(error, VialSightError):
        return error.message, error.items
    message = next((tell(error) for kind, tell in _TELL if isinstance(error, kind)), None)
    return None if message is None else (message, ())


def _usage(error: Exception, arguments: Sequence[str]) -> str:
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = "vialsight" if context is None else context.command_path
    came = _given(getattr(getattr(error, "param", None), "opts", ()), arguments)
    got = f", got {came!r}" if came is not None and came not in message else ""
    return f"{message}{got}; see {path} --help"


def _given(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Return the last value that one of the options was given, None where there is none."""
    value = None
    for argument, after in zip(arguments, [*arguments[1:], None], strict=True):
        name, separator, text = argument.partition("=")
        if name in options:
            value = text if separator else after
    return value


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    places = [str(place) for place in (error.filename, error.filename2) if place is not None]
    text = f"{' to '.join(places)}: {reason}" if places else reason
    hint = _WHAT_TO_DO.get(error.errno or 0)
    return f"{text}; {hint}" if hint else text


def _refuse_empty(arguments: Sequence[str]) -> None:
    # The path "" would be the current folder.
    if "" in arguments:
        raise VialSightError(
            "an argument is empty: expected a path or a value; check the variable it came from"
        )


def _memory(error: Exception) -> str:
    return "not enough memory; give smaller data, fewer threads, or more memory"


def _name(error: Exception) -> str | None:
    text = str(getattr(error, "object", ""))
    if not streams.undecoded(text):
        return None
    end = getattr(error, "end", len(text))
    name = text[:end].rpartition("\n")[2][-_SHOWN:] + text[end : end + 20].partition("\n")[0]
    return f"{name}: expected a name in UTF-8, got other bytes; rename it"


def _missing(error: Exception) -> str | None:
    name = getattr(error, "name", None)
    if name not in _RUNTIME_PACKAGES:
        return None
    return f"{name} is missing; run: pip install 'vialsight[cpu]' (or 'vialsight[gpu]')"


# What else can be foreseen, and how to tell it; None: it is not that.
_TELL: Final[tuple[tuple[type[Exception], Callable[[Any], str | None]], ...]] = (
    (OSError, _system),
    (MemoryError, _memory),
    (UnicodeEncodeError, _name),
    (ModuleNotFoundError, _missing),
)
