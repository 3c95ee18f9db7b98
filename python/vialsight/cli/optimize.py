"""The verb that makes a bundle for another runtime or precision: optimize."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vialsight import _core, quiet
from vialsight.bundle import FLOAT32, INT8, OPENVINO, require_new_bundle
from vialsight.calibration import optimizing
from vialsight.cli import console
from vialsight.cli.assess import print_calibration
from vialsight.cli.model import BundlePath, Data
from vialsight.cli.options import Threads
from vialsight.data import read_dataset
from vialsight.errors import DataError

MOST_CHANGES = 1_000_000


def optimize(
    bundle: BundlePath,
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="NEW.vsb to write; must not exist.")],
    runtime: Annotated[
        str, typer.Option(help=f"What shall run the network: {', '.join(optimizing.RUNTIMES)}.")
    ] = OPENVINO,
    precision: Annotated[
        str,
        typer.Option(
            help="float32; or bfloat16, for what follows the first convolution: about twice as "
            "fast on CPUs that multiply it, refused on others; or int8, for convolutions after the "
            "first."
        ),
    ] = FLOAT32,
    max_verdict_changes: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_CHANGES,
            help="So many verdicts on the calibration set may change at any level.",
        ),
    ] = 0,
    threads: Threads = 0,
) -> None:
    """Write a calibrated bundle for another runtime or precision, with proof of what that changes.

    Both score the calibration split that the bundle was calibrated on; thresholds are fitted again,
    and verdicts are compared one by one. More changes than allowed: exit code 1, nothing written.
    Run it on a machine of the line's kind: others round differently, and refuse the bundle.

    Interrupt it whenever you like; the same command goes on where it was.
    """
    if runtime not in optimizing.RUNTIMES:
        names = ", ".join(optimizing.RUNTIMES)
        raise DataError(f"--runtime: expected {names}; got {runtime!r}")
    require_new_bundle(out)
    loaded, dataset = _core.Bundle.load(bundle), read_dataset(data)
    quiet.load_backend(loaded)
    with console.progress("optimizing") as progress:
        found = optimizing.optimize(
            loaded,
            dataset,
            out,
            runtime=runtime,
            precision=precision,
            quantise=_quantise() if precision == INT8 else None,
            max_verdict_changes=max_verdict_changes,
            threads=threads,
            progress=progress,
        )
    console.say(
        f"scores moved by at most {found.largest_score_difference:.3g}, half of them by less than "
        f"{found.median_score_difference:.3g}"
    )
    console.print_table([{"verdicts": level, **asdict(v)} for level, v in found.verdicts.items()])
    console.say()
    print_calibration(found.calibration)


def _quantise() -> optimizing.Quantise:
    # Imported here: only integers need TensorFlow for Python.
    from vialsight.models.graph import quantised_graph

    return quantised_graph
