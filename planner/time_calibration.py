"""How much longer than at full speed things take: constants that were measured, and where."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from planner.errors import BadInputError

Array = NDArray[np.float64]

TERMS = (
    "matmul", "attention", "softmax", "memory", "collectives", "reduction", "gathers", "launches", "stragglers",
    "bubble",
)  # fmt: skip
"""What a step's time is made of; a constant belongs to each. All are multiples of the time at the hardware's speed, but
launches, which are seconds for each layer, pass and micro-batch; stragglers are a fraction of the products for every
doubling of the instances; the bubble costs what the work in it costs."""

PRIOR = np.array([1.3, 3.0, 60.0, 2.0, 1.3, 1.3, 1.2, 5e-4, 0.02, 1.3])
"""What is assumed before anything is measured: round numbers between those of A100 and H100; collectives at three
quarters of their link; half of the 128 operations that an A100's tensor cores do in the time of an exponential."""
_FLOOR = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
"""Products and blocking collectives are no faster than the hardware; other terms may hide behind products."""
_PULL = np.where(np.array(TERMS) == "launches", 0.3, 0.02)
"""How strongly constants are held at PRIOR: one that is off by all of itself counts as one row that is off by 2 %;
launches, a cost of software that few measurements can tell from others, by 30 %."""

_TIED = {TERMS.index("bubble"): TERMS.index("matmul")}
_ROUNDS = 30
_SMALL = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Constants of one kind of accelerator and software, and what is known about how good they are."""

    name: str
    accelerator: str
    constants: Array
    """[len(TERMS)]."""
    relative_error: float
    """Mean absolute relative error on measurements that were left out when it was fitted."""
    rows: int
    """How many measurements it was fitted to."""
    source: str

    def __post_init__(self) -> None:
        """Raise BadInputError for constants that are none."""
        if self.constants.shape != (len(TERMS),) or not np.all(np.isfinite(self.constants) & (self.constants >= 0.0)):
            raise BadInputError(f"calibration {self.name}: constants must be {len(TERMS)} numbers of at least 0")

    def described(self, accelerator: str) -> str:
        """Return where the constants are from, and whether they are those of `accelerator`."""
        own = "" if accelerator == self.accelerator else f"; nothing was measured on {accelerator}: indicative only"
        return f"{self.rows} measurements on {self.accelerator}, {self.source}; error {self.relative_error:.1%}{own}"

    def for_other(self, relative_error: float) -> "Calibration":
        """Return the same constants with the error that they have elsewhere."""
        return replace(self, relative_error=relative_error)


def fit_constants(terms: Array, measured_s: Array, prior: Array | None = None) -> Array:
    """Return the constants, none faster than the hardware, with the least mean absolute relative error.

    By repeatedly weighted non-negative least squares, held weakly at `prior`, so that a constant of which measurements
    say nothing (there was no pipeline, say) keeps its value there; the bubble's is that of the products in it.

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
    merged = terms.copy()
    for at, to in _TIED.items():
        merged[:, to] += merged[:, at]
        merged[:, at] = 0.0
    relative = merged / measured_s[:, None]
    fitted = _FLOOR + _least_absolute(relative, 1.0 - relative @ _FLOOR, given - _FLOOR)
    for at, to in _TIED.items():
        fitted[at] = fitted[to]
    return fitted


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
