"""The ensemble of fits under priors, and the guard that replaces it where the evidence speaks against the priors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.forecasts.interaction_law import FLOOR, Array
from planner.forecasts.intervals import scale
from planner.forecasts.posterior import Posterior, fit, weighted_quantile, weights_of
from planner.forecasts.priors import MEMBERS, NO_FLOOR, Prior, doubt, loosened
from planner.laws.runs import Runs

_NO_FLOOR_BELOW = -0.9
"""The guard's e: E below .4 of the reference loss."""
_MUCH_BETTER = 1.4
_LEAST_DEVIATION = 0.002
_NO_FLOOR_WIDER = 2.0
"""A judgement: laws without a floor were only simulated."""


@dataclass(frozen=True, slots=True, eq=False)
class LogForecast:
    """Forecasts at n points: ln L and the scale of its error, to be multiplied by `intervals.multiplier`."""

    log_loss: Array
    scale: Array


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """What the evidence says under each member's prior. Made by `fit_ensemble`."""

    members: Posterior
    frontier_flops: float
    """The most compute of the evidence."""
    has_floor: bool
    """False where the guard fired: `members` is then the one fit that believes nothing of E."""

    def forecast(self, params: Array, tokens: Array, flops: Array) -> LogForecast:
        """Return the forecasts of runs of `params`, `tokens` and compute `flops`, each of shape (n,)."""
        each = self.members.log_loss(params, tokens)
        mean, spread = each.mean(axis=0), each.std(axis=0)
        noise = float(self.members.scale.mean())
        distance = np.log(flops / self.frontier_flops)
        sigma = scale(noise, spread, distance, self.members.reference.log_loss - mean)
        share = doubt(self.frontier_flops)
        if share:
            sigma = np.sqrt(sigma**2 + share * self.members.variance(params, tokens).mean(axis=0))
        return LogForecast(mean, sigma if self.has_floor else _NO_FLOOR_WIDER * sigma)


def fit_ensemble(runs: Runs, members: Sequence[Prior] = MEMBERS) -> Ensemble:
    """Fit all members and the guard to `runs`: some 10 ms for a hundred runs.

    Where the frontier lies below all on which the priors were learned, they are loosened, and what the evidence then
    leaves open of the parameters widens σ.
    """
    frontier_flops = float(runs.flops.max())
    fitted = fit(runs, [*loosened(members, frontier_flops), NO_FLOOR])
    each = fitted.log_loss(runs.params, runs.tokens) - np.log(runs.loss)
    with_floor, without = each[:-1].mean(axis=0), each[-1]
    weights = weights_of(runs, NO_FLOOR)[None]
    deviations = [weighted_quantile(np.abs(residual)[None], weights)[0] for residual in (with_floor, without)]
    is_better = deviations[0] > _MUCH_BETTER * max(deviations[1], _LEAST_DEVIATION)
    has_floor = not (is_better and fitted.theta[-1, FLOOR] < _NO_FLOOR_BELOW)
    kept = slice(0, len(members)) if has_floor else slice(len(members), None)
    return Ensemble(fitted.select(kept), frontier_flops, has_floor)
