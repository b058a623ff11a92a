"""Case resampling for bootstraps, as weights: a run drawn twice counts twice, and all resamples are fitted at once."""

import numpy as np

from planner.laws.runs import Array, Runs


def resample_weights(runs: Runs, count: int, seed: int) -> Array:
    """Return how often each run is drawn in each of `count` resamples, (count, n).

    Runs of one group are drawn together: points of one learning curve, or seeds of one size, are no independent
    evidence. The draws depend on the seed and on the runs, which must be `ordered`, and on nothing else.
    """
    members = np.arange(len(runs)) if runs.group is None else np.unique(runs.group, return_inverse=True)[1]
    units = int(members.max()) + 1
    draws = np.random.default_rng(seed).multinomial(units, np.full(units, 1.0 / units), size=count)
    return np.asarray(draws[:, members], dtype=np.float64)
