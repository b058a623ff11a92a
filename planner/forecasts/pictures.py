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
from planner.pictures import DIM, INK, SERIES, drawing, logarithmic, points, show_flops

_LEVELS = (0.9, 0.5)
_POINTS, _SIZES = 40, 81
_SHAPES = (0.5, 2_000.0)
_SHOWN = 0.95
_ROOM = 1.04


def draw_backtest(answers: Sequence[Answer], data_hash: str, folder: Path, kind: str = "png") -> list[Path]:
    """Draw errors of forecasts over measured loss with 90 % intervals, one panel for each ratio, into `folder`.

    Returns the files, of kind png or svg. Raises ImportError if matplotlib is missing, OSError if the folder cannot
    be written.
    """
    ratios = sorted({answer.split.ratio for answer in answers})
    names = list(dict.fromkeys(answer.split.name for answer in answers))
    path = folder / f"backtest.{kind}"
    title = "Backtest: what forecasts from the smaller runs said of the largest"
    with drawing(path, title, f"data {data_hash}", panels=len(ratios), extra_inches=2.0) as axes:
        for axis, ratio in zip(axes, ratios, strict=True):
            of_ratio = [answer for answer in answers if answer.split.ratio == ratio]
            for at, name in enumerate(names):
                of_name = [answer for answer in of_ratio if answer.split.name == name]
                if of_name:
                    _errors(axis, of_name, SERIES[at % len(SERIES)], name if len(names) > 1 else "")
            axis.axhline(0.0, color=INK, linewidth=0.8)
            axis.set_title(f"{ratio:g} × the compute of the evidence")
            axis.set_xlabel("measured loss")
        axes[0].set_ylabel("forecast / measured − 1, %")
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return [path]


def draw_frontier(
    forecaster: Forecaster, flops: float, data_hash: str, folder: Path, kind: str = "png"
) -> list[Path]:
    """Draw the least loss over compute up to `flops` with 50 and 90 % bands, and the runs. As `draw_backtest`."""
    runs = forecaster.runs
    largest = float(runs.flops.max())
    budgets = np.geomspace(runs.flops.min(), max(flops, largest), _POINTS)
    params, tokens = _best(forecaster, budgets)
    path = folder / f"frontier-forecast.{kind}"
    with drawing(path, "Least loss over compute", f"{len(runs)} runs, data {data_hash}") as (axis,):
        bands = {level: forecaster.band(params, tokens, budgets, level) for level in _LEVELS}
        top = _ROOM * max(float(bands[_LEVELS[0]][2].max()), float(np.quantile(runs.loss, _SHOWN)))
        above = int((runs.loss > top).sum())
        points(axis, runs.flops, runs.loss, color=DIM, alpha=0.7, label=f"runs ({above} above)" if above else "runs")
        for level, (_, low, high) in bands.items():
            shade = 0.18 if level == _LEVELS[0] else 0.35
            axis.fill_between(
                budgets, low, high, alpha=shade, color=SERIES[0], linewidth=0, label=f"{100 * level:g} % interval"
            )
        axis.plot(budgets, bands[_LEVELS[0]][0], color=SERIES[0], label="forecast")
        for at, (name, fitted) in enumerate(forecaster.families.items(), 1):
            loss = fitted.predict({"params": params, "tokens": tokens, "flops": budgets})
            axis.plot(budgets, loss, linestyle=(0, (4, 2 * at)), linewidth=1.1, color=SERIES[at], label=name)
        axis.axvline(largest, linestyle=":", color=DIM, linewidth=1.0)
        axis.annotate(
            "largest run", (largest, 0.02), xycoords=("data", "axes fraction"), xytext=(-3, 0), ha="right",
            textcoords="offset points", fontsize=8, color=DIM, rotation=90, va="bottom",
        )  # fmt: skip
        axis.set_ylim(top=top)
        logarithmic(axis, "x", show_flops)
        logarithmic(axis, "y", lambda value: f"{value:.3g}")
        axis.set(xlabel="compute, FLOPs", ylabel="loss at the best size")
        axis.legend(loc="upper right")
    return [path]


def _errors(axis: Any, answers: Sequence[Answer], colour: str, name: str) -> None:
    measured = np.concatenate([answer.split.tests.loss for answer in answers])
    log_forecast = np.concatenate([answer.forecast.log_loss for answer in answers])
    half = multiplier(0.9) * np.concatenate([answer.forecast.scale for answer in answers])
    forecast = np.exp(log_forecast)
    below, above = forecast * (1.0 - np.exp(-half)), forecast * (np.exp(half) - 1.0)
    error = 100.0 * (forecast / measured - 1.0)
    bars = 100.0 * np.array([below, above]) / measured
    axis.errorbar(
        measured, error, yerr=bars, fmt=".", markersize=5, linewidth=0.7, color=colour,
        label=name or "forecast, 90 % interval",
    )  # fmt: skip
    approach3 = 100.0 * (np.concatenate([answer.approach3 for answer in answers]) / measured - 1.0)
    axis.plot(
        measured, approach3, "x", markersize=4, markeredgewidth=0.9, color=colour if name else SERIES[1],
        label=f"{name}, approach 3" if name else "approach 3",
    )  # fmt: skip


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
