"""Where a fitted locator is kept: in a run, beside shards, in a bundle, or by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vialsight import _core
from vialsight._core import Layout
from vialsight.aliases import Progress
from vialsight.bundle import MANIFEST_NAME
from vialsight.data.shards.plan import Group
from vialsight.errors import DataError
from vialsight.locator import LOCATOR_NAME, ProductLocator, read_locator, write_locator

# In a run's folder and in one of shards.
FOLDER_NAME: Final = "locator"


def chosen_locator(
    layout: Layout,
    groups: Sequence[Group],
    *,
    given: Path | None = None,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> ProductLocator | None:
    """Return the locator `given`, else the one `kept` in a folder, else one fitted to `groups`.

    None for a layout that does not locate. Of the groups the nominal ones of the train split count.
    Raises DataError when `given` makes no sense or none can be fitted.
    """
    if layout.locate == "none":
        if given is not None:
            raise DataError(
                f"{given}: expected no locator, the layout says locate none; leave it out, or set "
                "the layout's locate"
            )
        return None
    found = find_locator(given) if given else kept_locator(kept) if kept else None
    return found or _fitted(layout, groups, progress)


def find_locator(path: Path) -> ProductLocator:
    """Read the locator of a bundle, a run, shards, or what `vialsight locate` wrote.

    Raises DataError when there is none or it is damaged, BundleError for a broken bundle.
    """
    if (path / MANIFEST_NAME).exists():
        return _of_bundle(path)
    for folder in (path, path / FOLDER_NAME):
        if (folder / LOCATOR_NAME).exists():
            return read_locator(folder)
    raise DataError(
        f"{path}: expected a folder that holds a locator, found none; give the folder of a run, of "
        "shards or of `vialsight locate --out`, or a bundle, all of products that are located"
    )


def kept_locator(folder: Path) -> ProductLocator | None:
    """Read what `keep_locator` left in a folder, None where it left nothing.

    Raises DataError when it is damaged.
    """
    place = folder / FOLDER_NAME
    return read_locator(place) if place.exists() else None


def keep_locator(folder: Path, locator: ProductLocator | None) -> None:
    """Keep a locator, if there is one, in an existing folder of a run or of shards.

    Raises DataError when another one is kept there.
    """
    if locator is None:
        return
    found = kept_locator(folder) or _written(folder, locator)
    if found.sha256 != locator.sha256:
        raise DataError(
            f"{folder / FOLDER_NAME} is another locator ({found.sha256}, expected "
            f"{locator.sha256}); choose another folder, or use that one"
        )


def _written(folder: Path, locator: ProductLocator) -> ProductLocator:
    try:
        write_locator(folder / FOLDER_NAME, locator)
    except (DataError, OSError):
        # Another worker of the same run was quicker.
        quicker = kept_locator(folder)
        if quicker is None:
            raise
        return quicker
    return locator


def _fitted(layout: Layout, groups: Sequence[Group], progress: Progress | None) -> ProductLocator:
    nominal = [group for group in groups if (group.split, group.label) == ("train", "nominal")]
    if not nominal:
        raise DataError(
            "the layout says that products are located, and there are no nominal images of the "
            "train split to fit a locator to; give --locator, such as that of the training run"
        )
    # SciPy's part in it would slow down every start of the command line.
    from vialsight.data.locating import fit_locator

    found: ProductLocator = fit_locator(layout, nominal, progress).locator
    return found


def _of_bundle(path: Path) -> ProductLocator:
    locator = ProductLocator.of_bundle(_core.Bundle.load(path))
    if locator is None:
        raise DataError(
            f"{path}: expected a bundle that locates products, its layout says locate none; give "
            "another one, or leave the locator out to fit one"
        )
    return locator
