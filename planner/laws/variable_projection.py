"""Starts by variable projection: for given exponents a sum of power laws is linear in its coefficients.

Golub and Pereyra (1973): eliminate what is linear. A grid of exponents is scored at once, each by the least squares of
the relative residuals, so that a fit begins in the right valley and needs no thousands of random starts.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from planner.laws.runs import Array

_GRID = {
    1: np.geomspace(0.01, 2.0, 60),
    2: np.array([0.01, 0.06, 0.12, 0.18, 0.24, 0.3, 0.36, 0.42, 0.48, 0.55, 0.63, 0.73, 0.85, 1.0, 1.25, 1.6]),
    3: np.array([0.02, 0.08, 0.15, 0.22, 0.3, 0.38, 0.48, 0.6, 0.8, 1.1]),
    4: np.array([0.05, 0.15, 0.28, 0.42, 0.65, 1.0]),
    5: np.array([0.08, 0.25, 0.45, 0.9]),
}
_SMALLEST_SHARE = 1e-4
"""Of the loss: what a term is given whose least squares would make it negative."""
_CHUNK = 256


def projected_starts(features: Array, loss: Array, count: int) -> Array:
    """Return up to `count` coordinates (log coefficients, then exponents), best first, of different neighbourhoods.

    `features` is of shape (n, k, q): the logarithm of term k is its log coefficient + features · exponents.
    """
    _, terms, unknown = features.shape
    grid = np.array(list(product(_GRID[min(unknown, max(_GRID))], repeat=unknown))).reshape(-1, unknown)
    centre = features.mean(axis=0)
    scores, shares = [], []
    for at in range(0, len(grid), _CHUNK):
        score, solution = project(features - centre, loss, grid[at : at + _CHUNK])
        scores.append(score)
        shares.append(solution)
    score, solution = np.concatenate(scores), np.concatenate(shares)
    chosen = _apart(np.argsort(score, kind="stable"), grid, count)
    exponents = grid[chosen]
    logs = np.log(solution[chosen]) - np.einsum("kq,gq->gk", centre, exponents)
    assert logs.shape[1] == terms, "one coefficient for each term"
    return np.concatenate([logs, exponents], axis=1)


def project(features: Array, loss: Array, exponents: Array) -> tuple[Array, Array]:
    """Return the sum of squared relative residuals, (g,), and the positive coefficients, (g, k), of given exponents.

    `features` are of shape (n, k, q), best centred, and `exponents` of shape (g, q).
    """
    basis = np.exp(np.einsum("nkq,gq->gkn", features, exponents)) / loss
    gram = np.matmul(basis, basis.transpose(0, 2, 1))
    moment = basis.sum(axis=-1)
    scale = 1.0 / np.sqrt(np.einsum("gkk->gk", gram))
    gram *= scale[:, :, None] * scale[:, None, :]
    moment *= scale
    terms = gram.shape[-1]
    ridge = 1e-10 * np.eye(terms)
    solution = np.linalg.solve(gram + ridge, moment[..., None])[..., 0]
    least = _SMALLEST_SHARE * np.sqrt(len(loss))
    if terms > 1:
        solution = _without_negatives(gram + ridge, moment, solution, least)
    solution = np.maximum(solution, least)
    score = len(loss) - 2.0 * (solution * moment).sum(-1) + np.einsum("gk,gkl,gl->g", solution, gram, solution)
    return score, solution * scale


def _without_negatives(gram: Array, moment: Array, solution: Array, least: float) -> Array:
    """Return solutions in which terms that came out negative are held at `least` and the others are fitted again."""
    held = solution < least
    rows = np.flatnonzero(held.any(axis=1))
    if not len(rows):
        return solution
    hold, part = held[rows], gram[rows]
    fixed = np.where(hold, least, 0.0)
    target = moment[rows] - np.einsum("gkl,gl->gk", part, fixed)
    both_free = ~hold[:, :, None] & ~hold[:, None, :]
    reduced = np.where(both_free, part, 0.0)
    diagonal = np.arange(part.shape[-1])
    reduced[:, diagonal, diagonal] = np.where(hold, 1.0, part[:, diagonal, diagonal])
    out = solution.copy()
    out[rows] = np.linalg.solve(reduced, np.where(hold, fixed, target)[..., None])[..., 0]
    return out


def _apart(order: NDArray[np.intp], grid: Array, count: int) -> list[int]:
    """Return the first of `order` that do not lie beside one chosen before."""
    chosen: list[int] = []
    for at in order[: 40 * count]:
        if all(np.max(np.abs(np.log(grid[at] / grid[other]))) > 0.25 for other in chosen):
            chosen.append(int(at))
        if len(chosen) == count:
            break
    return chosen
