"""Reports of an evaluation: `report.html`, `report.json`, `measures.csv`, `strips.csv`."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight import atomic
from vialsight.errors import DataError
from vialsight.measures import Evaluation, Outcomes, table_rows

_TEMPLATE: Final = "report.html.j2"
_HISTOGRAM_BINS: Final = 40
_COLOURS: Final = {"nominal": "#2b6cb0", "defective": "#c05621"}


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the report folder `out`; it appears complete or not at all.

    Raises DataError when `out` exists.
    """
    measures, strips = table_rows(evaluation.measures), [asdict(s) for s in evaluation.strips]
    try:
        with atomic.new_folder(out) as folder:
            atomic.write_json(folder / "report.json", report_values(evaluation))
            atomic.write_text(folder / "measures.csv", _csv(measures))
            atomic.write_text(folder / "strips.csv", _csv(strips))
            atomic.write_text(folder / "report.html", _html(evaluation, measures, strips))
    except FileExistsError as error:
        raise DataError(str(error)) from error


def report_values(evaluation: Evaluation) -> dict[str, Any]:
    """Return identity, measures and strips as plain JSON values."""
    return {
        "identity": evaluation.identity,
        "measures": [asdict(measures) for measures in evaluation.measures],
        "strips": [asdict(strip) for strip in evaluation.strips],
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _html(
    evaluation: Evaluation, measures: Sequence[Mapping[str, Any]], strips: Sequence[Any]
) -> str:
    import jinja2

    source = (
        resources.files("vialsight").joinpath("templates").joinpath(_TEMPLATE).read_text("utf-8")
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["rate"] = _rate_text
    wrong = [strip for strip in strips if strip["accepted"] == strip["defective"]]
    return environment.from_string(source).render(
        identity=evaluation.identity,
        measures=measures,
        wrong=wrong,
        strip_count=len(strips),
        figures=[_figure(evaluation, outcomes) for outcomes in _plotted(evaluation)],
    )


def _plotted(evaluation: Evaluation) -> tuple[Outcomes, ...]:
    """Leave out vial and strip where they are the same patch as the only region."""
    outcomes = evaluation.outcomes
    layout_is_one_patch = len(outcomes) == 3 and len(outcomes[0].scores) == len(outcomes[2].scores)
    return outcomes[:1] if layout_is_one_patch else outcomes


def _rate_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _figure(evaluation: Evaluation, outcomes: Outcomes) -> dict[str, str]:
    """Return title and inline SVG with the histogram of φ and the ROC curve of one unit."""
    import matplotlib
    from matplotlib.figure import Figure

    # Fixed salt and no date: the same evaluation draws the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "vialsight", "font.size": 9}):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        histogram, roc = figure.subplots(1, 2)
        _draw_histogram(histogram, outcomes, evaluation.identity["thresholds"].get(outcomes.unit))
        _draw_roc(roc, outcomes)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    svg = content.getvalue()
    return {"title": outcomes.unit, "svg": svg[svg.index("<svg") :]}


def _draw_histogram(axes: Any, outcomes: Outcomes, threshold: float | None) -> None:
    edges = np.histogram_bin_edges(outcomes.scores.astype(np.float64), bins=_HISTOGRAM_BINS)
    for name, chosen in (("nominal", ~outcomes.defective), ("defective", outcomes.defective)):
        scores = outcomes.scores[chosen]
        label = f"{name} ({len(scores)})"
        axes.hist(scores, bins=edges, alpha=0.6, label=label, color=_COLOURS[name])
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.6f}")
    axes.set(xlabel="score φ", ylabel="count")
    axes.legend()


def _draw_roc(axes: Any, outcomes: Outcomes) -> None:
    from sklearn.metrics import roc_curve

    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    if outcomes.defective.any() and not outcomes.defective.all():
        false_reject, detection, _ = roc_curve(outcomes.defective, outcomes.scores)
        axes.plot(false_reject, detection, color="#22543d")
    else:
        axes.text(0.5, 0.4, "needs nominal and defective samples", ha="center")
    axes.set(xlabel="false reject rate", ylabel="detection rate", xlim=(0, 1), ylim=(0, 1.01))
