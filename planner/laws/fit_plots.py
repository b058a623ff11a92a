"""Pictures of fits: isoFLOP parabolas, contours, frontier, residuals. Needs matplotlib (the extra `plot`).

Each carries the hash of the runs it shows.
"""

from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import BadRunsError
from planner.laws.comparison import Comparison
from planner.laws.compute_optimal import FLOPS_PER_PARAM_TOKEN, optimum
from planner.laws.fitting import Fit, interval
from planner.laws.isoflop import budgets_of
from planner.laws.runs import Array
from planner.pictures import DIM, INK, SERIES, drawing, in_a_row, logarithmic, points, show_flops
from planner.quantities import show_count

_CURVE_POINTS = 100
_FRONTIER_POINTS = 25
_LEVELS = 12
_TITLES = {
    "isoflop": ("Runs of equal compute", 1),
    "contours": ("Lines of equal loss by approach 3", 1),
    "frontier": ("Best size for a compute", 1),
    "residuals": ("What approach 3 leaves of the runs", 3),
}


def draw_fits(comparison: Comparison, folder: Path, kind: str = "png") -> list[Path]:
    """Draw approach 3's fit and the frontiers of all approaches into `folder`. Returns the files, png or svg.

    Raises ImportError if matplotlib is missing, OSError if the folder cannot be written, BadRunsError without a fit.
    """
    shown = next((each for each in comparison.fits if each.law.name == "hoffmann"), None)
    if shown is None:
        raise BadRunsError("pictures show approach 3's fit, and these runs allow none: see the notes")
    drawn = {"isoflop": _isoflop, "contours": _contours, "frontier": _frontier, "residuals": _residuals}
    note = f"{len(shown.runs)} runs, data {comparison.runs.data_hash()}"
    files = [folder / f"{name}.{kind}" for name in drawn]
    for path, draw in zip(files, drawn.values(), strict=True):
        title, panels = _TITLES[path.stem]
        with drawing(path, title, note, panels=panels) as axes:
            draw(axes, shown, comparison)
    return files


def _isoflop(axes: Any, shown: Fit, comparison: Comparison) -> None:
    del comparison
    axis, runs = axes[0], shown.runs
    budgets = budgets_of(runs)
    for rows, colour in zip(budgets, in_a_row(len(budgets)), strict=True):
        flops = float(np.exp(np.log(runs.flops[rows]).mean()))
        points(axis, runs.params[rows], runs.loss[rows], color=colour, markersize=7, label=show_flops(flops))
        sizes = np.geomspace(runs.params[rows].min(), runs.params[rows].max(), _CURVE_POINTS)
        centre = np.log(sizes).mean()
        parabola = np.polyfit(np.log(runs.params[rows]) - centre, runs.loss[rows], 2)
        axis.plot(sizes, np.polyval(parabola, np.log(sizes) - centre), "--", color=colour, linewidth=0.9)
        law = shown.predict(_at(sizes, flops / FLOPS_PER_PARAM_TOKEN / sizes))
        axis.plot(sizes, law, color=colour, linewidth=1.4)
    if not budgets:
        points(axis, runs.params, runs.loss, label="no budget has\nfive sizes")
    logarithmic(axis, "x", show_count)
    axis.set(xlabel="parameters", ylabel="loss")
    axis.set_title("dashed: parabola; solid: approach 3", color=DIM)
    axis.legend(title="FLOPs" if budgets else None, loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.1)


def _contours(axes: Any, shown: Fit, comparison: Comparison) -> None:
    axis, runs = axes[0], shown.runs
    sizes = np.geomspace(runs.params.min() / 2, runs.params.max() * 4, 80)
    tokens = np.geomspace(runs.tokens.min() / 2, runs.tokens.max() * 4, 80)
    grid = np.meshgrid(sizes, tokens)
    loss = shown.predict(_at(grid[0].ravel(), grid[1].ravel())).reshape(80, 80)
    levels = np.geomspace(loss.min() * 1.005, np.quantile(loss, 0.98), _LEVELS)
    flops, best = _frontier_of(shown, comparison)
    inside = (best > sizes[0]) & (best < sizes[-1])
    lines = axis.contour(*grid, loss, levels=levels, linewidths=0.9, colors=SERIES[0], alpha=0.7)
    points(axis, runs.params, runs.tokens, color=DIM, label="runs")
    axis.plot(
        best[inside], (flops / FLOPS_PER_PARAM_TOKEN / best)[inside], "--", color=SERIES[1], label="best sizes"
    )
    axis.set(xlabel="parameters", ylabel="tokens", ylim=(tokens[0], tokens[-1]))
    logarithmic(axis, "x", show_count)
    logarithmic(axis, "y", show_count)
    axis.grid(visible=False)
    axis.clabel(lines, fmt="%.3g", fontsize=7, colors=INK)
    axis.legend(loc="lower left", ncols=2, bbox_to_anchor=(0.0, 1.0))


def _frontier(axes: Any, shown: Fit, comparison: Comparison) -> None:
    axis = axes[0]
    flops, best = _frontier_of(shown, comparison)
    axis.plot(flops, best, color=SERIES[0], label="approach 3")
    if len(shown.draws):
        drawn = np.stack([optimum(shown.law, shown.draws, float(c)).params for c in flops], axis=1)
        band = interval(drawn, comparison.level)
        label = f"its {100 * comparison.level:g} % of resamples"
        axis.fill_between(flops, *band, alpha=0.2, color=SERIES[0], linewidth=0, label=label)
    for each, colour in zip(comparison.frontiers, SERIES[1:], strict=False):
        points(axis, each.flops, each.params, color=colour, markersize=7)
        params = [each.optimal_params(float(budget)) for budget in flops]
        axis.plot(flops, params, "--", color=colour, label=each.approach)
    axis.axvline(float(shown.runs.flops.max()), color=DIM, linestyle=":", linewidth=1.0, label="largest run")
    logarithmic(axis, "x", show_flops)
    logarithmic(axis, "y", show_count)
    axis.set(xlabel="compute, FLOPs", ylabel="best number of parameters")
    axis.legend(loc="upper left")


def _residuals(axes: Any, shown: Fit, comparison: Comparison) -> None:
    del comparison
    residuals = 100.0 * shown.residuals()
    runs = shown.runs
    over = (
        ("compute, FLOPs", runs.flops, show_flops), ("parameters", runs.params, show_count),
        ("tokens", runs.tokens, show_count),
    )  # fmt: skip
    for axis, (name, values, show) in zip(axes, over, strict=True):
        axis.axhline(0.0, color=INK, linewidth=0.8)
        points(axis, values, residuals, alpha=0.8)
        axis.set_xlabel(name)
        logarithmic(axis, "x", show)
    axes[0].set_ylabel("ln measured − ln predicted loss, %")


def _frontier_of(shown: Fit, comparison: Comparison) -> tuple[Array, Array]:
    flops = np.geomspace(shown.runs.flops.min(), max(comparison.flops, shown.runs.flops.max()), _FRONTIER_POINTS)
    return flops, np.array([float(optimum(shown.law, shown.theta[None, :], float(c)).params[0]) for c in flops])


def _at(params: Array, tokens: Array) -> dict[str, Array]:
    return {"params": params, "tokens": tokens}
