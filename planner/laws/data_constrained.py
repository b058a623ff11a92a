"""Muennighoff et al. 2023: what repeated tokens are worth.

"Scaling data-constrained language models" (arXiv 2305.16264), eqs. 5 and 6: with U_D unique tokens, R_D = D/U_D − 1
repetitions, U_N = min(N, the compute-optimal parameters for U_D), R_N = N/U_N − 1,

    L = E + A / N'^alpha + B / D'^beta,   D' = U_D + U_D · R_D* · (1 − exp(−R_D / R_D*)),

and N' likewise of U_N, R_N and R_N*.

R_D* and R_N* are fitted; the rest is held from a fit on runs without repetition.
"""

from dataclasses import dataclass

import numpy as np

from planner.laws.curvature import differenced_curvature
from planner.laws.law import Columns, Expansion, Parameter
from planner.laws.runs import Array

_STARTS = np.geomspace(0.3, 3000.0, 14)


@dataclass(frozen=True, slots=True)
class Base:
    """L = E + A / N^alpha + B / D^beta for data seen once."""

    floor: float
    coefficient_a: float
    coefficient_b: float
    alpha: float
    beta: float

    def optimal_params(self, tokens: Array) -> Array:
        """Return the parameters for which that many tokens are compute-optimal (Hoffmann et al. 2022, eq. 4)."""
        ratio = self.alpha * self.coefficient_a / (self.beta * self.coefficient_b)
        balance = ratio ** (1.0 / (self.alpha + self.beta))
        return np.asarray((tokens * balance) ** (self.beta / self.alpha) * balance)


C4 = Base(
    floor=float(np.exp(0.6254804)),
    coefficient_a=float(np.exp(6.255414)),
    coefficient_b=float(np.exp(7.3049974)),
    alpha=0.3526596,
    beta=0.3526596,
)
"""The base of Muennighoff et al. on C4, as printed by their notebook (utils/parametric_fit.ipynb of datablations)."""

PUBLISHED = {"R_D*": 15.387756, "R_N*": 5.309743}


@dataclass(frozen=True)
class DataConstrained:
    """The law over a base; its parameters are the two half-lives of repetition."""

    base: Base = C4
    name: str = "data_constrained"
    source: str = "Muennighoff et al. 2023 (arXiv 2305.16264), eqs. 5 and 6, over their base on C4"
    columns: tuple[str, ...] = ("params", "tokens", "unique_tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("R_D*", 1e-3, 1e12, is_log=True),
        Parameter("R_N*", 1e-3, 1e12, is_log=True),
    )

    def surface(self, columns: Columns) -> "DataConstrainedSurface":
        """Return the law over runs with these columns."""
        return DataConstrainedSurface(self.base, columns["params"], columns["tokens"], columns["unique_tokens"])

    def starts(self, columns: Columns, loss: Array, count: int) -> Array:
        """Return the best of a grid of both half-lives: the objective has several valleys."""
        grid = np.log(np.stack(np.meshgrid(_STARTS, _STARTS, indexing="ij"), axis=-1).reshape(-1, 2))
        error = np.abs(self.surface(columns).log_loss(grid) - np.log(loss)).sum(axis=1)
        return np.asarray(grid[np.argsort(error, kind="stable")[: 4 * count]])


class DataConstrainedSurface:
    """The surface over runs: every array (n,)."""

    def __init__(self, base: Base, params: Array, tokens: Array, unique_tokens: Array) -> None:
        self._base = base
        self._unique_tokens = np.minimum(unique_tokens, tokens)
        self._unique_params = np.minimum(base.optimal_params(self._unique_tokens), params)
        self._repeats = tokens / self._unique_tokens - 1.0
        self._excess = params / self._unique_params - 1.0

    def log_loss(self, theta: Array) -> Array:
        """Return ln loss, (b, n)."""
        of_params, of_tokens = self._terms(theta)
        return np.log(self._base.floor + of_params + of_tokens)

    def expand(self, theta: Array) -> Expansion:
        """Return ln loss, its gradient and its curvature."""
        return Expansion(self.log_loss(theta), self._gradient(theta), differenced_curvature(self._gradient, theta))

    def _terms(self, theta: Array) -> tuple[Array, Array]:
        tokens = self._unique_tokens * (1.0 + _saturated(self._repeats, theta[:, 0:1])[0])
        params = self._unique_params * (1.0 + _saturated(self._excess, theta[:, 1:2])[0])
        base = self._base
        return base.coefficient_a * params**-base.alpha, base.coefficient_b * tokens**-base.beta

    def _gradient(self, theta: Array) -> Array:
        of_params, of_tokens = self._terms(theta)
        loss = self._base.floor + of_params + of_tokens
        repeats, by_tokens = _saturated(self._repeats, theta[:, 0:1])
        excess, by_params = _saturated(self._excess, theta[:, 1:2])
        return np.stack(
            [
                -self._base.beta * of_tokens * by_tokens / (1.0 + repeats) / loss,
                -self._base.alpha * of_params * by_params / (1.0 + excess) / loss,
            ],
            axis=-1,
        )


def _saturated(repeats: Array, log_half_life: Array) -> tuple[Array, Array]:
    """Return h · (1 − exp(−repeats / h)), and its derivative by ln h."""
    half_life = np.exp(log_half_life)
    ratio = repeats / half_life
    saturated = -half_life * np.expm1(-ratio)
    return saturated, saturated - repeats * np.exp(-ratio)


DATA_CONSTRAINED = DataConstrained()
