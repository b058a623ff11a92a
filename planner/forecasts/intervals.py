"""How wide an interval of a forecast must be, learned from the errors of past forecasts.

The half-width on ln L is a multiplier of the level times

    σ = sqrt(s² + spread² + .01² ln(C*/C) + (.05 drop)²)

with s the noise about the law, spread the standard deviation of the ensemble's members, C*/C the compute asked about
over the most compute of the evidence, and drop the forecast fall of ln L below the evidence's reference loss.

The multipliers are quantiles of |error| / σ over the splits of the reference sets, with hyper-parameters that were
chosen on the other families for each family: calibration.py. `ostinato plan verify forecasts` computes them
again.
"""

import math

import numpy as np
from scipy.special import stdtrit

from planner.errors import BadInputError
from planner.forecasts.interaction_law import Array

_DISTANCE = 0.01
_DROP = 0.05

MULTIPLIERS: dict[float, float] = {0.5: 0.41, 0.8: 1.02, 0.9: 1.56, 0.95: 2.04}
"""By level. Above the last level the tail of Student's t goes on from it, below the first it goes to nothing."""
_TAIL_FREEDOM = 4.0
"""Degrees of freedom of the Student distribution by which levels between the table's are read."""


def scale(noise: Array, spread: Array, distance: Array, drop: Array) -> Array:
    """Return σ. `distance` is ln(C*/C), which counts from nothing upwards; `drop` is on ln L. Shapes broadcast."""
    far = np.maximum(distance, 0.0)
    return np.asarray(np.sqrt(noise**2 + spread**2 + _DISTANCE**2 * far + (_DROP * drop) ** 2))


def multiplier(level: float) -> float:
    """Return the half-width of the interval of `level` in units of σ. Raises BadInputError unless it is in (0, 1).

    Between the table's levels, linear in the quantiles of Student's t.
    """
    if not 0.0 < level < 1.0:
        raise BadInputError(f"level {level}: must lie between 0 and 1, such as .9")
    levels = [0.0, *MULTIPLIERS]
    known = [0.0, *MULTIPLIERS.values()]
    quantiles = [_student(each) for each in levels]
    wanted = _student(level)
    if level > levels[-1]:
        return known[-1] * wanted / quantiles[-1]
    return float(np.interp(wanted, quantiles, known))


def _student(level: float) -> float:
    """Return the quantile of Student's t at which the central interval of `level` ends."""
    quantile = float(stdtrit(_TAIL_FREEDOM, 0.5 + 0.5 * level))
    assert math.isfinite(quantile), "levels lie below 1"
    return quantile
