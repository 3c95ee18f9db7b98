"""Rows of the report's three tables of decisions, the paper's figures beside ours."""

from dataclasses import dataclass

from vialsight.evaluation.decisions import Decisions
from vialsight.evaluation.evidence import Evidence
from vialsight.evaluation.findings import Findings
from vialsight.evaluation.measures import Measures
from vialsight.report import paper


@dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """Ours, and the paper's figures of the same unit where it has one."""

    ours: Measures
    published: paper.Published | None

    @property
    def missed(self) -> int:
        """Defective units that were accepted."""
        return self.ours.defective - self.ours.detected

    @property
    def passed(self) -> int:
        """Nominal units that were accepted."""
        return self.ours.nominal - self.ours.false_rejects


@dataclass(frozen=True, kw_only=True)
class DecisionTables:
    """Tables 1 to 3; `run` is None where the run rule could not be applied."""

    patch: tuple[DecisionRow, ...]
    strip: DecisionRow
    run: DecisionRow | None
    compared: bool  # whether the paper's figures are for regions like ours
    one_patch: bool  # whether region, vial and strip are the same patch

    @property
    def rows(self) -> tuple[DecisionRow, ...]:
        """Every row: regions, vial, strip, run."""
        return tuple(row for _, row in self.all_rows)

    @property
    def all_rows(self) -> tuple[tuple[str, DecisionRow], ...]:
        """Every row with the level of its thresholds."""
        run = () if self.run is None else (("run", self.run),)
        return (*(("patch", row) for row in self.patch), ("strip", self.strip), *run)


@dataclass(frozen=True, kw_only=True)
class ThresholdRow:
    """A region's thresholds at each level, ours and the paper's; None where there is none."""

    region: str
    ours: dict[str, float]
    published: dict[str, float]


def decision_tables(evidence: Evidence, found: Findings | Decisions) -> DecisionTables:
    """Return the rows of tables 1, 2 and 3."""
    compared = is_compared(evidence)
    one_patch = evidence.scores[0].size == 1
    published = {row.unit: row for row in paper.TABLE_1} if compared else {}
    rows = [row for row in found.patch if not (one_patch and row.unit == "vial")]
    return DecisionTables(
        patch=tuple(DecisionRow(ours=row, published=published.get(row.unit)) for row in rows),
        strip=DecisionRow(ours=found.strip, published=paper.TABLE_2 if compared else None),
        run=_run_row(found.run, compared),
        compared=compared,
        one_patch=one_patch,
    )


def _run_row(run: Measures | None, compared: bool) -> DecisionRow | None:
    if run is None:
        return None
    return DecisionRow(ours=run, published=paper.TABLE_3 if compared else None)


def is_compared(evidence: Evidence) -> bool:
    """Whether the layout has the paper's regions, so that its figures can stand beside ours."""
    return set(evidence.regions) == set(paper.REGIONS)


def threshold_rows(evidence: Evidence) -> list[ThresholdRow]:
    """Return the thresholds of every region."""
    compared = is_compared(evidence) and evidence.score.is_published
    return [
        ThresholdRow(
            region=region,
            ours={level: values[place] for level, values in evidence.thresholds.items()},
            published=_published_thresholds(region) if compared else {},
        )
        for place, region in enumerate(evidence.regions)
    ]


def _published_thresholds(region: str) -> dict[str, float]:
    place = paper.REGIONS.index(region)
    return {level: values[place] for level, values in paper.THRESHOLDS.items()}
