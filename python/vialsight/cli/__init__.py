"""The command line: `vialsight VERB`. Nothing here imports TensorFlow before a verb needs it."""

import sys
from typing import Annotated

import typer

import vialsight
from vialsight import quiet
from vialsight.cli import (
    assess,
    bench,
    console,
    line,
    locate,
    model,
    optimize,
    prepare,
    record,
    running,
    shards,
    show,
    simulate,
    soak,
    station,
    streams,
)

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
app.command()(optimize.optimize)
app.command()(assess.evaluate)
app.command()(assess.report)
app.command()(line.inspect)
app.command()(line.verify)
app.command()(bench.bench)
app.command()(soak.soak)
app.add_typer(station.app, name="station")
app.command()(show.show)
app.add_typer(record.app, name="record")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(vialsight.__version__)
        raise typer.Exit


def _print_cmake_dir(wanted: bool) -> None:
    if wanted:
        console.say(str(vialsight.cmake_dir()))
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
    """Run the command line; exits 0 done, 1 a check failed, 2 unusable input, 3 a fault of ours."""
    streams.open_all()
    console.show_logs()
    quiet.install()
    sys.exit(running.run(app, sys.argv[1:]))
