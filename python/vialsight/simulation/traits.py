"""What differs from strip to strip and from run to run, drawn from the strip's own seed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vialsight.simulation.plan import VIALS, StripPlan
from vialsight.simulation.product import (
    CAVITY_BOTTOM,
    CAVITY_TOP,
    FILL_LEVEL,
    NECK_BOTTOM,
    PIXELS_PER_MM,
)

FREE, FLOATING, STUCK = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class VialTraits:
    """One vial of one physical strip, as mould and filling made it."""

    fill_level: float  # row of the surface at rest
    wall_scale: float
    wall_skew: float  # thicker left than right, relative
    opacity: float  # scattering of the plastic, per millimetre


@dataclass(frozen=True, kw_only=True)
class Bubbles:
    """Bubbles of one vial at the first moment; arrays (n,), pixels of the vial's window."""

    u: np.ndarray
    depth: np.ndarray  # below the surface; of stuck ones too
    radius: np.ndarray
    kind: np.ndarray  # FREE, FLOATING or STUCK


@dataclass(frozen=True, kw_only=True)
class Droplets:
    """Droplets on the inner wall at the first moment; arrays (n,)."""

    u: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    stretch: np.ndarray  # length over width, along gravity
    contact: np.ndarray  # height over radius of the cap


@dataclass(frozen=True, kw_only=True)
class VialRun:
    """What the liquid of one vial is like in one run."""

    bubbles: Bubbles
    droplets: Droplets
    neck_plug: tuple[float, float] | None  # rows between which liquid is trapped
    slosh: tuple[float, float, float, float]  # both modes: amplitude and speed at the start
    climb: float  # of the meniscus on the wall, pixels


@dataclass(frozen=True, kw_only=True)
class RunTraits:
    """One acquisition: how the gripper holds the strip, light, camera, swing and liquids."""

    offset: tuple[float, float]
    rotation_rad: float
    exposure: float
    exposure_drift: float  # relative, from the first to the last frame
    blur_px: float
    swing_rad: float
    swing_s: float
    gripper_offset: tuple[float, float]
    vials: tuple[VialRun, ...]


def strip_traits(plan: StripPlan) -> tuple[VialTraits, ...]:
    """Draw the vials of a strip; the fill of one strip varies together."""
    random = plan.random("strip")
    common_fill = random.normal(0.0, 5.0)
    common_opacity = random.normal(0.0, 0.012)
    return tuple(
        VialTraits(
            fill_level=FILL_LEVEL + common_fill + float(random.normal(0.0, 3.5)),
            wall_scale=float(random.normal(1.0, 0.035)),
            wall_skew=float(random.normal(0.0, 0.05)),
            opacity=0.30 + common_opacity + float(random.normal(0.0, 0.006)),
        )
        for _ in range(VIALS)
    )


def run_traits(plan: StripPlan, run: int) -> RunTraits:
    """Draw one acquisition of a strip."""
    random = plan.random("run", run)
    offset = random.normal(0.0, (3.0, 2.5)).clip(-9.0, 9.0)
    gripper = random.normal(0.0, (3.0, 1.5))
    return RunTraits(
        offset=(float(offset[0]), float(offset[1])),
        rotation_rad=float(random.normal(0.0, np.deg2rad(0.2))),
        exposure=float(random.normal(1.0, 0.012)),
        exposure_drift=float(random.normal(0.0, 0.006)),
        blur_px=float(random.uniform(0.75, 1.05)),
        swing_rad=float(random.normal(np.deg2rad(24.0), np.deg2rad(1.5))),
        swing_s=float(random.normal(0.32, 0.01)),
        gripper_offset=(float(gripper[0]), float(gripper[1])),
        vials=tuple(_vial_run(plan, run, vial) for vial in range(VIALS)),
    )


def _caught_bubble(plan: StripPlan, vial: int) -> tuple[float, float]:
    """Rows of the liquid that a bubble holds in the neck, the same in every run."""
    center, half = plan.random("neck", vial).uniform((388.0, 7.0), (408.0, 15.0))
    return float(center - half), float(center + half)


_CLUSTERS: Final = 2


def _vial_run(plan: StripPlan, run: int, vial: int) -> VialRun:
    random = plan.random("liquid", run, vial)
    plug = None
    if random.random() < 0.35:
        length = random.uniform(9.0, 46.0)
        top = random.uniform(CAVITY_TOP + 10, NECK_BOTTOM - length - 6)
        plug = (float(top), float(top + length))
    if vial in plan.neck_bubbles:
        plug = _caught_bubble(plan, vial)
    start = random.normal(0.0, (7.0, 2.0, 250.0, 90.0))
    return VialRun(
        bubbles=_bubbles(random),
        droplets=_droplets(random),
        neck_plug=plug,
        slosh=(float(start[0]), float(start[1]), float(start[2]), float(start[3])),
        climb=float(random.uniform(0.45, 0.95) * PIXELS_PER_MM),
    )


def _bubbles(random: np.random.Generator) -> Bubbles:
    floating, free, stuck = random.poisson(8.0), random.poisson(4.0), random.poisson(3.0)
    centers = random.uniform(-100.0, 100.0, _CLUSTERS)
    spread = np.abs(random.normal(0.0, 26.0, floating))
    side = np.where(random.random(floating) < 0.5, -1.0, 1.0)
    clustered = centers[random.integers(_CLUSTERS, size=floating)] + side * spread
    u = np.concatenate([clustered, random.uniform(-95, 95, free), random.uniform(-104, 104, stuck)])
    depth = np.concatenate(
        [np.zeros(floating), random.exponential(70.0, free) + 6.0, random.uniform(18, 390, stuck)]
    )
    radius = np.concatenate(
        [
            np.exp(random.normal(np.log(5.2), 0.55, floating)).clip(1.8, 20.0),
            np.exp(random.normal(np.log(2.2), 0.45, free)).clip(1.0, 7.0),
            np.exp(random.normal(np.log(3.6), 0.5, stuck)).clip(1.5, 12.0),
        ]
    )
    kind = np.repeat([FLOATING, FREE, STUCK], [floating, free, stuck])
    return Bubbles(u=u.clip(-104.0, 104.0), depth=depth, radius=radius, kind=kind)


def _droplets(random: np.random.Generator) -> Droplets:
    count = random.poisson(4.5)
    y = NECK_BOTTOM + (FILL_LEVEL - 24.0 - NECK_BOTTOM) * random.beta(2.2, 1.3, count)
    reach = np.interp(y, (NECK_BOTTOM, 540.0, CAVITY_BOTTOM), (24.0, 98.0, 98.0))
    return Droplets(
        u=reach * random.uniform(-1.0, 1.0, count),
        y=y,
        radius=np.exp(random.normal(np.log(5.5), 0.5, count)).clip(2.0, 16.0),
        stretch=1.0 + np.abs(random.normal(0.0, 0.22, count)),
        contact=random.uniform(0.6, 1.0, count),
    )
