"""The files of a report, made from its evidence."""

import shutil
from pathlib import Path
from typing import Final

from vialsight.errors import DataError
from vialsight.evaluation.evidence import EVIDENCE_NAMES, Evidence, copy_pictures, read_evidence
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


def rebuild_report(folder: Path, out: Path) -> Findings:
    """Compute a report anew from the evidence in `folder`, into a new folder `out`.

    Nothing but the evidence is read, and the same evidence gives the same bytes. Raises DataError
    when the evidence is incomplete or `out` exists.
    """
    evidence = read_evidence(folder)
    findings = find(evidence)
    try:
        with atomic.new_folder(out) as target:
            for name in EVIDENCE_NAMES:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, target / name)
            copy_pictures(evidence, target)
            write_report(evidence, findings, target)
    except (FileExistsError, FileNotFoundError) as error:
        raise DataError(str(error)) from error
    return findings
