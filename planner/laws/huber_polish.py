"""The Huber objective of log residuals, minimised for many candidates or resamples at once.

Hoffmann et al. (2022), eq. 3: Σ_i huber_δ(ln predicted_i − ln loss_i), δ = 1e-3. Between its kinks the objective is
smooth, so that Newton's method ends exactly; far from the end its Hessian may be singular or indefinite, and the
step leans on the Gauss-Newton matrix of the reweighted least squares that majorise it. Both are changed alike by any
linear change of coordinates: units do not matter.
"""

from dataclasses import dataclass

import numpy as np

from planner.laws.law import Surface
from planner.laws.runs import Array

DELTA = 1e-3
_ITERATIONS = 300
_CHUNK = 128
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1.0, 1e-10, 1e12
_LONGEST_STEP = 2.0
_CONVERGED = 1e-15
_RIDGE = 1e-13


@dataclass(frozen=True, slots=True)
class Polished:
    """Where each candidate ended: coordinates (b, p), objective (b,), and whether a step could no longer lower it."""

    theta: Array
    objective: Array
    is_converged: np.ndarray


@dataclass(frozen=True, slots=True)
class Problem:
    """What is minimised: weights are (b, n) or (1, n), bounds are coordinates (p,)."""

    surface: Surface
    log_loss: Array
    weights: Array
    low: Array
    high: Array
    delta: float = DELTA

    def of(self, rows: np.ndarray) -> "Problem":
        """Return the problem of these candidates."""
        weights = self.weights if len(self.weights) == 1 else self.weights[rows]
        return Problem(self.surface, self.log_loss, weights, self.low, self.high, self.delta)

    def objective(self, theta: Array) -> Array:
        """Return the weighted Huber sum, (b,)."""
        return self.huber(self.surface.log_loss(theta) - self.log_loss)

    def huber(self, residual: Array) -> Array:
        """Return the weighted Huber sum, (b,), of residuals (b, n)."""
        size = np.abs(residual)
        least = np.minimum(size, self.delta)
        return np.asarray((self.weights * least * (size - 0.5 * least)).sum(axis=-1))


def polish(problem: Problem, theta: Array) -> Polished:
    """Return the minima that the candidates `theta`, (b, p), lead to."""
    parts = []
    for at in range(0, len(theta), _CHUNK):
        rows = np.arange(at, min(at + _CHUNK, len(theta)))
        parts.append(_polish(problem.of(rows), theta[rows]))
    return Polished(
        np.concatenate([part.theta for part in parts]),
        np.concatenate([part.objective for part in parts]),
        np.concatenate([part.is_converged for part in parts]),
    )


def _polish(problem: Problem, theta: Array) -> Polished:
    theta = np.clip(theta, problem.low, problem.high)
    objective = problem.objective(theta)
    damping = np.full(len(theta), _FIRST_DAMPING)
    is_done = np.zeros(len(theta), dtype=np.bool_)
    for _ in range(_ITERATIONS):
        rows = np.flatnonzero(~is_done)
        if not len(rows):
            break
        part = problem.of(rows)
        step, promised = _step(part, theta[rows], damping[rows])
        trial = np.clip(theta[rows] + step, problem.low, problem.high)
        found = part.objective(trial)
        better = found < objective[rows]
        theta[rows[better]], objective[rows[better]] = trial[better], found[better]
        damping[rows] = np.where(
            better, np.maximum(damping[rows] / 8.0, _LEAST_DAMPING), np.maximum(damping[rows], 1e-4) * 8.0
        )
        nothing_left = (promised >= 0) & (promised <= _CONVERGED * objective[rows])
        is_done[rows] = (nothing_left & ~better) | (damping[rows] > _MOST_DAMPING)
    return Polished(theta, objective, is_done)


def _step(problem: Problem, theta: Array, damping: Array) -> tuple[Array, Array]:
    """Return the damped Newton step, (b, p), and how much it promises to lower the objective, (b,)."""
    around = problem.surface.expand(theta)
    residual = around.log_loss - problem.log_loss
    size = np.maximum(np.abs(residual), 1e-300)
    pull = problem.weights * np.clip(residual, -problem.delta, problem.delta)
    gradient = np.matmul(pull[:, None, :], around.gradient)[:, 0, :]
    transposed = around.gradient.transpose(0, 2, 1)
    inside = problem.weights * (size <= problem.delta)
    hessian = np.matmul(transposed * inside[:, None, :], around.gradient) + around.curvature(pull)
    majorant = np.matmul(
        transposed * (problem.weights * np.minimum(1.0, problem.delta / size))[:, None, :], around.gradient
    )
    return _solved(problem, theta, gradient, hessian + damping[:, None, None] * majorant, majorant)


def _solved(
    problem: Problem, theta: Array, gradient: Array, matrix: Array, majorant: Array
) -> tuple[Array, Array]:
    """Solve for the step, holding coordinates that stand at a bound and would leave it."""
    held = ((theta <= problem.low) & (gradient > 0)) | ((theta >= problem.high) & (gradient < 0))
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("bpp->bp", majorant), 1e-300))
    free = ~held[:, :, None] & ~held[:, None, :]
    system = np.where(free, matrix * scale[:, :, None] * scale[:, None, :], 0.0)
    diagonal = np.arange(theta.shape[1])
    system[:, diagonal, diagonal] = np.where(held, 1.0, system[:, diagonal, diagonal] + _RIDGE)
    right = np.where(held, 0.0, -gradient * scale)
    step = np.linalg.solve(system, right[..., None])[..., 0] * scale
    step = np.where(np.isfinite(step), step, 0.0)
    longest = np.abs(step).max(axis=1, keepdims=True)
    step *= np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
    return step, -0.5 * (gradient * step).sum(axis=1)
