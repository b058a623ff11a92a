"""The best parameters and tokens for a budget, by any law of both."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.errors import BadInputError
from planner.laws.law import Columns, Law, needed
from planner.laws.runs import Array

FLOPS_PER_PARAM_TOKEN = 6.0
"""C = 6ND (Kaplan et al. 2020, eq. 2.2): two FLOPs forward, four backward."""
_POINTS = 400
_FEWEST_PARAMS, _FEWEST_TOKENS = 1e2, 1e2
_NARROW = 1e-9
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where the loss is least under a budget; each array is (b,), one for each candidate of coordinates."""

    params: Array
    tokens: Array
    loss: Array


def optimum(law: Law, theta: Array, flops: float, given: Mapping[str, float] | None = None) -> Optimum:
    """Return the parameters and tokens of least loss with C = 6ND = `flops`, for coordinates `theta`, (b, p).

    Mixtures of experts compute with the parameters that a token uses, C = 6 N (1 − S) D. `given` holds the law's
    other columns (unique_tokens, sparsity). Raises BadInputError for a budget or a law that has no optimum.
    """
    given = dict(given or {})
    if not {"params", "tokens"} <= set(law.columns):
        raise BadInputError(f"{law.name}: has no optimum under a budget: it is no law of params and tokens")
    active = 1.0 - given.get("sparsity", 0.0)
    pairs = flops / (FLOPS_PER_PARAM_TOKEN * active) if np.isfinite(flops) and active > 0.0 else np.nan
    if not pairs > _FEWEST_PARAMS * _FEWEST_TOKENS:
        raise BadInputError(f"flops = {flops:g}: must be finite and more than {6 * _FEWEST_PARAMS * _FEWEST_TOKENS:g}")
    parts = [
        _narrowed(law, theta[at : at + _CHUNK], pairs, flops, given) for at in range(0, len(theta), _CHUNK)
    ]
    log_params, log_loss = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return Optimum(np.exp(log_params), pairs / np.exp(log_params), np.exp(log_loss))


def _narrowed(
    law: Law, theta: Array, pairs: float, flops: float, given: Mapping[str, float]
) -> tuple[Array, Array]:
    """Search ln N on a grid that narrows around the minima of all candidates, then by the parabola of three points."""
    low, high = np.log(_FEWEST_PARAMS), np.log(pairs / _FEWEST_TOKENS)
    while True:
        grid = np.linspace(low, high, _POINTS)
        losses = law.surface(needed(law, _columns(np.exp(grid), pairs, flops, given))).log_loss(theta)
        at = np.clip(np.argmin(losses, axis=1), 1, _POINTS - 2)
        step = grid[1] - grid[0]
        narrower = float(grid[at.min()] - 2 * step), float(grid[at.max()] + 2 * step)
        if step < _NARROW or narrower[1] - narrower[0] > 0.5 * (high - low) or step < 1e-4:
            break
        low, high = max(narrower[0], low), min(narrower[1], high)
    rows = np.arange(len(theta))
    before, here, after = (losses[rows, at + shift] for shift in (-1, 0, 1))
    bend = np.maximum(before - 2.0 * here + after, 1e-300)
    shift = np.clip(0.5 * (before - after) / bend, -1.0, 1.0)
    return grid[at] + shift * step, here - 0.25 * (before - after) * shift


def _columns(params: Array, pairs: float, flops: float, given: Mapping[str, float]) -> Columns:
    constants = {name: np.full_like(params, value) for name, value in given.items()}
    return {"params": params, "tokens": pairs / params, "flops": np.full_like(params, flops), **constants}


def frontier_exponent(alpha: float, beta: float) -> float:
    """Return a of N_opt ∝ C^a: beta / (alpha + beta) (Hoffmann et al. 2022, eq. 4)."""
    return beta / (alpha + beta)
