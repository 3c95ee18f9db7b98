"""`vialsight simulate`: a simulated line as a dataset folder, or live on stdout."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, BinaryIO, Final

import typer

from vialsight.cli import console
from vialsight.cli.gige import GigeChoices, show_gige, with_gige_options
from vialsight.cli.options import LARGEST_SEED, LOCATOR, LONGEST_MS, finite
from vialsight.errors import SimulationError
from vialsight.progress import Show
from vialsight.simulation.live import DEFAULT_SLOT_S, LineStatistics, LiveLine, stream_line
from vialsight.simulation.plan import DEFAULT_RUNS, SET_NAMES, SetPlan, plan_set
from vialsight.simulation.sharding import write_set_shards
from vialsight.simulation.workers import worker_count
from vialsight.simulation.writing import write_set

PATCH_MULTIPLE: Final = 16
# More is a slip of the finger: a million strips take terabytes, and a machine has fewer cores.
MOST_STRIPS: Final = 1_000_000
MOST_RUNS: Final = 10_000
MOST_WORKERS: Final = 1024
# How often a line that is late says so.
_REPORT_EVERY_S: Final = 10.0

_OUT = typer.Option(help="Dataset folder to write, or to go on with.")
_STRIPS = typer.Option(
    min=2, max=MOST_STRIPS, help="Physical strips; default: the set's full size."
)
_RUNS = typer.Option(min=1, max=MOST_RUNS, help="Acquisitions of each strip.")
_FRAMES = typer.Option(help="Frames of a run to record, such as 1,8,16; no rank images then.")
_PATCH = typer.Option(help="P, a multiple of 16; images stay the same, shards hold such patches.")
_SLOT = typer.Option(
    min=0.001,
    max=LONGEST_MS,
    callback=finite,
    help=f"With --live or --gige: time per strip; default {DEFAULT_SLOT_S * 1e3:g}.",
)


@with_gige_options
def simulate(
    name: Annotated[
        str | None, typer.Argument(metavar="SET", help=f"{', '.join(SET_NAMES)}.")
    ] = None,
    out: Annotated[Path | None, _OUT] = None,
    *,
    strips: Annotated[int | None, _STRIPS] = None,
    runs: Annotated[int, _RUNS] = DEFAULT_RUNS,
    frames: Annotated[str | None, _FRAMES] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of every random number.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, max=MOST_WORKERS, help="Processes that render; 0: one per core.")
    ] = 0,
    patch_size: Annotated[int, _PATCH] = 256,
    shards: Annotated[
        bool, typer.Option("--shards", help="Write TFRecord shards of patches instead of images.")
    ] = False,
    locator: Annotated[Path | None, LOCATOR] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Write a frame stream to stdout, one strip per slot.")
    ] = False,
    slot_ms: Annotated[float | None, _SLOT] = None,
    loop: Annotated[
        bool,
        typer.Option("--loop", help="With --live or --gige: again and again when all were shown."),
    ] = False,
    gige: GigeChoices,
) -> None:
    """Render strips of a simulated line, with masks of their defects.

    Interrupted, the same command goes on where it stopped. With --live, what cannot be rendered in
    time comes late, never twice or not at all; stderr says how late. With --gige, strips are shown
    by a GigE Vision camera to a station that inspects them.
    """
    folder_options = {
        "--out": out is not None,
        "--shards": shards,
        "--frames": frames is not None,
        "--locator": locator is not None,
    }
    _check_line(folder_options, live=live, gige=gige, named=name is not None)
    show = partial(show_gige, gige, slot_s=_slot_s(slot_ms), workers=workers, loop=loop, seed=seed)
    with _stoppable():
        if gige.replay is not None:
            show(None)
            return
        chosen = None if frames is None else _frame_numbers(frames)
        plan = plan_set(_required(name), strips=strips, runs=runs, seed=seed, frames=chosen)
        if gige.gige is not None:
            show(plan)
            return
        if live:
            _show(plan, _slot_s(slot_ms), workers, loop)
            return
        _refuse({"--slot-ms": slot_ms is not None, "--loop": loop}, "needs --live or --gige")
        if out is None:
            raise SimulationError("expected --out DIR, or --live; give one of the two")
        _refuse({"--locator": locator is not None and not shards}, "needs --shards")
        _check_patch_size(patch_size)
        write = partial(_write_shards, locator=locator) if shards else write_set
        _write(write, plan, out, patch_size, workers)


def _check_line(
    folder_options: dict[str, bool], *, live: bool, gige: GigeChoices, named: bool
) -> None:
    """Refuse options that do not belong to what was asked for."""
    if gige.gige is None:
        _refuse(gige.given(), "needs --gige DIR")
    if live or gige.gige is not None:
        option = "--gige" if gige.gige is not None else "--live"
        _refuse(folder_options, f"belongs to a folder; leave it out with {option}")
        _refuse({"--live": live and gige.gige is not None}, "and --gige exclude each other")
    _refuse({"SET": named and gige.replay is not None}, "and --replay exclude each other")


def _required(name: str | None) -> str:
    if name is None:
        raise SimulationError(f"expected a SET, one of {', '.join(SET_NAMES)}; got none")
    return name


def _write_shards(
    plan: SetPlan, out: Path, *, progress: Show, locator: Path | None, **options: Any
) -> bool:
    locating = partial(progress, note="locating")
    return write_set_shards(
        plan, out, progress=progress, locator=locator, locating=locating, **options
    )


def _write(
    write: Callable[..., bool], plan: SetPlan, out: Path, patch_size: int, workers: int
) -> None:
    with console.progress("rendering") as progress:
        written = write(
            plan, out, patch_size=patch_size, workers=workers, say=console.log, progress=progress
        )
    console.log(f"wrote {out}" if written else f"{out} is complete already; nothing to do")


def _show(plan: SetPlan, slot_s: float, workers: int, loop: bool) -> None:
    if sys.stdout.isatty():
        raise SimulationError(
            "stdout is a terminal, the stream is binary; pipe it into a program or a file"
        )
    with LiveLine(plan, slot_s=slot_s, workers=workers, loop=loop) as line:
        console.log(f"live: a strip every {slot_s * 1e3:g} ms, {worker_count(workers)} processes")
        reported = line.clock.now()
        with _pipe_end() as stdout:
            for strip in stream_line(line, stdout):
                late = strip.lateness_s > 0 and strip.start_s >= reported + _REPORT_EVERY_S
                if late:
                    reported = strip.start_s
                    console.log(_summary(line.statistics))
        console.log(_summary(line.statistics))


def _summary(counts: LineStatistics) -> str:
    text = f"live: {counts.strips} strips shown; {counts.late} late"
    if counts.late:
        text += f" because rendering took longer, at worst by {counts.worst_lateness_s:.3f} s"
    if counts.held:
        text += f"; {counts.held} waited for the consumer, at worst {counts.worst_hold_s:.3f} s"
    return text


@contextmanager
def _pipe_end() -> Iterator[BinaryIO]:
    """Yield stdout; the consumer closing it is how a live line ends."""
    stdout = sys.stdout.buffer
    try:
        yield stdout
    except BrokenPipeError:
        # What is buffered has no reader; Python would try again at its exit and complain.
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stdout.fileno())


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the verb in order, with their usual exit codes."""

    def stop(number: int, frame: FrameType | None) -> None:
        console.log("stopping, as soon as the runs being rendered are finished")
        raise _Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stopped as stopped:
        raise typer.Exit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _refuse(given: dict[str, bool], reason: str) -> None:
    for option, present in given.items():
        if present:
            raise SimulationError(f"{option} {reason}")


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise SimulationError(
            f"--frames must be numbers separated by commas, such as 1,8,16; got {text!r}"
        ) from None


def _slot_s(slot_ms: float | None) -> float:
    if slot_ms is None:
        return DEFAULT_SLOT_S
    return slot_ms / 1e3


def _check_patch_size(size: int) -> None:
    if size < PATCH_MULTIPLE or size % PATCH_MULTIPLE:
        raise SimulationError(f"--patch-size must be a multiple of {PATCH_MULTIPLE}; got {size}")
