"""Approach 1: for each compute, the run with the least loss so far, over all learning curves.

Hoffmann et al. 2022 (arXiv 2203.15556), section 3.1: 1,500 budgets, spaced evenly in log compute. Where runs have no
learning curves, only their ends, the envelope is that of the ends: those that no cheaper run has beaten.
"""

import numpy as np

from planner.errors import BadRunsError
from planner.laws.frontier import Frontier, line
from planner.laws.resampling import resample_weights
from planner.laws.runs import Array, Runs

_BUDGETS = 1500
_FEWEST_IN_A_CURVE = 3
_FEWEST_POINTS = 3
_SOURCE = "Hoffmann et al. 2022 (arXiv 2203.15556), section 3.1: envelope of learning curves"


def approach_1(runs: Runs, *, bootstrap: int = 0, seed: int = 0) -> Frontier:
    """Return the frontier along the envelope. Raises BadRunsError for one that has fewer than three points.

    A group of one size with at least three points is a learning curve. A bootstrap draws groups, or runs.
    """
    runs = runs.ordered()
    curves = _curves(runs)
    weights = np.concatenate([np.ones((1, len(runs))), resample_weights(runs, bootstrap, seed)])
    lines, ends = [], None
    for drawn in weights:
        flops, params = _along_curves(runs, curves, drawn > 0) if curves else _of_ends(runs, drawn > 0)
        if ends is None:
            ends = flops, params
            _refuse_short(flops, params, len(runs))
        if len(np.unique(params)) >= _FEWEST_POINTS:
            lines.append(line(np.log(flops), np.log(params), np.ones_like(flops)[None, :])[:2])
    assert ends is not None, "the first weights are those of all runs"
    slopes, intercepts = (np.array([float(pair[side][0]) for pair in lines]) for side in (0, 1))
    notes = () if curves else ("these runs have no learning curves: the envelope is that of their ends, a coarser one",)
    return Frontier(
        "approach 1", _SOURCE, *ends, float(slopes[0]), float(intercepts[0]), slopes[1:], intercepts[1:], notes
    )


def _curves(runs: Runs) -> list[np.ndarray]:
    if runs.group is None:
        return []
    groups = [np.flatnonzero(runs.group == name) for name in np.unique(runs.group)]
    return [
        rows[np.argsort(runs.flops[rows], kind="stable")]
        for rows in groups
        if len(rows) >= _FEWEST_IN_A_CURVE and np.ptp(runs.params[rows]) == 0.0
    ]


def _along_curves(runs: Runs, curves: list[np.ndarray], is_drawn: np.ndarray) -> tuple[Array, Array]:
    """Interpolate log loss over log compute, and return compute and size of the best curve at each budget."""
    curves = [rows for rows in curves if is_drawn[rows[0]]]
    if not curves:
        return np.empty(0), np.empty(0)
    log_flops = np.log(runs.flops)
    first, last = (np.array([log_flops[rows[at]] for rows in curves]) for at in (0, -1))
    grid = np.linspace(first.min(), last.max(), _BUDGETS)
    losses = np.stack(
        [
            np.interp(grid, log_flops[rows], np.log(runs.loss[rows]), left=np.inf, right=np.inf)
            for rows in curves
        ]
    )
    best = np.argmin(losses, axis=0)
    is_covered = np.isfinite(losses.min(axis=0))
    sizes = np.array([runs.params[rows[0]] for rows in curves])
    return np.exp(grid[is_covered]), sizes[best[is_covered]]


def _of_ends(runs: Runs, is_drawn: np.ndarray) -> tuple[Array, Array]:
    rows = np.flatnonzero(is_drawn)
    rows = rows[np.argsort(runs.flops[rows], kind="stable")]
    is_least = runs.loss[rows] <= np.minimum.accumulate(runs.loss[rows])
    return runs.flops[rows[is_least]], runs.params[rows[is_least]]


def _refuse_short(flops: Array, params: Array, count: int) -> None:
    if len(flops) < _FEWEST_POINTS or len(np.unique(params)) < _FEWEST_POINTS:
        raise BadRunsError(
            f"approach 1: the envelope of these {count} runs has {len(np.unique(params))} sizes; a line needs "
            f"{_FEWEST_POINTS}: add runs of more sizes, or go by approach 3"
        )
