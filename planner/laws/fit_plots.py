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

_SIZE_INCHES = (7.0, 5.0)
_CURVE_POINTS = 100
_FRONTIER_POINTS = 25
_LEVELS = 14


def draw_fits(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw approach 3's fit and the frontiers of all approaches into `folder`. Returns the files.

    Raises ImportError if matplotlib is missing, OSError if the folder cannot be written, BadRunsError without a fit.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency that only this function needs

    folder.mkdir(parents=True, exist_ok=True)
    shown = next((each for each in comparison.fits if each.law.name == "hoffmann"), None)
    if shown is None:
        raise BadRunsError("pictures show approach 3's fit, and these runs allow none: see the notes")
    files = []
    for name, draw, width in (
        ("isoflop", _isoflop, 1), ("contours", _contours, 1), ("frontier", _frontier, 1), ("residuals", _residuals, 3)
    ):  # fmt: skip
        figure = Figure(figsize=(_SIZE_INCHES[0] * (1.6 if width > 1 else 1.0), _SIZE_INCHES[1]), layout="constrained")
        axes = figure.subplots(1, width, sharey=True, squeeze=False)[0]
        draw(axes, shown, comparison)
        figure.suptitle(f"{name}: {len(shown.runs)} runs, data {comparison.runs.data_hash()}", fontsize="small")
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120)
        files.append(path)
    return files


def _isoflop(axes: Any, shown: Fit, comparison: Comparison) -> None:
    del comparison
    axis, runs = axes[0], shown.runs
    budgets = budgets_of(runs)
    for rows in budgets:
        flops = float(np.exp(np.log(runs.flops[rows]).mean()))
        points = axis.plot(runs.params[rows], runs.loss[rows], ".", label=f"{flops:.1e} FLOPs")[0]
        sizes = np.geomspace(runs.params[rows].min(), runs.params[rows].max(), _CURVE_POINTS)
        centre = np.log(sizes).mean()
        parabola = np.polyfit(np.log(runs.params[rows]) - centre, runs.loss[rows], 2)
        axis.plot(sizes, np.polyval(parabola, np.log(sizes) - centre), "--", color=points.get_color(), linewidth=0.8)
        law = shown.predict(_at(sizes, flops / FLOPS_PER_PARAM_TOKEN / sizes))
        axis.plot(sizes, law, color=points.get_color(), linewidth=1.2)
    if not budgets:
        axis.plot(runs.params, runs.loss, ".", label="no budget has five sizes")
    axis.set(xscale="log", xlabel="params", ylabel="loss")
    axis.set_title("points; dashed: parabola; solid: approach 3", fontsize="small")
    axis.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _contours(axes: Any, shown: Fit, comparison: Comparison) -> None:
    axis, runs = axes[0], shown.runs
    sizes = np.geomspace(runs.params.min() / 2, runs.params.max() * 4, 80)
    tokens = np.geomspace(runs.tokens.min() / 2, runs.tokens.max() * 4, 80)
    grid = np.meshgrid(sizes, tokens)
    loss = shown.predict(_at(grid[0].ravel(), grid[1].ravel())).reshape(80, 80)
    levels = np.geomspace(loss.min() * 1.005, np.quantile(loss, 0.98), _LEVELS)
    axis.clabel(axis.contour(*grid, loss, levels=levels, linewidths=0.8), fontsize=6)
    axis.scatter(runs.params, runs.tokens, c=runs.loss, s=10)
    flops, best, _ = _frontier_of(shown, comparison)
    inside = (best > sizes[0]) & (best < sizes[-1])
    axis.plot(best[inside], (flops / FLOPS_PER_PARAM_TOKEN / best)[inside], "k--", linewidth=1.0, label="frontier")
    axis.set(xscale="log", yscale="log", xlabel="params", ylabel="tokens", ylim=(tokens[0], tokens[-1]))
    axis.legend(fontsize="x-small")


def _frontier(axes: Any, shown: Fit, comparison: Comparison) -> None:
    axis = axes[0]
    flops, best, band = _frontier_of(shown, comparison)
    axis.plot(flops, best, label="approach 3")
    if band is not None:
        axis.fill_between(flops, *band, alpha=0.2, label=f"its {100 * comparison.level:g} % interval of resamples")
    for each in comparison.frontiers:
        points = axis.plot(each.flops, each.params, ".", markersize=4)[0]
        params = [each.optimal_params(float(budget)) for budget in flops]
        axis.plot(flops, params, "--", color=points.get_color(), label=each.approach)
    axis.axvline(float(shown.runs.flops.max()), color="grey", linewidth=0.8, label="largest run")
    axis.set(xscale="log", yscale="log", xlabel="FLOPs", ylabel="compute-optimal params")
    axis.legend(fontsize="x-small")


def _residuals(axes: Any, shown: Fit, comparison: Comparison) -> None:
    del comparison
    residuals = 100.0 * shown.residuals()
    runs = shown.runs
    for axis, (name, values) in zip(
        axes, (("FLOPs", runs.flops), ("params", runs.params), ("tokens", runs.tokens)), strict=True
    ):
        axis.axhline(0.0, color="grey", linewidth=0.8)
        axis.plot(values, residuals, ".", markersize=4)
        axis.set(xscale="log", xlabel=name)
    axes[0].set_ylabel("measured over predicted loss, %")


def _frontier_of(shown: Fit, comparison: Comparison) -> tuple[Array, Array, tuple[Array, Array] | None]:
    flops = np.geomspace(shown.runs.flops.min(), max(comparison.flops, shown.runs.flops.max()), _FRONTIER_POINTS)
    best = np.array([float(optimum(shown.law, shown.theta[None, :], float(c)).params[0]) for c in flops])
    if not len(shown.draws):
        return flops, best, None
    drawn = np.stack([optimum(shown.law, shown.draws, float(c)).params for c in flops], axis=1)
    return flops, best, interval(drawn, comparison.level)


def _at(params: Array, tokens: Array) -> dict[str, Array]:
    return {"params": params, "tokens": tokens}
