"""How the liquid moves during a swing: surface, bubbles and droplets at every frame of a run.

The gripper swings the strip like a pendulum about its upper side, and the camera is fixed to the
gripper: the plastic stands still in the picture while gravity turns. The surface of a vial is its
first two sloshing modes, damped oscillators driven by the effective gravity (Lamb, Hydrodynamics,
§257, for the natural frequency); bubbles are carried by the flow and rise, droplets cling to the
wall and the heavy ones creep.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vialsight.simulation.plan import FRAMES_PER_RUN, StripPlan
from vialsight.simulation.product import CAVITY_BOTTOM, PIXELS_PER_MM
from vialsight.simulation.traits import FLOATING, FREE, STUCK, Bubbles, RunTraits, VialRun

HALF_WIDTH: Final = 110.0  # of the cavity at the surface, pixels
_GRAVITY: Final = 9.81e3 * PIXELS_PER_MM  # pixels/s²
_SURFACE_TO_PIVOT: Final = 45.0 * PIXELS_PER_MM
_LIQUID_HEIGHT: Final = 410.0
_DAMPING: Final = (0.11, 0.16)  # of critical, both modes
_STEP_S: Final = 0.5e-3
_LEAD_IN_S: Final = 0.10  # swung into position before the first frame
_DROPLET_PINNED: Final = 10.5  # radius up to which contact-angle hysteresis holds a droplet
_DROPLET_CREEP: Final = 9.0  # pixels/s for every pixel above it
_BUBBLE_TOP_SPEED: Final = 200.0 * PIXELS_PER_MM
_VISCOSITY: Final = 1.1  # mm²/s, aqueous excipient


@dataclass(frozen=True, kw_only=True)
class BubbleState:
    """Bubbles of a vial at one moment; arrays (n,), pixels of the vial's window."""

    u: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    floating: np.ndarray  # bool: at the surface


@dataclass(frozen=True, kw_only=True)
class DropletState:
    """Droplets of a vial at one moment; arrays (n,)."""

    u: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    stretch: np.ndarray
    contact: np.ndarray


@dataclass(frozen=True, kw_only=True)
class LiquidState:
    """The liquid of one vial at one moment.

    The surface is at row level + mode_1 sin(πu/2w) + mode_2 cos(πu/w); the level follows from the
    volume and is added where the cavity is known.
    """

    mode_1: float
    mode_2: float
    climb: float
    neck_plug: tuple[float, float] | None
    bubbles: BubbleState  # y counted from the level
    droplets: DropletState

    def surface(self, u: np.ndarray) -> np.ndarray:
        """Return the surface at `u` in rows below the level."""
        return surface_shape(u, self.mode_1, self.mode_2)


def surface_shape(u: np.ndarray, mode_1: float, mode_2: float) -> np.ndarray:
    """Return the two modes at `u` (n,), rows."""
    phase = np.pi / 2 * np.clip(u / HALF_WIDTH, -1.0, 1.0)
    return np.asarray(mode_1 * np.sin(phase) + mode_2 * np.cos(2 * phase))


def frame_times(traits: RunTraits) -> np.ndarray:
    """Return the moments of the 16 frames, (16,), in seconds from the start of the swing."""
    return np.linspace(0.0, traits.swing_s, FRAMES_PER_RUN)


def gravity_angle(traits: RunTraits, time_s: np.ndarray) -> np.ndarray:
    """Return the angle of effective gravity to the vials' axis, radians, positive to the right.

    Swing angle A cos(πt/T): the strip's own acceleration takes away a part of gravity's tilt.
    """
    rate = np.pi / traits.swing_s
    angle = traits.swing_rad * np.cos(rate * time_s)
    across = _GRAVITY * np.sin(angle) - _SURFACE_TO_PIVOT * rate**2 * angle
    along = (
        _GRAVITY * np.cos(angle)
        + _SURFACE_TO_PIVOT * (traits.swing_rad * rate * np.sin(rate * time_s)) ** 2
    )
    return np.asarray(np.arctan2(across, along))


def liquid_states(plan: StripPlan, run: int, traits: RunTraits) -> list[list[LiquidState]]:
    """Return the liquids at every frame: [frame][vial]."""
    modes, speeds = _sloshing(traits)
    per_vial = [
        _vial_states(
            plan.random("bubbles", run, vial), traits, vial, modes[:, vial], speeds[:, vial]
        )
        for vial in range(len(traits.vials))
    ]
    return [list(states) for states in zip(*per_vial, strict=True)]


def _natural_frequencies() -> np.ndarray:
    wave = np.array([1.0, 2.0]) * np.pi / (2 * HALF_WIDTH)
    return np.sqrt(_GRAVITY * wave * np.tanh(wave * _LIQUID_HEIGHT))


def _sloshing(traits: RunTraits) -> tuple[np.ndarray, np.ndarray]:
    """Integrate both modes of all vials: amplitudes and speeds, (16, vials, 2), px and px/s."""
    frequency, damping = _natural_frequencies(), np.array(_DAMPING)
    start = np.array([vial.slosh for vial in traits.vials])
    steps = round((_LEAD_IN_S + traits.swing_s) / _STEP_S)
    times = -_LEAD_IN_S + _STEP_S * np.arange(steps + 1)
    rest = _resting_modes(gravity_angle(traits, np.maximum(times, 0.0)))
    amplitude, speed = start[:, :2] + rest[0], start[:, 2:]
    amplitudes, speeds = np.empty((2, steps + 1, len(start), 2))
    for step in range(steps + 1):
        amplitudes[step], speeds[step] = amplitude, speed
        force = frequency**2 * (rest[step] - amplitude) - 2 * damping * frequency * speed
        speed = speed + _STEP_S * force
        amplitude = amplitude + _STEP_S * speed
    frames = np.searchsorted(times, frame_times(traits)).clip(0, steps)
    return amplitudes[frames], speeds[frames]


def _resting_modes(angle: np.ndarray) -> np.ndarray:
    """Return the modes of the flat surface across gravity, (n, 2): first sine term of a line."""
    first = -np.tan(angle) * HALF_WIDTH * 8 / np.pi**2
    return np.stack([first, np.zeros_like(first)], axis=-1)


def _vial_states(
    random: np.random.Generator,
    traits: RunTraits,
    vial: int,
    modes: np.ndarray,
    speeds: np.ndarray,
) -> list[LiquidState]:
    liquid = traits.vials[vial]
    times = frame_times(traits)
    angles = gravity_angle(traits, times)
    flow = _Flow(times=times, angles=angles, modes=modes, speeds=speeds)
    bubbles = _bubble_path(random, liquid.bubbles, flow)
    droplets = _droplet_path(liquid, times, angles)
    return [
        LiquidState(
            mode_1=float(modes[frame, 0]),
            mode_2=float(modes[frame, 1]),
            climb=liquid.climb,
            neck_plug=_plug(liquid, float(angles[frame])),
            bubbles=bubbles[frame],
            droplets=droplets[frame],
        )
        for frame in range(len(times))
    ]


def _plug(liquid: VialRun, angle: float) -> tuple[float, float] | None:
    """Capillary forces hold the plug; the tilt only leans on it."""
    if liquid.neck_plug is None:
        return None
    shift = 1.5 * (1.0 - np.cos(angle)) * 6.0
    top, bottom = liquid.neck_plug
    return top + shift, bottom + shift


def rise_speed(radius_px: np.ndarray) -> np.ndarray:
    """Return the speed at which bubbles rise, px/s: Stokes for small ones, limited for large."""
    radius_mm = radius_px / PIXELS_PER_MM
    stokes = 2.0 / 9.0 * 9.81e3 * radius_mm**2 / _VISCOSITY * PIXELS_PER_MM
    return np.asarray(stokes / (1.0 + stokes / _BUBBLE_TOP_SPEED))


# A floating bubble's centre lies this share of its radius below the surface.
_FLOAT_DEPTH: Final = 0.45


@dataclass(frozen=True, kw_only=True)
class _Flow:
    """What carries bubbles, at every frame: moments, gravity, both modes and the first's speed."""

    times: np.ndarray
    angles: np.ndarray
    modes: np.ndarray
    speeds: np.ndarray

    def displacement(self, frame: int, u: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Way of the liquid to the next frame, (2, n): the first mode's potential flow."""
        wave = np.pi / (2 * HALF_WIDTH)
        way = self.step_s(frame) * self.speeds[frame, 0] * np.exp(-wave * np.maximum(depth, 0.0))
        return np.stack([-way * np.cos(wave * u), way * np.sin(wave * u)])

    def step_s(self, frame: int) -> float:
        """Time from this frame to the next."""
        return float(self.times[frame + 1] - self.times[frame])


def _bubble_path(random: np.random.Generator, bubbles: Bubbles, flow: _Flow) -> list[BubbleState]:
    u, kind, radius = bubbles.u, bubbles.kind, bubbles.radius
    stuck_y = bubbles.depth
    y = bubbles.depth + surface_shape(u, *flow.modes[0])
    drift = random.normal(0.0, 6.0, len(u))
    states: list[BubbleState] = []
    for frame in range(len(flow.times)):
        surface = surface_shape(u, *flow.modes[frame])
        # A free bubble that reaches the surface stays there.
        kind = np.where((kind == FREE) & (y <= surface + 0.6 * radius), FLOATING, kind)
        y = np.where(kind == FLOATING, surface + _FLOAT_DEPTH * radius, y)
        y = np.where(kind == STUCK, stuck_y, y)
        states.append(BubbleState(u=u, y=y, radius=radius, floating=kind == FLOATING))
        if frame + 1 < len(flow.times):
            carried = flow.displacement(frame, u, y - surface)
            way = flow.step_s(frame) * rise_speed(radius) * (kind == FREE)
            limit = HALF_WIDTH - 0.6 * radius
            angle = flow.angles[frame]
            moved = u + carried[0] + flow.step_s(frame) * drift - way * np.sin(angle)
            u = np.where(kind == STUCK, u, moved.clip(-limit, limit))
            y = y + carried[1] - way * np.cos(angle)
    return states


def _droplet_path(liquid: VialRun, times: np.ndarray, angles: np.ndarray) -> list[DropletState]:
    drops = liquid.droplets
    creep = _DROPLET_CREEP * np.maximum(drops.radius - _DROPLET_PINNED, 0.0)
    steps = np.diff(times, append=times[-1])
    down = np.concatenate([[0.0], np.cumsum(steps * np.cos(angles))[:-1]])
    across = np.concatenate([[0.0], np.cumsum(steps * np.sin(angles))[:-1]])
    return [
        DropletState(
            u=drops.u + creep * across[frame],
            y=np.minimum(drops.y + creep * down[frame], CAVITY_BOTTOM),
            radius=drops.radius,
            stretch=drops.stretch,
            contact=drops.contact,
        )
        for frame in range(len(times))
    ]
