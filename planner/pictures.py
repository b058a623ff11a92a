"""How all pictures look: one style, as PNG, or as SVG that is light or dark with the page around it.

Needs matplotlib (the extra `plot`).
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from planner.quantities import show_count

INK, DIM, FAINT, PAPER = "#1c2431", "#5c6879", "#dfe2e7", "#fffffe"
"""For what is said, what is said beside it, grids, and what lies under letters. SVG makes them lighter in the dark."""
SERIES = ("#2f7ebd", "#d9772b", "#2a9d78", "#b85c9e", "#c2515b", "#8c7ae6", "#a07c3b", "#6b8e9f", "#7f9c2f", "#3aa6b9")
"""For what is counted or measured; each can be told from white and from black."""
_ROW = ("#2a9d8f", "#3f7fd0", "#8a63d2", "#d05a9a", "#d9772b")
_DARK = {INK: "#e4e8ee", DIM: "#a3aebd", FAINT: "#343d49", PAPER: "#1c222a"}
_SIZE_INCHES, _PANEL_INCHES = (5.7, 4.0), 3.5
_MANY_POINTS = 2_000
_LINE_PIXELS = 11.0

Show = Callable[[float], str]


@contextmanager
def drawing(
    path: Path, title: str, note: str = "", *, panels: int = 1, share_y: bool = True, extra_inches: float = 0.0
) -> Iterator[Any]:
    """Yield an array of axes, and write them to `path` in the end: a name that ends in .png or .svg.

    Raises ImportError if matplotlib is missing, OSError if the file cannot be written.
    """
    import matplotlib  # noqa: PLC0415 - an optional extra, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    width, height = _SIZE_INCHES
    with matplotlib.rc_context(_style(matplotlib)):
        width = width if panels == 1 else panels * _PANEL_INCHES
        figure = Figure(figsize=(width + extra_inches, height), layout="constrained")
        axes = figure.subplots(1, panels, sharey=share_y, squeeze=False)[0]
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        if note:
            figure.supxlabel(note, x=0.99, ha="right", fontsize=7, color=DIM)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".svg":
            path.write_text(_svg(figure), encoding="utf-8")
        else:
            figure.savefig(path, dpi=130)


def in_a_row(count: int) -> list[Any]:
    """Return `count` colours of which the order can be seen."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    row = LinearSegmentedColormap.from_list("row", _ROW)
    return [row(at / max(1, count - 1)) for at in range(count)]


def points(axis: Any, x: Any, y: Any, **style: Any) -> None:
    """Draw points; in SVG, very many become one image."""
    axis.plot(x, y, ".", rasterized=len(x) > _MANY_POINTS, **{"markersize": 6, "markeredgewidth": 0, **style})


def logarithmic(axis: Any, which: str, show: Show) -> None:
    """Make the axis `which` (x or y) logarithmic, with round numbers shown by `show`; after all is drawn on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter  # noqa: PLC0415

    axis.set(**{f"{which}scale": "log"})
    low, high = getattr(axis, f"get_{which}lim")()
    decades = math.log10(high / low)
    of = getattr(axis, f"{which}axis")
    if decades < 0.7:  # less than one round number would be left
        of.set_major_locator(MaxNLocator(5))
        of.set_minor_locator(MaxNLocator(1))
    else:
        of.set_major_locator(LogLocator(subs=(1.0,) if decades > 1.7 else (1.0, 2.0, 5.0), numticks=7))
    of.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    of.set_minor_formatter(NullFormatter())


def show_flops(value: float) -> str:
    """Return 3e19 for 3e+19."""
    return f"{value:.1e}".replace(".0e", "e").replace("e+0", "e").replace("e+", "e")


def show_usd(value: float) -> str:
    """Return $1M for 1e6."""
    return f"${show_count(value)}" if value >= 1 else f"${value:g}"


def name_points(axis: Any, named: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points (x, y, name), so that none lies on another; after the limits are set."""
    axis.figure.draw_without_rendering()
    left, right = axis.get_window_extent().intervalx
    taken: list[tuple[float, float, float]] = []
    for x, y, name in sorted(named, key=lambda each: -each[1]):
        at_x, at_y = axis.transData.transform((x, y))
        width = 5.2 * len(name) + 8.0
        is_left = at_x + width > right and at_x - width > left
        first = at_x - width if is_left else at_x
        wanted = at_y
        for begin, end, line in sorted(taken, key=lambda each: -each[2]):
            if begin < first + width and first < end and abs(line - wanted) < _LINE_PIXELS:
                wanted = line - _LINE_PIXELS
        taken.append((first, first + width, wanted))
        pixels_per_point = axis.figure.dpi / 72.0
        offset = (-7.0 if is_left else 7.0, (wanted - at_y) / pixels_per_point)
        axis.annotate(
            name, (x, y), xytext=offset, textcoords="offset points", fontsize=7.5, va="center",
            ha="right" if is_left else "left",
            arrowprops={"arrowstyle": "-", "color": DIM, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def _style(matplotlib: Any) -> Any:
    return {
        "axes.axisbelow": True, "axes.edgecolor": DIM, "axes.grid": True, "axes.labelcolor": INK,
        "axes.labelsize": 9.5, "axes.prop_cycle": matplotlib.cycler(color=SERIES), "axes.spines.right": False,
        "axes.spines.top": False, "axes.titlecolor": INK, "axes.titlelocation": "left", "axes.titlesize": 9.5,
        "figure.facecolor": PAPER, "axes.facecolor": "none", "font.size": 9.5, "grid.color": FAINT,
        "grid.linewidth": 0.6, "legend.edgecolor": "none", "legend.facecolor": PAPER, "legend.fontsize": 8,
        "legend.framealpha": 0.85, "lines.linewidth": 1.5, "savefig.facecolor": PAPER, "svg.fonttype": "none",
        "svg.hashsalt": "ostinato", "text.color": INK, "xtick.color": DIM, "xtick.labelcolor": INK,
        "xtick.labelsize": 8.5, "ytick.color": DIM, "ytick.labelcolor": INK, "ytick.labelsize": 8.5,
        "xtick.minor.size": 1.5, "ytick.minor.size": 1.5, "axes.linewidth": 0.7,
    }  # fmt: skip


def _svg(figure: Any) -> str:
    """Return the figure with letters as letters, nothing of who drew it, and its four greys by the page's light."""
    out = StringIO()
    nobody = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nobody)
    text = out.getvalue()
    text = text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'")
    names = {colour: f"var(--c{at})" for at, colour in enumerate(_DARK)}
    text = re.sub("|".join(names), lambda found: names[found[0]], text)
    light, dark = ("".join(f"--c{at}:{one};" for at, one in enumerate(each)) for each in (_DARK, _DARK.values()))
    style = f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
    first, rest = text.split(">", 1)
    return f"{first}><style>{style}</style>{rest}"
