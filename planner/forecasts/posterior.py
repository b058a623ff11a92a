"""Fits of the interaction law under priors, many at once: batched Levenberg-Marquardt on a Huber loss of ln L."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def fit(runs: Runs, priors: Sequence[Prior], *, iterations: int = ITERATIONS) -> Posterior:
    """Return the modes under each of `priors`, each the best of two starts. Some 2 ms each for a hundred runs."""
    reference = Reference.of(runs)
    at_once = max(1, _AT_ONCE // len(runs))
    parts = [
        _fit_at_once(runs, reference, priors[first : first + at_once], iterations)
        for first in range(0, len(priors), at_once)
    ]
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
    total = state.cost + problem.weights.sum(axis=1) * np.log(state.scale)
    total = np.where(np.isfinite(total), total, np.inf).reshape(len(priors), len(STARTS))
    best = total.argmin(axis=1) + len(STARTS) * np.arange(len(priors))
    precision, _ = state.normal_equations()
    return state.theta[best], precision[best], state.scale[best]


def weights_of(runs: Runs, prior: Prior) -> Array:
    """Return how much each run says, shape (n,). They sum to `effective_runs`, or n where that is less."""
    weights = (runs.flops / runs.flops.max()) ** prior.recency
    return np.asarray(weights / weights.mean() * min(1.0, prior.effective_runs / len(runs)))


def weighted_quantile(values: Array, weights: Array, quantile: float = 0.5) -> Array:
    """Return the least value of each row, shape (s, n), at or below which lies `quantile` of the row's weight."""
    order = values.argsort(axis=1)
    mass = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    last = values.shape[1] - 1
    at = np.minimum((mass < quantile * mass[:, -1:]).sum(axis=1), last)[:, None]
    return np.take_along_axis(np.take_along_axis(values, order, axis=1), at, axis=1)[:, 0]


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


class _State:
    """Where s fits are: parameters, residuals, derivatives, noise, cost. A step that is no better is undone."""

    def __init__(self, problem: _Problem, theta: Array) -> None:
        self.problem = problem
        self.theta = theta
        self.scale = np.full(len(theta), _FIRST_SCALE)
        self.damping = np.full(len(theta), _DAMPING[1])
        self.residual, self.gradient = self._residual(theta)
        self.cost = self._cost(theta, self.residual)

    def rescale(self) -> None:
        """Estimate the noise anew."""
        self.scale = np.hypot(_NORMAL_MAD * self.deviation(), self.problem.noise_floor)
        self.cost = self._cost(self.theta, self.residual)

    def deviation(self) -> Array:
        """Return the weighted median of |residual| of each fit."""
        return weighted_quantile(np.abs(self.residual), self.problem.weights)

    def step(self) -> None:
        """Try one damped Gauss-Newton step of each fit."""
        matrix, slope = self.normal_equations()
        diagonal = np.einsum("sii->si", matrix)
        damped = matrix + np.eye(NUM_PARAMETERS) * (self.damping[:, None] * diagonal + _DAMPING[0])[:, None, :]
        step = np.clip(np.linalg.solve(damped, slope[..., None])[..., 0], -_LONGEST_STEP, _LONGEST_STEP)
        theta = self.theta + step
        residual, gradient = self._residual(theta)
        cost = self._cost(theta, residual)
        better = np.isfinite(cost) & (cost <= self.cost)
        self.theta = np.where(better[:, None], theta, self.theta)
        self.residual = np.where(better[:, None], residual, self.residual)
        self.gradient = np.where(better[:, None, None], gradient, self.gradient)
        self.cost = np.where(better, cost, self.cost)
        self.damping = np.clip(np.where(better, self.damping * 0.3, self.damping * 5.0), _DAMPING[0], _DAMPING[2])

    def normal_equations(self) -> tuple[Array, Array]:
        """Return the Gauss-Newton matrices (s, 6, 6) and the descents (s, 6) where the fits are."""
        size = np.abs(self.residual) / self.scale[:, None]
        robust = np.minimum(1.0, HUBER / np.maximum(size, 1e-12))
        weighted = self.gradient * (self.problem.weights * robust / self.scale[:, None] ** 2)[..., None]
        matrix = weighted.transpose(0, 2, 1) @ self.gradient + self.problem.prior_precision
        pull = np.einsum("srp,sr->sp", self.problem.prior_rows, self._prior_residual(self.theta))
        return matrix, np.einsum("snp,sn->sp", weighted, self.residual) - pull

    def _residual(self, theta: Array) -> tuple[Array, Array]:
        value, gradient = log_loss_and_gradient(theta, self.problem.x, self.problem.y)
        return self.problem.z - value, gradient

    def _prior_residual(self, theta: Array) -> Array:
        expected: Array = np.einsum("srp,sp->sr", self.problem.prior_rows, theta)
        return np.asarray(expected - self.problem.prior_means)

    def _cost(self, theta: Array, residual: Array) -> Array:
        size = np.abs(residual) / self.scale[:, None]
        huber = np.where(size <= HUBER, 0.5 * size**2, HUBER * size - 0.5 * HUBER**2)
        cost: Array = (self.problem.weights * huber).sum(axis=1)
        return np.asarray(cost + 0.5 * (self._prior_residual(theta) ** 2).sum(axis=1))
