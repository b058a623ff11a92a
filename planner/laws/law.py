"""The one protocol of all laws: what they are called, where they come from, and their surface over given runs.

A law is fitted in coordinates `theta`: the natural logarithm of parameters that are positive by nature (coefficients,
floors), the value itself of exponents. Arrays of coordinates have shape (b, p): b candidates at once, be they starts,
resamples of a bootstrap, or draws of a posterior.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from planner.errors import BadInputError, UnknownNameError
from planner.laws.runs import Array

Columns = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One unknown of a law. `low` and `high` bound its value."""

    name: str
    low: float
    high: float
    is_log: bool
    """Whether its coordinate is its logarithm."""

    def coordinate(self, value: float) -> float:
        """Return the coordinate of a value. Raises BadInputError for a value out of bounds."""
        if not self.low <= value <= self.high:
            raise BadInputError(f"{self.name} = {value}: must lie in [{self.low:g}, {self.high:g}]")
        return float(np.log(value)) if self.is_log else value


def coefficient(name: str) -> Parameter:
    """Return a positive parameter of any size."""
    return Parameter(name, 1e-40, 1e60, is_log=True)


def exponent(name: str) -> Parameter:
    """Return the exponent of a power law that falls."""
    return Parameter(name, 0.0, 4.0, is_log=False)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A surface around b candidates: shapes (b, n), (b, n, p), and for weights (b, n) a sum of shape (b, p, p)."""

    log_loss: Array
    gradient: Array
    curvature: Callable[[Array], Array]
    """Returns Σ_n weight_n · ∂²(log loss)_n / ∂theta²."""


class Surface(Protocol):
    """A law over given runs: its log loss as a function of its coordinates alone."""

    def log_loss(self, theta: Array) -> Array:
        """Return ln of the predicted loss, (b, n), of coordinates (b, p)."""
        ...

    def expand(self, theta: Array) -> Expansion:
        """Return log loss with its analytic derivatives."""
        ...


class Law(Protocol):
    """A relation between loss and what a run is given."""

    @property
    def name(self) -> str:
        """The word by which the command line calls it."""
        ...

    @property
    def source(self) -> str:
        """Paper and equation."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """What it needs to know of a run."""
        ...

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its unknowns, in the order of the coordinates."""
        ...

    def surface(self, columns: Columns) -> Surface:
        """Return the law over runs with these columns, each of shape (n,)."""
        ...

    def starts(self, columns: Columns, loss: Array, count: int) -> Array:
        """Return up to `count` promising coordinates, (count, p), to polish: by variable projection where it can."""
        ...


def predict(law: Law, values: Mapping[str, float], columns: Columns) -> Array:
    """Return the loss, (n,), by a law with these parameters.

    Raises BadInputError for values out of bounds, UnknownNameError for parameters or columns that are missing.
    """
    theta = coordinates(law, values)[None, :]
    return np.asarray(np.exp(law.surface(needed(law, columns)).log_loss(theta)[0]))


def coordinates(law: Law, values: Mapping[str, float]) -> Array:
    """Return the coordinates, (p,), of parameters by name."""
    if missing := [parameter.name for parameter in law.parameters if parameter.name not in values]:
        raise UnknownNameError(f"{law.name}: no value for {', '.join(missing)}")
    return np.array([parameter.coordinate(values[parameter.name]) for parameter in law.parameters])


def values_of(law: Law, theta: Array) -> Array:
    """Return parameters, (..., p), of coordinates of the same shape."""
    is_log = np.array([parameter.is_log for parameter in law.parameters])
    return np.where(is_log, np.exp(np.where(is_log, theta, 0.0)), theta)


def bounds_of(law: Law) -> tuple[Array, Array]:
    """Return the least and greatest coordinates, each (p,)."""
    low = [parameter.coordinate(parameter.low) for parameter in law.parameters]
    high = [parameter.coordinate(parameter.high) for parameter in law.parameters]
    return np.array(low), np.array(high)


def needed(law: Law, columns: Columns) -> dict[str, Array]:
    """Return the columns that a law needs. Raises UnknownNameError naming what is missing."""
    if missing := [name for name in law.columns if name not in columns]:
        raise UnknownNameError(
            f"{law.name} needs the columns {', '.join(law.columns)}; there is no {', '.join(missing)}"
        )
    return {name: columns[name] for name in law.columns}
