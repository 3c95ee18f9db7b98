#!/usr/bin/env python3
"""Methods side by side, and what each part of `grdnet` contributes: one change at a time.

usage: ablations.py --train DIR --calibration DIR --test DIR --out DIR [--steps N] [--seeds 0,1]

The folders are simulated sets (docs/results.md says which). Every variant is trained, frozen,
calibrated and evaluated by the command line, as a user would; figures are the report's. What is
done already in `--out` is not done again. The table goes to stdout and `--out`/ablations.md.
"""

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from results_by_severity import Row, rows_of
from vialsight.evaluation.evidence import read_evidence

# Blocks of a frame's patches, so that strips are read once each.
STEPPED = (
    "data.block_patches=20",
    "data.window_blocks=48",
    "model.preset=line-S",
    "optimizer.learning_rate=0.002",
    "schedule.restart_unit=steps",
    "schedule.warmup_steps=100",
    "training.batch_size=32",
    "training.precision=mixed_bfloat16",
)
GRDNET = ("model.method=grdnet", "model.loss.patch_weight=0.3", *STEPPED)
DRAE = ("model.method=drae", *STEPPED)


@dataclass(frozen=True)
class Variant:
    """A training, and the component of its bundle that decides."""

    name: str
    settings: tuple[str, ...]
    score: str


VARIANTS = (
    Variant("`pca`, 64 components, 1 - SSIM", ("model.method=pca",), "ssim"),
    Variant("`pca`, local 1 - SSIM", ("model.method=pca",), "ssim_local"),
    Variant("`drae`, 1 - SSIM", DRAE, "ssim"),
    Variant("`drae`, local 1 - SSIM", DRAE, "ssim_local"),
    Variant("`grdnet`", GRDNET, "anomaly"),
    Variant("`grdnet`, mean of \\|X - X̂\\| decides", GRDNET, "residual_mean"),
    Variant("`grdnet`, Perlin noise", (*GRDNET, "model.anomalies.kind=perlin"), "anomaly"),
    Variant("`grdnet`, without replay", (*GRDNET, "model.replay.patches=0"), "anomaly"),
    Variant("`grdnet`, a GAN expects", (*GRDNET, "model.generator={}"), "anomaly"),
)


class Work:
    """Folders of what is trained, and how to make what is not there yet."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._out = options, Path(options.out)

    def report(self, variant: Variant, seed: int) -> Path:
        """Return the folder of a variant's report."""
        settings = (*variant.settings, f"training.seed={seed}")
        if "model.method=pca" not in settings:
            settings += self._length()
        trained = self._trained(f"{_number(variant)}-{seed}", settings)
        name = f"{trained.stem}-{variant.score}"
        bundle, report = self._out / f"{name}.vsb", self._out / f"{name}-report"
        calibration, test = self._options.calibration, self._options.test
        self._once(bundle, "calibrate", trained, "--data", calibration, "--score", variant.score)
        self._once(report, "evaluate", bundle, "--data", test)
        return report

    def minutes(self, variant: Variant, seed: int) -> float:
        """Return how long the training took, its fit included."""
        return float((self._out / f"{_number(variant)}-{seed}.minutes").read_text())

    def _length(self) -> tuple[str, str]:
        steps = self._options.steps
        return f"training.steps={steps}", f"schedule.restart_period={steps}"

    def _trained(self, name: str, settings: tuple[str, ...]) -> Path:
        run, frozen = self._out / name, self._out / f"{name}.frozen.vsb"
        if not frozen.exists():
            # Time of a training that was interrupted would be that of its end.
            shutil.rmtree(run, ignore_errors=True)
            started = time.monotonic()
            sets = [part for setting in settings for part in ("--set", setting)]
            verb("train", "--data", self._options.train, "--out", run, *sets)
            minutes = (time.monotonic() - started) / 60.0
            (self._out / f"{name}.minutes").write_text(f"{minutes:.2f}\n")
            verb("freeze", run, "--out", frozen)
        return frozen

    @staticmethod
    def _once(target: Path, name: str, *arguments: object) -> None:
        if not target.exists():
            verb(name, *arguments, "--out", target)


def _number(variant: Variant) -> int:
    """Number of the first variant that is trained in the same way."""
    return next(n for n, other in enumerate(VARIANTS) if other.settings == variant.settings)


def verb(*arguments: object) -> None:
    command = [sys.executable, "-m", "vialsight", *map(str, arguments)]
    print("vialsight", *arguments[:4], file=sys.stderr, flush=True)
    subprocess.run(command, check=True)


def line(variant: Variant, rows: list[dict[float, Row]], minutes: list[float]) -> str:
    """Return a row of the table: mean over seeds, and each seed's figure behind it."""

    def over_seeds(least: float) -> str:
        areas = [row[least].auroc or 0.0 for row in rows]
        each = ", ".join(f"{area:.3f}" for area in areas)
        return f"{sum(areas) / len(areas):.3f} ({each})"

    cost = sum(minutes) / len(minutes)
    return f"| {variant.name} | {over_seeds(0.0)} | {over_seeds(0.5)} | {cost:.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("train", "calibration", "test", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    work = Work(options)
    lines = ["| variant | strips | severity ≥ 0.5 | minutes to train |", "|---|---|---|---|"]
    for variant in VARIANTS:
        reports = [read_evidence(work.report(variant, seed)) for seed in seeds]
        rows = [{row.least: row for row in rows_of(report)} for report in reports]
        lines.append(line(variant, rows, [work.minutes(variant, seed) for seed in seeds]))
        (options.out / "ablations.md").write_text("\n".join(lines) + "\n")
        print(lines[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
