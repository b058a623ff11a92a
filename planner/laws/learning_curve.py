"""How low a run that is under way will get: its learning curve, completed under the schedule that it will follow.

Tissue et al. 2024, "Scaling law with learning rate annealing" (arXiv 2408.11029), eq. 1: after step s of a run with
learning rates η_1, η_2, ...,

    L(s) = L0 + A · S1^−alpha − C · S2,   S1 = Σ_{i ≤ s} η_i,   S2 = Σ_{i ≤ s} Σ_{k ≤ i} (η_{k−1} − η_k) · λ^(i−k):

progress goes with the area under the learning rate, and annealing pays on top, with a delay. λ = 0.999 is theirs.
"""

import numpy as np

from planner.errors import BadInputError
from planner.laws.curvature import differenced_curvature
from planner.laws.law import Columns, Expansion, coefficient, exponent
from planner.laws.runs import Array

DECAY = 0.999
_ALPHAS = np.geomspace(0.02, 3.0, 60)
_LEAST_LOSS = 1e-9


def areas(learning_rates: Array, decay: float = DECAY) -> tuple[Array, Array]:
    """Return S1 and S2 after each step of a run with these learning rates, (steps,).

    Raises BadInputError for rates that are not positive and finite, or a decay outside [0, 1).
    """
    if not 0.0 <= decay < 1.0:
        raise BadInputError(f"decay = {decay}: must lie in [0, 1)")
    if not (np.isfinite(learning_rates) & (learning_rates > 0.0)).all():
        raise BadInputError("learning rates of a schedule must be finite and greater than 0 at every step")
    drops = np.maximum(-np.diff(learning_rates, prepend=learning_rates[:1]), 0.0)
    momentum = np.empty_like(drops)
    carried = 0.0
    for step, drop in enumerate(drops):  # warm-up raises the rate: no annealing, as in the paper
        carried = decay * carried + drop
        momentum[step] = carried
    return np.cumsum(learning_rates), np.cumsum(momentum)


class LearningCurve:
    """L = L0 + A / S1^alpha − C · S2 of the areas of a schedule."""

    name = "learning_curve"
    source = "Tissue et al. 2024 (arXiv 2408.11029), eq. 1: L = L0 + A S1^-alpha - C S2"
    columns = ("forward_area", "annealing_area")
    parameters = (coefficient("L0"), coefficient("A"), coefficient("C"), exponent("alpha"))

    def surface(self, columns: Columns) -> "LearningCurveSurface":
        """Return the law over points with these columns."""
        return LearningCurveSurface(np.log(columns["forward_area"]), columns["annealing_area"])

    def starts(self, columns: Columns, loss: Array, count: int) -> Array:
        """Return the best of a grid of alpha, each with the L0, A and C that fit best."""
        found = [_projected(columns["forward_area"], columns["annealing_area"], loss, alpha) for alpha in _ALPHAS]
        found.sort(key=lambda pair: pair[0])
        return np.array([theta for _, theta in found[:count]])


class LearningCurveSurface:
    """The surface over the logarithm of S1 and S2, each (n,)."""

    def __init__(self, log_forward: Array, annealing: Array) -> None:
        self._log_forward = log_forward
        self._annealing = annealing

    def log_loss(self, theta: Array) -> Array:
        """Return ln loss, (b, n)."""
        return np.log(self._loss(theta))

    def expand(self, theta: Array) -> Expansion:
        """Return ln loss, its gradient and its curvature."""
        return Expansion(self.log_loss(theta), self._gradient(theta), differenced_curvature(self._gradient, theta))

    def _parts(self, theta: Array) -> tuple[Array, Array, Array]:
        floor = np.exp(theta[:, 0:1])
        forward = np.exp(theta[:, 1:2] - theta[:, 3:4] * self._log_forward)
        return floor, forward, np.exp(theta[:, 2:3]) * self._annealing

    def _loss(self, theta: Array) -> Array:
        floor, forward, annealed = self._parts(theta)
        return np.maximum(floor + forward - annealed, _LEAST_LOSS)

    def _gradient(self, theta: Array) -> Array:
        floor, forward, annealed = self._parts(theta)
        loss = self._loss(theta)
        wide = floor + 0.0 * forward
        return np.stack([wide, forward, -annealed, -forward * self._log_forward], axis=-1) / loss[..., None]


def _projected(forward: Array, annealing: Array, loss: Array, alpha: float) -> tuple[float, Array]:
    scale = np.exp(np.log(forward).mean())
    basis = np.stack([np.ones_like(loss), (forward / scale) ** -alpha, -annealing], axis=1) / loss[:, None]
    width = np.maximum(np.linalg.norm(basis, axis=0), 1e-300)
    solution = np.linalg.lstsq(basis / width, np.ones_like(loss), rcond=None)[0]
    solution = np.maximum(solution, 1e-4 * np.sqrt(len(loss))) / width
    error = float(((basis @ solution - 1.0) ** 2).sum())
    return error, np.array(
        [np.log(solution[0]), np.log(solution[1]) + alpha * np.log(scale), np.log(solution[2]), alpha]
    )


LEARNING_CURVE = LearningCurve()
