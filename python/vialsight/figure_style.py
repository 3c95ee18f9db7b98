"""How all our figures look: colours and matplotlib's settings for them."""

from typing import Any, Final

INK: Final = "#1f2933"
MUTED: Final = "#7b8794"
GRID: Final = "#e4e7eb"
# Told apart by people who see few colours, too.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"

SETTINGS: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans"],
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
}
