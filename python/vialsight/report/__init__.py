"""The report of an evaluation: one self-contained page, and the same figures for machines."""

from vialsight.report.page import write_page
from vialsight.report.summary import knapp_sentence
from vialsight.report.values import report_values, tables
from vialsight.report.writing import new_report, rebuild_report, write_report

__all__ = [
    "knapp_sentence",
    "new_report",
    "rebuild_report",
    "report_values",
    "tables",
    "write_page",
    "write_report",
]
