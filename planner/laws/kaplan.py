"""Kaplan et al. 2020: the law before Hoffmann's, without a floor."""

import numpy as np

from planner.laws.curvature import differenced_curvature
from planner.laws.law import Columns, Expansion, Parameter, coefficient
from planner.laws.runs import Array
from planner.laws.variable_projection import project

_RATIOS = np.array([0.3, 0.5, 0.7, 0.9, 1.1, 1.4])
_POWERS = np.array([0.03, 0.05, 0.075, 0.1, 0.14, 0.2, 0.3, 0.45])


class Kaplan:
    """L(N, D) = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D."""

    name = "kaplan"
    source = "Kaplan et al. 2020 (arXiv 2001.08361), eq. 1.5; N without embeddings"
    columns = ("params", "tokens")
    parameters = (
        coefficient("N_c"),
        coefficient("D_c"),
        Parameter("alpha_N", 1e-3, 4.0, is_log=False),
        Parameter("alpha_D", 1e-3, 4.0, is_log=False),
    )

    def surface(self, columns: Columns) -> "KaplanSurface":
        """Return the law over runs with these columns."""
        return KaplanSurface(np.log(columns["params"]), np.log(columns["tokens"]))

    def starts(self, columns: Columns, loss: Array, count: int) -> Array:
        """Return the best of a grid of exponents: for a given alpha_D, loss^(1/alpha_D) is a sum of power laws."""
        features = np.zeros((len(loss), 2, 2))
        features[:, 0, 0], features[:, 1, 1] = -np.log(columns["params"]), -np.log(columns["tokens"])
        centre = features.mean(axis=0)
        candidates = []
        for power in _POWERS:
            exponents = np.stack([_RATIOS, np.ones_like(_RATIOS)], axis=1)
            _, solution = project(features - centre, loss ** (1.0 / power), exponents)
            logs = np.log(solution) - np.einsum("kq,gq->gk", centre, exponents)
            powers = np.full_like(_RATIOS, power)
            candidates.append(np.stack([logs[:, 0] / _RATIOS, logs[:, 1], _RATIOS * power, powers], axis=1))
        theta = np.concatenate(candidates)
        error = ((self.surface(columns).log_loss(theta) - np.log(loss)) ** 2).sum(axis=1)
        return np.asarray(theta[np.argsort(error, kind="stable")[:count]])


class KaplanSurface:
    """The surface of Kaplan's law over the logarithms of sizes and tokens, (n,)."""

    def __init__(self, log_params: Array, log_tokens: Array) -> None:
        self._log_params = log_params
        self._log_tokens = log_tokens

    def log_loss(self, theta: Array) -> Array:
        """Return ln loss, (b, n)."""
        return theta[:, 3:4] * self._parts(theta)[0]

    def expand(self, theta: Array) -> Expansion:
        """Return ln loss, its gradient and its curvature."""
        return Expansion(self.log_loss(theta), self._gradient(theta), differenced_curvature(self._gradient, theta))

    def _parts(self, theta: Array) -> tuple[Array, Array, Array]:
        distance = theta[:, 0:1] - self._log_params
        of_params = theta[:, 2:3] / theta[:, 3:4] * distance
        of_tokens = theta[:, 1:2] - self._log_tokens
        total = np.logaddexp(of_params, of_tokens)
        return total, np.exp(of_params - total), distance

    def _gradient(self, theta: Array) -> Array:
        total, share, distance = self._parts(theta)
        alpha_n, alpha_d = theta[:, 2:3], theta[:, 3:4]
        return np.stack(
            [
                alpha_n * share,
                alpha_d * (1.0 - share),
                share * distance,
                total - share * alpha_n / alpha_d * distance,
            ],
            axis=-1,
        )


KAPLAN = Kaplan()
