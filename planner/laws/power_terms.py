"""Laws that are sums of power laws: most of them. One implementation of prediction, derivatives and linear basis.

loss = Σ_k exp(a_k) · Π_e exp(−φ_ke · θ_e), where each φ_ke is a sum of signed logarithms of columns. So the logarithm
of each term is linear in the coordinates, t = U·θ, the log loss is a log-sum-exp of linear functions, and with the
shares s_k = exp(t_k) / Σ exp(t) its gradient is Σ s_k U_k and its Hessian Σ s_k U_k U_kᵀ − gradient·gradientᵀ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from planner.laws.law import Columns, Expansion, Parameter, coefficient, exponent
from planner.laws.runs import Array
from planner.laws.variable_projection import projected_starts


@dataclass(frozen=True, slots=True)
class Term:
    """coefficient · Π column^(−sign · exponent): the powers map an exponent's name to its columns and their signs.

    The pseudo-column `active` is 1 − sparsity.
    """

    coefficient: str
    powers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class PowerTerms:
    """A sum of terms. See Law for what its attributes mean."""

    name: str
    source: str
    columns: tuple[str, ...]
    terms: tuple[Term, ...]
    free_sign: tuple[str, ...] = ()
    """Exponents that may be negative too."""

    @cached_property
    def exponents(self) -> tuple[str, ...]:
        """The names of the exponents, each once."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.powers))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Coefficients in the order of the terms, then exponents."""
        falls = tuple(
            Parameter(name, -4.0, 4.0, is_log=False) if name in self.free_sign else exponent(name)
            for name in self.exponents
        )
        return (*(coefficient(term.coefficient) for term in self.terms), *falls)

    def surface(self, columns: Columns) -> "LogSumExp":
        """Return the law over runs with these columns."""
        return LogSumExp(self.design(columns))

    def design(self, columns: Columns) -> Array:
        """Return U, (n, k, p): the logarithm of each term by each coordinate."""
        count = len(next(iter(columns.values())))
        design = np.zeros((count, len(self.terms), len(self.parameters)))
        for row, term in enumerate(self.terms):
            design[:, row, row] = 1.0
            for name, signed in term.powers.items():
                at = len(self.terms) + self.exponents.index(name)
                design[:, row, at] = -sum(sign * _log(columns, column) for column, sign in signed.items())
        return design

    def starts(self, columns: Columns, loss: Array, count: int) -> Array:
        """Return the best of a grid of exponents, each with the coefficients that fit best (variable projection)."""
        design = self.design(columns)
        return projected_starts(design[:, :, len(self.terms) :], loss, count)


class LogSumExp:
    """The surface of a sum of power laws: design U of shape (n, k, p)."""

    def __init__(self, design: Array) -> None:
        self._design = design
        count, terms, parameters = design.shape
        self._flat = np.ascontiguousarray(design.reshape(count * terms, parameters).T)
        outer = design[..., :, None] * design[..., None, :]
        self._outer = outer.reshape(count * terms, parameters * parameters)

    def log_loss(self, theta: Array) -> Array:
        """Return ln loss, (b, n)."""
        return self._shares(theta)[0]

    def expand(self, theta: Array) -> Expansion:
        """Return ln loss, its gradient and its curvature."""
        log_loss, shares = self._shares(theta)
        gradient = np.matmul(shares.transpose(1, 0, 2), self._design).transpose(1, 0, 2)
        parameters = theta.shape[1]

        def curvature(weights: Array) -> Array:
            weighted = (weights[..., None] * shares).reshape(len(weights), -1)
            second = (weighted @ self._outer).reshape(-1, parameters, parameters)
            return np.asarray(second - np.matmul((gradient * weights[..., None]).transpose(0, 2, 1), gradient))

        return Expansion(log_loss, gradient, curvature)

    def _shares(self, theta: Array) -> tuple[Array, Array]:
        count, terms, _ = self._design.shape
        logs = (theta @ self._flat).reshape(len(theta), count, terms)
        greatest = logs.max(axis=-1, keepdims=True)
        shares = np.exp(logs - greatest)
        total = shares.sum(axis=-1, keepdims=True)
        shares /= total
        return (greatest + np.log(total))[..., 0], shares


def _log(columns: Columns, name: str) -> Array:
    return np.asarray(np.log1p(-columns["sparsity"]) if name == "active" else np.log(columns[name]))
