"""Grids of isoFLOP runs: a few budgets, and on each several sizes about the best (Hoffmann et al. 2022, approach 2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from planner.errors import BadInputError
from planner.laws.runs import Runs

FLOPS_PER_PARAM_TOKEN = 6.0
_TOKENS_PER_PARAM = 20.0
_SPREAD = 8.0
_SAME_BUDGET = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run that is to be made. `cost` is in the unit of whoever planned it: FLOPs unless said otherwise."""

    params: float
    tokens: float
    flops: float
    cost: float


def isoflop_grid(
    budgets: Sequence[float],
    points: int,
    *,
    best_params: Callable[[float], float] | None = None,
    spread: float = _SPREAD,
    reuse: Runs | None = None,
) -> tuple[PlannedRun, ...]:
    """Return `points` runs on each budget, their sizes even in ln N from best / spread to best · spread.

    `best_params` guesses the best size of a budget: 20 tokens per parameter unless given. Runs in `reuse` with the
    budget within 10 % and the size within half a step stand for a point, which is then left out. Raises BadInputError
    for fewer than 3 points, a budget that is not positive, or a spread of 1 or less.
    """
    if points < 3:
        raise BadInputError(f"{points} points on a budget: a parabola needs 3, and 5 to be believed")
    if not spread > 1.0:
        raise BadInputError(f"spread {spread:g}: must be greater than 1: the sizes go from best/spread to best·spread")
    for budget in budgets:
        if not (np.isfinite(budget) and budget > 0):
            raise BadInputError(f"budget {budget}: must be positive and finite, in FLOPs")
    best = _chinchilla_params if best_params is None else best_params
    step = 2.0 * np.log(spread) / (points - 1)
    planned = []
    for budget in sorted(set(budgets)):
        for offset in np.linspace(-np.log(spread), np.log(spread), points):
            params = float(best(budget) * np.exp(offset))
            if reuse is None or not _is_made(reuse, budget, params, step):
                tokens = budget / (FLOPS_PER_PARAM_TOKEN * params)
                planned.append(PlannedRun(params=params, tokens=tokens, flops=budget, cost=budget))
    return tuple(planned)


def _chinchilla_params(budget: float) -> float:
    return float(np.sqrt(budget / (FLOPS_PER_PARAM_TOKEN * _TOKENS_PER_PARAM)))


def _is_made(runs: Runs, budget: float, params: float, step: float) -> bool:
    on_budget = np.abs(np.log(runs.flops / budget)) <= np.log(_SAME_BUDGET)
    return bool((on_budget & (np.abs(np.log(runs.params / params)) <= 0.5 * step)).any())
