"""Which runs to make next: those that shrink the interval of what one wants to know most, per FLOP or dollar.

The law's parameters have, about their mode, a normal posterior with covariance V (Laplace). A run with gradient j of
ln L and noise s² would leave V - V j jᵀ V / (s² + jᵀ V j), so that a target with gradient g gains

    (gᵀ V j)² / (s² + jᵀ V j)

of variance: sequential c-optimal design (Chaloner and Verdinelli 1995, section 2; Elfving 1952). Runs are taken one
by one by gain per cost, each as if those before it had been made, until the money is spent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from planner.errors import BadInputError, RefusedError
from planner.forecasts.evidence import flops_per_6nd
from planner.forecasts.grid import FLOPS_PER_PARAM_TOKEN, PlannedRun
from planner.forecasts.interaction_law import (
    LOG_KAPPA,
    NUM_PARAMETERS,
    PARAMS_EXPONENT,
    PARAMS_TERM,
    TOKENS_EXPONENT,
    TOKENS_TERM,
    Array,
    Reference,
    log_loss_and_gradient,
)
from planner.forecasts.posterior import fit
from planner.forecasts.priors import LOOSE
from planner.laws.runs import Runs

Cost: TypeAlias = Callable[[Array, Array, Array], Array]
"""What runs cost: (params, tokens, flops) to an array of the same shape, in any one unit."""

_SIZES, _BUDGETS = 33, 9
_LEAST_BUDGET = 1e-2
_SHAPES = (0.5, 2_000.0)


class Quantity(StrEnum):
    """What one wants to know at a compute."""

    LOSS = "loss"
    """ln of the least loss."""
    PARAMS = "params"
    """ln of the parameters that reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A quantity at a compute, and the standard deviation (of its logarithm) that one would be content with."""

    quantity: Quantity
    flops: float
    tolerance: float

    def __post_init__(self) -> None:
        """Raise BadInputError unless both numbers are positive."""
        if not (self.flops > 0 and self.tolerance > 0):
            raise BadInputError(f"target {self.quantity} at {self.flops} to {self.tolerance}: both must be positive")


def targets_at(flops: float) -> tuple[Target, ...]:
    """Return what one usually wants to know at a compute: the loss to .5 %, the best size to 6 %."""
    return (
        Target(quantity=Quantity.LOSS, flops=flops, tolerance=0.005),
        Target(quantity=Quantity.PARAMS, flops=flops, tolerance=0.06),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRuns:
    """What to run, and what it is expected to bring: the targets' standard deviations (of logarithms) by the law."""

    runs: tuple[PlannedRun, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def cost(self) -> float:
        """What all of them cost."""
        return sum(run.cost for run in self.runs)


def next_runs(
    runs: Runs,
    targets: Sequence[Target],
    *,
    spend: float,
    most_flops: float,
    cost: Cost | None = None,
    most_runs: int = 8,
    shapes: tuple[float, float] = _SHAPES,
) -> NextRuns:
    """Return the batch of at most `most_runs` runs that brings most for `spend`, in the unit of `cost` (FLOPs).

    Candidates lie on a grid of sizes and budgets from `most_flops` / 100 to `most_flops`, with `shapes` tokens per
    parameter. Raises RefusedError when not one of them can be paid, BadInputError without targets.
    """
    if not targets:
        raise BadInputError("no targets: name what is to be known, such as the loss at 1e22 FLOPs")
    reference, belief = Reference.of(runs), _Belief.of(runs)
    factor = flops_per_6nd(runs)
    params, tokens = _grid(most_flops / factor, shapes)
    flops = FLOPS_PER_PARAM_TOKEN * params * tokens * factor
    prices = np.asarray(flops if cost is None else cost(params, tokens, flops), dtype=np.float64)
    if not (prices <= spend).any():
        raise RefusedError(f"{spend:.3g} pays for no run: the cheapest candidate costs {prices.min():.3g}")
    _, gradients = log_loss_and_gradient(belief.theta[None], *reference.coordinates(params, tokens))
    wanted = [_target_gradient(belief.theta, target, reference, factor) / target.tolerance for target in targets]
    before = belief.deviations(wanted)
    chosen: list[PlannedRun] = []
    left = spend
    while len(chosen) < most_runs and (prices <= left).any():
        gain = belief.gain(gradients[0], wanted) / prices
        at = int(np.where(prices <= left, gain, -np.inf).argmax())
        belief.learn(gradients[0][at])
        left -= float(prices[at])
        chosen.append(
            PlannedRun(
                params=float(params[at]), tokens=float(tokens[at]), flops=float(flops[at]), cost=float(prices[at])
            )
        )
    scale = np.array([target.tolerance for target in targets])
    after = belief.deviations(wanted)
    return NextRuns(runs=tuple(chosen), before=tuple(scale * before), after=tuple(scale * after))


class _Belief:
    """A normal posterior of the law's parameters and the noise of a run."""

    def __init__(self, theta: Array, covariance: Array, variance: float) -> None:
        self.theta = theta
        self.covariance = covariance
        self.variance = variance

    @staticmethod
    def of(runs: Runs) -> "_Belief":
        found = fit(runs, [LOOSE])
        return _Belief(found.theta[0], np.linalg.pinv(found.precision[0]), float(found.scale[0]) ** 2)

    def gain(self, gradients: Array, wanted: Sequence[Array]) -> Array:
        """Return by how much each candidate, rows of `gradients`, would lower the sum of the targets' variances."""
        moved = gradients @ self.covariance
        noise = self.variance + np.einsum("np,np->n", moved, gradients)
        return np.asarray(sum((moved @ target) ** 2 for target in wanted) / noise)

    def learn(self, gradient: Array) -> None:
        """Go on as if a run with this gradient had been made."""
        moved = self.covariance @ gradient
        self.covariance = self.covariance - np.outer(moved, moved) / (self.variance + gradient @ moved)

    def deviations(self, wanted: Sequence[Array]) -> Array:
        """Return the targets' standard deviations."""
        return np.array([np.sqrt(target @ self.covariance @ target) for target in wanted])


def _grid(most_pairs_flops: float, shapes: tuple[float, float]) -> tuple[Array, Array]:
    """Return candidates: even in ln C and, on each budget, in ln(D/N)."""
    budgets = np.geomspace(_LEAST_BUDGET, 1.0, _BUDGETS) * most_pairs_flops / FLOPS_PER_PARAM_TOKEN
    shape = np.geomspace(*shapes, _SIZES)
    params = np.sqrt(budgets[:, None] / shape).ravel()
    return params, (budgets[:, None] * np.ones_like(shape)).ravel() / params


def best_size(theta: Array, reference: Reference, pairs: float) -> tuple[float, float]:
    """Return ln N and ln D of least loss with N · D = `pairs`, by one parameter vector.

    With c = ln(N D) less the reference's, α e^((a - αx)/κ) = β e^((b - βy)/κ) and x + y = c give
    x = (a - b + κ ln(α/β) + β c) / (α + β).
    """
    compute = np.log(pairs) - reference.log_params - reference.log_tokens
    alpha, beta, kappa = theta[PARAMS_EXPONENT], theta[TOKENS_EXPONENT], np.exp(theta[LOG_KAPPA])
    best = theta[PARAMS_TERM] - theta[TOKENS_TERM] + kappa * np.log(alpha / beta) + beta * compute
    best /= alpha + beta
    return float(best + reference.log_params), float(compute - best + reference.log_tokens)


def _target_gradient(theta: Array, target: Target, reference: Reference, factor: float) -> Array:
    """Return the derivative of the target by the law's parameters; `factor` is compute over 6ND.

    The best loss moves with the parameters as if the size stood still (envelope theorem).
    """
    log_params, log_tokens = best_size(theta, reference, target.flops / (factor * FLOPS_PER_PARAM_TOKEN))
    x, y = log_params - reference.log_params, log_tokens - reference.log_tokens
    if target.quantity is Quantity.LOSS:
        _, loss_gradient = log_loss_and_gradient(theta[None], np.array([x]), np.array([y]))
        return np.asarray(loss_gradient[0, 0])
    alpha, beta, kappa = theta[PARAMS_EXPONENT], theta[TOKENS_EXPONENT], np.exp(theta[LOG_KAPPA])
    gradient = np.zeros(NUM_PARAMETERS)
    gradient[PARAMS_TERM], gradient[TOKENS_TERM] = 1.0, -1.0
    gradient[PARAMS_EXPONENT], gradient[TOKENS_EXPONENT] = kappa / alpha - x, y - kappa / beta
    gradient[LOG_KAPPA] = kappa * np.log(alpha / beta)
    return np.asarray(gradient / (alpha + beta))
