"""matplotlib figures as SVG that lives inside a page: same input, same bytes.

Figures are drawn at 340 CSS pixels, the width of a phone, so that their text is never scaled below
the size it was set in; the page lets them grow a little.
"""

import html
import io
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight import figure_style

WIDTH_IN: Final = 340 / 96
NOMINAL: Final = figure_style.BLUE
DEFECTIVE: Final = figure_style.VERMILION
INK: Final = figure_style.INK
MUTED: Final = figure_style.MUTED
GRID: Final = figure_style.GRID
# 8.5 pt are 11.3 CSS pixels, above the 11 that the page promises.
_SETTINGS: Final[dict[str, Any]] = {
    **figure_style.SETTINGS,
    "svg.hashsalt": "vialsight",
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.linewidth": 0.7,
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "legend.borderaxespad": 0.2,
}
_UNUSED: Final = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>|<!--.*?-->"
    r'|(?<=<g) id="[a-zA-Z]+[a-zA-Z._]*_\d+(?:_\d+)?"',
    flags=re.DOTALL,
)
_FONT: Final = re.compile(r"font: ([^'\"]*?)'[^;\"]*|font-family:[^;\"]*;?")
_LONG_NUMBER: Final = re.compile(r"(\d+\.\d{2})\d+")
_PATH: Final = re.compile(r' d="[^"]*"')


def draw(label: str, paint: Callable[[Any], None], *, height: float = 0.72) -> str:
    """Return the SVG element that `paint` draws on an axes; `height` is relative to the width.

    `label` is what a screen reader says.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_IN, WIDTH_IN * height), layout="constrained")
        paint(figure.subplots())
        content = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(content, format="svg", metadata=nothing, transparent=True)
    return _embedded(content.getvalue(), label)


def _embedded(svg: str, label: str) -> str:
    """Leave out what a page has no use for, and digits below a hundredth of a point."""
    svg = _UNUSED.sub("", svg[svg.index("<svg") :])
    svg = _FONT.sub(lambda match: f"font-size: {match[1].strip()}" if match[1] else "", svg)
    svg = _PATH.sub(lambda match: _LONG_NUMBER.sub(r"\1", match[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1).strip()


def dots(axes: Any, x: npt.NDArray[Any], y: npt.NDArray[Any], *, colour: str, label: str) -> None:
    """Draw points as one path of strokes without length but with round ends: small and sharp."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if len(x) == 0:
        return
    axes.plot([], [], "o", color=colour, markersize=3, label=label)  # the legend's
    points = np.repeat(np.column_stack([x, y]).astype(np.float64), 2, axis=0)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], np.uint8), len(x))
    path = Path(points, codes)
    path.should_simplify = False  # simplified, strokes without length vanish
    style = {"linewidth": 2.4 if len(x) < 500 else 1.6, "capstyle": "round", "alpha": 0.55}
    axes.add_artist(PathPatch(path, fill=False, edgecolor=colour, **style))
    axes.update_datalim(points)
    axes.autoscale_view()


def plain_log(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
