"""The law that forecasts are made with: Hoffmann's, with one more parameter for how its two terms add.

    L = E + (A^(1/κ) N^(-α/κ) + B^(1/κ) D^(-β/κ))^κ

κ = 1 is equation (2) of Hoffmann et al. 2022 (arXiv 2203.15556); α = β with κ free is the form of Kaplan et al. 2020
(arXiv 2001.08361), equation (1.5), plus E. It is written in logarithms about a reference run, so that the numbers of
all data sets are of one size: x = ln N - x0, y = ln D - y0 and

    ln L - l0 = ln(e^e + (e^((a - α x)/κ) + e^((b - β y)/κ))^κ).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.laws.runs import Runs

Array = NDArray[np.float64]

FLOOR, PARAMS_TERM, TOKENS_TERM, PARAMS_EXPONENT, TOKENS_EXPONENT, LOG_KAPPA = range(6)
"""Where e, a, b, α, β and ln κ lie in a parameter vector."""
NUM_PARAMETERS = 6
_TOP = 0.3
_LOSS_QUANTILE = 0.25


@dataclass(frozen=True, slots=True)
class Reference:
    """The run about which the law is written: the middle of the runs with most compute, and a low loss of theirs."""

    log_params: float
    log_tokens: float
    log_loss: float

    @staticmethod
    def of(runs: Runs) -> "Reference":
        """Return the mean logarithms over the runs with at least .3 of the most compute, and their loss's quartile."""
        top = runs.flops >= _TOP * runs.flops.max()
        return Reference(
            float(np.log(runs.params[top]).mean()),
            float(np.log(runs.tokens[top]).mean()),
            float(np.log(np.quantile(runs.loss[top], _LOSS_QUANTILE))),
        )

    def coordinates(self, params: Array, tokens: Array) -> tuple[Array, Array]:
        """Return x and y."""
        return np.log(params) - self.log_params, np.log(tokens) - self.log_tokens


def log_loss(theta: Array, x: Array, y: Array) -> Array:
    """Return ln L - l0 of each parameter vector (rows of `theta`, shape (m, 6)) at each of n points: shape (m, n)."""
    return _parts(theta, x, y)[0]


def log_loss_and_gradient(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the same and its derivatives by the parameters, shape (m, n, 6)."""
    value, terms = _parts(theta, x, y)
    kappa, first, mixed, second = terms
    floor_share = np.exp(theta[:, FLOOR, None] - value)
    reducible = 1.0 - floor_share
    params_share = np.exp(first - mixed)
    tokens_share = 1.0 - params_share
    gradient = np.empty((*value.shape, NUM_PARAMETERS))
    gradient[..., FLOOR] = floor_share
    gradient[..., PARAMS_TERM] = reducible * params_share
    gradient[..., TOKENS_TERM] = reducible * tokens_share
    gradient[..., PARAMS_EXPONENT] = -x * gradient[..., PARAMS_TERM]
    gradient[..., TOKENS_EXPONENT] = -y * gradient[..., TOKENS_TERM]
    gradient[..., LOG_KAPPA] = reducible * kappa * (mixed - params_share * first - tokens_share * second)
    return value, gradient


def _parts(theta: Array, x: Array, y: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    floor, a, b, alpha, beta, log_kappa = (theta[:, at, None] for at in range(NUM_PARAMETERS))
    kappa = np.exp(log_kappa)
    first, second = (a - alpha * x) / kappa, (b - beta * y) / kappa
    mixed = np.logaddexp(first, second)
    return np.logaddexp(floor, kappa * mixed), (kappa, first, mixed, second)
