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
    """Return the same and its derivatives by the parameters, shape (m, n, 6); in memory the points lie together."""
    value, floor_share, tokens_share, kappa_entropy = _parts(theta, x, y)
    gradient = np.empty((len(theta), NUM_PARAMETERS, len(x)))
    gradient[:, FLOOR] = floor_share
    reducible = np.subtract(1.0, floor_share, out=floor_share)
    tokens_term = np.multiply(reducible, tokens_share, out=gradient[:, TOKENS_TERM])
    params_term = np.subtract(reducible, tokens_term, out=gradient[:, PARAMS_TERM])
    np.multiply(-x, params_term, out=gradient[:, PARAMS_EXPONENT])
    np.multiply(-y, tokens_term, out=gradient[:, TOKENS_EXPONENT])
    np.multiply(reducible, kappa_entropy, out=gradient[:, LOG_KAPPA])
    return value, gradient.transpose(0, 2, 1)


def _parts(theta: Array, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Return ln L - l0, the floor's share of L, the second term's of the sum, and κ times the entropy of the shares."""
    floor, a, b, alpha, beta, log_kappa = (theta[:, at, None] for at in range(NUM_PARAMETERS))
    kappa = np.exp(log_kappa)
    first, second = a - alpha * x, b - beta * y
    apart = (second - first) / kappa
    added, tokens_share = _softplus(apart)
    added *= kappa
    kappa_entropy = added - kappa * tokens_share * apart
    reducible = np.add(first, added, out=added)
    above, floor_share = _softplus(floor - reducible)
    return np.add(reducible, above, out=above), floor_share, tokens_share, kappa_entropy


def _softplus(x: Array) -> tuple[Array, Array]:
    """Return ln(1 + e^x) and its derivative: what a second term adds to ln of a first, and its share of the sum.

    numpy's logaddexp takes ten times as long.
    """
    ratio = np.exp(-np.abs(x))
    positive = np.maximum(x, 0.0)
    sign = x >= 0.0
    total = np.log1p(ratio)
    total += positive
    share = 1.0 / (1.0 + ratio)
    return total, np.where(sign, share, ratio * share)
