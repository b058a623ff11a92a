"""The size and tokens of a model that will be asked: training and inference together cost least for a wanted loss.

Sardana and Frankle 2023, "Beyond Chinchilla-optimal" (arXiv 2401.00448): minimise 6ND + 2N · D_inf subject to
L(N, D) = wanted (eqs. 2 and 3), or what both cost in money, where training, reading the prompt and writing the answer
reach different utilisations of machines with different prices (section 4).
"""

from dataclasses import dataclass

import numpy as np

from planner.errors import BadInputError, RefusedError
from planner.laws.law import Law, needed
from planner.laws.runs import Array

_FLOPS_TRAINING, _FLOPS_INFERENCE = 6.0, 2.0
_POINTS = 400
_SIZES = (1e5, 1e15)
_TOKENS = (1e5, 1e21)
_HALVINGS = 90


@dataclass(frozen=True, slots=True)
class Serving:
    """What a model will be asked over its life, and what a FLOP of each kind costs (in any one unit).

    The default prices are one per FLOP: then the cost is FLOPs. With machines: price per second / (peak FLOPs per
    second · utilisation), of each kind of work; `machine_price` computes it.
    """

    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0
    training_price: float = 1.0
    prompt_price: float = 1.0
    answer_price: float = 1.0

    def __post_init__(self) -> None:
        """Raise BadInputError for tokens below 0 and prices that are not above."""
        for name in ("prompt_tokens", "answer_tokens"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise BadInputError(f"{name} = {getattr(self, name)}: must be finite and ≥ 0")
        for name in ("training_price", "prompt_price", "answer_price"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise BadInputError(f"{name} = {getattr(self, name)}: must be finite and > 0")

    def cost(self, params: Array, tokens: Array) -> Array:
        """Return what training on `tokens` and the service cost together, of models of these sizes."""
        asked = self.prompt_tokens * self.prompt_price + self.answer_tokens * self.answer_price
        return _FLOPS_TRAINING * params * tokens * self.training_price + _FLOPS_INFERENCE * params * asked


@dataclass(frozen=True, slots=True)
class ServedOptimum:
    """The cheapest model of a wanted loss, over its life."""

    params: float
    tokens: float
    cost: float
    training_cost: float


def machine_price(price_per_hour: float, peak_flops_per_s: float, utilisation: float) -> float:
    """Return what one useful FLOP costs on a machine, in the price's currency. Raises BadInputError."""
    if not (price_per_hour > 0.0 and peak_flops_per_s > 0.0 and 0.0 < utilisation <= 1.0):
        raise BadInputError(
            f"price {price_per_hour} per hour, {peak_flops_per_s} FLOP/s, utilisation {utilisation}: prices and speeds "
            "must be > 0, a utilisation in (0, 1]"
        )
    return price_per_hour / 3600.0 / (peak_flops_per_s * utilisation)


def cheapest(law: Law, theta: Array, loss: float, serving: Serving) -> ServedOptimum:
    """Return the size and tokens that reach `loss` at the least cost, by coordinates (p,) of a law of both.

    Raises RefusedError for a loss that the law reaches with no size and tokens, BadInputError for another law.
    """
    if set(law.columns) != {"params", "tokens"}:
        raise BadInputError(f"{law.name}: a law of {', '.join(law.columns)}; it must be one of params and tokens alone")
    low, high = np.log(_SIZES[0]), np.log(_SIZES[1])
    while True:
        params = np.exp(np.linspace(low, high, _POINTS))
        tokens = _tokens_for(law, theta, params, loss)
        cost = np.where(np.isfinite(tokens), serving.cost(params, np.where(np.isfinite(tokens), tokens, 1.0)), np.inf)
        if not np.isfinite(cost).any():
            raise RefusedError(f"loss = {loss:g}: {law.name} does not reach it with any size: its floor is above")
        at = int(np.argmin(cost))
        if high - low < 1e-7:
            break
        grid = np.linspace(low, high, _POINTS)
        low, high = float(grid[max(at - 2, 0)]), float(grid[min(at + 2, _POINTS - 1)])
    training = serving.training_price * _FLOPS_TRAINING * params[at] * tokens[at]
    return ServedOptimum(float(params[at]), float(tokens[at]), float(cost[at]), float(training))


def _tokens_for(law: Law, theta: Array, params: Array, loss: float) -> Array:
    """Return the tokens with which each size reaches `loss`, by bisection; infinite where none do."""
    low = np.full_like(params, np.log(_TOKENS[0]))
    high = np.full_like(params, np.log(_TOKENS[1]))
    wanted = np.log(loss)

    def excess(log_tokens: Array) -> Array:
        columns = needed(law, {"params": params, "tokens": np.exp(log_tokens)})
        return np.asarray(law.surface(columns).log_loss(theta[None, :])[0] - wanted)

    is_reached = excess(high) <= 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        is_above = excess(middle) > 0.0
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return np.where(is_reached, np.exp(high), np.inf)
