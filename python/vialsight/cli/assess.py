"""Verbs that decide what a bundle is worth: calibrate, evaluate, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vialsight import _core, quiet
from vialsight.bundle import read_manifest, require_new_bundle
from vialsight.calibration.fitting import DEFAULT_QUANTILE, CalibrationResult
from vialsight.calibration.fitting import calibrate as fit_bundle
from vialsight.calibration.thresholds import parse_objective, parse_run_rule
from vialsight.cli import console
from vialsight.cli.model import BundlePath, Data
from vialsight.cli.options import Threads, finite
from vialsight.cli.score_text import print_score
from vialsight.data import read_dataset
from vialsight.errors import DataError
from vialsight.evaluation.decisions import Decisions
from vialsight.evaluation.evaluate import ManualStudy
from vialsight.evaluation.evaluate import evaluate as evaluate_bundle
from vialsight.evaluation.findings import Findings
from vialsight.files import atomic
from vialsight.report import knapp_sentence, new_report, rebuild_report
from vialsight.statistics.manual import read_manual

FittedRule = Annotated[str, typer.Option("--run-rule", help="AGREE/RUNS: runs that must agree.")]
AppliedRule = Annotated[
    str | None,
    typer.Option("--run-rule", help="AGREE/RUNS: runs that must agree. [default: as calibrated]"),
]
Lookalikes = Annotated[
    bool,
    typer.Option(
        "--accept-lookalikes",
        help="Accept images that look like ones already used; the report will say so.",
    ),
]


def calibrate(
    bundle: BundlePath,
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="NEW.vsb to write; must not exist.")],
    score: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Components of the bundle's score that shall decide; `show` lists them. "
            "[default: those that decide now]",
        ),
    ] = None,
    combine: Annotated[
        str | None,
        typer.Option(help="How several become one: largest or sum. [default: largest]"),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="balanced_accuracy, accuracy, max_detection_at_false_reject=X, "
            "max_accuracy_at_detection=X; from nominal samples alone: nominal_quantile=X (share "
            "to accept), nominal_tail=X (share to reject, by a fit of the tail)."
        ),
    ] = "balanced_accuracy",
    run_rule: FittedRule = "7/10",
    quantile: Annotated[
        str, typer.Option(help="Share of nominal samples to accept where no defective are given.")
    ] = str(float(DEFAULT_QUANTILE)),
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="One threshold for all regions at the levels of strip and run: where scores of "
            "regions mean the same, as grdnet's do.",
        ),
    ] = False,
    accept_lookalikes: Lookalikes = False,
    threads: Threads = 0,
) -> None:
    """Fit thresholds for patch, strip and run on the calibration split; write a new bundle.

    With --score, other components of the bundle's score decide. Several are first made comparable,
    by what is usual for nominal strips in each region.

    The calibration strips must be others than those trained on: by product, pixels and looks.
    Interrupt it whenever you like; the same command goes on where it was.
    """
    require_new_bundle(out)
    chosen, rule = parse_objective(objective), parse_run_rule(run_rule)
    share = parse_objective(f"nominal_quantile={quantile}").value or DEFAULT_QUANTILE
    loaded, dataset = _core.Bundle.load(bundle), read_dataset(data)
    quiet.load_backend(loaded)
    with console.progress("calibrating") as progress:
        result = fit_bundle(
            loaded,
            dataset,
            out,
            score=[] if score is None else [name.strip() for name in score.split(",")],
            combine=combine,
            objective=chosen,
            rule=rule,
            quantile=share,
            shared=shared,
            accept_lookalikes=accept_lookalikes,
            threads=threads,
            progress=progress,
        )
    print_score(read_manifest(_core.Bundle.load(out))["score"])
    console.say()
    print_calibration(result)


def evaluate(
    bundle: BundlePath,
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="Report folder to write; must not exist.")],
    knapp: Annotated[
        Path | None,
        typer.Option(help="CSV of manual inspection per product: adds a Knapp study."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            callback=finite,
            help="With --knapp: by how much the machine may be worse, stated before the study.",
        ),
    ] = None,
    run_rule: AppliedRule = None,
    accept_lookalikes: Lookalikes = False,
    threads: Threads = 0,
) -> None:
    """Inspect the test split through the C++ core; write report.html, report.json and CSV.

    The test strips must be others than those of training and calibration. Interrupt it whenever
    you like; the same command goes on where it was.
    """
    if (knapp is None) != (margin is None):
        raise DataError("--knapp and --margin belong together: the margin is stated beforehand")
    atomic.refuse_existing(out)
    loaded, dataset = _core.Bundle.load(bundle), read_dataset(data)
    manual = None
    if knapp is not None and margin is not None:
        manual = ManualStudy(results=read_manual(knapp), margin=margin)
    quiet.load_backend(loaded)
    with (
        console.progress("evaluating") as progress,
        evaluate_bundle(
            loaded,
            dataset,
            out,
            rule=None if run_rule is None else parse_run_rule(run_rule),
            manual=manual,
            accept_lookalikes=accept_lookalikes,
            threads=threads,
            progress=progress,
        ) as evidence,
    ):
        _, findings = new_report(evidence, out)
    _print_findings(findings)
    console.log(f"report with intervals: {out / 'report.html'}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="REPORT", help="Folder `evaluate` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
) -> None:
    """Compute a report anew from its evidence: scores, verdicts, times. The same bytes come out."""
    atomic.refuse_existing(out)
    _print_findings(rebuild_report(folder, out))


def print_calibration(result: CalibrationResult) -> None:
    """Print the thresholds of all levels, and what they do on what they were fitted to."""
    levels = result.levels
    console.print_table(
        [
            {"region": name, **{f"t_{level}": fit.thresholds[i] for level, fit in levels.items()}}
            for i, name in enumerate(result.regions)
        ]
    )
    console.say()
    regions = zip(result.regions, result.region_fits, strict=True)
    console.print_table(
        [
            *({"fitted on": f"patches of {name}", **asdict(fit)} for name, fit in regions),
            *(
                {"fitted on": level, **asdict(levels[level].fit)}
                for level in ("strip", "run")
                if levels[level].origin == "fitted"
            ),
        ]
    )
    for text in _warnings(result):
        console.log(f"warning: {text}")


def _warnings(result: CalibrationResult) -> list[str]:
    blind = [
        f"{name}: scores do not tell defective from nominal"
        for name, fit in zip(result.regions, result.region_fits, strict=True)
        if fit.balanced_accuracy is not None and fit.balanced_accuracy <= 0.5
    ]
    unproven = [
        f"{level}: better thresholds may exist, by at most {fit.optimality_gap:.4f} of the merit"
        for level, fit in result.levels.items()
        if fit.optimality_gap > 0.0
    ]
    return [*result.warnings, *blind, *unproven]


def _print_findings(findings: Findings) -> None:
    _print_decisions(findings)
    for text in findings.limitations:
        console.log(f"note: {text}")
    if (sentence := knapp_sentence(findings)) is not None:
        console.say(f"\n{sentence}")
    if findings.reject_zone is not None:
        console.say("\nStrips people reject, and nominal ones")
        _print_decisions(findings.reject_zone)


def _print_decisions(found: Findings | Decisions) -> None:
    rows = [*found.patch, found.strip, *([found.run] if found.run else [])]
    console.print_table([_figures(asdict(row)) for row in rows])


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith("_interval")}
