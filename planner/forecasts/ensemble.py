"""The ensemble of fits under priors, and the guard that replaces it where the evidence speaks against the priors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from planner.forecasts.interaction_law import FLOOR, Array
from planner.forecasts.intervals import scale
from planner.forecasts.members import MEMBERS
from planner.forecasts.posterior import Posterior, fit, weighted_quantile, weights_of
from planner.forecasts.priors import NO_FLOOR, Prior, doubt, loosened
from planner.laws.runs import Runs

_NO_FLOOR_BELOW = -0.9
"""The guard's e: E below .4 of the reference loss."""
_MUCH_BETTER = 1.4
_LEAST_DEVIATION = 0.002
_NO_FLOOR_WIDER = 2.0
"""A judgement: laws without a floor were only simulated."""


@dataclass(frozen=True, slots=True, eq=False)
class LogForecast:
    """Forecasts at n points: ln L and the scale σ of its error, to be multiplied by `intervals.multiplier`."""

    log_loss: Array
    scale: Array


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """What the evidence says under each member's prior. Made by `fit_ensemble`."""

    members: Posterior
    frontier_flops: float
    """The most compute of the evidence."""
    num_groups: int
    """The members lie in groups of one size, in order."""
    has_floor: bool
    """False where the guard fired: `members` is then the one fit that believes nothing of E."""

    def forecast(self, params: Array, tokens: Array, flops: Array) -> LogForecast:
        """Return the forecasts of runs of `params`, `tokens` and compute `flops`, each of shape (n,).

        Forecasts and σ are averaged over the groups of members, as they were when the intervals were measured.
        """
        each = self.forecast_each(params, tokens, flops)
        return LogForecast(each.log_loss.mean(axis=0), each.scale.mean(axis=0))

    def forecast_each(self, params: Array, tokens: Array, flops: Array) -> LogForecast:
        """Return the forecasts of each group of members, shapes (groups, n)."""
        groups = (self.num_groups, -1)
        each = self.members.log_loss(params, tokens).reshape(*groups, len(params))
        mean, spread = each.mean(axis=1), each.std(axis=1)
        noise = self.members.scale.reshape(groups).mean(axis=1, keepdims=True)
        sigma = scale(noise, spread, np.log(flops / self.frontier_flops), self.members.reference.log_loss - mean)
        share = doubt(self.frontier_flops)
        if share:
            left_open = self.members.variance(params, tokens).reshape(*groups, len(params)).mean(axis=1)
            sigma = np.sqrt(sigma**2 + share * left_open)
        wider = 1.0 if self.has_floor else _NO_FLOOR_WIDER
        return LogForecast(mean, wider * sigma)


def fit_ensemble(
    runs: Runs, groups: Sequence[Sequence[Prior]] = MEMBERS, *, tell: Callable[[int, int], None] | None = None
) -> Ensemble:
    """Fit all members, in groups of one size, and the guard to `runs`: some 30 ms for a hundred runs.

    Where the frontier lies below all on which the priors were learned, they are loosened, and what the evidence then
    leaves open of the parameters widens σ.
    """
    frontier_flops = float(runs.flops.max())
    members = [prior for group in groups for prior in group]
    fitted = fit(runs, [*loosened(members, frontier_flops), NO_FLOOR], tell=tell)
    each = fitted.log_loss(runs.params, runs.tokens) - np.log(runs.loss)
    with_floor, without = each[:-1].mean(axis=0), each[-1]
    weights = weights_of(runs, NO_FLOOR)[None]
    deviations = [weighted_quantile(np.abs(residual)[None], weights)[0] for residual in (with_floor, without)]
    is_better = deviations[0] > _MUCH_BETTER * max(deviations[1], _LEAST_DEVIATION)
    has_floor = not (is_better and fitted.theta[-1, FLOOR] < _NO_FLOOR_BELOW)
    kept = slice(0, len(members)) if has_floor else slice(len(members), None)
    return Ensemble(fitted.select(kept), frontier_flops, len(groups) if has_floor else 1, has_floor)
