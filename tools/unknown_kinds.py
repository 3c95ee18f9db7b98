#!/usr/bin/env python3
"""Renders strips with kinds of defects that the simulator lacks: does a detector find them, too?

usage: tools/unknown_kinds.py --out DIR [--strips N] [--seed S] [--workers W]

N defective strips, one defect each, of the kinds of `tools/unknown_flaws.py` in turn, severities
spread evenly from 0.3 (an attentive eye finds it) to 1, and as many nominal ones; one run, the
inspected frames. The same plastic, liquid, camera and sensor as `vialsight simulate`, and the same
kind of folder: split `test`, `dataset.csv`, `defects.csv`, `poses.csv`, masks. Interrupted, the
same command goes on. No strip is in a set of `vialsight simulate` or in two seeds.

A development set: choose scores and settings with one seed, and report another.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from unknown_flaws import KINDS
from vialsight.cli import console
from vialsight.simulation.plan import INSPECTED_FRAMES, VIALS, Defect, SetPlan, plan_set
from vialsight.simulation.writing import write_set

# Raise it when a maker draws other pixels: it is in the name of the set and of its products.
VERSION = 1
NAME = f"unknown{VERSION}"
# Behind the codes of the simulator's own sets, so that no strip is in two.
CODE = 1000 + VERSION
MILDEST = 0.3


def plan_unknown(strips: int, seed: int) -> SetPlan:
    """Plan as many nominal strips as ones with an unknown defect, in this order."""
    nominal = plan_set("train", strips=2 * strips, runs=1, seed=seed).strips
    planned = [
        replace(
            strip,
            product=f"{NAME}-s{seed}-{index:05d}",
            split="test",
            entropy=(seed, CODE, index),
            defects=() if index < strips else (_defect(seed, index - strips),),
        )
        for index, strip in enumerate(nominal)
    ]
    return SetPlan(
        name=NAME,
        seed=seed,
        runs=1,
        frames=INSPECTED_FRAMES,
        rank_images=False,
        strips=tuple(planned),
    )


def _defect(seed: int, index: int) -> Defect:
    """Take kinds in turn; a golden step spreads severities over every kind and over all."""
    random = np.random.default_rng([seed, CODE, index])
    kind = list(KINDS)[index % len(KINDS)]
    place = (0.5 + index * (5**0.5 - 1) / 2 + 0.1 * random.random()) % 1.0
    return Defect(
        kind=kind,
        severity=round(MILDEST + (1.0 - MILDEST) * place, 3),
        vial=int(random.integers(VIALS)),
        make=KINDS[kind],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write, or to go on with")
    parser.add_argument("--strips", type=int, default=50, help="defective ones; as many nominal")
    parser.add_argument("--seed", type=int, default=0, help="of every random number")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one per core")
    given = parser.parse_args()
    with console.progress("rendering") as progress:
        write_set(
            plan_unknown(given.strips, given.seed),
            given.out,
            workers=given.workers,
            say=console.log,
            progress=progress,
        )
    console.log(f"wrote {given.out}")


if __name__ == "__main__":
    main()
