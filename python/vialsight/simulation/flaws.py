"""Defects as changes to one vial: of its outline, its relief, its absorption, its liquid.

A severity s in [0, 1] becomes sizes between barely visible and gross on a geometric scale.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from vialsight.simulation.plan import Defect, StripPlan
from vialsight.simulation.product import FLAG, FRAME_HEIGHT, PITCH, Float, vial_columns
from vialsight.simulation.shapes import (
    along,
    bell,
    blob,
    fibre,
    no_rows,
    nowhere,
    row_numbers,
    scale,
)


def _ones() -> Float:
    return np.ones((FRAME_HEIGHT, PITCH), np.float32)


@dataclass(frozen=True, kw_only=True)
class Foam:
    """Froth on the liquid: bubbles per vial, their radius and how high they pile up."""

    bubbles: int
    radius: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """What one defect changes; the defaults change nothing."""

    left: Float = field(default_factory=no_rows)  # of the outer half-widths, pixels
    right: Float = field(default_factory=no_rows)
    depth_scale: Float = field(default_factory=lambda: np.ones(FRAME_HEIGHT, np.float32))
    relief: Float = field(default_factory=nowhere)  # thickness of plastic, pixels
    attached: Float = field(default_factory=nowhere)  # plastic in the air, too, pixels
    absorption: Float = field(default_factory=nowhere)  # optical depth
    haze: Float = field(default_factory=nowhere)  # optical depth of scattering
    cut: Float | float = 0.0  # lost from the flag's outline, pixels
    emboss_gain: Float = field(default_factory=_ones)
    emboss_smear: tuple[float, float] | None = None  # blur along y and x, pixels
    fill_drop: float = 0.0  # rows
    foam: Foam | None = None


def flaws_of(plan: StripPlan, vial: int) -> tuple[Flaw, ...]:
    """Return what the plan's defects change on one vial."""
    return tuple(
        make_flaw(defect, plan.random("defect", index))
        for index, defect in enumerate(plan.defects)
        if defect.vial == vial
    )


def make_flaw(defect: Defect, random: np.random.Generator) -> Flaw:
    """Return the changes of one defect; the same generator state gives the same flaw."""
    make = defect.make or _MAKERS[defect.kind]
    return make(defect.severity, random)


def _particle(severity: float, random: np.random.Generator, low: float, high: float) -> Flaw:
    u, y = float(random.uniform(-72, 72)), float(random.uniform(low, high))
    depth = scale(severity, 0.2, 1.8)
    if random.random() < 0.3:
        shape = fibre(random, u, y, scale(severity, 11.0, 100.0), scale(severity, 1.2, 4.5))
    else:
        shape = blob(random, u, y, scale(severity, 1.9, 15.0), 1.6)
    # Something lies on the wall: it also bends light at its edge.
    return Flaw(absorption=depth * shape, relief=shape * scale(severity, 0.2, 1.6))


def _spot(severity: float, random: np.random.Generator, low: float, high: float) -> Flaw:
    u, y = float(random.uniform(-84, 84)), float(random.uniform(low, high))
    shape = blob(random, u, y, scale(severity, 1.6, 14.0), 1.0)
    for _ in range(random.integers(0, 3)):
        near = random.normal(0.0, 14.0, 2)
        satellite = blob(random, u + near[0], y + near[1], scale(severity, 0.9, 4.0), 1.0)
        shape = np.maximum(shape, satellite)
    return Flaw(absorption=scale(severity, 0.3, 2.4) * shape)


def _burn(severity: float, random: np.random.Generator, low: float, high: float) -> Flaw:
    """Degraded plastic: a brown cloud with a darker heart and blisters."""
    u, y = float(random.uniform(-62, 62)), float(random.uniform(low, high))
    radius = scale(severity, 7.0, 40.0)
    cloud = blob(random, u, y, radius, radius * 0.9)
    heart = blob(random, u, y, radius * 0.45, radius * 0.35)
    relief = nowhere()
    for _ in range(int(scale(severity, 2, 14))):
        at = random.normal(0.0, radius * 0.55, 2)
        blister = blob(random, u + at[0], y + at[1], random.uniform(1.5, 1.5 + radius / 7), 2.5)
        relief += blister * random.uniform(0.5, 2.0) * (0.4 + severity)
    strength = scale(severity, 0.1, 1.3)
    return Flaw(absorption=strength * (0.55 * cloud + heart), relief=relief)


def _scratch(
    severity: float, random: np.random.Generator, reach: float, rows: tuple[float, float]
) -> Flaw:
    """Make a groove of wavering depth with a burr on one side."""
    length = int(scale(severity, 20.0, 200.0))
    start = random.uniform(-reach, reach), random.uniform(*rows)
    heading = random.uniform(0, np.pi) + np.cumsum(random.normal(0.0, 0.012, length))
    path = np.stack([start[0] + np.cumsum(np.cos(heading)), start[1] + np.cumsum(np.sin(heading))])
    width = scale(severity, 1.3, 4.6) * (0.7 + 0.3 * np.sin(np.arange(length) / 9.0))
    groove = along(path, width)
    burr = along(path + np.array([[1.8], [0.9]]), width * 0.6)
    depth = scale(severity, 0.55, 5.0)
    return Flaw(relief=depth * (0.5 * burr - groove), absorption=0.12 * severity * groove)


def _deformation_lower_body(severity: float, random: np.random.Generator) -> Flaw:
    """Push the wall in on one side; the surface buckles around it."""
    y, height = float(random.uniform(890, 1000)), float(random.uniform(26, 64))
    push = -scale(severity, 1.6, 30.0) * bell(row_numbers(), y, height)
    side = random.random() < 0.5
    u = (-1 if side else 1) * random.uniform(45.0, 95.0)
    dent = bell(row_numbers(), y, height * 0.7)[:, None] * bell(vial_columns(), u, 30.0)[None, :]
    folds = np.sin(row_numbers() / random.uniform(7, 13))[:, None] * dent
    relief = dent * scale(severity, 0.7, 9.0) + folds * scale(severity, 0.15, 2.2)
    nothing = np.zeros_like(push)
    return Flaw(
        left=push if side else nothing,
        right=nothing if side else push,
        relief=np.asarray(relief, np.float32),
    )


def _deformation_neck(severity: float, random: np.random.Generator) -> Flaw:
    """Lean the neck to one side; the plan has a bubble caught inside it."""
    y, height = float(random.uniform(392, 430)), float(random.uniform(16, 30))
    push = scale(severity, 1.2, 13.0) * bell(row_numbers(), y, height)
    side = 1.0 if random.random() < 0.5 else -1.0
    relief = np.outer(
        bell(row_numbers(), y, height * 0.6), bell(vial_columns(), side * 16.0, 10.0)
    ) * scale(severity, 0.4, 4.5)
    return Flaw(
        left=-side * push,
        right=side * push,
        relief=np.asarray(relief, np.float32),
    )


def _bump(
    severity: float, random: np.random.Generator, rows: tuple[float, float], reach: float
) -> Flaw:
    """Raise a blister on the outer surface, seen in the outline when it sits at the side."""
    y, size = float(random.uniform(*rows)), scale(severity, 4.0, 15.0)
    height = scale(severity, 0.8, 13.0)
    side = random.random() < 0.6
    u = reach * (random.choice([-0.95, 0.95]) if side else random.uniform(-0.6, 0.6))
    relief = np.outer(bell(row_numbers(), y, size), bell(vial_columns(), u, size)) * height
    outline = height * bell(row_numbers(), y, size) * side
    nothing = np.zeros_like(outline)
    return Flaw(
        left=outline if u < 0 else nothing,
        right=outline if u > 0 else nothing,
        relief=np.asarray(relief, np.float32),
    )


def _laser_cut(severity: float, random: np.random.Generator) -> Flaw:
    """Let the beam stray from the flag's outline: a ragged notch with molten lips."""
    left, top, right, _ = FLAG
    length, depth = scale(severity, 9.0, 62.0), scale(severity, 1.2, 17.0)
    rows, u = row_numbers()[:, None], vial_columns()[None, :]
    if random.random() < 0.5:
        center = random.uniform(left + 45, right - 45)
        place = bell(u, center, length / 2.4) * ((top + 60 - rows) / 30).clip(0.0, 1.0)
        ragged = np.interp(vial_columns(), *_ragged(random, left, right))[None, :]
    else:
        center = random.uniform(top + 75, top + 125)
        inward = right - u if random.random() < 0.5 else u - left
        place = bell(rows, center, length / 2.8) * ((60 - inward) / 30).clip(0.0, 1.0)
        ragged = np.interp(row_numbers(), *_ragged(random, top, top + 210))[:, None]
    return Flaw(cut=np.asarray(depth * place * ragged, np.float32))


def _ragged(random: np.random.Generator, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    points = np.linspace(low, high, 40)
    return points, 1.0 + random.normal(0.0, 0.3, 40)


def _underfill(severity: float, random: np.random.Generator) -> Flaw:
    return Flaw(fill_drop=scale(severity, 14.0, 190.0) * float(random.uniform(0.92, 1.08)))


def _foam(severity: float, random: np.random.Generator) -> Flaw:
    foam = Foam(
        bubbles=int(scale(severity, 16, 420)),
        radius=float(random.uniform(2.0, 3.2)),
        height=scale(severity, 5.0, 46.0),
    )
    return Flaw(foam=foam)


def _emboss_missing(severity: float, random: np.random.Generator) -> Flaw:
    """Leave a part of the mark unfilled by the plastic; at 1 all of it."""
    edge = FLAG[0] + 20.0 + (0.15 + 0.95 * severity) * 165.0
    faded = ((edge - vial_columns()) / 16.0).clip(0.0, 1.0)[None, :]
    if random.random() < 0.5:
        faded = faded[:, ::-1]
    on_flag = (row_numbers() < FLAG[3])[:, None]
    loss = faded * on_flag * (0.35 + 0.65 * severity)
    return Flaw(emboss_gain=np.asarray(1.0 - loss, np.float32))


def _emboss_smeared(severity: float, random: np.random.Generator) -> Flaw:
    along, across = random.uniform(0.5, 1.0), random.uniform(0.5, 1.0)
    width = scale(severity, 0.9, 4.5)
    return Flaw(emboss_smear=(float(width * along), float(width * across)))


_MAKERS: Final[dict[str, Callable[[float, np.random.Generator], Flaw]]] = {
    "particle_upper": partial(_particle, low=470.0, high=600.0),
    "particle_liquid": partial(_particle, low=690.0, high=1010.0),
    "foam": _foam,
    "deformation_lower_body": _deformation_lower_body,
    "deformation_neck": _deformation_neck,
    "black_spot_upper": partial(_spot, low=455.0, high=575.0),
    "black_spot_body": partial(_spot, low=600.0, high=980.0),
    "burn_lower": partial(_burn, low=935.0, high=1030.0),
    "burn_body": partial(_burn, low=590.0, high=860.0),
    "scratch_neck": partial(_scratch, reach=22.0, rows=(372.0, 440.0)),
    "scratch_body": partial(_scratch, reach=80.0, rows=(540.0, 960.0)),
    "laser_cut": _laser_cut,
    "bump_neck": partial(_bump, rows=(385.0, 440.0), reach=35.0),
    "bump_cap": partial(_bump, rows=(296.0, 338.0), reach=39.0),
    "underfill": _underfill,
    "emboss_missing": _emboss_missing,
    "emboss_smeared": _emboss_smeared,
}
