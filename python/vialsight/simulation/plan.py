"""What a simulated set holds: its strips, their defects, and how often each is seen.

A plan is small and pure: the same name, sizes and seed give the same plan everywhere, and every
random number of a strip comes from the strip's own seed, so that nothing depends on how many
workers render it, or in which order.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from vialsight.errors import DataError

if TYPE_CHECKING:
    from vialsight.simulation.flaws import Flaw

FRAMES_PER_RUN: Final = 16
INSPECTED_FRAMES: Final = (1, 8, 16)
ALL_FRAMES: Final = tuple(range(1, FRAMES_PER_RUN + 1))
# Per pixel over the 16 frames of a run, numbered behind them in `dataset.csv` (SPEC section 1).
RANK_MIN_FRAME: Final = FRAMES_PER_RUN + 1
RANK_MAX_FRAME: Final = FRAMES_PER_RUN + 2

DEFECT_KINDS: Final = (
    "particle_upper",
    "particle_liquid",
    "foam",
    "deformation_lower_body",
    "deformation_neck",
    "black_spot_upper",
    "black_spot_body",
    "burn_lower",
    "burn_body",
    "scratch_neck",
    "scratch_body",
    "laser_cut",
    "bump_neck",
    "bump_cap",
    "underfill",
    "emboss_missing",
    "emboss_smeared",
)
VIALS: Final = 5
# Changes whenever the same plan gives other pixels: it is part of every identity.
RENDERER_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One defect of one vial; severity goes from 0, barely visible, to 1, gross.

    A kind that is not ours brings what makes its flaw of a severity and random numbers: a function
    that worker processes can import by name. It is no part of a set's identity; its name is.
    """

    kind: str
    severity: float
    vial: int
    make: "Callable[[float, np.random.Generator], Flaw] | None" = None

    def __post_init__(self) -> None:
        if self.make is None and self.kind not in DEFECT_KINDS:
            raise DataError(f"defect must be one of {', '.join(DEFECT_KINDS)}; got {self.kind!r}")
        if self.make is not None and self.kind in DEFECT_KINDS:
            raise DataError(
                f"defect {self.kind!r} is made by the simulator; give another name, or no `make`"
            )
        if not 0.0 <= self.severity <= 1.0:
            raise DataError(f"severity must be in [0, 1]; got {self.severity}")
        if not 0 <= self.vial < VIALS:
            raise DataError(f"vial must be in [0, {VIALS}); got {self.vial}")


@dataclass(frozen=True, kw_only=True)
class StripPlan:
    """One physical strip: its name, where its random numbers come from, and its defects."""

    product: str
    split: str
    entropy: tuple[int, ...]
    defects: tuple[Defect, ...] = ()
    # Vials that hold a bubble caught in the neck in every run: no defect, but company of one.
    neck_bubbles: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """`nominal` or `defective`, as in `dataset.csv`."""
        return "defective" if self.defects else "nominal"

    def random(self, purpose: str, *numbers: int) -> np.random.Generator:
        """Return the generator of one purpose, independent of all others and of the defects."""
        key = (zlib.crc32(purpose.encode()), *numbers)
        return np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(self.entropy, spawn_key=key))
        )


@dataclass(frozen=True, kw_only=True)
class SetPlan:
    """All strips of a set, and what is recorded of each."""

    name: str
    seed: int
    runs: int
    frames: tuple[int, ...]
    rank_images: bool
    strips: tuple[StripPlan, ...]

    @property
    def images_per_run(self) -> int:
        """Frames and, where recorded, the two rank images."""
        return len(self.frames) + 2 * self.rank_images

    @property
    def images(self) -> int:
        """Images of the whole set, masks not counted."""
        return len(self.strips) * self.runs * self.images_per_run

    @property
    def default_recording(self) -> bool:
        """Whether it records what its set records unless other frames are asked for."""
        recipe = _RECIPES.get(self.name)  # a set with another name has no frames of its own
        return recipe is not None and (self.frames, self.rank_images) == _recording(recipe, None)

    @cached_property
    def identity(self) -> str:
        """SHA-256 over everything that decides the pixels."""
        content = {
            "renderer": RENDERER_VERSION,
            "name": self.name,
            "seed": self.seed,
            "runs": self.runs,
            "frames": self.frames,
            "rank_images": self.rank_images,
            "strips": [
                [
                    *(strip.product, strip.split, strip.entropy, strip.neck_bubbles),
                    [[d.kind, d.severity, d.vial] for d in strip.defects],
                ]
                for strip in self.strips
            ],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """Default sizes of a named set."""

    code: int
    nominal: int
    defective: int
    every_frame: bool


# `train` and `kit` have the paper's sizes; it does not give the size of its calibration set.
_RECIPES: Final = {
    "train": _Recipe(code=1, nominal=782, defective=0, every_frame=True),
    "calibration": _Recipe(code=2, nominal=60, defective=68, every_frame=False),
    "kit": _Recipe(code=3, nominal=120, defective=141, every_frame=False),
}
SET_NAMES: Final = tuple(_RECIPES)
DEFAULT_RUNS: Final = 10
_NECK_BUBBLE_CHANCE: Final = 0.05
_VALIDATION_EVERY: Final = 10  # 90 % training, 10 % validation


def plan_set(
    name: str,
    *,
    strips: int | None = None,
    runs: int = DEFAULT_RUNS,
    seed: int = 0,
    frames: Sequence[int] | None = None,
) -> SetPlan:
    """Plan a named set: `train`, `calibration` or `kit`.

    `strips` is the number of physical strips, nominal and defective together in the set's own
    proportion; None is the set's full size. `frames` are the frames of a run that are recorded,
    from 1 to 16, in any order, and no rank image then; None is what the set records by itself.
    Raises DataError for an unknown name, for sizes that leave a class of the set empty, and for
    frames that come twice or do not exist.
    """
    recipe = _recipe(name)
    nominal, defective = _counts(name, recipe, strips)
    if runs < 1:
        raise DataError(f"runs must be at least 1; got {runs}")
    if seed < 0:
        raise DataError(f"seed must not be negative; got {seed}")
    planned = [
        _strip(
            name, recipe, seed, index, defective=index >= nominal, defective_index=index - nominal
        )
        for index in range(nominal + defective)
    ]
    recorded, rank_images = _recording(recipe, frames)
    return SetPlan(
        name=name,
        seed=seed,
        runs=runs,
        frames=recorded,
        rank_images=rank_images,
        strips=tuple(planned),
    )


def _recipe(name: str) -> _Recipe:
    if name not in _RECIPES:
        raise DataError(f"expected one of the sets {', '.join(SET_NAMES)}; got {name!r}")
    return _RECIPES[name]


def _recording(recipe: _Recipe, frames: Sequence[int] | None) -> tuple[tuple[int, ...], bool]:
    """Return the frames of a run that are recorded, in order, and whether rank images are."""
    if frames is None:
        return ALL_FRAMES if recipe.every_frame else INSPECTED_FRAMES, recipe.every_frame
    wrong = [number for number in frames if number not in ALL_FRAMES]
    if wrong or not frames or len(set(frames)) < len(frames):
        raise DataError(
            f"frames must be different numbers from 1 to {FRAMES_PER_RUN}, at least one; "
            f"got {', '.join(map(str, frames)) or 'none'}"
        )
    return tuple(sorted(frames)), False


def _counts(name: str, recipe: _Recipe, strips: int | None) -> tuple[int, int]:
    total = recipe.nominal + recipe.defective
    wanted = total if strips is None else strips
    # Training needs a strip to validate with; the other sets one of each label.
    if wanted < 2:
        raise DataError(f"the set {name!r} needs at least 2 strips; got {wanted}")
    if not recipe.defective:
        return wanted, 0
    defective = min(max(1, round(wanted * recipe.defective / total)), wanted - 1)
    return wanted - defective, defective


def _strip(
    name: str, recipe: _Recipe, seed: int, index: int, *, defective: bool, defective_index: int
) -> StripPlan:
    defects = (_defect(recipe.code, seed, defective_index),) if defective else ()
    return StripPlan(
        product=f"{name}-s{seed}-{index:05d}",
        split=_split(name, index),
        entropy=(seed, recipe.code, index),
        defects=defects,
        neck_bubbles=_neck_bubbles(recipe.code, seed, index, defects),
    )


def _neck_bubbles(code: int, seed: int, index: int, defects: tuple[Defect, ...]) -> tuple[int, ...]:
    """Give each vial its chance, so that a caught bubble does not tell a deformed neck."""
    chances = np.random.default_rng([seed, code, index, 78]).random(VIALS)
    deformed = {defect.vial for defect in defects if defect.kind == "deformation_neck"}
    return tuple(v for v in range(VIALS) if chances[v] < _NECK_BUBBLE_CHANCE or v in deformed)


def _split(name: str, index: int) -> str:
    if name == "train":
        return "validation" if index % _VALIDATION_EVERY == 1 else "train"
    return {"calibration": "calibration", "kit": "test"}[name]


def _defect(code: int, seed: int, index: int) -> Defect:
    """Take kinds in turn and spread the severities of each evenly over [0, 1]."""
    random = np.random.default_rng([seed, code, index, 77])
    turn = index // len(DEFECT_KINDS)
    golden_ratio = (5**0.5 - 1) / 2
    severity = (0.5 + turn * golden_ratio + 0.3 * random.random()) % 1.0
    return Defect(
        kind=DEFECT_KINDS[index % len(DEFECT_KINDS)],
        severity=round(float(severity), 3),
        vial=int(random.integers(VIALS)),
    )
