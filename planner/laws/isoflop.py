"""Approach 2: a parabola of loss over log size at each budget, and a line through their vertices.

Hoffmann et al. 2022 (arXiv 2203.15556), section 3.2. A parabola is not the law's own shape: on a noiseless surface
with exponents that differ, or with sizes that do not lie evenly around the optimum, its vertex is biased (arXiv
2603.22339); hence approach 3 is always shown beside it.
"""

import numpy as np

from planner.errors import BadRunsError
from planner.laws.frontier import Frontier, line
from planner.laws.resampling import resample_weights
from planner.laws.runs import Array, Runs

_GAP = 0.08
"""Of ln C between neighbours: at least this between two budgets."""
_WIDEST = 0.4
"""Of ln C within one budget: digitised budgets scatter by ten per cent or so, points of learning curves by more."""
_FEWEST_SIZES = 5
_FEWEST_BUDGETS = 2
_OUTSIDE = 0.35
"""Of ln N: how far a vertex may lie beyond the sizes that were run."""


def budgets_of(runs: Runs) -> list[np.ndarray]:
    """Return the rows of each budget that has enough sizes for a parabola, from the smallest budget on."""
    order = np.argsort(runs.flops, kind="stable")
    log_flops = np.log(runs.flops[order])
    parts = np.split(order, np.flatnonzero(np.diff(log_flops) > _GAP) + 1)
    return [
        rows
        for rows in parts
        if len(np.unique(runs.params[rows])) >= _FEWEST_SIZES and np.ptp(np.log(runs.flops[rows])) < _WIDEST
    ]


def vertices(log_params: Array, loss: Array, weights: Array) -> Array:
    """Return ln N at the vertex of each weighted parabola, (b,), of points (n,) and weights (b, n).

    NaN where the parabola does not open upwards or its vertex lies far outside the sizes.
    """
    centre = log_params.mean()
    x = log_params - centre
    powers = np.stack([x**power for power in range(5)])
    moments = weights @ powers.T
    gram = np.stack([moments[:, at : at + 3] for at in range(3)], axis=1)
    right = (weights * loss) @ powers[:3].T
    is_enough = (weights > 0).sum(axis=1) >= 3  # a resample may draw fewer of a budget than a parabola needs
    gram = np.where(is_enough[:, None, None], gram + 1e-12 * moments[:, :1, None] * np.eye(3), np.eye(3))
    _, slope, bend = np.linalg.solve(gram, right[..., None])[..., 0].T
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = centre - slope / (2.0 * bend)
    is_inside = (vertex > log_params.min() - _OUTSIDE) & (vertex < log_params.max() + _OUTSIDE)
    return np.where(is_enough & (bend > 0) & is_inside, vertex, np.nan)


def approach_2(runs: Runs, *, bootstrap: int = 0, seed: int = 0) -> Frontier:
    """Return the frontier through the vertices. Raises BadRunsError where there are no two budgets with a vertex.

    A resample in which fewer than two budgets have a vertex counts for nothing.
    """
    runs = runs.ordered()
    budgets = budgets_of(runs)
    if len(budgets) < _FEWEST_BUDGETS:
        raise BadRunsError(
            f"approach 2 needs {_FEWEST_BUDGETS} budgets with {_FEWEST_SIZES} sizes each; these {len(runs)} runs have "
            f"{len(budgets)}: plan isoFLOP runs, or go by approach 3"
        )
    weights = np.concatenate([np.ones((1, len(runs))), resample_weights(runs, bootstrap, seed)])
    found = np.stack(
        [vertices(np.log(runs.params[rows]), runs.loss[rows], weights[:, rows]) for rows in budgets], axis=1
    )
    flops = np.array([float(np.exp(np.log(runs.flops[rows]).mean())) for rows in budgets])
    is_found = np.isfinite(found)
    if is_found[0].sum() < _FEWEST_BUDGETS:
        raise BadRunsError(
            f"approach 2: of {len(budgets)} budgets only {int(is_found[0].sum())} have their least loss within the "
            "sizes that were run: add larger or smaller sizes"
        )
    exponents, intercepts = line(np.log(flops), np.where(is_found, found, 0.0), is_found.astype(np.float64))
    is_good = np.isfinite(exponents) & (is_found.sum(axis=1) >= _FEWEST_BUDGETS)
    notes = _notes(flops, is_found[0])
    drawn = np.flatnonzero(is_good[1:]) + 1
    return Frontier(
        "approach 2",
        "Hoffmann et al. 2022 (arXiv 2203.15556), section 3.2: isoFLOP parabolas",
        flops[is_found[0]],
        np.exp(found[0][is_found[0]]),
        float(exponents[0]),
        float(intercepts[0]),
        exponents[drawn],
        intercepts[drawn],
        notes,
    )


def _notes(flops: Array, is_found: np.ndarray) -> tuple[str, ...]:
    missing = [f"{budget:.3g}" for budget, found in zip(flops, is_found, strict=True) if not found]
    return (f"budgets without a vertex inside their sizes, left out: {', '.join(missing)}",) if missing else ()
