"""The one way from a frame to its patches: as the boxes stand, or where the product lies.

Training, calibration, evaluation and inspection by Python, from folders, shards or a simulated
line, cut through a `FrameCutter`, so that the same frame gives the same patches everywhere.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Patches
from vialsight.data.pixels import Pixels, copied_patches, is_copied
from vialsight.data.posed_masks import pose_of
from vialsight.errors import DataError
from vialsight.locator import ProductLocator

AS_THEY_LIE = "none"


class NotLocatedError(DataError):
    """The product was not found in a frame, hence there are no patches of it."""

    def __init__(self, message: str, location: _core.Location | None = None) -> None:
        super().__init__(message)
        self.location = location

    def __reduce__(self) -> "tuple[type[NotLocatedError], tuple[str]]":
        """Only the message travels: a `Location` stays in the process that made it."""
        return NotLocatedError, (str(self),)


@dataclass(frozen=True)
class Cut:
    """Patches float32 (V·R,P,P) in [0,1], vials then regions, and where the product lies.

    `pose` is None where products are not located.
    """

    patches: Patches
    pose: _core.Location | None


class FrameCutter:
    """Cuts the frames of one layout. Threads may share it; it can be sent to other processes.

    A copy sent elsewhere is as large as the locator, about a megabyte for each of its pictures:
    little beside the patches of the frames it is sent for.
    """

    def __init__(self, layout: Layout, locator: ProductLocator | None = None) -> None:
        """Raise DataError unless `locator` is what the layout's `locate` asks for."""
        _check(layout, locator)
        self.layout, self.locator = layout, locator
        # A core locator serves one thread at a time. Append and pop of a deque are atomic.
        self._idle: deque[_core.Locator] = deque()

    def __reduce__(self) -> "tuple[object, tuple[str, ProductLocator | None]]":
        """Send text and arrays: neither layouts nor core locators can be pickled."""
        return _rebuilt, (self.layout.to_json(), self.locator)

    def cut(self, frame: Pixels) -> Cut:
        """Cut a frame uint8 or uint16 (H,W).

        Raises NotLocatedError when the product is not found, DataError when size, dtype or a pixel
        value does not fit the layout.
        """
        location = self.locate(frame)
        pose = None if location is None else pose_of(location)
        with _fitting():
            patches = _core.extract_patches(frame, self.layout, pose)
        size = self.layout.patch_size
        return Cut(patches.reshape(-1, size, size), location)

    def pixels(self, frame: Pixels) -> Pixels:
        """Cut a frame into patches (V·R,P,P) as they are kept, see `data.pixels`; raises as `cut`.

        Nothing is lost: what is resampled is kept as float32, what is copied as its own pixels.
        """
        if is_copied(self.layout):
            return copied_patches(frame, self.layout)
        return self.cut(frame).patches

    def locate(self, frame: Pixels) -> _core.Location | None:
        """Return where the product lies, None where products are not located; raises as `cut`."""
        if self.locator is None:
            return None
        with self._lent() as core, _fitting():
            location = core.locate(frame)
        if not location.found:
            raise _not_located(location, self.locator.residual_limit)
        return location

    @contextmanager
    def _lent(self) -> Iterator[_core.Locator]:
        assert self.locator is not None
        try:
            core = self._idle.pop()
        except IndexError:
            core = self.locator.core()
        yield core
        self._idle.append(core)


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise DataError(f"the frame does not fit the layout: {error}") from error


def _not_located(location: _core.Location, limit: float) -> NotLocatedError:
    return NotLocatedError(
        f"the product is not located ({location.reason}): residual {location.residual:.4f} of at "
        f"most {limit:.4f}; the search ended at dx {location.dx:+.2f}, dy {location.dy:+.2f} "
        f"pixels, turn {location.turn:+.5f} rad. Look at the image: take it out of the data where "
        "it shows no product or another one; else fit a locator to data that hold such images, or "
        "set the layout's locate to none",
        location,
    )


def _rebuilt(layout_json: str, locator: ProductLocator | None) -> FrameCutter:
    return FrameCutter(Layout.from_json(layout_json), locator)


@contextmanager
def naming(image: Path | str) -> Iterator[None]:
    """Let the DataError of a cut say of which image it is; NotLocatedError stays one."""
    try:
        yield
    except NotLocatedError as error:
        raise NotLocatedError(f"{image}: {error}", error.location) from error
    except DataError as error:
        raise DataError(f"{image}: {error}") from error


def _check(layout: Layout, locator: ProductLocator | None) -> None:
    if locator is not None:
        locator.require_fits(layout)
    elif layout.locate != AS_THEY_LIE:
        raise DataError(
            f"layout {layout.name!r} says that products are located ({layout.locate}), and there "
            "is no locator; give one that was fitted (`vialsight locate`, or that of a run, a "
            "bundle or shards), or set the layout's locate to none"
        )
