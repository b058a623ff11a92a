"""A trial of the design of experiments: against a uniform isoFLOP grid, on surfaces fitted to real runs, with noise.

The grid has seven sizes on each of five budgets, from a hundredth of the largest to the largest, about 20 tokens per
parameter. The design starts with six sizes on each of the two smallest budgets and then asks for batches of runs
between the same budgets until its share of the grid's compute is spent. Both are judged by one free fit of the law:
the error of the least loss and of the best size at a hundred times the largest budget, medians over seeds. The same
seeds serve every share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.forecasts.grid import PlannedRun, isoflop_grid
from planner.forecasts.interaction_law import Array
from planner.forecasts.next_design import best_size, next_runs, targets_at
from planner.forecasts.posterior import Posterior, fit
from planner.forecasts.priors import LOOSE
from planner.laws.runs import Runs

_BUDGETS = (0.01, 0.0316, 0.1, 0.316, 1.0)
_GRID_POINTS, _PILOT_POINTS, _PILOT_BUDGETS = 7, 6, 2
_FAR = 100.0
_ITERATIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Medians over seeds of |error|: of ln L at the best size, and of ln of that size."""

    grid_loss: float
    grid_params: float
    design_loss: float
    design_params: float
    grid_runs: int
    design_runs: float
    """Median number of runs: the design makes more and smaller ones."""


def try_design(surface: Runs, *, largest_flops: float, share: float, seeds: int) -> Trial:
    """Return how a design with `share` of the grid's compute does on the surface and noise of `surface`."""
    truth = fit(surface, [LOOSE], iterations=_ITERATIONS)
    budgets = [largest_flops * part for part in _BUDGETS]
    grid = isoflop_grid(budgets, _GRID_POINTS)
    spend = share * sum(run.cost for run in grid)
    by_grid, by_design, counts = [], [], []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        by_grid.append(_errors(_made(truth, grid, random), truth, _FAR * largest_flops))
        runs = _designed(truth, budgets, spend, random)
        by_design.append(_errors(runs, truth, _FAR * largest_flops))
        counts.append(len(runs))
    grid_loss, grid_params = np.median(by_grid, axis=0)
    design_loss, design_params = np.median(by_design, axis=0)
    return Trial(
        grid_loss=float(grid_loss),
        grid_params=float(grid_params),
        design_loss=float(design_loss),
        design_params=float(design_params),
        grid_runs=len(grid),
        design_runs=float(np.median(counts)),
    )


def _designed(truth: Posterior, budgets: Sequence[float], spend: float, random: np.random.Generator) -> Runs:
    pilot = isoflop_grid(budgets[:_PILOT_BUDGETS], _PILOT_POINTS)
    runs, left = _made(truth, pilot, random), spend - sum(run.cost for run in pilot)
    targets = targets_at(_FAR * budgets[-1])
    while left >= budgets[0]:
        batch = next_runs(runs, targets, spend=left, most_flops=budgets[-1])
        runs, left = _joined(runs, _made(truth, batch.runs, random)), left - batch.cost
    return runs


def _made(truth: Posterior, planned: Sequence[PlannedRun], random: np.random.Generator) -> Runs:
    """Return what the runs would have come to: the surface with normal noise on ln L of its own residuals' size."""
    params, tokens = np.array([run.params for run in planned]), np.array([run.tokens for run in planned])
    noise = float(truth.scale[0]) * random.standard_normal(len(planned))
    loss = np.exp(truth.log_loss(params, tokens)[0] + noise)
    return Runs(params, tokens, loss, np.array([run.flops for run in planned]))


def _errors(runs: Runs, truth: Posterior, flops: float) -> tuple[float, float]:
    found, true = (_optimum(each, flops) for each in (fit(runs, [LOOSE], iterations=_ITERATIONS), truth))
    return abs(found[0] - true[0]), abs(found[1] - true[1])


def _optimum(fitted: Posterior, flops: float) -> tuple[float, float]:
    """Return ln of the least loss and of the size that reaches it, at 6ND = `flops`."""
    log_params, log_tokens = best_size(fitted.theta[0], fitted.reference, flops / 6.0)
    at: Array = np.exp([log_params, log_tokens])
    return float(fitted.log_loss(at[:1], at[1:])[0, 0]), log_params


def _joined(first: Runs, second: Runs) -> Runs:
    return Runs(
        np.concatenate([first.params, second.params]),
        np.concatenate([first.tokens, second.tokens]),
        np.concatenate([first.loss, second.loss]),
        np.concatenate([first.flops, second.flops]),
    )
