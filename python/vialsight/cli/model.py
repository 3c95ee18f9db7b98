"""Verbs from images to a calibrated, evaluated bundle: train, freeze, calibrate, evaluate."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vialsight import _core
from vialsight.calibration import DEFAULT_QUANTILE
from vialsight.calibration import calibrate as fit_bundle
from vialsight.cli import console
from vialsight.config import DataConfig, load_config
from vialsight.data import read_dataset
from vialsight.errors import DataError, TrainingError
from vialsight.evaluation import evaluate as evaluate_bundle
from vialsight.measures import table_rows
from vialsight.report import write_report
from vialsight.runfolder import RunFolder
from vialsight.sources import training_data

GOLDEN_PER_REGION = 8

BundlePath = Annotated[Path, typer.Argument(metavar="NAME.vsb", help="Bundle folder.")]
Data = Annotated[Path, typer.Option("--data", help="Dataset folder.")]
Threads = Annotated[int, typer.Option(min=0, help="Of the backend; 0: one per core.")]


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
    with training_data(resolved.data) as found:
        from vialsight import training as trainer

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
    identity = _read_identity(run)
    with training_data(_data_config(run, identity, data)) as found:
        if found.data_sha256 != identity["data_sha256"]:
            raise DataError(
                f"{found.name}: expected the data of the training ({identity['data_sha256']}), "
                "its content differs; give the folder that was trained on with --data"
            )
        layout, golden = found.layout, found.golden_patches(count=GOLDEN_PER_REGION)

    from vialsight import freezing

    freezing.freeze(run, out, layout=layout, golden_patches=golden)
    console.log(f"next: vialsight calibrate {out} --data DATASET --out CALIBRATED.vsb")


def calibrate(
    bundle: BundlePath,
    data: Data,
    out: Annotated[Path, typer.Option(help="NEW.vsb to write; must not exist.")],
    quantile: Annotated[
        float,
        typer.Option(help="Share of nominal patches to accept where no defective ones are given."),
    ] = DEFAULT_QUANTILE,
    threads: Threads = 0,
) -> None:
    """Fit thresholds on the calibration split and write them into a new bundle."""
    loaded, dataset = _core.Bundle.load(bundle), read_dataset(data)
    with console.progress("calibrating") as progress:
        result = fit_bundle(
            loaded, dataset, out, quantile=quantile, threads=threads, progress=progress
        )
    rows = [
        {"region": name, **vars(fit)} for name, fit in zip(result.regions, result.fits, strict=True)
    ]
    console.print_table(rows)
    for row in rows:
        if row["balanced_accuracy"] is not None and row["balanced_accuracy"] <= 0.5:
            console.log(f"warning: {row['region']}: scores do not tell defective from nominal")


def evaluate(
    bundle: BundlePath,
    data: Data,
    out: Annotated[Path, typer.Option(help="Report folder to write; must not exist.")],
    level: Annotated[str, typer.Option(help="Threshold set: patch, strip or run.")] = "strip",
    threads: Threads = 0,
) -> None:
    """Inspect the test split through the C++ core; write report.html, report.json and CSV."""
    if out.exists():
        raise DataError(f"{out} exists; choose another name or remove it first")
    loaded, dataset = _core.Bundle.load(bundle), read_dataset(data)
    with console.progress("evaluating") as progress:
        result = evaluate_bundle(loaded, dataset, level=level, threads=threads, progress=progress)
    write_report(result, out)
    console.print_table(_without_intervals(table_rows(result.measures)))
    console.log(f"report with intervals: {out / 'report.html'}")


def _data_config(run: Path, identity: dict[str, Any], data: Path | None) -> DataConfig:
    """Return where the data of a run are now: in its folder, or rendered again."""
    if data is None and "folder" not in identity:
        return RunFolder(run).config().data
    return DataConfig(path=data if data is not None else Path(identity["folder"]))


def _read_identity(run: Path) -> dict[str, Any]:
    try:
        state = json.loads((run / "run.json").read_text("utf-8"))
        identity: dict[str, Any] = state["data_identity"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{run}: expected the folder of a training with run.json ({error}); "
            "give the --out of `vialsight train`"
        ) from error
    return identity


def _without_intervals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if not key.endswith(("_low", "_high"))}
        for row in rows
    ]
