"""The files of a report, made from its evidence."""

from pathlib import Path
from typing import Final

from vialsight.errors import DataError
from vialsight.evaluation.evidence import Evidence, copy_evidence, read_evidence, write_evidence
from vialsight.evaluation.findings import Findings, find
from vialsight.files import atomic
from vialsight.files.tables import table_text
from vialsight.report.page import write_page
from vialsight.report.values import report_values, tables

VALUES_NAME: Final = "report.json"


def write_report(evidence: Evidence, findings: Findings, folder: Path) -> None:
    """Write `report.html`, `report.json` and the CSV tables into an existing folder."""
    atomic.write_json(folder / VALUES_NAME, report_values(evidence, findings))
    for name, rows in tables(findings).items():
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        atomic.write_text(folder / name, table_text(cells))
    write_page(evidence, findings, folder)


def new_report(evidence: Evidence, out: Path) -> tuple[Evidence, Findings]:
    """Write evidence and its report into a new folder `out`; returns both as they were written.

    Raises DataError when `out` exists.
    """
    with atomic.new_folder(out) as folder:
        write_evidence(evidence, folder)
        # From the files, as whoever rebuilds the report will do.
        written = read_evidence(folder)
        return written, _add_report(written, folder)


def rebuild_report(folder: Path, out: Path) -> Findings:
    """Compute a report anew from the evidence in `folder`, into a new folder `out`.

    Nothing but the evidence is read, and the same evidence gives the same bytes. Raises DataError
    when the evidence is incomplete or `out` exists.
    """
    evidence = read_evidence(folder)
    try:
        with atomic.new_folder(out) as target:
            copy_evidence(evidence, target)
            return _add_report(evidence, target)
    except FileNotFoundError as error:
        raise DataError(str(error)) from error


def _add_report(evidence: Evidence, folder: Path) -> Findings:
    findings = find(evidence)
    write_report(evidence, findings, folder)
    return findings
