"""Shards of patches: `prepare shards` writes them, `shards check` compares them with the index."""

from pathlib import Path
from typing import Annotated

import typer

from vialsight.cli import console, prepare
from vialsight.cli.options import LOCATOR
from vialsight.data import (
    check_shards,
    chosen_locator,
    dataset_groups,
    dataset_source,
    needed_bytes,
    plan_shards,
    read_dataset,
    train_groups,
    write_shards,
)
from vialsight.data.shards.index import INDEX_NAME, ShardIndex
from vialsight.data.shards.plan import DEFAULT_RECORDS_PER_SHARD
from vialsight.errors import CheckFailed
from vialsight.files import atomic
from vialsight.training.data import TRAINING_SPLITS

app = typer.Typer(
    help="Look after folders of TFRecord shards; `vialsight prepare shards` writes them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keep `check` a verb of its own: Typer would drop the name of an only command."""


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with index.json.")],
) -> None:
    """Compare every shard with its SHA-256 in the index, and name damaged records."""
    with console.progress("checking") as progress:
        problems = check_shards(folder, progress=progress)
    if problems:
        raise CheckFailed(f"{folder}: must not be used; restore it or pack it again:", problems)
    console.say(f"{folder}: every shard is as in {INDEX_NAME}")


@prepare.app.command(name="shards")
def pack(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder whose patches are packed.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")],
    *,
    locator: Annotated[Path | None, LOCATOR] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="May be repeated; default: train and validation.")
    ] = None,
    records_per_shard: Annotated[
        int, typer.Option(min=1, help="Patches after which a shard is closed.")
    ] = DEFAULT_RECORDS_PER_SHARD,
) -> None:
    """Pack the patches of a dataset folder into TFRecord shards, for training on very many."""
    atomic.require_folder(out)
    data = read_dataset(dataset)
    groups = dataset_groups(data, split or TRAINING_SPLITS)
    with console.progress("locating") as progress:
        found = chosen_locator(
            data.layout,
            train_groups(data),
            given=locator,
            kept=out,
            progress=progress,
        )
    tasks = plan_shards(
        out, data.layout, groups, locator=found, records_per_shard=records_per_shard
    )
    images, gigabytes = sum(task.images for task in tasks), needed_bytes(tasks) / 1e9
    console.log(f"{images} images to {len(tasks)} shards, at most {gigabytes:.3f} GB")
    with console.progress("packing") as progress:
        index = write_shards(
            out,
            data.layout,
            groups,
            source=dataset_source(data),
            locator=found,
            records_per_shard=records_per_shard,
            progress=progress,
        )
    console.log(f"wrote {out}; next: vialsight train --data {out} --out RUN")
    _print_counts(index)


def _print_counts(index: ShardIndex) -> None:
    console.print_table(
        [
            {
                "split": split,
                "products": sum(len(names) for names in labels.values()),
                "shards": sum(shard.split == split for shard in index.shards),
                "patches": sum(s.records for s in index.shards if s.split == split),
            }
            for split, labels in index.products.items()
        ]
    )
