"""Pages of a report in tests: written, and taken apart."""

import dataclasses
import html.parser

from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.report import write_page


@dataclasses.dataclass(frozen=True)
class Report:
    evidence: Evidence
    findings: Findings
    page: str


def written(evidence: Evidence, findings: Findings) -> Report:
    write_page(evidence, findings, evidence.folder)
    page = (evidence.folder / "report.html").read_text("utf-8")
    return Report(evidence, findings, page)


class PageParser(html.parser.HTMLParser):
    """Tags, what they link to, ids, and the cells of every row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values[k] or "" for k in ("src", "href", "xlink:href") if k in values]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "tr":
            self.rows.append([])
        self._in_cell = self._in_cell or tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")
        elif self._in_cell:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data
