"""The compute-optimal frontier as a power law of compute, which approaches 1 and 2 read off the runs themselves."""

from dataclasses import dataclass

import numpy as np

from planner.laws.compute_optimal import FLOPS_PER_PARAM_TOKEN
from planner.laws.fitting import LEVEL, interval
from planner.laws.runs import Array


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """ln N_opt = intercept + exponent · ln C, with resamples of both, each (b,)."""

    approach: str
    source: str
    flops: Array
    """The budgets, or the compute of the envelope's points, from which the line was taken, (m,)."""
    params: Array
    """The best parameters at each, (m,)."""
    exponent: float
    intercept: float
    exponents: Array
    intercepts: Array
    notes: tuple[str, ...] = ()

    def optimal_params(self, flops: float) -> float:
        """Return N_opt of a budget."""
        return float(np.exp(self.intercept + self.exponent * np.log(flops)))

    def optimal_tokens(self, flops: float) -> float:
        """Return the tokens that the budget leaves: C / 6N."""
        return flops / FLOPS_PER_PARAM_TOKEN / self.optimal_params(flops)

    def params_interval(self, flops: float, level: float = LEVEL) -> tuple[float, float] | None:
        """Return the interval of N_opt over the resamples, or None without resamples."""
        if not len(self.exponents):
            return None
        low, high = interval(np.exp(self.intercepts + self.exponents * np.log(flops)), level)
        return float(low), float(high)

    def exponent_interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Return the interval of the exponent over the resamples, or None without resamples."""
        if not len(self.exponents):
            return None
        low, high = interval(self.exponents, level)
        return float(low), float(high)


def line(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Return slopes and intercepts, (b,), of weighted lines through points x, y of shape (m,) or (b, m)."""
    total = weights.sum(axis=-1)
    mean_x, mean_y = (weights * x).sum(axis=-1) / total, (weights * y).sum(axis=-1) / total
    centred = x - mean_x[..., None]
    spread = (weights * centred**2).sum(axis=-1)
    slope = (weights * centred * (y - mean_y[..., None])).sum(axis=-1) / np.where(spread > 0, spread, np.nan)
    return slope, mean_y - slope * mean_x
