"""`vialsight prepare`: writes dataset folders; images stay where they are."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from vialsight.cli import console
from vialsight.cli.options import LARGEST_SEED
from vialsight.data import (
    Dataset,
    Fractions,
    Geometry,
    adapters,
    prepare_elpv,
    prepare_mvtec,
    prepare_split,
)
from vialsight.data.fits import FITS, parse_kind, parse_size, parse_tiles
from vialsight.data.mvtec import MVTEC_DEFECTIVE as DEFECTIVE_SHARES
from vialsight.data.mvtec import MVTEC_NOMINAL as NOMINAL_SHARES
from vialsight.errors import DataError


def _text(fractions: Fractions) -> str:
    return "/".join(f"{100 * share:g}" for share in fractions.shares)


ELPV_NOMINAL, ELPV_DEFECTIVE = _text(adapters.ELPV_NOMINAL), _text(adapters.ELPV_DEFECTIVE)
MVTEC_NOMINAL, MVTEC_DEFECTIVE = _text(NOMINAL_SHARES), _text(DEFECTIVE_SHARES)

app = typer.Typer(
    help="Write a dataset folder (dataset.csv, layout.json) that every other verb reads.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option(help="Dataset folder to write; must not exist.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the split by product.")]
PatchSize = Annotated[
    int,
    typer.Option(min=16, max=4096, help="P, edge of a patch in pixels; a multiple of 16."),
]
Nominal = Annotated[
    str,
    typer.Option(
        "--nominal", help="Percent of nominal products: train/validation/calibration/test."
    ),
]
Defective = Annotated[
    str, typer.Option("--defective", help="The same of defective products (never train on them).")
]


@app.command()
def elpv(
    out: Out,
    *,
    patch_size: PatchSize = 128,
    seed: Seed = 0,
    cells: Annotated[
        str, typer.Option(help=f"{', '.join(adapters.ELPV_CELLS)}: which crystals.")
    ] = adapters.ELPV_CELLS[0],
    nominal: Nominal = ELPV_NOMINAL,
    defective: Defective = ELPV_DEFECTIVE,
) -> None:
    """Use the solar cells of the package elpv-dataset (CC BY-NC-SA 4.0)."""
    _print_counts(
        prepare_elpv(
            out,
            patch_size=patch_size,
            seed=seed,
            cells=cells,
            nominal=Fractions.parse(nominal),
            defective=Fractions.parse(defective),
        )
    )


@app.command()
def mvtec(
    category: Annotated[
        Path, typer.Argument(help="Folder with train/good, test/<defect>, ground_truth/<defect>.")
    ],
    out: Out,
    *,
    patch_size: PatchSize = 256,
    seed: Seed = 0,
    nominal: Nominal = MVTEC_NOMINAL,
    defective: Defective = MVTEC_DEFECTIVE,
    fit: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(FITS)}: makes images of many sizes one; stretched to it, scaled into "
            "it with the border repeated, or scaled over it and cut. Masks alike."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="With --fit: WIDTHxHEIGHT; default: the most frequent size."),
    ] = None,
    bit_depth: Annotated[
        int | None,
        typer.Option(min=8, max=16, help="Of the camera; default: 8, or a guess for 16-bit files."),
    ] = None,
    tiles: Annotated[
        str, typer.Option(help="ROWSxCOLUMNS: one region for each tile of an image.")
    ] = "1x1",
) -> None:
    """Use one grayscale category in the folder layout of MVTec AD; test/good is always test.

    What becomes of every file is said, and written into intake.csv. Images that --fit changes are
    written beside dataset.csv, the others stay where they are.
    """
    if size is not None and fit is None:
        raise DataError("--size says how large --fit makes images: give --fit, too")
    geometry = Geometry(
        fit=None if fit is None else parse_kind(fit),
        size=None if size is None else parse_size(size),
        bit_depth=bit_depth,
        tiles=parse_tiles(tiles),
    )
    with console.progress("fitting") as progress:
        dataset = prepare_mvtec(
            category,
            out,
            patch_size=patch_size,
            seed=seed,
            nominal=Fractions.parse(nominal),
            defective=Fractions.parse(defective),
            geometry=geometry,
            progress=progress,
        )
    _print_counts(dataset)


@app.command()
def split(
    folder: Annotated[Path, typer.Argument(help="Dataset folder whose splits are drawn anew.")],
    out: Out,
    *,
    seed: Seed = 0,
    nominal: Nominal = ELPV_NOMINAL,
    defective: Defective = ELPV_DEFECTIVE,
) -> None:
    """Split your own dataset folder by product."""
    _print_counts(
        prepare_split(
            folder,
            out,
            seed=seed,
            nominal=Fractions.parse(nominal),
            defective=Fractions.parse(defective),
        )
    )


def _print_counts(dataset: Dataset) -> None:
    products = {(r.split or "(none)", r.label, r.product) for r in dataset.records}
    counts = Counter((split, label) for split, label, _ in products)
    images = Counter((r.split or "(none)", r.label) for r in dataset.records)
    console.log(f"wrote {dataset.folder}")
    console.print_table(
        [
            {"split": split, "label": label, "products": count, "images": images[split, label]}
            for (split, label), count in sorted(counts.items())
        ]
    )
