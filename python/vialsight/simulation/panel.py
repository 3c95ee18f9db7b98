"""`manual.csv`: how often a panel of inspectors would reject each strip of a simulated set.

These people are assumed, not measured. One inspection rejects a strip with the probability

    P = g + (1 - g - l) (1 - prod (1 - F(s))),    F(s) = 1 / (1 + exp(-(s - h - b) / w)),

the product over its defects, of severity s. This is the usual psychometric function (Wichmann &
Hill 2001, Perception & Psychophysics 63:1293-1313): h is the severity at which half of the
inspections see a defect of that kind, w how gradually that changes; of each inspector, b is how
much more severe a defect must be for him, g how often he rejects a good strip, l how often he
overlooks what nobody could.

Nothing of it looks at pixels or at any detector: a plan decides all of it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight.files import atomic
from vialsight.files.tables import table_text
from vialsight.simulation.plan import Defect, SetPlan, StripPlan

PANEL_NAME: Final = "manual.csv"
PANEL_COLUMNS: Final = ("product", "inspector", "inspections", "rejects")
# Five people, ten times each: 50 inspections of a strip, as Knapp studies are made.
INSPECTIONS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """One of the panel: b, on the scale of severity, g and l of the module's formula."""

    name: str
    bias: float
    false_alarms: float
    lapses: float


# Good parts rejected in 2 of 100 inspections is what Schoonard, Gould & Miller 1973 (Ergonomics
# 16:365-379) counted; who rejects more defects also rejects more good strips. People agree less
# with one another than each with himself (same source): they differ by a fifth in size at most.
# Lapses are independent of that. Wichmann & Hill expect no more than 0.06 of observers who try.
INSPECTORS: Final = (
    Inspector(name="A", bias=-0.08, false_alarms=0.040, lapses=0.02),
    Inspector(name="B", bias=-0.04, false_alarms=0.025, lapses=0.05),
    Inspector(name="C", bias=0.00, false_alarms=0.020, lapses=0.03),
    Inspector(name="D", bias=0.04, false_alarms=0.010, lapses=0.01),
    Inspector(name="E", bias=0.08, false_alarms=0.005, lapses=0.04),
)
# w, of severity. For particles in clear liquids USP <1790> has detection rise from about 0.4 at
# 100 um to 0.7 at 150 um and above 0.9 at 200 um, which is a logistic function of the logarithm of
# the size with a slope of 3.6. From severity 0 to 1 a spot grows eightfold: 1 / (3.6 ln 8).
SPREAD: Final = 0.13

# h: set by eye, from pictures of every kind at severities from 0.15 to 0.9.
_DARK: Final = 0.30  # a dark mark on bright plastic, or a mark that is missing
_SHAPE: Final = 0.45  # an outline, a level or a line that differs from its neighbours'
_FAINT: Final = 0.60  # hardly bends the light, or looks like much that is usual there
HALF_SEEN: Final = {
    **dict.fromkeys(("particle_upper", "particle_liquid"), _DARK),
    **dict.fromkeys(("black_spot_upper", "black_spot_body"), _DARK),
    **dict.fromkeys(("burn_lower", "burn_body", "emboss_missing"), _DARK),
    **dict.fromkeys(("deformation_lower_body", "laser_cut", "underfill"), _SHAPE),
    **dict.fromkeys(("bump_neck", "bump_cap", "scratch_body"), _SHAPE),
    **dict.fromkeys(("deformation_neck", "scratch_neck"), _FAINT),
    **dict.fromkeys(("foam", "emboss_smeared"), _FAINT),
}


def rejection_probability(defects: Sequence[Defect], inspector: Inspector) -> float:
    """How likely one inspection by `inspector` rejects a strip with these defects, none or more."""
    unseen = math.prod(1.0 - _seen(defect, inspector) for defect in defects)
    span = 1.0 - inspector.false_alarms - inspector.lapses
    return inspector.false_alarms + span * (1.0 - unseen)


def has_panel(plan: SetPlan) -> bool:
    """Whether there is something to see, and only kinds of which it is stated who sees them."""
    kinds = {defect.kind for strip in plan.strips for defect in strip.defects}
    return bool(kinds) and kinds <= HALF_SEEN.keys()


def write_panel(path: Path, plan: SetPlan) -> None:
    """Write how often each inspector rejected each strip of a set, atomically.

    A row for each strip and inspector, in the plan's order; see `statistics.manual`. Only for sets
    that have a panel.
    """
    rows = (row for strip in plan.strips for row in _rows(strip))
    atomic.write_text(path, table_text([PANEL_COLUMNS, *rows]))


def _rows(strip: StripPlan) -> Iterator[tuple[str, str, int, int]]:
    for number, inspector in enumerate(INSPECTORS):
        chances = strip.random("panel", number).random(INSPECTIONS)
        rejects = int((chances < rejection_probability(strip.defects, inspector)).sum())
        yield strip.product, inspector.name, INSPECTIONS, rejects


def _seen(defect: Defect, inspector: Inspector) -> float:
    above = defect.severity - HALF_SEEN[defect.kind] - inspector.bias
    return 1.0 / (1.0 + math.exp(-above / SPREAD))
