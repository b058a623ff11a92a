"""Constants of time fitted to measured steps: published ones, or those of the user's own run logs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from planner.errors import BadInputError
from planner.time_calibration import PRIOR, TERMS, Calibration

Array = NDArray[np.float64]

_FLOOR = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
"""Products and blocking collectives are no faster than the hardware; other terms may hide behind products."""
_PULL = np.where(np.array(TERMS) == "launches", 0.3, 0.02)
"""How strongly constants are held at PRIOR: one that is off by all of itself counts as one row that is off by 2 %;
launches, a cost of software that few measurements can tell from others, by 30 %."""

_ROUNDS = 30
_SMALL = 0.01


def fit_calibration(
    name: str, accelerator: str, terms: Array, measured_s: Array, groups: Sequence[str], source: str
) -> Calibration:
    """Return constants fitted to measurements, with the error on groups that were left out.

    Args:
        name: of the calibration.
        accelerator: on which it was measured, by its name in the catalogue.
        terms: [rows, len(TERMS)], of step_terms.
        measured_s: [rows], seconds of a step.
        groups: [rows], what is left out together: the models' names.
        source: where the measurements are from.
    """
    constants = fit_constants(terms, measured_s)
    errors = left_out_errors(terms, measured_s, groups)
    return Calibration(name, accelerator, constants, float(np.abs(errors).mean()), len(measured_s), source)


def fit_constants(terms: Array, measured_s: Array, prior: Array | None = None) -> Array:
    """Return the constants, none faster than the hardware, with the least mean absolute relative error.

    By repeatedly weighted non-negative least squares, held weakly at `prior`, so that a constant of which measurements
    say nothing (there was but one instance, say) keeps its value there.

    Args:
        terms: [rows, len(TERMS)], of step_terms.
        measured_s: [rows], seconds of a step.
        prior: [len(TERMS)]; None: PRIOR.
    """
    if len(terms) < 2 or len(terms) != len(measured_s):
        raise BadInputError(f"calibration: {len(measured_s)} measurements for {len(terms)} rows: at least 2 are needed")
    if not np.all(np.isfinite(measured_s) & (measured_s > 0.0)):
        raise BadInputError("calibration: a measured time is not positive")
    given = PRIOR if prior is None else prior
    relative = terms / measured_s[:, None]
    return _FLOOR + _least_absolute(relative, 1.0 - relative @ _FLOOR, given - _FLOOR)


def left_out_errors(terms: Array, measured_s: Array, groups: Sequence[str], prior: Array | None = None) -> Array:
    """Return for each row the relative error of speed, predicted by constants fitted without the row's group."""
    names = np.array(groups)
    errors = np.empty(len(measured_s))
    for name in sorted(set(groups)):
        out = names == name
        constants = fit_constants(terms[~out], measured_s[~out], prior)
        errors[out] = measured_s[out] / (terms[out] @ constants) - 1.0
    return errors


def _least_absolute(relative: Array, target: Array, prior: Array) -> Array:
    """Return x >= 0 that makes |relative x - target| small, held at `prior`."""
    scale = np.maximum(prior, 1e-9)
    system = np.vstack((relative * scale, np.diag(_PULL)))
    wanted = np.concatenate((target, _PULL * prior / scale))
    weights = np.ones(len(wanted))
    solution = np.zeros(len(prior))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        solution, _ = nnls(system * root[:, None], wanted * root)
        weights[: len(target)] = 1.0 / np.maximum(np.abs(relative * scale @ solution - target), _SMALL)
    fitted: Array = solution * scale
    return fitted
