"""Verbs from images to a bundle: train, freeze."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vialsight.bundle import require_new_bundle
from vialsight.cli import console
from vialsight.config import DataConfig
from vialsight.errors import DataError, TrainingError
from vialsight.files import atomic
from vialsight.models.configuration import load_config
from vialsight.training.data import TrainingData, training_data
from vialsight.training.runfolder import RunFolder

GOLDEN_PER_REGION = 8
# So many nominal patches give the spread at a location within 4 %, and outweigh the shrinkage of a
# Gaussian of 64 dimensions three times.
NOMINAL_PER_REGION = 400

BundlePath = Annotated[Path, typer.Argument(metavar="NAME.vsb", help="Bundle folder.")]
Data = Annotated[Path, typer.Option("--data", help="Dataset folder.")]


def train(
    out: Annotated[Path, typer.Option(help="Run folder; an interrupted run in it is resumed.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML; every key has a default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Dataset or shards; the same as data.path.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
    ] = None,
) -> None:
    """Train on the nominal products of the train split; resumes where it was interrupted."""
    chosen = list(overrides or ())
    if data is not None:
        chosen.append(f"data.path={json.dumps(str(data))}")
    resolved = load_config(config, chosen)
    atomic.require_folder(out, TrainingError)
    with training_data(resolved.data, run=out) as found:
        from vialsight.training import loop as trainer

        trainer.train(resolved, found.training, found.validation, out, data_identity=found.identity)
    console.log(f"next: vialsight freeze {out} --out NAME.vsb")


def freeze(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training.")],
    out: Annotated[Path, typer.Option(help="NAME.vsb to write; must not exist.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Dataset or shards, if moved since training.")
    ] = None,
) -> None:
    """Write the trained generator with golden patches as a bundle, not yet calibrated."""
    require_new_bundle(out)
    identity = _read_identity(run)
    with training_data(_data_config(run, identity, data), run=run) as found:
        _require_locator(found, identity)
        if found.data_sha256 != identity["data_sha256"]:
            raise DataError(
                f"{found.name}: expected the data of the training ({identity['data_sha256']}), "
                f"its content differs; {_what_to_do(found.layout.name, identity)}"
            )
        layout, locator = found.layout, found.locator
        golden = found.golden_patches(count=GOLDEN_PER_REGION)
        nominal = found.nominal_patches(count=NOMINAL_PER_REGION)
        with console.progress("fingerprinting") as progress:
            fingerprints = found.fingerprints(progress).to_bytes()

    from vialsight.training import freezing

    freezing.freeze(
        run,
        out,
        layout=layout,
        golden_patches=golden,
        nominal_patches=nominal,
        fingerprints=fingerprints,
        locator=locator,
    )
    console.log(f"next: vialsight calibrate {out} --data DATASET --out CALIBRATED.vsb")


def _require_locator(found: TrainingData, identity: dict[str, Any]) -> None:
    known, here = identity.get("locator"), found.identity.get("locator")
    if known != here:
        raise DataError(
            f"{found.name}: expected patches located by the locator of the run ({known}), they are "
            f"located by {here}; give the data that were trained on with --data"
        )


def _what_to_do(name: str, identity: dict[str, Any]) -> str:
    """Say what to do about other data; the name of a layout is part of what a run remembers."""
    trained = identity.get("layout", {}).get("name", name)
    if trained == name:
        return "give the folder that was trained on with --data"
    return (
        f"its layout is named {name!r}, the training's {trained!r}: where that is all, set the "
        "name in its layout.json back"
    )


def _data_config(run: Path, identity: dict[str, Any], data: Path | None) -> DataConfig:
    """Return where the data of a run are now: in its folder, or rendered again."""
    if data is None and "folder" not in identity:
        return RunFolder(run).config().data
    return DataConfig(path=data if data is not None else Path(identity["folder"]))


def _read_identity(run: Path) -> dict[str, Any]:
    record = RunFolder(run).record() or {}
    if "data_identity" not in record:
        raise TrainingError(
            f"{run}: expected the folder of a training with run.json; give the --out of "
            "`vialsight train`"
        )
    identity: dict[str, Any] = record["data_identity"]
    return identity
