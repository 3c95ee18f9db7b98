"""Pictures of a benchmark: latencies against the slot, throughput, peers, layers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight.figure_style import BLUE, INK, SETTINGS, VERMILION

OURS: Final = BLUE
OTHERS: Final = "#9aa5b1"
SLOT: Final = VERMILION
_CYCLE: Final = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION, INK)
_SETTINGS: Final[dict[str, Any]] = {
    **SETTINGS,
    "font.size": 10,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
}
_DPI: Final = 150
_BARS: Final = 16
# The stages of a strip, and what they are called.
_STAGES: Final = {
    "locate": "locating",
    "extract": "cutting patches",
    "infer": "network",
    "score": "scores",
    "total": "whole strip",
}


def draw_all(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw a PNG of every part of a result of `bench`; return their paths."""
    drawn = [_draw(folder / "latency.png", result, latency)]
    parts: dict[str, Callable[[Any, Mapping[str, Any]], None]] = {
        "throughput": throughput,
        "peers": peers,
        "layers": layers,
    }
    drawn += [
        _draw(folder / f"{name}.png", result, paint)
        for name, paint in parts.items()
        if name in result
    ]
    return drawn


def latency(figure: Any, result: Mapping[str, Any]) -> None:
    """Paint how many strips took at most how long, by stage, and the slot."""
    axes = figure.subplots()
    slot = result["budget_ms"]
    stages = {name: ms for name, ms in result["times_ms"].items() if max(ms) > 0.0}
    for colour, name in zip((*_CYCLE[:4], INK), _STAGES, strict=True):
        if name not in stages:
            continue
        values = np.sort(stages[name])
        shares = 100.0 * np.arange(1, len(values) + 1) / len(values)
        label = f"{_STAGES[name]}, median {_short(float(np.median(values)))} ms"
        width = 2.4 if name == "total" else 1.6
        axes.step(values, shares, where="post", color=colour, linewidth=width, label=label)
    axes.axvline(slot, color=SLOT, linestyle="--", linewidth=1.4)
    axes.annotate(
        f"slot {slot:g} ms", (slot, 3), xytext=(-4, 0), textcoords="offset points",
        ha="right", rotation=90, color=SLOT,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set(xlabel="milliseconds a strip", ylabel="strips that took no longer, %", ylim=(0, 101))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(
        f"{result['bundle']}: {result['strips']} strips of {result['patches_per_strip']} patches, "
        f"{result['misses']} missed the slot"
    )
    figure.legend(loc="outside lower center", ncols=2)


def throughput(figure: Any, result: Mapping[str, Any]) -> None:
    """Paint patches per second over batch sizes, a line for each number of threads."""
    axes = figure.subplots()
    rows = result["throughput"]["rows"]
    for colour, threads in zip(_CYCLE, sorted({row["threads"] for row in rows}), strict=False):
        own = [row for row in rows if row["threads"] == threads]
        middle = np.array([row["patches_per_s"] for row in own])
        slow = np.array([1e3 / row["ms_per_patch"]["max"] for row in own])
        fast = np.array([1e3 / row["ms_per_patch"]["min"] for row in own])
        label = f"{threads} thread{'' if threads == 1 else 's'}"
        axes.errorbar(
            [row["batch"] for row in own], middle, yerr=[middle - slow, fast - middle],
            color=colour, marker="o", capsize=3, label=label,
        )  # fmt: skip
    axes.set_xscale("log")
    batches = sorted({row["batch"] for row in rows})
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.set(xlabel="patches in a batch", ylabel="patches per second")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{result['bundle']}: network and scores, median and range")
    axes.legend()


def peers(figure: Any, result: Mapping[str, Any]) -> None:
    """Paint the milliseconds a patch of every runtime, of the network and of a strip."""
    found = result["peers"]
    parts = {
        "network": "network alone, ms a patch",
        "strip": "whole strip, ms a patch",
    }
    if not found["peers_score_too"]:
        del parts["strip"]
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, (what, title) in zip(panels, parts.items(), strict=True):
        key = f"{what}_ms_per_patch"
        own = [row for row in found["rows"] if row[key] is not None]
        own.sort(key=lambda row: -row[key]["p50"])
        _bars(
            axes,
            [f"{row['name']}\n{row['precision']}" for row in own],
            [row[key] for row in own],
            [OURS if row["name"].startswith("VialSight") else OTHERS for row in own],
        )
        axes.set_title(title)
    figure.suptitle(
        f"{result['bundle']}: same weights, {found['threads']} threads, batch {found['batch']}, "
        f"{found['turns']} turns; median and range",
        x=0.01, ha="left",
    )  # fmt: skip


def layers(figure: Any, result: Mapping[str, Any]) -> None:
    """Paint what groups of equal layers took, and what they would take at the peak."""
    found = result["layers"]
    rows = sorted(found["by_shape"], key=lambda row: row["ms"])[-_BARS:]
    axes = figure.subplots()
    places = np.arange(len(rows))
    took = np.array([row["ms"] for row in rows])
    needed = took - np.array([row["lost_ms"] or 0.0 for row in rows])
    axes.barh(places, took, color=OTHERS, label="took (without blue: moves data only)")
    axes.barh(places, needed, color=OURS, height=0.4, label="would take at the peak")
    names = [f"{row['layers']} x {row['kind']}\n{row['shape'] or '-'}" for row in rows]
    axes.set_yticks(places, names, fontsize=7.5)
    for place, row in zip(places, rows, strict=True):
        share = row["share_of_peak"]
        if row["flop"] and share is not None:
            longest = row["ms"] - min(row["lost_ms"], 0.0)
            axes.annotate(
                f"{share:.0%}", (longest, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8,
            )  # fmt: skip
    axes.set(xlabel=f"milliseconds for a batch of {found['batch']}")
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
    axes.set_title(
        f"{result['bundle']}: layers in {found['runtime']}, {found['precision']}, and the share "
        "of the peak they reach"
    )


def _bars(axes: Any, names: list[str], values: list[Mapping[str, float]], colours: Any) -> None:
    places = np.arange(len(names))
    middle = np.array([value["p50"] for value in values])
    below = middle - np.array([value["min"] for value in values])
    above = np.array([value["max"] for value in values]) - middle
    axes.barh(places, middle, xerr=[below, above], color=colours, capsize=3, ecolor=INK)
    axes.set_yticks(places, names, fontsize=8)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            _short(value["p50"]), (0, place), xytext=(5, 0), textcoords="offset points",
            va="center", color="white", fontweight="bold", fontsize=9,
        )  # fmt: skip
    axes.grid(axis="y", visible=False)


_SIZES: Final = {"latency": (8.0, 5.2), "throughput": (7.0, 4.4), "peers": (11.5, 5.0)}


def _draw(path: Path, result: Mapping[str, Any], paint: Callable[[Any, Any], None]) -> Path:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        size = _SIZES.get(path.stem, (9.0, 7.0))
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, result)
        figure.savefig(path)
    return path


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
