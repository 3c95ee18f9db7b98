"""From a plan to pictures: the frames of one run of one strip, and the masks of its defects.

Everything is drawn from the strip's own seed, by purpose, run and vial: the same arguments give the
same bytes, whatever was rendered before, and a strip with a defect is the same strip without it
everywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError
from vialsight.simulation.flaws import Flaw, Foam, flaws_of
from vialsight.simulation.liquid import Vessel
from vialsight.simulation.motion import BubbleState, LiquidState, liquid_states
from vialsight.simulation.optics import (
    BACKGROUND,
    LIQUID_OVER_AIR,
    PLASTIC_OVER_AIR,
    Camera,
    brightness,
    digitise,
    gradient,
    illumination,
    scattering,
    seen_pose,
)
from vialsight.simulation.plan import FRAMES_PER_RUN, VIALS, StripPlan
from vialsight.simulation.plastic import Plastic, mould
from vialsight.simulation.product import (
    CAVITY_BOTTOM,
    CAVITY_TOP,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    MARGIN,
    PITCH,
    Float,
)
from vialsight.simulation.traits import VialTraits, run_traits, strip_traits

# The mask of a defect: the fewest pixels that hold this share of the squared difference it makes.
MASK_ENERGY: Final = 0.98
# Less than this, in grey values before rounding, no mask marks.
_VISIBLE: Final = 0.1
_SHAKE_PX: Final = 0.28
_WET_ROWS: Final = slice(CAVITY_TOP - 2, CAVITY_BOTTOM + 4)


@dataclass(frozen=True)
class RenderedRun:
    """Frames uint8 (n, FRAME_HEIGHT, FRAME_WIDTH), and masks bool of that shape if defective."""

    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_] | None


def render_run(
    plan: StripPlan, run: int, frames: Sequence[int], *, with_masks: bool = True
) -> RenderedRun:
    """Render frames (numbers 1 to 16) of one run (from 1) of a strip.

    Without masks a defective strip takes as long as a nominal one; the frames are the same.
    Raises DataError for a run or frame that does not exist.
    """
    from scipy.ndimage import gaussian_filter

    _check(run, frames)
    traits = run_traits(plan, run)
    states = liquid_states(plan, run, traits)
    shakes = _shakes(plan, run)
    light = illumination(plan.random("light", run), traits.gripper_offset)
    camera = Camera(traits, light)
    strip = _strip(plan)
    pictures, masks = [], []
    for number in frames:
        index = number - 1
        shake, progress = shakes[index], index / (FRAMES_PER_RUN - 1)
        seen = strip.transmission(states[index], run)
        picture = camera.expose(seen, shake, progress)
        noise = plan.random("noise", run, number)
        pictures.append(digitise(picture, noise))
        if plan.defects and with_masks:
            change = camera.project(strip.change(states[index], run, seen), shake, outside=0.0)
            masks.append(_mask(gaussian_filter(change * light, traits.blur_px, truncate=3.0)))
    return RenderedRun(np.stack(pictures), np.stack(masks) if masks else None)


def frame_poses(plan: StripPlan, run: int) -> npt.NDArray[np.float64]:
    """Return how the strip lies in the frames of one run, (16, 3): dx, dy, turn of SPEC §1."""
    traits = run_traits(plan, run)
    return np.array([seen_pose(traits, shake) for shake in _shakes(plan, run)])


def rank_images(
    frames: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return per-pixel minimum and maximum (rank 1 and rank n) of frames (n,H,W)."""
    return frames.min(axis=0), frames.max(axis=0)


def liquid_volumes(plan: StripPlan, run: int) -> npt.NDArray[np.float64]:
    """Return the main body of liquid of each vial at each frame, cubic pixels, (16, VIALS).

    Bubbles, droplets and what the neck holds do not count.
    """
    states = liquid_states(plan, run, run_traits(plan, run))
    vials = _strip(plan).vials
    return np.array([[v.vessel.held(s) for v, s in zip(vials, row, strict=True)] for row in states])


def _shakes(plan: StripPlan, run: int) -> list[tuple[float, float]]:
    """By how many pixels vibration moves the strip in each frame, x and y."""
    shakes = plan.random("shake", run).normal(0.0, _SHAKE_PX, (FRAMES_PER_RUN, 2))
    return [(float(x), float(y)) for x, y in shakes]


def _check(run: int, frames: Sequence[int]) -> None:
    if run < 1:
        raise DataError(f"run must be at least 1; got {run}")
    wrong = [number for number in frames if not 1 <= number <= FRAMES_PER_RUN]
    if wrong or not frames:
        raise DataError(f"frames must be numbers from 1 to {FRAMES_PER_RUN}; got {list(frames)}")


class _Vial:
    """One vial of a strip: its plastic, ready for any liquid."""

    def __init__(
        self, plan: StripPlan, vial: int, traits: VialTraits, flaws: tuple[Flaw, ...]
    ) -> None:
        self._plan, self._vial, self._flaws = plan, vial, flaws
        plastic = mould(plan, vial, traits, flaws)
        self.vessel = Vessel(plastic, traits.fill_level + sum(flaw.fill_drop for flaw in flaws))
        self._direct, self._diffuse = scattering(plastic.thickness, traits.opacity, plastic.haze)
        self._absorbed = _absorbed(plastic)
        self._bend = gradient(np.float32(PLASTIC_OVER_AIR) * plastic.thickness)
        self._dry = self._light(brightness(*self._bend), slice(None))

    def transmission(self, state: LiquidState, run: int) -> Float:
        """Light behind the vial relative to the bare backlight, (FRAME_HEIGHT, PITCH)."""
        water = self.vessel.water(self._with_flaws(state, run))
        across, down = gradient(np.float32(LIQUID_OVER_AIR) * water[_WET_ROWS])
        across += self._bend[0][_WET_ROWS]
        down += self._bend[1][_WET_ROWS]
        seen = self._dry.copy()
        seen[_WET_ROWS] = self._light(brightness(across, down), _WET_ROWS)
        return np.asarray(seen, np.float32)

    def _light(self, bright: Float, rows: slice) -> Float:
        bright *= self._direct[rows]
        bright += self._diffuse[rows]
        if self._absorbed is not None:
            bright *= self._absorbed[rows]
        return bright

    def _with_flaws(self, state: LiquidState, run: int) -> LiquidState:
        for index, flaw in enumerate(self._flaws):
            random = self._plan.random("flaw in liquid", run, self._vial, index)
            if flaw.foam is not None:
                state = replace(state, bubbles=_frothy(state, flaw.foam, random))
        return state


@dataclass(frozen=True)
class _Strip:
    """The vials of one strip and, where they have defects, their faultless twins."""

    plan: StripPlan
    vials: tuple[_Vial, ...]

    @cached_property
    def twins(self) -> dict[int, _Vial]:
        """Vials with defects, without them; made when masks are asked for."""
        traits = strip_traits(self.plan)
        defective = {defect.vial for defect in self.plan.defects}
        return {vial: _Vial(self.plan, vial, traits[vial], ()) for vial in sorted(defective)}

    def transmission(self, states: Sequence[LiquidState], run: int) -> Float:
        """Light behind the whole strip, (FRAME_HEIGHT, FRAME_WIDTH)."""
        result = np.ones((FRAME_HEIGHT, FRAME_WIDTH), np.float32)
        for index, (vial, state) in enumerate(zip(self.vials, states, strict=True)):
            result[:, _columns(index)] = vial.transmission(state, run)
        return result

    def change(self, states: Sequence[LiquidState], run: int, seen: Float) -> Float:
        """Difference in grey values that the defects make."""
        result = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.float32)
        for index, twin in self.twins.items():
            without = twin.transmission(states[index], run)
            result[:, _columns(index)] = (seen[:, _columns(index)] - without) * BACKGROUND
        return result


@lru_cache(maxsize=2)
def _strip(plan: StripPlan) -> _Strip:
    traits = strip_traits(plan)
    flaws = [flaws_of(plan, vial) for vial in range(VIALS)]
    vials = tuple(_Vial(plan, vial, traits[vial], flaws[vial]) for vial in range(VIALS))
    return _Strip(plan, vials)


def _columns(vial: int) -> slice:
    return slice(MARGIN + PITCH * vial, MARGIN + PITCH * (vial + 1))


def _absorbed(plastic: Plastic) -> Float | None:
    if not plastic.absorption.any():
        return None
    return np.asarray(np.exp(-plastic.absorption), np.float32)


def _frothy(state: LiquidState, foam: Foam, random: np.random.Generator) -> BubbleState:
    """Add froth that rides on the surface; the same bubbles in every frame of a run."""
    u = random.uniform(-104.0, 104.0, foam.bubbles)
    radius = (foam.radius * np.exp(random.normal(0.0, 0.35, foam.bubbles))).clip(1.0, 8.0)
    heap = foam.height * random.beta(1.1, 2.2, foam.bubbles)
    # Froth stands on the liquid and hangs a little into it.
    y = state.surface(u) - heap + 0.25 * foam.height
    here = state.bubbles
    return BubbleState(
        u=np.concatenate([here.u, u]),
        y=np.concatenate([here.y, y]),
        radius=np.concatenate([here.radius, radius]),
        floating=np.concatenate([here.floating, np.ones(foam.bubbles, bool)]),
    )


def _mask(change: Float) -> npt.NDArray[np.bool_]:
    """Mark the fewest pixels that hold MASK_ENERGY of the squared change, and what they enclose."""
    from scipy.ndimage import binary_closing

    size = np.abs(change).astype(np.float64)
    part = size % 1.0
    # Expected squared difference of the 8-bit pictures: rounding adds the variance part (1 - part).
    energy = np.where(size >= _VISIBLE, size**2 + part * (1.0 - part), 0.0)
    total = energy.sum()
    if total == 0.0:
        return np.zeros(change.shape, np.bool_)
    strongest = np.sort(energy[energy > 0.0])[::-1]
    enough = np.searchsorted(np.cumsum(strongest), MASK_ENERGY * total)
    marked = energy >= strongest[min(enough, len(strongest) - 1)]
    return np.asarray(binary_closing(marked, iterations=2) | marked, np.bool_)
