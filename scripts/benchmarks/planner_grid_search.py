"""The peers of the fits: the usual grid of L-BFGS starts, written out, and the package `chinchilla` of PyPI."""

import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import product

import numpy as np

from planner.laws.fitting import objective_at
from planner.laws.huber_polish import DELTA
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import Array, Runs

SCIPY_STARTS = 4_500
"""Hoffmann et al. 2022 (arXiv 2203.15556), appendix D.3, the grid that Epoch's replication runs."""
_SCALE = 1e3
"""L-BFGS stops by absolute changes: the objective, near .001, is brought near one."""


def grid_search(runs: Runs, starts: int = SCIPY_STARTS) -> float:
    """Return the least objective of L-BFGS from each point of the grid, or of its first `starts`, with gradients."""
    from scipy.optimize import minimize  # noqa: PLC0415 - only this peer needs it

    work = _objective(runs, np.ones(len(runs)))
    grid = list(
        product(np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5), *2 * [np.arange(0, 2.5, 0.5)])
    )
    found = [minimize(work, np.array(start, dtype=np.float64), jac=True, method="L-BFGS-B", options=_OPTIONS).fun
             for start in grid[:starts]]  # fmt: skip
    return float(min(found)) / _SCALE


def resampled_search(runs: Runs, weights: Array, start: Array) -> Array:
    """Return the coordinates where L-BFGS ends from `start` for each resample: (a, b, e, alpha, beta)."""
    from scipy.optimize import minimize  # noqa: PLC0415

    return np.array(
        [
            minimize(_objective(runs, drawn), start, jac=True, method="L-BFGS-B", options=_OPTIONS).x
            for drawn in weights
        ]
    )


_OPTIONS = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-14, "gtol": 1e-10}


def _objective(runs: Runs, weights: Array) -> Callable[[Array], tuple[float, Array]]:
    x, y, target = np.log(runs.params), np.log(runs.tokens), np.log(runs.loss)

    def objective(point: Array) -> tuple[float, Array]:
        a, b, e, alpha, beta = point
        terms = np.stack([a - alpha * x, b - beta * y, np.full_like(x, e)])
        top = terms.max(axis=0)
        shares = np.exp(terms - top)
        total = shares.sum(axis=0)
        residual = top + np.log(total) - target
        size = np.abs(residual)
        value = np.where(size <= DELTA, 0.5 * residual**2, DELTA * (size - 0.5 * DELTA))
        of_params, of_tokens, of_floor = weights * np.clip(residual, -DELTA, DELTA) * shares / total
        gradient = [of_params.sum(), of_tokens.sum(), of_floor.sum(), -(of_params * x).sum(), -(of_tokens * y).sum()]
        return _SCALE * float((weights * value).sum()), _SCALE * np.array(gradient)

    return objective


@cache
def package_missing() -> str:
    """Return why the package chinchilla 0.2.0 cannot take part, or nothing if it can."""
    try:
        found = version("chinchilla")
    except PackageNotFoundError:
        return "chinchilla is not importable: pip install chinchilla==0.2.0 (it is no dependency of ours)"
    return "" if found == "0.2.0" else f"chinchilla {found} is installed, not 0.2.0"


def package_fit(runs: Runs) -> float:
    """Return the objective at the parameters that the package finds, from its documented grid of 243 starts.

    It minimises an asymmetric error of its own, so that its answer is another; here it is only scored by the Huber sum.
    """
    grid = {"E": [1.0, 1.5, 2.0], "a": [1.0, 5.0, 10.0], "b": [1.0, 5.0, 10.0],
            "alpha": [0.1, 0.5, 0.7], "beta": [0.1, 0.5, 0.7]}  # fmt: skip
    grid["e"] = [float(np.log(value)) for value in grid.pop("E")]
    with tempfile.TemporaryDirectory(prefix="ostinato-chinchilla-") as folder:
        package = import_module("chinchilla").Chinchilla(folder, param_grid=grid, log_level=60)
        for params, tokens, flops, loss in zip(runs.params, runs.tokens, runs.flops, runs.loss, strict=True):
            package.database.append(C=flops, N=params, D=tokens, loss=loss)
        package.fit(parallel=False)
        found = package.get_params()
    return objective_at(runs, HOFFMANN, {name: float(found[name]) for name in ("E", "A", "B", "alpha", "beta")})
