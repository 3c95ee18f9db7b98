"""`vialsight locate`: finds the product in every image, and shows whether that is worth it."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from vialsight.cli import console
from vialsight.data import Dataset, Group, dataset_groups, find_locator, read_dataset
from vialsight.data.records import SPLITS
from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.files.tables import table_text
from vialsight.locator import ProductLocator, write_locator

Spreads = tuple[float, float] | None


class Model(str, Enum):
    """How products move."""

    TRANSLATION = "translation"
    RIGID = "rigid"


def locate(
    dataset: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset folder.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Page, poses.csv and locator; must not exist.")
    ],
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="NAME.vsb", help="Its locator is used; default: fit one."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Locate these images only.")] = None,
    model: Annotated[
        Model | None, typer.Option(help="How to fit; default: as the layout says, else rigid.")
    ] = None,
) -> None:
    """Find the product in every image: how it lies, and whether locating is worth it."""
    atomic.refuse_existing(out)
    if bundle is not None and model is not None:
        raise DataError("--model is for fitting, --bundle brings its own; give one of them")
    data = read_dataset(dataset)
    chosen = data if split is None else data.select(split=split)
    locator, spreads, fitted = _of_bundle(data, bundle) if bundle else _fitted(data, model)
    study = _study(data, chosen, locator, spreads, fitted)
    _write(study, out)
    _print(study, out)


def _of_bundle(data: Dataset, bundle: Path) -> tuple[ProductLocator, Spreads, str]:
    from vialsight.data.located_images import locating

    locator = find_locator(bundle)
    locator.require_fits(locating(data.layout, locator.model))
    return locator, None, f"The locator ({locator.model}) is that of {bundle.name}."


def _fitted(data: Dataset, model: Model | None) -> tuple[ProductLocator, Spreads, str]:
    from vialsight.data.located_images import locating
    from vialsight.data.locating import fit_locator

    says = data.layout.locate
    chosen = model.value if model else "rigid" if says == "none" else says
    groups, whose = _nominal(data)
    with console.progress("fitting") as progress:
        fit = fit_locator(locating(data.layout, chosen), groups, progress)
    words = f"The locator ({chosen}) was fitted to {len(fit.rows)} nominal images {whose}."
    console.log(words)
    return fit.locator, (fit.spread_before, fit.spread_after), words


def _nominal(data: Dataset) -> tuple[list[Group], str]:
    """Return nominal groups to fit to, and whose they are in words."""
    for splits, words in (
        (["train"], "of the train split"),
        ([*SPLITS, ""], "of all splits, as the train split has none"),
    ):
        nominal = [g for g in _groups(data, splits) if g.label == "nominal"]
        if nominal:
            return nominal, words
    raise DataError(
        f"{data.folder}: expected nominal images to fit a locator to, got none; label some, or "
        "give --bundle"
    )


def _groups(data: Dataset, splits: list[str]) -> list[Group]:
    present = {record.split for record in data.records}
    return dataset_groups(data, [name for name in splits if name in present])


def _study(
    data: Dataset, chosen: Dataset, locator: ProductLocator, known: Spreads, fitted: str
) -> Any:
    from vialsight.data.located_images import locate_images, locating, spreads
    from vialsight.report.locating import Study

    with console.progress("locating") as progress:
        images = locate_images(chosen, locator, progress)
    layout = locating(data.layout, locator.model)
    return Study(
        name=data.folder.resolve().name,
        folder=data.folder,
        layout=layout,
        layout_says=data.layout.locate,
        fitted=fitted,
        locator=locator,
        images=images,
        spreads=known or spreads(layout, locator, images),
    )


def _write(study: Any, out: Path) -> None:
    from vialsight.report.locating import pose_table, write_locate_page

    with atomic.new_folder(out) as folder:
        write_locator(folder / "locator", study.locator)
        atomic.write_text(folder / "poses.csv", table_text(pose_table(study)))
        write_locate_page(study, folder)


def _print(study: Any, out: Path) -> None:
    from vialsight.report.locating import sentence

    console.print_table(
        [
            {"figure": name, "5 %": low, "median": middle, "95 %": high}
            for name in ("dx", "dy", "turn", "residual")
            for low, middle, high in [study.range_of(name) or (None, None, None)]
        ]
    )
    console.say(f"found in {len(study.found)} of {len(study.images)} images")
    if study.spreads is not None:
        console.say(
            "spread in the boxes {:.4f} as they lie, {:.4f} moved back".format(*study.spreads)
        )
    console.say(f"worth it? {sentence(study)}")
    console.log(f"wrote {out}; next: open {out / 'locate.html'}")
