"""The command line: `vialsight VERB`. Nothing here imports TensorFlow before a verb needs it."""

import os
import sys
from typing import Annotated

import typer

import vialsight
from vialsight.cli import assess, console, line, locate, model, prepare, shards, simulate, soak
from vialsight.errors import CheckFailed, VialSightError

EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2

app = typer.Typer(
    name="vialsight",
    help="Trains, freezes, calibrates, evaluates and runs inline visual inspection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(simulate.simulate)
app.command()(locate.locate)
app.add_typer(prepare.app, name="prepare")
app.add_typer(shards.app, name="shards")
app.command()(model.train)
app.command()(model.freeze)
app.command()(assess.calibrate)
app.command()(assess.evaluate)
app.command()(assess.report)
app.command()(line.inspect)
app.command()(line.verify)
app.command()(line.bench)
app.command()(soak.soak)
app.command()(line.show)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(vialsight.__version__)
        raise typer.Exit


def _print_cmake_dir(wanted: bool) -> None:
    if wanted:
        print(vialsight.cmake_dir())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
    cmake_dir: Annotated[
        bool,
        typer.Option(
            "--cmake-dir",
            callback=_print_cmake_dir,
            is_eager=True,
            help="Print the prefix for find_package(vialsight CONFIG).",
        ),
    ] = False,
) -> None:
    """Train, freeze, calibrate, evaluate and run inline visual inspection."""


def main() -> None:
    """Run the command line; exits 0 done, 1 a check failed, 2 usage or unusable input."""
    # TensorFlow's start-up notes are no news to a user; its errors still appear.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    console.show_logs()
    try:
        app(prog_name="vialsight")
    except CheckFailed as error:
        console.error(str(error))
        sys.exit(EXIT_CHECK_FAILED)
    except (VialSightError, OSError) as error:
        console.error(str(error))
        sys.exit(EXIT_USAGE)
