"""The score that decided in words; beside it its components, and the paper's φ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vialsight.evaluation.component_measures import ComponentMeasures
from vialsight.evaluation.deciding_score import DecidingScore
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.measures import Measures
from vialsight.scores import in_words

Ranked: TypeAlias = ComponentMeasures | Measures

# Of `combine`: what it makes of the numbers, and what a row of a table says.
_COMBINED: Final = {
    "largest": ("the largest of {}", "the largest of them decides"),
    "sum": ("the sum of what is above 0 of {}", "the sum of what is above 0 decides"),
}
_PUBLISHED: Final = "1 − SSIM of the reconstruction; takes no part"


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """AUROC of a number alone, or of φ where it `decides`: of strips, then of each region."""

    name: str
    says: str
    decides: bool
    cells: tuple[Ranked, ...]


@dataclass(frozen=True, kw_only=True)
class ScorePart:
    """What the page says of the score: its name, what φ is, and rows of numbers beside it.

    They are the components where several decide, and the paper's φ where it takes no part
    (`published`).
    """

    name: str
    phrase: str
    normalised: bool
    published: bool
    rows: tuple[ScoreRow, ...]


def score_part(evidence: Evidence, findings: Findings) -> ScorePart:
    """Return the score in words; where numbers stand beside it, a row of each and φ's last."""
    score = evidence.score
    return ScorePart(
        name=score_name(score, evidence.identity.get("method")),
        phrase=_phrase(score),
        normalised=score.normalisation is not None,
        published=evidence.published is not None,
        rows=_rows(evidence, findings) if findings.components else (),
    )


def score_name(score: DecidingScore, method: str | None = None) -> str:
    """Return method and score by their names, in a line."""
    names = ", ".join(score.names)
    named = names if score.combine is None else _COMBINED[score.combine][0].format(names)
    return f"Score: {named}" if method is None else f"Method: {method}. Score: {named}"


def _phrase(score: DecidingScore) -> str:
    if score.combine is None:
        return f"{score.names[0]}: {_says(score.components[0])}"
    numbers = f"{len(score.names)} numbers ({', '.join(score.names)})"
    if score.normalisation is not None:
        numbers += ", each less an offset and divided by a scale of its region"
    return _COMBINED[score.combine][0].format(numbers)


def _says(component: Mapping[str, Any]) -> str:
    return in_words(component).replace(" - ", " − ")


def _rows(evidence: Evidence, findings: Findings) -> tuple[ScoreRow, ...]:
    score = evidence.score
    said = {} if score.combine is None else {c["name"]: _says(c) for c in score.components}
    names = dict.fromkeys(row.component for row in findings.components)
    alone = (_alone(name, said.get(name), findings) for name in names)
    together = ScoreRow(
        name="φ",
        says=_phrase(score) if score.combine is None else _COMBINED[score.combine][1],
        decides=True,
        cells=_strip_first([*findings.patch[:-1], findings.strip]),
    )
    return (*alone, together)


def _alone(name: str, says: str | None, findings: Findings) -> ScoreRow:
    """Return the row of a component, which `says` what it is, or else of the paper's φ."""
    rows = [row for row in findings.components if row.component == name]
    return ScoreRow(
        name="paper\N{RIGHT SINGLE QUOTATION MARK}s φ" if says is None else name,
        says=_PUBLISHED if says is None else says,
        decides=False,
        cells=_strip_first(rows),
    )


def _strip_first(rows: Sequence[Ranked]) -> tuple[Ranked, ...]:
    return (rows[-1], *rows[:-1])
