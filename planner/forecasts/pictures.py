"""Pictures of forecasts: backtests, and the frontier with its band. Needs matplotlib (the extra `plot`).

Each carries the hash of the runs it shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planner.forecasts.backtesting import Answer
from planner.forecasts.forecaster import Forecaster
from planner.forecasts.interaction_law import Array
from planner.forecasts.intervals import multiplier

_SIZE_INCHES = (5.0, 4.5)
_LEVELS = (0.9, 0.5)
_POINTS, _SIZES = 40, 81
_SHAPES = (0.5, 2_000.0)


def draw_backtest(answers: Sequence[Answer], data_hash: str, folder: Path) -> list[Path]:
    """Draw forecast over measured loss with 90 % intervals, one panel for each ratio, into `folder`.

    Returns the files. Raises ImportError if matplotlib is missing, OSError if the folder cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency that only this function needs

    ratios = sorted({answer.split.ratio for answer in answers})
    figure = Figure(figsize=(_SIZE_INCHES[0] * len(ratios), _SIZE_INCHES[1]), layout="constrained")
    axes = figure.subplots(1, len(ratios), squeeze=False)[0]
    for axis, ratio in zip(axes, ratios, strict=True):
        of_ratio = [answer for answer in answers if answer.split.ratio == ratio]
        for name in dict.fromkeys(answer.split.name for answer in of_ratio):
            _errors(axis, name, [answer for answer in of_ratio if answer.split.name == name])
        axis.axhline(0.0, color="black", linewidth=0.8)
        axis.set_title(f"{ratio:g} times the compute of the evidence", loc="left", fontsize="small")
        axis.set_xlabel("measured loss")
        axis.legend(fontsize="x-small")
    axes[0].set_ylabel("forecast / measured − 1, %")
    figure.suptitle(f"backtest: bars are 90 % intervals, crosses approach 3; data {data_hash}", fontsize="small")
    return [_saved(figure, folder, "backtest.png")]


def draw_frontier(forecaster: Forecaster, flops: float, data_hash: str, folder: Path) -> list[Path]:
    """Draw the least loss over compute up to `flops` with 50 and 90 % bands, and the runs. As `draw_backtest`."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency that only this function needs

    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    axis = figure.subplots()
    runs = forecaster.runs
    budgets = np.geomspace(runs.flops.min(), max(flops, runs.flops.max()), _POINTS)
    params, tokens = _best(forecaster, budgets)
    axis.plot(runs.flops, runs.loss, ".", color="grey", markersize=3, label="runs")
    for level in _LEVELS:
        forecast, low, high = forecaster.band(params, tokens, budgets, level)
        axis.fill_between(budgets, low, high, alpha=0.2, color="tab:blue", label=f"{100 * level:g} %")
        if level == _LEVELS[0]:
            axis.plot(budgets, forecast, color="tab:blue", label="forecast")
    for name, fitted in forecaster.families.items():
        loss = fitted.predict({"params": params, "tokens": tokens, "flops": budgets})
        axis.plot(budgets, loss, "--", linewidth=0.8, label=name)
    axis.axvline(runs.flops.max(), linestyle=":", color="grey")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel("compute, FLOPs")
    axis.set_ylabel("loss at the best size")
    axis.legend(fontsize="small")
    figure.suptitle(f"frontier: {len(runs)} runs, data {data_hash}", fontsize="small")
    return [_saved(figure, folder, "frontier-forecast.png")]


def _errors(axis: Any, name: str, answers: Sequence[Answer]) -> None:
    measured = np.concatenate([answer.split.tests.loss for answer in answers])
    log_forecast = np.concatenate([answer.forecast.log_loss for answer in answers])
    half = multiplier(0.9) * np.concatenate([answer.forecast.scale for answer in answers])
    forecast = np.exp(log_forecast)
    below, above = forecast * (1.0 - np.exp(-half)), forecast * (np.exp(half) - 1.0)
    error = 100.0 * (forecast / measured - 1.0)
    bars = 100.0 * np.array([below, above]) / measured
    drawn = axis.errorbar(measured, error, yerr=bars, fmt=".", markersize=4, linewidth=0.6, label=name)
    approach3 = 100.0 * (np.concatenate([answer.approach3 for answer in answers]) / measured - 1.0)
    axis.plot(measured, approach3, "x", markersize=3, color=drawn[0].get_color(), alpha=0.6)


def _best(forecaster: Forecaster, budgets: Array) -> tuple[Array, Array]:
    """Return sizes and tokens of least forecast loss on each budget, from a grid of tokens per parameter."""
    pairs = budgets / forecaster.flops(1.0, 1.0)
    shapes = np.geomspace(*_SHAPES, _SIZES)
    params = np.sqrt(pairs[:, None] / shapes)
    tokens = pairs[:, None] / params
    flops = np.broadcast_to(budgets[:, None], params.shape)
    forecast, _, _ = forecaster.band(params.ravel(), tokens.ravel(), flops.ravel(), _LEVELS[0])
    at = forecast.reshape(params.shape).argmin(axis=1)
    rows = np.arange(len(budgets))
    return params[rows, at], tokens[rows, at]


def _saved(figure: Any, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    figure.savefig(path, dpi=120)
    return path
