"""Fits in one pass, alone or ahead of steps: one result, whole or not there at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight.bundle import RECONSTRUCTION
from vialsight.data.sources import PatchSource, expect, spread
from vialsight.errors import TrainingError
from vialsight.files import atomic
from vialsight.models.configuration import Config
from vialsight.models.method import Fitted, method_of
from vialsight.models.similarity import ssim
from vialsight.progress import shown
from vialsight.training.checkpoints import Checkpoints
from vialsight.training.journal import log
from vialsight.training.runfolder import (
    FINISHED,
    INTERRUPTED,
    RunFolder,
    found_run,
    new_record,
)
from vialsight.training.saved import load_network

_TOTAL_STEPS = 1
_SCORING_BATCH = 32


def fit_run(
    config: Config,
    training: PatchSource,
    validation: PatchSource,
    run_dir: Path,
    *,
    resume: bool,
    data_identity: Mapping[str, Any],
) -> None:
    """Fit the configured method and keep what it found in `run_dir`.

    An interrupted fit leaves nothing but its record; the same call begins again. Raises
    TrainingError as `loop.train` does.
    """
    record = new_record(
        config,
        patch_size=training.patch_size,
        total_steps=_TOTAL_STEPS,
        data_identity=data_identity,
    )
    folder = RunFolder(run_dir)
    with folder.locked():
        found = found_run(folder, config, record, resume=resume)
        if found is not None and found["status"] == FINISHED:
            log.info("the run in %s is finished", run_dir)
            return
        folder.begin(config, record)
        fitted = _fit(config, training, region_count(data_identity), folder, record)
        Checkpoints(folder.checkpoints, keep=1).save(_TOTAL_STEPS, fitted.arrays)
        _tell(folder, config, fitted, validation)
        folder.update(record, status=FINISHED, step=_TOTAL_STEPS)


def fitted_first(
    config: Config,
    training: PatchSource,
    folder: RunFolder,
    record: Mapping[str, Any],
    *,
    chief: bool,
) -> Mapping[str, npt.NDArray[Any]]:
    """Return what a method fits before its steps, none where it fits nothing.

    The chief keeps it in the run folder, so that a run that goes on does not fit again.
    """
    if method_of(config).fit is None:
        return {}
    kept = Checkpoints(folder.fitted, keep=1)
    if kept.steps():
        return kept.arrays(_TOTAL_STEPS)
    if chief:
        folder.begin(config, record)
    fitted = _fit(config, training, region_count(record["data_identity"]), folder, record)
    if chief:
        _log(folder, fitted, fitted.figures)
        kept.save(_TOTAL_STEPS, fitted.arrays)
    return fitted.arrays


def region_count(data_identity: Mapping[str, Any]) -> int:
    """Return how many regions the layout of the data has; TrainingError where they lack it."""
    try:
        return len(data_identity["layout"]["regions"])
    except KeyError:
        raise TrainingError(
            "the data do not say their layout, hence not which patch is of which region; prepare "
            "them again"
        ) from None


def _fit(
    config: Config,
    training: PatchSource,
    regions: int,
    folder: RunFolder,
    record: Mapping[str, Any],
) -> Fitted:
    fit = method_of(config).fit
    assert fit is not None  # loop.train() sends only such methods here
    try:
        with shown("fitting", log.info) as show:
            return fit(config, training, regions, show)
    except KeyboardInterrupt:
        folder.update(record, status=INTERRUPTED)
        raise TrainingError(
            "interrupted; a fit is one pass over the patches: the same command begins it again"
        ) from None


def _tell(folder: RunFolder, config: Config, fitted: Fitted, validation: PatchSource) -> None:
    """Log and keep the figures of the fit, with the mean φ of validation patches."""
    figures = dict(fitted.figures)
    chosen = spread(validation, config.training.validation_patches)
    if len(chosen) and RECONSTRUCTION in method_of(config).outputs:
        figures["validation_mean_score"] = _mean_score(folder.path, validation, chosen)
    _log(folder, fitted, figures)


def _log(folder: RunFolder, fitted: Fitted, figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        log.info("%s: %.6g", name, value)
    for sentence in fitted.warnings:
        log.warning(sentence)
    atomic.write_json(folder.path / "fit.json", dict(figures))


def _mean_score(run_dir: Path, validation: PatchSource, chosen: Any) -> float:
    network = load_network(run_dir)
    expect(validation, chosen)
    scores = []
    for start in range(0, len(chosen), _SCORING_BATCH):
        images = validation.read(chosen[start : start + _SCORING_BATCH])[..., np.newaxis]
        scores.append(1.0 - np.asarray(ssim(images, network(images)[RECONSTRUCTION])))
    return float(np.mean(np.concatenate(scores)))
