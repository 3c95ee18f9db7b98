"""The locator of a run: fitted before anything is learned, kept in `RUN/locator/`."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vialsight._core import Layout
from vialsight.data.locators import FOLDER_NAME, chosen_locator, keep_locator, kept_locator
from vialsight.data.shards.plan import Group
from vialsight.errors import TrainingError
from vialsight.locator import ProductLocator
from vialsight.progress import shown
from vialsight.training.runfolder import RunFolder

_log: Final = logging.getLogger("vialsight.training")


def run_locator(run: Path | None, layout: Layout, groups: Sequence[Group]) -> ProductLocator | None:
    """Return the locator of a run, fitted to nominal training images if it has none yet.

    None for a layout that does not locate. Raises DataError when none can be fitted, TrainingError
    when it is interrupted; then nothing is left behind.
    """
    if layout.locate == "none":
        return None
    begun = run if run is not None and _has_begun(run) else None
    try:
        with shown("locating", _log.info) as show:
            locator = chosen_locator(layout, groups, kept=begun, progress=show)
    except KeyboardInterrupt:
        raise TrainingError(
            "interrupted while the locator was fitted; nothing was written, the same command "
            "begins again"
        ) from None
    keep_for_run(run, locator)
    return locator


def keep_for_run(run: Path | None, locator: ProductLocator | None) -> None:
    """Keep a locator in the folder of a run that has none.

    That of a run which has begun stays; whether it is the one asked for, run.json tells. What was
    left where no run ever began is replaced.
    """
    if run is None or locator is None:
        return
    kept = kept_locator(run)
    if kept is not None and not _has_begun(run) and kept.sha256 != locator.sha256:
        shutil.rmtree(run / FOLDER_NAME)
        kept = None
    if kept is None:
        keep_locator(run, locator)


def _has_begun(run: Path) -> bool:
    return RunFolder(run).record_path.exists()
