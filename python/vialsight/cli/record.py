"""Verbs on the record of a station: verify, export, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vialsight.cli import console
from vialsight.cli.options import Json
from vialsight.errors import BundleError, CheckFailed, DataError

if TYPE_CHECKING:
    from vialsight.station.record.rescoring import Rescored
    from vialsight.station.record.verify import RecordFile, Verified

app = typer.Typer(help="Check, export and print the record of a station.", no_args_is_help=True)

RecordPath = Annotated[
    Path, typer.Argument(metavar="FILE", help="record.sqlite, or a sealed export NAME.vsr.")
]
Batch = Annotated[int, typer.Option(min=1, help="Number of the batch in the record.")]


@app.command()
def verify(
    file: RecordPath,
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="NAME.vsb", help="Inspect the stored pictures again with this."),
    ] = None,
    no_rescore: Annotated[
        bool, typer.Option("--no-rescore", help="Do not inspect pictures again.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(metavar="ID:HASH", help="An entry that must be in it, as a report shows it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that a record is as it was written: chain, tables, pictures, scores of rejects.

    Exit code 1 when it is not. Nothing but the file is needed, and the bundle to inspect again.
    """
    from vialsight.station.record.verify import head_of_text, open_record
    from vialsight.station.record.verify import verify as check

    wanted = None if head is None else head_of_text(head)
    record = open_record(file)
    try:
        verified = check(record, head=wanted)
        rescored = None
        if bundle is not None and not no_rescore:
            rescored = _rescored(record, bundle, verified)
    finally:
        record.close()
    if as_json:
        again = None if rescored is None else rescored.to_json()
        console.print_json({**verified.to_json(), "rescored": again})
    else:
        _print_verified(verified, rescored)
    if not verified.is_whole:
        found = verified.findings
        count = len(found.found) + found.left_out
        raise CheckFailed(
            f"{file} is not as it was written, {count} findings:",
            [str(finding) for finding in found.found[:20]],
        )


@app.command()
def export(
    file: RecordPath,
    *,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="DIR", help="New folder for tables.")
    ] = None,
    sealed: Annotated[
        Path | None,
        typer.Option(metavar="OUT.vsr", help="One file that `verify` checks, with pictures."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Of this batch only; default: everything.")
    ] = None,
) -> None:
    """Write a record as tables, or as one sealed file; of all, or of one batch."""
    if (csv is None) == (sealed is None):
        raise DataError("expected either --csv DIR or --sealed OUT.vsr; give one of the two")
    if csv is not None:
        from vialsight.station.record.export import write_tables

        for name, rows in write_tables(file, csv, batch=batch).items():
            console.say(f"{csv / name}  {rows} rows")
    if sealed is not None:
        from vialsight.station.record.sealed import write_sealed

        manifest = write_sealed(file, sealed, batch=batch)
        console.say(f"{sealed}  head {manifest['head'][0]}:{manifest['head'][1]}")


@app.command()
def report(
    file: RecordPath,
    *,
    batch: Batch,
    out: Annotated[Path, typer.Option(metavar="REPORT.html", help="The page to write.")],
) -> None:
    """Write the report of a batch as a page to print: counts, challenge, alarms, rejects."""
    from vialsight.station.record.batch_report import write_report

    head = write_report(file, out, batch=batch)
    console.say(f"{out}  head {head[0]}:{head[1]}")


def _rescored(record: "RecordFile", bundle: Path, verified: "Verified") -> "Rescored | None":
    from vialsight.station.record.rescoring import Rescoring, rescore

    findings = verified.findings
    try:
        rescoring = Rescoring(bundle)
    except BundleError as error:
        findings.add(str(bundle), f"cannot inspect here: {error}")
        return None
    with console.progress("inspecting again") as progress:
        return rescore(
            record.rows(), record.picture, rescoring, findings,
            lambda done: progress(done, verified.pictures),
        )  # fmt: skip


def _print_verified(verified: "Verified", rescored: "Rescored | None") -> None:
    console.say(f"entries   {verified.entries}, {verified.strips} of them strips")
    console.say(
        f"pictures  of {verified.pictures} strips; of {verified.pictures_deleted} deleted, as "
        "entries say"
    )
    for line in _rescored_lines(rescored):
        console.say(line)
    for note in verified.findings.notes:
        console.say(f"note      {note}")
    console.say(f"head      {verified.head[0]}:{verified.head[1]}")
    if verified.is_whole:
        console.say("whole     every entry and picture is as it was written")


def _rescored_lines(rescored: "Rescored | None") -> list[str]:
    if rescored is None:
        return ["rescored  nothing: give --bundle NAME.vsb to inspect the pictures again"]
    lines = [f"rescored  {rescored.same_bits} strips to the same bits"]
    if rescored.other_bits:
        why = ", ".join(sorted(rescored.explanations)) or "nothing explains it"
        lines.append(
            f"rescored  {rescored.other_bits} strips to other bits, by {rescored.largest:.3g} at "
            f"most ({why}); {rescored.other_decision} decided otherwise"
        )
    counts: list[Any] = sorted(rescored.skipped.items())
    return [*lines, *(f"rescored  not {count} strips: {reason}" for reason, count in counts)]
