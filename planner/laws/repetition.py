"""What is known of the worth of repeated tokens: a profile and a posterior, for the point says more than the data do.

On the 182 runs of Muennighoff et al. the published half-lives are a local optimum, and any R_D* from 10 to 1,000 fits
nearly as well: a planner that takes "repeat up to 16 epochs" for a constant is over-confident.
"""

from dataclasses import dataclass

import numpy as np

from planner.errors import BadInputError
from planner.laws.data_constrained import DATA_CONSTRAINED, Base, DataConstrained
from planner.laws.fitting import LEVEL, fit
from planner.laws.huber_polish import DELTA, Problem
from planner.laws.law import Columns, bounds_of, needed
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import Array, Runs

_RANGE = (0.1, 1e4)
_POINTS = 161
_CHUNK = 512
_ONCE = 1.0 + 1e-9
_LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Weights, (g,), of half-lives (R_D*, R_N*) on a grid, coordinates (g, 2), flat in their logarithms.

    The prior reaches from .1 to 10,000 repetitions: an upper end of an interval near there is the prior's, not the
    data's.
    """

    law: DataConstrained
    theta: Array
    weights: Array
    objective: Array

    def quantiles(self, levels: Array) -> dict[str, Array]:
        """Return the quantiles of each half-life."""
        values = np.exp(self.theta)
        return {
            parameter.name: _weighted_quantiles(values[:, at], self.weights, levels)
            for at, parameter in enumerate(self.law.parameters)
        }

    def predict(self, columns: Columns, level: float = LEVEL) -> tuple[Array, Array, Array]:
        """Return median, lower and upper loss, each (n,), over all half-lives that the data allow."""
        if not 0.0 < level < 1.0:
            raise BadInputError(f"level = {level}: must lie between 0 and 1, such as 0.9")
        rows = self.weights > _LEAST_WEIGHT * self.weights.max()
        losses = np.exp(self.law.surface(needed(self.law, columns)).log_loss(self.theta[rows]))
        levels = np.array([0.5, (1.0 - level) / 2.0, (1.0 + level) / 2.0])
        found = np.stack([_weighted_quantiles(loss, self.weights[rows], levels) for loss in losses.T], axis=1)
        return found[0], found[1], found[2]


def over_own_base(runs: Runs) -> DataConstrained:
    """Return the law over a base that is fitted to those of the runs that saw no token twice.

    Raises BadRunsError where they cannot determine one, UnknownNameError without the column unique_tokens.
    """
    columns = needed(DATA_CONSTRAINED, runs.columns())
    once = runs.where(columns["tokens"] <= _ONCE * columns["unique_tokens"])
    values = fit(once, HOFFMANN).values
    base = Base(values["E"], values["A"], values["B"], values["alpha"], values["beta"])
    paper = DATA_CONSTRAINED.source.partition(", over")[0]
    return DataConstrained(base, source=f"{paper}, over a base fitted to the {len(once)} runs of one epoch")


def posterior(law: DataConstrained, runs: Runs, *, delta: float = DELTA) -> Posterior:
    """Return what the runs say of both half-lives.

    The Huber sum of residuals well above δ is δ times the sum of their sizes: that of Laplace noise, whose scale, at
    its most likely, turns the objective F into the likelihood F^−n.
    """
    axis = np.log(np.geomspace(*_RANGE, _POINTS))
    theta = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    problem = _problem(law, runs, delta)
    objective = np.concatenate([problem.objective(theta[at : at + _CHUNK]) for at in range(0, len(theta), _CHUNK)])
    log_weights = -len(runs) * np.log(objective / objective.min())
    weights = np.exp(log_weights)
    return Posterior(law, theta, weights / weights.sum(), objective)


def profile(found: Posterior, name: str) -> tuple[Array, Array]:
    """Return a half-life, (k,), and the least objective over the other one at each, (k,). Raises BadInputError."""
    names = [parameter.name for parameter in found.law.parameters]
    if name not in names:
        raise BadInputError(f"profile of {name!r}: must be one of {', '.join(names)}")
    at = names.index(name)
    square = found.objective.reshape(_POINTS, _POINTS)
    return np.exp(np.unique(found.theta[:, at])), square.min(axis=1 - at)


def _problem(law: DataConstrained, runs: Runs, delta: float) -> Problem:
    low, high = bounds_of(law)
    surface = law.surface(needed(law, runs.columns()))
    return Problem(surface, np.log(runs.loss), np.ones((1, len(runs))), low, high, delta)


def _weighted_quantiles(values: Array, weights: Array, levels: Array) -> Array:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    rows = np.minimum(np.searchsorted(cumulative, levels * cumulative[-1]), len(values) - 1)
    return np.asarray(values[order][rows])
