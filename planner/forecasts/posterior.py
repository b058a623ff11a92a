"""Fits of the interaction law under priors, many at once: batched Levenberg-Marquardt on a Huber loss of ln L."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from planner.forecasts.interaction_law import (
    FLOOR,
    LOG_KAPPA,
    NUM_PARAMETERS,
    PARAMS_EXPONENT,
    TOKENS_EXPONENT,
    Array,
    Reference,
    log_loss,
    log_loss_and_gradient,
)
from planner.forecasts.priors import Prior
from planner.laws.runs import Runs

HUBER = 1.345
"""In standard deviations: 95 % efficient on normal errors (Huber 1981)."""
STARTS = np.array([[-0.5, -1.7, -1.7, 0.35, 0.35, 0.0], [-0.2, -2.5, -2.5, 0.6, 0.6, 0.0]])
ITERATIONS = 25
_SCALE_EVERY, _SCALE_UNTIL = 4, 25
_FIRST_SCALE = 0.02
_LONGEST_STEP = 0.7
_NORMAL_MAD = 1.4826
_AT_ONCE = 10_000
"""Priors times runs to fit at once: it bounds the memory, to some 10 MB."""
_DAMPING = (1e-9, 1e-2, 1e6)
_BLOCK = 2048
"""Runs to look at together: all that is made of them on the way stays in the cache."""
_WIDE, _SAMPLE, _NEAR = 4096, 1024, 0.06
"""Rows that are longer are sorted only near the quantile, as a sample of so many says, give or take such a share."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The fits of m priors to the same runs, as normal distributions about their modes (Laplace)."""

    reference: Reference
    theta: Array
    """Modes, shape (m, 6)."""
    precision: Array
    """Inverse covariances, shape (m, 6, 6)."""
    scale: Array
    """Standard deviations of ln L about the law, robust, shape (m,)."""

    def select(self, which: slice) -> "Posterior":
        """Return some of the fits."""
        return Posterior(self.reference, self.theta[which], self.precision[which], self.scale[which])

    def log_loss(self, params: Array, tokens: Array) -> Array:
        """Return ln L of each fit at n points, shape (m, n)."""
        return log_loss(self.theta, *self.reference.coordinates(params, tokens)) + self.reference.log_loss

    def variance(self, params: Array, tokens: Array) -> Array:
        """Return what the uncertainty of the parameters adds to ln L at n points (Laplace), shape (m, n)."""
        _, gradient = log_loss_and_gradient(self.theta, *self.reference.coordinates(params, tokens))
        return np.asarray(np.einsum("mni,mij,mnj->mn", gradient, np.linalg.pinv(self.precision), gradient))


def fit(
    runs: Runs,
    priors: Sequence[Prior],
    *,
    iterations: int = ITERATIONS,
    tell: Callable[[int, int], None] | None = None,
) -> Posterior:
    """Return the modes under each of `priors`, each the best of two starts; `tell` hears how many are done, of all.

    Each takes some .5 ms for a hundred runs, 60 ms for 20,000.
    """
    reference = Reference.of(runs)
    at_once = max(1, _AT_ONCE // len(runs))
    parts = []
    for first in range(0, len(priors), at_once):
        parts.append(_fit_at_once(runs, reference, priors[first : first + at_once], iterations))
        if tell is not None:
            tell(min(first + at_once, len(priors)), len(priors))
    theta, precision, scale = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Posterior(reference, theta, precision, scale)


def _fit_at_once(
    runs: Runs, reference: Reference, priors: Sequence[Prior], iterations: int
) -> tuple[Array, Array, Array]:
    problem = _Problem(runs, reference, [prior for prior in priors for _ in STARTS])
    state = _State(problem, np.tile(STARTS, (len(priors), 1)))
    for iteration in range(iterations):
        if iteration % _SCALE_EVERY == 0 and iteration < _SCALE_UNTIL:
            state.rescale()
        state.step()
    total = state.at.cost + problem.weights.sum(axis=1) * np.log(state.scale)
    total = np.where(np.isfinite(total), total, np.inf).reshape(len(priors), len(STARTS))
    best = total.argmin(axis=1) + len(STARTS) * np.arange(len(priors))
    return state.at.theta[best], state.at.matrix[best], state.scale[best]


def weights_of(runs: Runs, prior: Prior) -> Array:
    """Return how much each run says, shape (n,). They sum to `effective_runs`, or n where that is less."""
    weights = (runs.flops / runs.flops.max()) ** prior.recency
    return np.asarray(weights / weights.mean() * min(1.0, prior.effective_runs / len(runs)))


def weighted_quantile(values: Array, weights: Array, quantile: float = 0.5) -> Array:
    """Return the least value of each row, shape (s, n), at or below which lies `quantile` of the row's weight."""
    if values.shape[1] > _WIDE:
        return np.array([_wide_quantile(*row, quantile) for row in zip(values, weights, strict=True)])
    order = values.argsort(axis=1)
    mass = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    last = values.shape[1] - 1
    at = np.minimum((mass < quantile * mass[:, -1:]).sum(axis=1), last)[:, None]
    return np.take_along_axis(np.take_along_axis(values, order, axis=1), at, axis=1)[:, 0]


def _wide_quantile(values: Array, weights: Array, quantile: float) -> float:
    stride = len(values) // _SAMPLE
    sample = values[::stride]
    order = sample.argsort()
    mass = weights[::stride][order].cumsum()
    ends = mass[-1] * np.array([quantile - _NEAR, quantile + _NEAR])
    low, high = sample[order[np.minimum(np.searchsorted(mass, ends), len(order) - 1)]]
    target, below = quantile * weights.sum(), weights[values < low].sum()
    near = np.flatnonzero((values >= low) & (values <= high))
    if not below < target <= below + weights[near].sum():
        near, below = np.arange(len(values)), 0.0
    near = near[values[near].argsort()]
    at = np.searchsorted(below + weights[near].cumsum(), target)
    return float(values[near[min(at, len(near) - 1)]])


def _prior_rows(prior: Prior) -> tuple[Array, Array]:
    rows, means = np.zeros((5, NUM_PARAMETERS)), np.zeros(5)
    normals = (
        (FLOOR, prior.log_floor, prior.log_floor_sd),
        (PARAMS_EXPONENT, prior.exponent, prior.exponent_sd),
        (TOKENS_EXPONENT, prior.exponent, prior.exponent_sd),
        (LOG_KAPPA, 0.0, prior.log_kappa_sd),
    )
    for row, (at, mean, sd) in enumerate(normals):
        rows[row, at], means[row] = 1.0 / sd, mean / sd
    rows[4, PARAMS_EXPONENT], rows[4, TOKENS_EXPONENT] = 1.0 / prior.exponent_gap_sd, -1.0 / prior.exponent_gap_sd
    return rows, means


class _Problem:
    """What does not change during the iterations: coordinates, weights (s, n) and priors as r = R θ - q."""

    def __init__(self, runs: Runs, reference: Reference, priors: Sequence[Prior]) -> None:
        self.x, self.y = reference.coordinates(runs.params, runs.tokens)
        self.z = np.log(runs.loss) - reference.log_loss
        self.weights = np.array([weights_of(runs, prior) for prior in priors])
        self.noise_floor = np.array([prior.noise_floor for prior in priors])
        rows = [_prior_rows(prior) for prior in priors]
        self.prior_rows = np.array([matrix for matrix, _ in rows])
        self.prior_means = np.array([mean for _, mean in rows])
        self.prior_precision = self.prior_rows.transpose(0, 2, 1) @ self.prior_rows

    def look(self, theta: Array, scale: Array) -> "_Place":
        """Return what is at `theta`, shape (s, 6), where the noise is `scale`, shape (s,)."""
        off = np.einsum("srp,sp->sr", self.prior_rows, theta) - self.prior_means
        cost, matrix = 0.5 * (off**2).sum(axis=1), self.prior_precision.copy()
        slope = -np.einsum("srp,sr->sp", self.prior_rows, off)
        residual = np.empty((len(theta), len(self.z)))
        per_scale = 1.0 / scale[:, None]
        for first in range(0, len(self.z), _BLOCK):
            some = slice(first, first + _BLOCK)
            value, gradient = log_loss_and_gradient(theta, self.x[some], self.y[some])
            left = np.subtract(self.z[some], value, out=residual[:, some])
            weights, size = self.weights[:, some], np.abs(left) * per_scale
            clipped = np.minimum(size, HUBER)
            cost += np.einsum("sn,sn,sn->s", weights, clipped, size - 0.5 * clipped)  # Huber's loss
            robust = np.minimum(1.0, HUBER / np.maximum(size, 1e-12))
            robust *= weights
            robust *= per_scale**2
            weighted = (gradient * robust[..., None]).transpose(0, 2, 1)
            matrix += weighted @ gradient
            slope += (weighted @ left[..., None])[..., 0]
        return _Place(theta, residual, cost, matrix, slope)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where s fits are: parameters (s, 6), residuals (s, n), cost (s,), Gauss-Newton matrices and descents."""

    theta: Array
    residual: Array
    cost: Array
    matrix: Array
    slope: Array

    def where(self, better: NDArray[np.bool_], other: "_Place") -> "_Place":
        """Return this place for the fits that are `better` here, and the other for the rest."""
        if better.all():
            return self
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return _Place(*(np.where(better.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs) for mine, theirs in pairs))


class _State:
    """How far s fits are: where, under which noise, and how damped. A step that is no better is undone."""

    def __init__(self, problem: _Problem, theta: Array) -> None:
        self.problem = problem
        self.scale = np.full(len(theta), _FIRST_SCALE)
        self.damping = np.full(len(theta), _DAMPING[1])
        self.at = problem.look(theta, self.scale)

    def rescale(self) -> None:
        """Estimate the noise anew, from the weighted median of |residual| of each fit."""
        deviation = weighted_quantile(np.abs(self.at.residual), self.problem.weights)
        self.scale = np.hypot(_NORMAL_MAD * deviation, self.problem.noise_floor)
        self.at = self.problem.look(self.at.theta, self.scale)

    def step(self) -> None:
        """Try one damped Gauss-Newton step of each fit."""
        at = self.at
        diagonal = np.einsum("sii->si", at.matrix)
        damped = at.matrix + np.eye(NUM_PARAMETERS) * (self.damping[:, None] * diagonal + _DAMPING[0])[:, None, :]
        step = np.clip(np.linalg.solve(damped, at.slope[..., None])[..., 0], -_LONGEST_STEP, _LONGEST_STEP)
        tried = self.problem.look(at.theta + step, self.scale)
        better = np.isfinite(tried.cost) & (tried.cost <= at.cost)
        self.at = tried.where(better, at)
        self.damping = np.clip(np.where(better, self.damping * 0.3, self.damping * 5.0), _DAMPING[0], _DAMPING[2])
