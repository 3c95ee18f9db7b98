"""How a product is found in frames: the fitted locator as data, its identity and its folder.

A locator folder holds `locator.json` and the arrays as a bundle names them (docs/bundle.md).
Finding itself is the C++ core's: `_core.Locator`.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vialsight import _core
from vialsight._core import Layout
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.files.npz import npy_bytes

LOCATOR_NAME: Final = "locator.json"
FORMAT_VERSION: Final = 1
GOLDEN_FRAMES: Final = (2, 64)
# Of a golden frame that is located again: pixels and radians.
GOLDEN_TOLERANCE: Final = (1e-3, 1e-3, 1e-6)
# By the role that a bundle gives them.
_ARRAYS: Final = {
    "locator_template": "template",
    "locator_weights": "weights",
    "locator_golden_frames": "golden_frames",
    "locator_golden_poses": "golden_poses",
}

Float32Array = npt.NDArray[np.float32]
Model = Literal["translation", "rigid"]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProductLocator:
    """A locator as it was fitted: everything that decides which pose a frame gets.

    template, weights: float32 (h,w), h = frame_height // scale, w likewise; golden_frames: float32
    (n,h,w) as `_core.reduced_frame` makes them, 2 <= n <= 64; golden_poses: their dx, dy (pixels)
    and turn (radians), float32 (n,3). The numbers are those of `_core.Locator`.

    Raises DataError for a field that does not fit.
    """

    model: Model
    frame_width: int
    frame_height: int
    bit_depth: int
    scale: int
    template: Float32Array
    weights: Float32Array
    reach_px: float
    reach_turn: float
    residual_limit: float
    apart_px: float
    apart_turn: float
    golden_frames: Float32Array
    golden_poses: Float32Array

    def __post_init__(self) -> None:
        _check_arrays(self)
        self._check_golden(self.core())

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of all fields; equal exactly for locators that find alike."""
        digest = hashlib.sha256(json.dumps(_numbers(self), sort_keys=True).encode())
        for role, array in self.arrays().items():
            digest.update(f"{role}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()

    def core(self) -> _core.Locator:
        """Make a locator to find products with; each serves one thread at a time."""
        try:
            return _core.Locator(
                self.template,
                self.weights,
                kind=self.model,
                scale=self.scale,
                reach_px=self.reach_px,
                reach_turn=self.reach_turn,
                residual_limit=self.residual_limit,
                apart_px=self.apart_px,
                apart_turn=self.apart_turn,
                frame_width=self.frame_width,
                frame_height=self.frame_height,
                bit_depth=self.bit_depth,
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"{error}; fit the locator again") from error

    @staticmethod
    def of_bundle(bundle: _core.Bundle) -> "ProductLocator | None":
        """Return a bundle's locator, None where its layout locates nothing."""
        fields = bundle.locator
        return None if fields is None else ProductLocator(**fields)

    def require_fits(self, layout: Layout) -> None:
        """Raise DataError unless it was fitted for the frames of this layout, and as it locates."""
        names = ("locate", "frame_width", "frame_height", "bit_depth")
        expected = tuple(getattr(layout, name) for name in names)
        came = (self.model, self.frame_width, self.frame_height, self.bit_depth)
        if came != expected:
            raise DataError(
                f"the locator does not fit the layout: expected {_named(names, expected)}, "
                f"got {_named(names, came)}; fit it with this layout"
            )

    def arrays(self) -> dict[str, Float32Array]:
        """Return the arrays by the role of their files in a bundle."""
        return {role: getattr(self, field) for role, field in _ARRAYS.items()}

    def to_manifest(self) -> dict[str, Any]:
        """Return a manifest's `locate` object."""
        return {
            "model": self.model,
            "scale": self.scale,
            "reach": {"shift_px": self.reach_px, "turn_rad": self.reach_turn},
            "limits": {
                "residual": self.residual_limit,
                "apart_px": self.apart_px,
                "apart_turn_rad": self.apart_turn,
            },
        }

    def _check_golden(self, core: _core.Locator) -> None:
        for number, frame in enumerate(self.golden_frames):
            where = core.locate_reduced(frame)
            difference = np.subtract((where.dx, where.dy, where.turn), self.golden_poses[number])
            if not where.found or (np.abs(difference) > GOLDEN_TOLERANCE).any():
                raise DataError(
                    f"the locator finds golden frame {number} at {where.dx:.4f}, {where.dy:.4f}, "
                    f"{where.turn:.7f} ({where.reason}), expected "
                    f"{self.golden_poses[number].tolist()}; fit the locator again"
                )


def array_file(role: str) -> str:
    """Return the name of an array's file within a bundle, `locator/template.npy`."""
    return f"locator/{_ARRAYS[role]}.npy"


def write_locator(folder: Path, locator: ProductLocator) -> None:
    """Write a new folder that `read_locator` reads, complete or not at all.

    Raises DataError when the folder exists.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **_numbers(locator)}, indent=2) + "\n"
    with atomic.new_folder(folder) as new:
        (new / LOCATOR_NAME).write_text(text, encoding="utf-8")
        for name, array in _by_field(locator).items():
            (new / f"{name}.npy").write_bytes(npy_bytes(array))


def read_locator(folder: Path) -> ProductLocator:
    """Read what `write_locator` wrote; raises DataError, naming the file, for anything wrong."""
    numbers = _read_numbers(folder / LOCATOR_NAME)
    arrays = {name: _read_array(folder / f"{name}.npy") for name in _ARRAYS.values()}
    try:
        return ProductLocator(**(numbers | arrays))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error


class _Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1]
    model: Model
    frame_width: Count
    frame_height: Count
    bit_depth: Count
    scale: Count
    reach_px: Number
    reach_turn: Number
    residual_limit: Number
    apart_px: Number
    apart_turn: Number


def _numbers(locator: ProductLocator) -> dict[str, Any]:
    names = [name for name in _Numbers.model_fields if name != "format_version"]
    return {name: getattr(locator, name) for name in names}


def _by_field(locator: ProductLocator) -> dict[str, Float32Array]:
    return {name: getattr(locator, name) for name in _ARRAYS.values()}


def _check_arrays(locator: ProductLocator) -> None:
    if locator.scale < 1:
        raise DataError(f"locator: scale: expected at least 1, got {locator.scale}")
    shape = (locator.frame_height // locator.scale, locator.frame_width // locator.scale)
    count = len(locator.golden_poses) if locator.golden_poses.ndim else 0
    low, high = GOLDEN_FRAMES
    if not low <= count <= high:
        raise DataError(f"locator: golden frames: expected {low} to {high}, got {count}")
    shapes = {"golden_frames": (count, *shape), "golden_poses": (count, 3)}
    for name, array in _by_field(locator).items():
        wanted = shapes.get(name, shape)
        if array.dtype != np.float32 or array.shape != wanted or not np.isfinite(array).all():
            raise DataError(
                f"locator: {name}: expected finite float32 {wanted}, "
                f"got {array.dtype} {array.shape}; fit the locator again"
            )


def _read_numbers(path: Path) -> dict[str, Any]:
    try:
        numbers = _Numbers.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a locator's folder") from error
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: not a readable locator: {error}; fit it again") from error
    return numbers.model_dump(exclude={"format_version"})


def _read_array(path: Path) -> Float32Array:
    try:
        with path.open("rb") as file:
            array: Float32Array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; a locator's folder holds it") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable array: {error}; fit the locator again") from error
    return array


def _named(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
